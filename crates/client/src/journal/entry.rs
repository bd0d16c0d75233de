//! What a journal holds: entries as written, and records, which are the entries of one payment folded together.

use std::fmt;

use farthing_money::{Amount, AssetKind};
use farthing_protocol::ports::Quote;
use farthing_protocol::{CredentialHeader, UnixMs};
use serde::{Deserialize, Serialize};
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
    Sent,
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
    /// Certainly not paid: final.
    NotPaid {
        /// The stable code.
        code: String,
        /// Why.
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
}

impl Agreed {
    pub(crate) fn of(quote: &Quote) -> Self {
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
        }
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

/// Where a payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PaymentState {
    /// About to be paid.
    Intended,
    /// About to be broadcast by the rail, or broadcast.
    Sending,
    /// Paid or signed; nothing was sent to the seller.
    Made,
    /// Sent to the seller.
    Sent,
    /// Paid and served.
    Served,
    /// Sent, and not served.
    Refused,
    /// Certainly not paid.
    NotPaid,
    /// It is not known whether it was taken.
    Unknown,
}

impl PaymentState {
    /// Whether nothing can change any more. Anything else is an outcome that is not known.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Served | Self::NotPaid)
    }
}

/// A payment, as its entries tell it.
#[derive(Debug, Clone)]
pub struct PaymentRecord {
    /// Which payment.
    pub id: PaymentId,
    /// When it began.
    pub began: UnixMs,
    /// When it last changed.
    pub changed: UnixMs,
    /// Where it is.
    pub state: PaymentState,
    /// What it is for.
    pub target: Target,
    /// What was agreed to.
    pub agreed: Agreed,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// The receipt's reference, or what to look for on the rail.
    pub reference: Option<String>,
    /// Why it is not served.
    pub why: Option<String>,
    /// What can be presented again instead of paying again.
    pub credential: Option<StoredCredential>,
}

impl Step {
    pub(super) const fn credential(&self) -> Option<&StoredCredential> {
        match self {
            Self::Sending { credential }
            | Self::Made { credential }
            | Self::Refused { credential, .. }
            | Self::Unknown { credential, .. } => credential.as_ref(),
            _ => None,
        }
    }

    pub(super) const fn is_final(&self) -> bool {
        matches!(self, Self::Served { .. } | Self::NotPaid { .. })
    }
}

impl JournalEntry {
    /// Adds the entry to the record that it belongs to. An entry without a beginning is passed over.
    pub(super) fn fold_into(&self, records: &mut Vec<PaymentRecord>) {
        let at = UnixMs::from_ms(self.at_ms);
        if let Step::Intended { target, agreed } = &self.step {
            records.push(PaymentRecord {
                id: self.payment.clone(),
                began: at,
                changed: at,
                state: PaymentState::Intended,
                target: target.clone(),
                agreed: (**agreed).clone(),
                status: None,
                reference: None,
                why: None,
                credential: None,
            });
            return;
        }
        // Open payments are young: look from the end.
        if let Some(record) = records.iter_mut().rev().find(|record| record.id == self.payment) {
            record.changed = at;
            record.take(&self.step);
        }
    }
}

impl PaymentRecord {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Intended { .. } => {}
            Step::Sending { credential } => {
                self.state = PaymentState::Sending;
                self.keep(credential.as_ref());
            }
            Step::Made { credential } => {
                self.state = PaymentState::Made;
                self.keep(credential.as_ref());
            }
            Step::Sent => self.state = PaymentState::Sent,
            Step::Served { status, reference, .. } => {
                self.state = PaymentState::Served;
                self.status = Some(*status);
                self.reference.clone_from(reference);
                (self.why, self.credential) = (None, None);
            }
            Step::Refused { status, why, credential } => {
                self.state = PaymentState::Refused;
                self.status = Some(*status);
                self.why = Some(why.clone());
                self.keep(credential.as_ref());
            }
            Step::NotPaid { why, .. } => {
                self.state = PaymentState::NotPaid;
                self.why = Some(why.clone());
                self.credential = None;
            }
            Step::Unknown { why, reference, credential } => {
                self.state = PaymentState::Unknown;
                self.why = Some(why.clone());
                if reference.is_some() {
                    self.reference.clone_from(reference);
                }
                self.keep(credential.as_ref());
            }
        }
    }

    fn keep(&mut self, credential: Option<&StoredCredential>) {
        if let Some(credential) = credential {
            self.credential = Some(credential.clone());
        }
    }
}
