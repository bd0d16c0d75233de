//! What a node says about a transaction that it executed, and checking that it paid a charge (TC4, E2).

use alloy_primitives::{Address, B256, Bytes, U64};
use serde::Deserialize;

use super::error::ChargeError;
use super::memo::Named;
use super::request::ChargeRequest;
use super::transfers::{self, Extra};

/// A log of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Log {
    /// The contract that wrote it.
    pub address: Address,
    /// Its topics.
    pub topics: Vec<B256>,
    /// Its data.
    pub data: Bytes,
}

/// A transaction's receipt, as far as a charge is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TxReceipt {
    /// The transaction's hash.
    pub transaction_hash: B256,
    /// 1 when it succeeded.
    pub status: U64,
    /// Who sent it.
    pub from: Address,
    /// The block that holds it.
    #[serde(default)]
    pub block_number: Option<U64>,
    /// Its logs, in order.
    pub logs: Vec<Log>,
}

impl TxReceipt {
    /// Whether the transaction succeeded.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == U64::ONE
    }

    /// Checks that the transaction succeeded and that `payer` paid the charge with it.
    ///
    /// # Errors
    /// [`ChargeError::Reverted`], or the leg that is missing.
    pub fn check(&self, charge: &ChargeRequest, named: Named<'_>, payer: Address) -> Result<(), ChargeError> {
        if !self.succeeded() {
            return Err(ChargeError::Reverted);
        }
        check_logs(charge, named, Some(payer), &self.logs)
    }

    /// The same for a transaction whose calls were checked before: where it succeeded and its logs lack the payment, the
    /// transfers went elsewhere than they say.
    ///
    /// # Errors
    /// [`ChargeError::Reverted`], [`ChargeError::LegsMissing`].
    pub(super) fn check_landed(
        &self,
        charge: &ChargeRequest,
        named: Named<'_>,
        payer: Address,
    ) -> Result<(), ChargeError> {
        self.check(charge, named, payer).map_err(|error| match error {
            ChargeError::Reverted => ChargeError::Reverted,
            _ => ChargeError::LegsMissing,
        })
    }
}

/// Checks that logs pay the charge, all legs from `payer` where it is known.
///
/// # Errors
/// [`ChargeError::MemoOfAnother`], [`ChargeError::TransferMissing`].
pub fn check_logs(
    charge: &ChargeRequest,
    named: Named<'_>,
    payer: Option<Address>,
    logs: &[Log],
) -> Result<(), ChargeError> {
    let moved = transfers::of_logs(logs, charge.currency, payer);
    transfers::match_legs(&transfers::legs(charge), &moved, named, Extra::Allowed)
}
