//! The journalled plan of a refund, carrying it out, and learning what became of it.

use alloy_primitives::{Address, B256, U256};
use farthing_money::Amount;
use farthing_protocol::ports::{ReservationFate, Resolution, SettleError, Settled};
use farthing_protocol::{Problem, ProblemKind, UnixMs};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::tempo::broadcast::{self, Broadcast, Patience, Raw};
use crate::tempo::fate::{self, Fate};
use crate::tempo::receipt::TxReceipt;
use crate::tempo::rpc::TempoRpc;
use crate::tempo::transfers::{self, MovedTransfer};

/// How a claim is given back. Contains a signed transaction: never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Plan {
    /// By this transaction.
    Transfer(Transfer),
    /// It has been, by this transaction: a store that lost its memory asks again.
    Made { hash: B256 },
}

/// A signed transaction that gives money back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transfer {
    pub(super) raw: String,
    pub(super) hash: B256,
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) token: Address,
    pub(super) amount: Amount,
    pub(super) memo: B256,
    /// The account's nonce: of all transactions with it, the chain executes one.
    pub(super) nonce: u64,
    pub(super) valid_before: u64,
}

impl Plan {
    pub(super) fn read(data: &Value) -> Result<Self, String> {
        serde_json::from_value(data.clone())
            .map_err(|_| "the journalled refund is not one of this rail".to_owned())
    }

    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("strings and numbers are always JSON")
    }

    /// Sends it and waits for it.
    pub(super) async fn send(&self, rpc: &TempoRpc, now: UnixMs) -> Result<Settled, SettleError> {
        let transfer = match self {
            Self::Made { hash } => return Ok(settled(*hash, now)),
            Self::Transfer(transfer) => transfer,
        };
        let bytes = transfer.bytes().map_err(|detail| SettleError::Unknown { detail })?;
        let raw = Raw { bytes: &bytes, hash: transfer.hash };
        match broadcast::broadcast(rpc, raw, Patience::BLOCKS).await {
            Broadcast::Included(receipt) => transfer.judge(&receipt).into_settled(transfer, now),
            Broadcast::Refused { why } => {
                let detail = format!("The chain refused the refund: {why}.");
                Err(failed("refund_refused", detail).into())
            }
            Broadcast::NotSent { why } => Err(SettleError::Unknown { detail: why }),
            Broadcast::Lost { why } => transfer.after_loss(rpc, why, now).await,
        }
    }

    /// Learns what became of it, and sends it again while it is valid, without waiting for it.
    pub(super) async fn resolve(&self, rpc: &TempoRpc, now: UnixMs) -> Result<Resolution, String> {
        let transfer = match self {
            Self::Made { hash } => return Ok(Resolution::Settled(settled(*hash, now))),
            Self::Transfer(transfer) => transfer,
        };
        let fate = fate::of(rpc, transfer.hash, transfer.valid_before).await;
        match fate.map_err(|error| error.to_string())? {
            Fate::Included(receipt) => match transfer.judge(&receipt) {
                Verdict::GivenBack => Ok(Resolution::Settled(settled(transfer.hash, now))),
                Verdict::Reverted => Ok(Resolution::Failed {
                    why: "the refund failed on the chain".into(),
                    reservation: ReservationFate::Spent,
                }),
                Verdict::Unproven(why) => Err(why),
            },
            Fate::Open => {
                broadcast::send_again(rpc, Raw { bytes: &transfer.bytes()?, hash: transfer.hash }).await;
                Ok(Resolution::Pending)
            }
            Fate::Closing => Ok(Resolution::Pending),
            Fate::Forgotten => {
                tracing::error!(
                    hash = %transfer.hash, payer = %transfer.to, valid_before = transfer.valid_before,
                    "whether this refund was made cannot be known: the node shows no receipts of that time. \
                     Ask a node that keeps them (an archive node) for the transaction"
                );
                Ok(Resolution::Pending)
            }
            Fate::Gone => Ok(Resolution::Failed {
                why: "the refund's transaction ended without being executed".into(),
                reservation: ReservationFate::Released,
            }),
        }
    }
}

/// What a receipt says about a refund.
enum Verdict {
    /// The money has left for the payer: final.
    GivenBack,
    /// Executed, and nothing moved: final.
    Reverted,
    /// Not to be told from it.
    Unproven(String),
}

impl Verdict {
    fn into_settled(self, transfer: &Transfer, now: UnixMs) -> Result<Settled, SettleError> {
        match self {
            Self::GivenBack => Ok(settled(transfer.hash, now)),
            Self::Reverted => {
                let detail = "The refund failed on the chain.".to_owned();
                Err(SettleError::Reverted(failed("refund_reverted", detail)))
            }
            Self::Unproven(detail) => Err(SettleError::Unknown { detail }),
        }
    }
}

impl Transfer {
    fn bytes(&self) -> Result<Vec<u8>, String> {
        let digits = self.raw.strip_prefix("0x").unwrap_or(&self.raw);
        hex::decode(digits).map_err(|_| "the journalled refund is damaged".to_owned())
    }

    /// A node does not say plainly that another transaction has taken the nonce, so the chain is asked: once the nonce is used
    /// and this transaction is not what used it, it can never be executed.
    async fn after_loss(&self, rpc: &TempoRpc, why: String, now: UnixMs) -> Result<Settled, SettleError> {
        let lost = |why| SettleError::Unknown { detail: why };
        if !rpc.nonce(self.from).await.is_ok_and(|next| next > self.nonce) {
            return Err(lost(why));
        }
        match broadcast::wait(rpc, self.hash, Patience::LAG, String::new()).await {
            Broadcast::Included(receipt) => return self.judge(&receipt).into_settled(self, now),
            Broadcast::Lost { .. } => {}
            Broadcast::Refused { .. } | Broadcast::NotSent { .. } => return Err(lost(why)),
        }
        match rpc.receipt(self.hash).await {
            Ok(None) => {
                let detail =
                    "Another transaction of the account that refunds took this one's place.".to_owned();
                Err(failed("refund_overtaken", detail).into())
            }
            Ok(Some(receipt)) => self.judge(&receipt).into_settled(self, now),
            Err(_) => Err(lost(why)),
        }
    }

    /// Money that has left is never sent a second time, wherever it went: a status of success ends it, unless the node does
    /// not show what happened.
    fn judge(&self, receipt: &TxReceipt) -> Verdict {
        if !receipt.succeeded() {
            return Verdict::Reverted;
        }
        let moved = transfers::of_logs(&receipt.logs, self.token, Some(self.from));
        let sent = MovedTransfer {
            recipient: self.to,
            amount: U256::from(self.amount.base()),
            memo: Some(self.memo),
        };
        if moved.contains(&sent) {
            return Verdict::GivenBack;
        }
        if moved.iter().any(|moved| moved.amount == sent.amount) {
            tracing::error!(
                hash = %self.hash, payer = %self.to,
                "the refund was executed and did not reach the payer: look for a receive policy (TIP-1028) of theirs \
                 that holds it back"
            );
            return Verdict::GivenBack;
        }
        let why = format!("the node shows no transfer in the refund {} that it executed", self.hash);
        Verdict::Unproven(why)
    }
}

fn settled(hash: B256, at: UnixMs) -> Settled {
    Settled { reference: hash.to_string(), at, external_id: None, extra: Map::new() }
}

fn failed(code: &'static str, detail: String) -> Problem {
    Problem::new(ProblemKind::VerificationFailed, code, detail)
}
