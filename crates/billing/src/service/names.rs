//! [`Named`]: ids as people and programs outside see them, `cus_018f…`; and names that follow from a text. It makes no id up.

use farthing_money::id_128;
use serde::{Deserialize, Deserializer, Serializer};

use super::{ServiceError, TenantId, id_text, read_id};
use crate::id::{
    BudgetId, CounterpartyId, CustomerId, DelegationId, GrantId, GroupId, ProductId, SubjectId, of_text,
};

id_128! {
    /// The name of a hold. It is the name of its legs' group in the ledger too, so its last byte is zero.
    HoldId
}
id_128! {
    /// The name of an API key, which is no secret.
    KeyId
}

/// An id with a prefix.
pub trait Named: Copy {
    /// What it begins with outside, such as `cus`.
    const PREFIX: &'static str;
    /// What it names, for errors.
    const WHAT: &'static str;

    /// The id with these bits.
    fn of_bits(bits: u128) -> Self;

    /// Its bits.
    fn bits(self) -> u128;

    /// As it is written outside.
    fn text(self) -> String {
        id_text(Self::PREFIX, self.bits())
    }

    /// Reads what [`Named::text`] wrote.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for anything else: nothing has such a name.
    fn read(text: &str) -> Result<Self, ServiceError> {
        read_id(Self::PREFIX, text)
            .map(Self::of_bits)
            .ok_or_else(|| ServiceError::NotFound { what: Self::WHAT, id: text.chars().take(64).collect() })
    }
}

macro_rules! named {
    ($($name:ident $prefix:literal $what:literal),* $(,)?) => {
        $(impl Named for $name {
            const PREFIX: &'static str = $prefix;
            const WHAT: &'static str = $what;

            fn of_bits(bits: u128) -> Self {
                Self::from_u128(bits)
            }

            fn bits(self) -> u128 {
                self.as_u128()
            }
        })*
    };
}

named! {
    TenantId "ten" "tenant",
    KeyId "key" "API key",
    CustomerId "cus" "customer",
    GrantId "grant" "grant",
    HoldId "hold" "hold",
    BudgetId "bud" "budget",
    DelegationId "tok" "token",
    SubjectId "sub" "subject",
    ProductId "prod" "product",
}

impl HoldId {
    /// The group of its legs in the ledger.
    #[must_use]
    pub const fn group(self) -> GroupId {
        GroupId::from_u128(self.as_u128())
    }

    /// The hold whose legs are `group`.
    #[must_use]
    pub const fn of_group(group: GroupId) -> Self {
        Self::from_u128(group.as_u128())
    }
}

impl CounterpartyId {
    /// The one whom callers call `text`: a host, a recipient, a vendor.
    #[must_use]
    pub fn named(text: &str) -> Self {
        Self::from_u128(of_text("counterparty", &[], text))
    }
}

impl SubjectId {
    /// The unit of work that `customer` knows as `text`.
    #[must_use]
    pub fn named(customer: CustomerId, text: &str) -> Self {
        Self::from_u128(of_text("subject", &[customer.as_u128()], text))
    }
}

/// How a text to which a transfer refers is written in the ledger.
pub(super) fn reference(text: &str) -> u128 {
    of_text("reference", &[], text)
}

/// For `#[serde(with = "names::text")]` on an id.
#[allow(non_camel_case_types, reason = "serde calls it as a module, a schema needs a type")]
#[derive(Debug, Clone, Copy)]
pub enum text {}

impl text {
    /// Writes the id with its prefix.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<T: Named, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&id.text())
    }

    /// Reads an id with its prefix.
    ///
    /// # Errors
    /// The deserializer's, and for any other text.
    pub fn deserialize<'de, T: Named, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        T::read(&text).map_err(|_| {
            serde::de::Error::custom(format_args!("a {} is `{}_` and 32 digits", T::WHAT, T::PREFIX))
        })
    }
}

/// For `#[serde(default, with = "names::maybe")]` on an id that may be missing.
#[allow(non_camel_case_types, reason = "serde calls it as a module, a schema needs a type")]
#[derive(Debug, Clone, Copy)]
pub enum maybe {}

impl maybe {
    /// Writes the id with its prefix, or null.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<T: Named, S: Serializer>(id: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => serializer.collect_str(&id.text()),
            None => serializer.serialize_none(),
        }
    }

    /// Reads an id with its prefix, or null.
    ///
    /// # Errors
    /// The deserializer's, and for any other text.
    pub fn deserialize<'de, T: Named, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let read = |text: &str| {
            T::read(text).map_err(|_| {
                serde::de::Error::custom(format_args!("a {} is `{}_` and 32 digits", T::WHAT, T::PREFIX))
            })
        };
        text.as_deref().map(read).transpose()
    }
}

/// For `#[serde(with = "names::many")]` on a list of ids.
#[allow(non_camel_case_types, reason = "serde calls it as a module, a schema needs a type")]
#[derive(Debug, Clone, Copy)]
pub enum many {}

impl many {
    /// Writes the ids with their prefix.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<T: Named, S: Serializer>(ids: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(|id| id.text()))
    }

    /// Reads ids with their prefix.
    ///
    /// # Errors
    /// The deserializer's, and for any other text.
    pub fn deserialize<'de, T: Named, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let read: Result<Vec<T>, ServiceError> = texts.iter().map(|text| T::read(text)).collect();
        read.map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde::{Deserialize, Serialize};

    use super::{CounterpartyId, CustomerId, Named, SubjectId};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Shape {
        #[serde(with = "super::text")]
        id: CustomerId,
        #[serde(default, with = "super::maybe")]
        other: Option<CustomerId>,
        #[serde(with = "super::many")]
        all: Vec<CustomerId>,
    }

    #[test]
    fn ids_are_read_as_they_are_written_and_no_other_way() {
        let (id, no) = (CustomerId::from_u128(0xab), "cus_000000000000000000000000000000AB");
        let shape = Shape { id, other: Some(id), all: vec![id] };
        let json = serde_json::to_string(&shape).unwrap();
        assert_eq!(serde_json::from_str::<Shape>(&json).unwrap(), shape);
        let text = id.text();
        let without = format!(r#"{{"id":"{text}","all":[]}}"#);
        assert_eq!(serde_json::from_str::<Shape>(&without).unwrap().other, None);
        for bad in [
            format!(r#"{{"id":"{no}","all":[]}}"#),
            format!(r#"{{"id":"{text}","other":"{no}","all":[]}}"#),
            format!(r#"{{"id":"{text}","all":["{no}"]}}"#),
        ] {
            serde_json::from_str::<Shape>(&bad).unwrap_err();
        }
        assert_eq!(CustomerId::read(no).unwrap_err().code(), "not_found");
    }

    #[test]
    fn names_of_texts_differ_by_text_and_by_customer() {
        let (one, two) = (CustomerId::from_u128(1), CustomerId::from_u128(2));
        assert_eq!(SubjectId::named(one, "47"), SubjectId::named(one, "47"));
        assert_ne!(SubjectId::named(one, "47"), SubjectId::named(two, "47"));
        assert_ne!(SubjectId::named(one, "47"), SubjectId::named(one, "48"));
        assert_ne!(CounterpartyId::named("a.example"), CounterpartyId::named("b.example"));
    }
}
