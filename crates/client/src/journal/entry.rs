//! What a journal is written in: entries, one for each step of a payment.

use std::fmt;

use farthing_money::{Amount, Asset, AssetKind, Money, MoneyError};
use farthing_protocol::ports::{FeeBearer, Quote, Share};
use farthing_protocol::{CredentialHeader, Receipt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::PaymentId;

/// One line of a journal. The credential of a step is not part of the line: a journal keeps it apart, to forget it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Which payment.
    pub payment: PaymentId,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What happened, or is about to.
    #[serde(flatten)]
    pub step: Step,
}

/// One step in the life of a payment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// The money is held and a rail is about to be asked to pay.
    Intended {
        /// What it is for.
        target: Target,
        /// What was agreed to.
        agreed: Box<Agreed>,
    },
    /// A rail is about to broadcast the payment that this credential proves.
    Sending {
        /// To present again, whatever becomes of this process.
        #[serde(skip)]
        credential: Option<StoredCredential>,
    },
    /// A rail has answered with a proof of payment.
    Made {
        /// The credential, where losing it would lose money.
        #[serde(skip)]
        credential: Option<StoredCredential>,
    },
    /// The credential is about to leave.
    Sent {
        /// To present again, whatever becomes of this process.
        #[serde(skip)]
        credential: Option<StoredCredential>,
    },
    /// Paid and served: final.
    Served {
        /// The status of the answer.
        status: u16,
        /// The receipt's reference, where one came: a transaction hash, a challenge id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// When the seller settled: RFC 3339, as received.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settled_at: Option<String>,
        /// The receipt, whole, as JSON: every field that the seller sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<Value>,
        /// What a metered call cost of what was held, in base units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost_base: Option<Amount>,
    },
    /// The seller answered the credential without serving. The payment may have been taken.
    Refused {
        /// The status of the answer.
        status: u16,
        /// The seller's words, or ours.
        why: String,
        /// To present again.
        #[serde(skip)]
        credential: Option<StoredCredential>,
    },
    /// Certainly not paid, or somebody has said so where nobody else can: final.
    NotPaid {
        /// The stable code.
        code: String,
        /// Why.
        why: String,
        /// Whose word it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decided_by: Option<DecidedBy>,
    },
    /// A metered call whose answer never came counts as charged, by somebody's word: final.
    Charged {
        /// How much of what was held, in base units.
        cost_base: Amount,
        /// Whose word it is.
        decided_by: DecidedBy,
        /// Why.
        why: String,
    },
    /// The money has moved, says the rail; the call is still to be served.
    Paid {
        /// What shows it on the rail: a transaction hash.
        reference: String,
    },
    /// The money has moved, and the seller will not serve the call for it: final.
    Forfeited {
        /// The seller's words, or ours.
        why: String,
    },
    /// It is not known whether the payment was taken.
    Unknown {
        /// Why.
        why: String,
        /// What to look for on the rail, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// To present again.
        #[serde(skip)]
        credential: Option<StoredCredential>,
    },
}

/// Who has said what became of a payment that no rail can answer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// Somebody who knows, or has looked at what the vendor counted.
    Person,
    /// The policy that the call was made under, when its time had passed.
    Policy,
}

impl DecidedBy {
    /// Its name in the journal and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Policy => "policy",
        }
    }
}

/// What a payment is for. Of the URL, only what names the resource: a query may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The request's method.
    pub method: String,
    /// Origin and path.
    pub url: String,
    /// The challenge's realm.
    pub realm: String,
    /// The challenge's id.
    pub challenge_id: String,
    /// When the challenge expires: RFC 3339, as received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Names the request: SHA-256 over method, URL and body, as 64 hex digits. Two calls with one name ask for one thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The `Idempotency-Key` that the paid request is sent with, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

impl Target {
    /// The host that was paid, with the port where it is not the usual one.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }
}

/// What was agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// Base units.
    pub amount_base: Amount,
    /// The asset's code.
    pub asset: String,
    /// The asset's decimals.
    pub scale: u8,
    /// The token's address, where the asset is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// CAIP-2.
    pub network: String,
    /// Who receives it.
    pub recipient: String,
    /// The account that pays.
    pub payer: String,
    /// `pull`, `push`, `proof`.
    pub mode: String,
    /// The payment method: `tempo`.
    #[serde(default)]
    pub method: String,
    /// Who bears the network's fee: `payer`, `seller`, `none`.
    #[serde(default)]
    pub fee: String,
    /// Parts of the amount that go to others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<AgreedShare>,
    /// When a metered call whose outcome nobody knows counts as charged in full, in milliseconds since the Unix epoch. None: not
    /// before somebody says what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge_at_ms: Option<u64>,
}

/// A part of a payment that goes to another recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedShare {
    /// Who receives it.
    pub recipient: String,
    /// How much, in base units.
    pub amount_base: Amount,
}

impl Agreed {
    pub(crate) fn of(method: &str, quote: &Quote) -> Self {
        let asset = quote.money.asset();
        Self {
            amount_base: quote.money.amount(),
            asset: asset.code().to_owned(),
            scale: asset.scale(),
            token: match asset.kind() {
                AssetKind::Token { address, .. } => Some(address.to_string()),
                AssetKind::Fiat | AssetKind::Custom => None,
            },
            network: quote.network.clone(),
            recipient: quote.recipient.clone(),
            payer: quote.payer.clone(),
            mode: quote.mode.to_owned(),
            method: method.to_owned(),
            fee: match quote.fee {
                FeeBearer::Payer => "payer",
                FeeBearer::Seller => "seller",
                FeeBearer::Nobody => "none",
            }
            .to_owned(),
            shares: quote
                .shares
                .iter()
                .map(|share| AgreedShare { recipient: share.recipient.clone(), amount_base: share.amount })
                .collect(),
            charge_at_ms: None,
        }
    }

    /// Whether a vendor that counts by itself was called: no rail knows what became of it.
    #[must_use]
    pub fn is_metered(&self) -> bool {
        self.method == crate::metered::METHOD
    }

    /// The quote that it was.
    ///
    /// # Errors
    /// What is wrong with the asset, in an entry that somebody edited.
    pub(crate) fn quote(&self) -> Result<Quote, MoneyError> {
        let kind = match &self.token {
            Some(address) => {
                AssetKind::Token { network: self.network.as_str().into(), address: address.as_str().into() }
            }
            None if self.asset == "USD" => AssetKind::Fiat,
            None => AssetKind::Custom,
        };
        let asset = Asset::new(&self.asset, self.scale, kind)?;
        let share =
            |share: &AgreedShare| Share { recipient: share.recipient.clone(), amount: share.amount_base };
        Ok(Quote {
            money: Money::new(self.amount_base, asset),
            recipient: self.recipient.clone(),
            shares: self.shares.iter().map(share).collect(),
            network: self.network.clone(),
            payer: self.payer.clone(),
            fee: match self.fee.as_str() {
                "payer" => FeeBearer::Payer,
                "seller" => FeeBearer::Seller,
                _ => FeeBearer::Nobody,
            },
            mode: match self.mode.as_str() {
                "pull" => "pull",
                "push" => "push",
                "proof" => "proof",
                "metered" => crate::metered::METHOD,
                _ => "other",
            },
        })
    }
}

impl fmt::Display for Agreed {
    /// Whole units and the code: `0.01 PathUSD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount_base.to_decimal(self.scale), self.asset)
    }
}

/// A credential that is kept so that the same payment can be presented again. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCredential {
    /// The header that it travels in.
    pub header: String,
    /// The header's value. Secret.
    value: Zeroizing<String>,
}

impl StoredCredential {
    pub(crate) fn new(header: CredentialHeader, value: String) -> Self {
        Self { header: header.name().to_owned(), value: Zeroizing::new(value) }
    }

    /// The header's value. Secret.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for StoredCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredCredential").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Step {
    /// The step of a call that was paid and served, with its receipt whole.
    #[must_use]
    pub fn served(status: u16, receipt: Option<&Receipt>) -> Self {
        Self::Served {
            status,
            reference: receipt.map(|receipt| receipt.reference.clone()),
            settled_at: receipt.map(|receipt| receipt.timestamp.clone()),
            receipt: receipt.map(whole),
            cost_base: None,
        }
    }

    /// The step of a metered call that was served.
    #[must_use]
    pub const fn metered(status: u16, cost_base: Amount) -> Self {
        Self::Served { status, reference: None, settled_at: None, receipt: None, cost_base: Some(cost_base) }
    }

    /// Certainly not paid, as far as is known here.
    #[must_use]
    pub fn not_paid(code: &str, why: String) -> Self {
        Self::NotPaid { code: code.to_owned(), why, decided_by: None }
    }

    pub(super) const fn credential(&self) -> Option<&StoredCredential> {
        match self {
            Self::Sending { credential }
            | Self::Made { credential }
            | Self::Sent { credential }
            | Self::Refused { credential, .. }
            | Self::Unknown { credential, .. } => credential.as_ref(),
            _ => None,
        }
    }

    pub(super) const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Served { .. } | Self::NotPaid { .. } | Self::Charged { .. } | Self::Forfeited { .. }
        )
    }
}

/// Every field of a receipt, under the names that it has on the wire.
fn whole(receipt: &Receipt) -> Value {
    let mut fields = receipt.extra.clone();
    fields.insert("status".to_owned(), "success".into());
    fields.insert("method".to_owned(), receipt.method.clone().into());
    fields.insert("timestamp".to_owned(), receipt.timestamp.clone().into());
    fields.insert("reference".to_owned(), receipt.reference.clone().into());
    if let Some(external_id) = &receipt.external_id {
        fields.insert("externalId".to_owned(), external_id.clone().into());
    }
    Value::Object(fields)
}
