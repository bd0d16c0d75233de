//! The rule about a vendor's prices: of one vendor, or of all that have none of their own.

use farthing_ledger::record::Table;
use serde::{Deserialize, Serialize};

use super::vendor_id;
use crate::margin::{Floor, MarginPolicy, OnAlert};
use crate::service::{ATTEMPTS, Billing, Cx, Document, Draft, Fate, ServiceError};

/// Under which key the rule of all other vendors is kept.
const DEFAULT: &str = "default";

/// Whether calls go on when an alert is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnAlertForm {
    /// They do: somebody is told.
    #[default]
    Tell,
    /// They do not, until the price is accepted or the margin is there again.
    Block,
}

/// What happens when a vendor's price changes or a margin is thin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyForm {
    /// The least margin, in millionths of the price: 150000 is 15 percent.
    #[serde(default)]
    pub floor_millionths: u32,
    /// When a price changes.
    #[serde(default)]
    pub on_change: OnAlertForm,
    /// When the margin of a call would be under the floor.
    #[serde(default)]
    pub on_floor: OnAlertForm,
}

/// The rule that counts for a vendor, as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyDoc {
    /// The vendor; none for the rule of all vendors that have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// The rule.
    pub policy: PolicyForm,
    /// When it was set, in milliseconds since the Unix epoch; 0 when nobody ever did.
    pub updated_ms: u64,
}

impl Document for PolicyDoc {
    const TABLE: Table = Table::new("vendor_policy");
    const NAME: &'static str = "vendor policy";
}

impl From<OnAlertForm> for OnAlert {
    fn from(form: OnAlertForm) -> Self {
        match form {
            OnAlertForm::Tell => Self::Tell,
            OnAlertForm::Block => Self::Block,
        }
    }
}

impl From<PolicyForm> for MarginPolicy {
    fn from(form: PolicyForm) -> Self {
        let floor = Floor { millionths: form.floor_millionths };
        Self { floor, on_change: form.on_change.into(), on_floor: form.on_floor.into() }
    }
}

fn key(vendor: Option<&str>) -> Result<String, ServiceError> {
    vendor.map_or_else(|| Ok(DEFAULT.to_owned()), |name| Ok(vendor_id(name)?.to_string()))
}

impl Billing {
    /// Sets the rule about a vendor's prices; without a vendor, about those of all that have no rule of their own. It counts for
    /// quotes that are asked about afterwards.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::Contention`], [`ServiceError::Store`].
    pub async fn set_vendor_policy(
        &self,
        cx: &Cx,
        vendor: Option<&str>,
        policy: PolicyForm,
    ) -> Result<PolicyDoc, ServiceError> {
        if policy.floor_millionths > 1_000_000 {
            return Err(ServiceError::invalid("floor_millionths", "is at most 1000000"));
        }
        let key = key(vendor)?;
        let doc = PolicyDoc { vendor: vendor.map(str::to_owned), policy, updated_ms: cx.now.unix_ms() };
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let mut draft = Draft::new();
            draft.write(cx, &key, &doc)?;
            self.introduce_vendors(cx, &mut draft, &vendor.into_iter().collect()).await?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &doc).await? {
                return Ok(doc);
            }
        }
        Err(ServiceError::Contention)
    }

    /// The rule that counts for a vendor: its own, else the one of all, else that everything is told and nothing blocked. Without
    /// a vendor, the one of all.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::Store`].
    pub async fn vendor_policy(&self, cx: &Cx, vendor: Option<&str>) -> Result<PolicyDoc, ServiceError> {
        if vendor.is_some()
            && let Some(own) = self.find::<PolicyDoc>(cx, &key(vendor)?).await?
        {
            return Ok(own.doc);
        }
        Ok(self.find::<PolicyDoc>(cx, DEFAULT).await?.map(|found| found.doc).unwrap_or_default())
    }
}
