//! The journalled plan of a settlement, carrying it out, and learning what became of it. Settling twice moves money once:
//! the chain takes a transaction once, and everything is found again by its hash.

use alloy_primitives::{Address, B256};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{Funds, ReservationFate, Resolution, SettleError, Settled};
use farthing_protocol::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::broadcast::{self, Broadcast, Patience, Raw};
use super::error::ChargeError;
use super::fate::{self, Fate};
use super::memo::Named;
use super::receipt::TxReceipt;
use super::request::ChargeRequest;
use super::rpc::{RpcError, TempoRpc};

/// Seconds that settling takes at most in the ordinary course: nodes want three of validity left, and a block takes one.
const SETTLE_S: u64 = 5;

/// What is needed to settle. Contains the signed transaction: never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plan {
    pub(super) how: How,
    pub(super) external_id: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum How {
    /// Broadcast this transaction.
    Pull(Pull),
    /// It is on the chain already, and was checked: pushed, or a signed transaction that had landed before.
    Push { hash: B256 },
    /// No money moves.
    Proof { challenge_id: String },
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pull {
    pub(super) raw: String,
    pub(super) hash: B256,
    pub(super) payer: Address,
    pub(super) valid_before: u64,
    pub(super) request: Value,
    pub(super) realm: String,
    pub(super) challenge_id: String,
}

impl How {
    /// A split moves with the rest or not at all, and whoever pays the fee changes nothing about it.
    pub(super) const fn funds(&self) -> Funds {
        match self {
            Self::Pull(_) | Self::Proof { .. } => Funds::Authorised,
            Self::Push { .. } => Funds::Moved,
        }
    }

    /// A transaction is worth something until its validity ends, sponsored or not; a block of a later second does not take it.
    pub(super) const fn settle_by(&self) -> Option<UnixMs> {
        match self {
            Self::Pull(pull) => {
                let begin_s = pull.valid_before.saturating_sub(SETTLE_S);
                Some(UnixMs::from_ms(begin_s.saturating_mul(1000)))
            }
            Self::Push { .. } | Self::Proof { .. } => None,
        }
    }
}

impl Plan {
    pub(super) fn read(data: &Value) -> Result<Self, String> {
        serde_json::from_value(data.clone())
            .map_err(|_| "the journalled plan is not one of this rail".to_owned())
    }

    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("strings and numbers are always JSON")
    }

    fn settled(&self, reference: String, at: UnixMs) -> Settled {
        Settled { reference, at, external_id: self.external_id.clone(), extra: Map::new() }
    }

    /// Settles.
    pub(super) async fn settle(&self, rpc: &TempoRpc, now: UnixMs) -> Result<Settled, SettleError> {
        match &self.how {
            How::Push { hash } => Ok(self.settled(hash.to_string(), now)),
            How::Proof { challenge_id } => Ok(self.settled(challenge_id.clone(), now)),
            How::Pull(pull) => match pull.broadcast(rpc).await? {
                Broadcast::Included(receipt) => match pull.judge(&receipt) {
                    Verdict::Paid => Ok(self.settled(pull.hash.to_string(), now)),
                    Verdict::Failed(error) => Err(SettleError::Reverted(error.into())),
                    Verdict::Unproven(detail) => Err(SettleError::Unknown { detail }),
                },
                Broadcast::Refused { why } => Err(refused(&why).into()),
                // An earlier attempt may have sent it: only the chain knows.
                Broadcast::NotSent { why } | Broadcast::Lost { why } => {
                    Err(SettleError::Unknown { detail: why })
                }
            },
        }
    }

    /// Learns what became of it, and sends the same transaction again while it is valid, without waiting for it.
    pub(super) async fn resolve(&self, rpc: &TempoRpc, now: UnixMs) -> Result<Resolution, String> {
        let pull = match &self.how {
            How::Push { hash } => return Ok(Resolution::Settled(self.settled(hash.to_string(), now))),
            How::Proof { challenge_id } => {
                return Ok(Resolution::Settled(self.settled(challenge_id.clone(), now)));
            }
            How::Pull(pull) => pull,
        };
        match fate::of(rpc, pull.hash, pull.valid_before).await.map_err(said)? {
            Fate::Included(receipt) => self.resolved(pull, &receipt, now),
            Fate::Open => {
                broadcast::send_again(rpc, Raw { bytes: &pull.bytes()?, hash: pull.hash }).await;
                Ok(Resolution::Pending)
            }
            Fate::Closing => Ok(Resolution::Pending),
            Fate::Forgotten => {
                tracing::error!(
                    hash = %pull.hash, payer = %pull.payer, valid_before = pull.valid_before,
                    "whether this payment was made cannot be known: the node shows no receipts of that time. \
                     Ask a node that keeps them (an archive node) for the transaction"
                );
                Ok(Resolution::Pending)
            }
            Fate::Gone => {
                let why = "the transaction ended without being executed".to_owned();
                Ok(Resolution::Failed { why, reservation: ReservationFate::Released })
            }
        }
    }

    fn resolved(&self, pull: &Pull, receipt: &TxReceipt, now: UnixMs) -> Result<Resolution, String> {
        match pull.judge(receipt) {
            Verdict::Paid => Ok(Resolution::Settled(self.settled(pull.hash.to_string(), now))),
            // It was executed, so whoever pays its fee has paid it.
            Verdict::Failed(error) => {
                Ok(Resolution::Failed { why: error.to_string(), reservation: ReservationFate::Spent })
            }
            Verdict::Unproven(why) => Err(why),
        }
    }
}

/// What a receipt says about a payment.
enum Verdict {
    Paid,
    /// Executed, and it did not pay: final.
    Failed(ChargeError),
    /// Not to be told from it.
    Unproven(String),
}

impl Pull {
    fn bytes(&self) -> Result<Vec<u8>, String> {
        let digits = self.raw.strip_prefix("0x").unwrap_or(&self.raw);
        hex::decode(digits).map_err(|_| "the journalled transaction is damaged".to_owned())
    }

    async fn broadcast(&self, rpc: &TempoRpc) -> Result<Broadcast, SettleError> {
        let bytes = self.bytes().map_err(|detail| SettleError::Unknown { detail })?;
        let raw = Raw { bytes: &bytes, hash: self.hash };
        Ok(broadcast::broadcast(rpc, raw, Patience::BLOCKS).await)
    }

    /// A status alone proves nothing: the logs must show the transfers (E2).
    fn judge(&self, receipt: &TxReceipt) -> Verdict {
        let charge = match ChargeRequest::from_json(&self.request) {
            Ok(charge) => charge,
            Err(error) => return Verdict::Unproven(error.to_string()),
        };
        let named = Named { realm: &self.realm, challenge_id: &self.challenge_id };
        match receipt.check_landed(&charge, named, self.payer) {
            Ok(()) => Verdict::Paid,
            Err(error @ ChargeError::LegsMissing) if receipt.logs.is_empty() => {
                Verdict::Unproven(format!("the node shows no logs of a payment that it executed: {error}"))
            }
            Err(error @ ChargeError::LegsMissing) => {
                tracing::error!(
                    hash = %self.hash, payer = %self.payer, challenge = %self.challenge_id,
                    "the transaction succeeded and the payment did not reach its recipients: \
                     look for a receive policy (TIP-1028) of theirs that holds it back"
                );
                Verdict::Failed(error)
            }
            Err(error) => Verdict::Failed(error),
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
fn said(error: RpcError) -> String {
    error.to_string()
}

fn refused(why: &str) -> Problem {
    let insufficient = why.to_ascii_lowercase().contains("insufficient");
    let (kind, code) = if insufficient {
        (ProblemKind::PaymentInsufficient, "payer_insufficient")
    } else {
        (ProblemKind::VerificationFailed, "transaction_refused")
    };
    Problem::new(kind, code, format!("The chain refused the transaction: {why}."))
}

#[cfg(test)]
mod tests;
