//! The journalled plan of a settlement, carrying it out, and learning what became of it. Settling twice moves money once:
//! the chain takes a transaction once, and everything is found again by its hash.

use alloy_primitives::{Address, B256};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{Resolution, SettleError, Settled};
use farthing_protocol::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::broadcast::{self, Broadcast, Patience, Raw};
use super::error::ChargeError;
use super::memo::Named;
use super::receipt::TxReceipt;
use super::request::ChargeRequest;
use super::rpc::TempoRpc;

/// Seconds past a transaction's `validBefore` after which no chain takes it any more: clocks and reorganisations.
const GRACE_S: u64 = 10;

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
    /// It is on the chain already, and was checked.
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
                Broadcast::Included(receipt) => match pull.check(&receipt) {
                    Ok(()) => Ok(self.settled(pull.hash.to_string(), now)),
                    Err(error @ ChargeError::Reverted) => Err(Problem::from(error).into()),
                    Err(error) => Err(SettleError::Unknown { detail: unproven(&error) }),
                },
                Broadcast::Refused { why } => Err(refused(&why).into()),
                // An earlier attempt may have sent it: only the chain knows.
                Broadcast::NotSent { why } | Broadcast::Lost { why } => {
                    Err(SettleError::Unknown { detail: why })
                }
            },
        }
    }

    /// Learns what became of it, and sends the same transaction again while it is valid.
    pub(super) async fn resolve(&self, rpc: &TempoRpc, now: UnixMs) -> Result<Resolution, String> {
        let pull = match &self.how {
            How::Push { hash } => return Ok(Resolution::Settled(self.settled(hash.to_string(), now))),
            How::Proof { challenge_id } => {
                return Ok(Resolution::Settled(self.settled(challenge_id.clone(), now)));
            }
            How::Pull(pull) => pull,
        };
        // The clock is read before the receipt is looked for: a block in between would otherwise be missed.
        let chain_now = rpc.head().await.map_err(|error| error.to_string())?.timestamp;
        match rpc.receipt(pull.hash).await.map_err(|error| error.to_string())? {
            Some(receipt) => self.resolved(pull, &receipt, now),
            None if chain_now >= pull.valid_before.saturating_add(GRACE_S) => {
                Ok(Resolution::Failed { why: "the transaction ended without being executed".to_owned() })
            }
            None if chain_now < pull.valid_before => {
                match pull.broadcast(rpc).await.map_err(|error| error.to_string())? {
                    Broadcast::Included(receipt) => self.resolved(pull, &receipt, now),
                    // A refusal may be for something that passes: only the end of validity is final here.
                    _ => Ok(Resolution::Pending),
                }
            }
            None => Ok(Resolution::Pending),
        }
    }

    fn resolved(&self, pull: &Pull, receipt: &TxReceipt, now: UnixMs) -> Result<Resolution, String> {
        match pull.check(receipt) {
            Ok(()) => Ok(Resolution::Settled(self.settled(pull.hash.to_string(), now))),
            Err(error @ ChargeError::Reverted) => Ok(Resolution::Failed { why: error.to_string() }),
            Err(error) => Err(unproven(&error)),
        }
    }
}

impl Pull {
    async fn broadcast(&self, rpc: &TempoRpc) -> Result<Broadcast, SettleError> {
        let digits = self.raw.strip_prefix("0x").unwrap_or(&self.raw);
        let bytes = hex::decode(digits)
            .map_err(|_| SettleError::Unknown { detail: "the journalled transaction is damaged".into() })?;
        let raw = Raw { bytes: &bytes, hash: self.hash };
        Ok(broadcast::broadcast(rpc, raw, Patience::BLOCKS).await)
    }

    /// A status alone proves nothing: the logs must show the transfers (E2).
    fn check(&self, receipt: &TxReceipt) -> Result<(), ChargeError> {
        let charge = ChargeRequest::from_json(&self.request)?;
        let named = Named { realm: &self.realm, challenge_id: &self.challenge_id };
        receipt.check(&charge, named, self.payer)
    }
}

/// Its calls were checked before it was sent, so a success without its logs is a node's mistake: the payer has paid, and
/// calling that a failure would cost them the money.
fn unproven(error: &ChargeError) -> String {
    format!("the node says that the transaction succeeded and shows no payment: {error}")
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
