//! Names in paths. A name that is not written as such a name is written names nothing: 404, as for one that nobody has.

use farthing_billing::service::Named;
use farthing_billing::service::schema::IdText;
use farthing_billing::{CustomerId, GrantId};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// An id in a path or a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id<T>(pub(crate) T);

impl<'de, T: Named> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format_args!("{} and 32 hexadecimal digits", T::PREFIX));
        T::read(&text).map(Self).map_err(|_| wrong())
    }
}

impl<T: Named> JsonSchema for Id<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        IdText::<T>::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        IdText::<T>::json_schema(generator)
    }
}

/// A customer.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OfCustomer {
    /// The customer.
    pub(crate) customer: Id<CustomerId>,
}

/// An asset.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OfAsset {
    /// The code of the asset.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,24}$"))]
    pub(crate) asset: String,
}

/// A wallet.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OfWallet {
    /// The customer.
    pub(crate) customer: Id<CustomerId>,
    /// The code of the asset.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,24}$"))]
    pub(crate) asset: String,
}

impl OfWallet {
    /// As the service names a wallet.
    pub(crate) fn name(&self) -> (CustomerId, &str) {
        (self.customer.0, &self.asset)
    }
}

/// A grant of a wallet.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OfGrant {
    /// The customer.
    pub(crate) customer: Id<CustomerId>,
    /// The code of the asset.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,24}$"))]
    pub(crate) asset: String,
    /// The grant, or the series of grants.
    pub(crate) grant: Id<GrantId>,
}
