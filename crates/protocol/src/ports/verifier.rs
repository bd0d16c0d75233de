//! The seller's half of a payment rail.

use std::fmt;

use async_trait::async_trait;
use farthing_money::{Asset, Money};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ClaimKey, Reservation, ReservationFate};
use crate::{Credential, EncodedJson, FormatError, Intent, MethodId, Problem, UnixMs};

/// What one call costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// How much, of which asset. Zero asks for a proof of identity only.
    pub money: Money,
    /// What is sold, for people. Never verified (C11).
    pub description: Option<String>,
    /// The merchant's own reference.
    pub external_id: Option<String>,
}

/// Why a price cannot be offered on a rail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The price is in an asset that this rail does not take.
    #[error("this rail takes {takes}, not {given}")]
    WrongAsset {
        /// Code of the asset that the rail takes.
        takes: String,
        /// Code of the asset of the price.
        given: String,
    },
    /// The price, the splits or another term cannot be asked for.
    #[error("{why}")]
    BadTerms {
        /// The stable code of the broken rule.
        code: &'static str,
        /// What is wrong and what to do.
        why: String,
    },
    /// The request cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// Whether a credential came before its challenge expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Before.
    InTime,
    /// After, but within [`Verifier::late_ms`]: only money that had moved before the expiry may still be taken. It would be
    /// lost otherwise: the payer paid in time, and the seller could not look at it in time.
    Late,
}

/// What is to be verified. The core has checked binding, expiry, scope and digest before.
#[derive(Debug, Clone, Copy)]
pub struct VerifyRequest<'a> {
    /// The credential; its challenge is one that we issued.
    pub credential: &'a Credential<'a>,
    /// When the challenge expires.
    pub expires: UnixMs,
    /// The instant of the request.
    pub now: UnixMs,
    /// Whether that is before the expiry.
    pub timing: Timing,
}

/// Whether the money of a verified payment has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Funds {
    /// The payer allows us to take it; nothing is lost when we do not.
    Authorised,
    /// The payer has sent it already: whatever happens to the call, it is settled.
    Moved,
}

/// A payment that satisfies its challenge and has not been settled.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What the money is, in every spelling that could be presented again.
    pub keys: Vec<ClaimKey>,
    /// Who pays, such as `did:pkh:eip155:4217:0x…`, where known.
    pub payer: Option<String>,
    /// What is paid.
    pub paid: Money,
    /// Whether it has moved.
    pub funds: Funds,
    /// Until when settling may begin, where it cannot wait: the payer's authorisation ends soon after, and a settlement that
    /// begins later is expected to fail. The rail has left itself the time that settling takes. None where settling can wait
    /// as long as the claim lives: the money has moved already, or nothing moves.
    ///
    /// A gate that lets the service answer first begins with the service only if that is over before this instant at the latest,
    /// the time limit of the service counted in full; otherwise it settles first, or refuses. It is no promise: until it is
    /// settled, a payer can still spend what was authorised elsewhere.
    pub settle_by: Option<UnixMs>,
    /// What settling will spend of a budget of ours (fee sponsorship), if anything.
    pub reservation: Option<Reservation>,
    /// What is needed to settle, and to learn the outcome after a crash.
    pub plan: SettlementPlan,
}

/// What is needed to settle a payment, written to the journal before anything is done.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementPlan {
    /// [`Verifier::rail`] of the rail that made it.
    pub rail: String,
    /// The rail's own data. May contain what authorises the payment: `Debug` does not show it (C19).
    pub data: Value,
}

impl fmt::Debug for SettlementPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettlementPlan").field("rail", &self.rail).finish_non_exhaustive()
    }
}

/// A settled payment: what the Receipt will say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The method's reference: a transaction hash, a challenge id.
    pub reference: String,
    /// When it was settled.
    #[serde(with = "unix_ms")]
    pub at: UnixMs,
    /// The merchant's reference, echoed.
    pub external_id: Option<String>,
    /// Further fields of the method's receipt.
    pub extra: Map<String, Value>,
}

mod unix_ms {
    //! [`UnixMs`] as a JSON number, for the journal.
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::UnixMs;

    pub(super) fn serialize<S: Serializer>(at: &UnixMs, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(at.as_ms())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMs, D::Error> {
        u64::deserialize(deserializer).map(UnixMs::from_ms)
    }
}

/// Why a payment was not verified. Nothing has happened to the money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It does not satisfy the challenge; a fresh challenge helps.
    #[error(transparent)]
    Rejected(#[from] Problem),
    /// The money was used before, or belongs to another challenge: 403, no challenge.
    #[error("the payment was already used")]
    Replayed,
    /// A service that is needed to verify did not answer; the same credential may be sent again.
    #[error("{detail}")]
    Unavailable {
        /// What did not answer, for the log.
        detail: String,
    },
}

/// Why a payment was not settled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// It has not happened and will not happen from this credential.
    #[error(transparent)]
    Rejected(#[from] Problem),
    /// It was executed and moved no money, and what the reservation covers was spent.
    #[error("{0}")]
    Reverted(Problem),
    /// It may have happened. Never treated as failed, never as settled, until [`Verifier::resolve`] says.
    #[error("{detail}")]
    Unknown {
        /// What went wrong, for the log.
        detail: String,
    },
}

/// What became of a payment whose outcome was unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It happened.
    Settled(Settled),
    /// It did not happen and can no longer happen.
    Failed {
        /// Why, for the journal.
        why: String,
        /// Whether what was reserved for it was spent all the same.
        reservation: ReservationFate,
    },
    /// Not known yet: ask again later.
    Pending,
}

/// The seller's half of a rail: makes offers of one Method and Intent, verifies and settles what answers them.
///
/// Every check is made in [`verify`](Self::verify), before anything is broadcast.
#[async_trait]
pub trait Verifier: Send + Sync {
    /// The Method.
    fn method(&self) -> &MethodId;

    /// The Intent.
    fn intent(&self) -> &Intent;

    /// A name that stays the same over restarts and is unique in a gateway, such as `tempo:4217`: journalled plans carry it.
    fn rail(&self) -> &str;

    /// The asset that prices are in.
    fn asset(&self) -> &Asset;

    /// How long after a challenge's expiry a payment that had moved before it is still looked at, in milliseconds. Never,
    /// unless a rail says otherwise.
    fn late_ms(&self) -> u64 {
        0
    }

    /// The `request` of a challenge for `price`.
    ///
    /// # Errors
    /// [`OfferError`] when the price cannot be asked for on this rail.
    fn offer(&self, price: &Price) -> Result<EncodedJson, OfferError>;

    /// What money the credential presents, in every spelling that its bytes alone tell. No IO and no check of validity:
    /// used to recognise a credential that was claimed before. A subset of [`Verified::keys`].
    ///
    /// # Errors
    /// The [`Problem`] of a payload that cannot be read.
    fn keys(&self, credential: &Credential<'_>) -> Result<Vec<ClaimKey>, Problem>;

    /// Checks that the credential pays what its challenge asks. No side effect on any money.
    ///
    /// # Errors
    /// [`VerifyError`].
    async fn verify(&self, request: VerifyRequest<'_>) -> Result<Verified, VerifyError>;

    /// Settles a claimed payment. Called again with the same plan it must not move money twice.
    ///
    /// # Errors
    /// [`SettleError`]; when in doubt [`SettleError::Unknown`].
    async fn settle(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Settled, SettleError>;

    /// Learns what became of a plan whose outcome is unknown (a crash, a time-out).
    ///
    /// # Errors
    /// A sentence for the log when the rail's services do not answer; the outcome stays unknown.
    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String>;
}
