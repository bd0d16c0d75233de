//! What is kept of deposits: a record a transfer, and the indexes by which it is found. It decides nothing.

use farthing_ledger::record::Table;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use crate::id::{CustomerId, GroupId, of_text};
use crate::service::{Document, TenantId, names};

/// A transfer to an address of ours, as the watcher saw it in a block that counts as confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sighting {
    /// The chain, CAIP-2: `eip155:4217`.
    pub network: String,
    /// The token, as the asset spells it: lower case.
    pub token: String,
    /// The transaction's hash, lower case.
    pub tx_hash: String,
    /// The place of the transfer's log among those of its transaction, from 0.
    pub log: u32,
    /// The block's number.
    pub block: u64,
    /// The block's hash.
    pub block_hash: String,
    /// Who sent it.
    pub from: String,
    /// The address of ours, lower case.
    pub to: String,
    /// How much.
    pub amount: Amount,
    /// Less than this is dust.
    pub minimum: Amount,
}

/// Where a deposit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DepositState {
    /// The wallet has it.
    Credited,
    /// It is ours and nobody was credited.
    Exception,
    /// Its block is gone; it is credited until it is clear that it does not come back.
    Missing,
    /// The chain took it back, and so did we.
    Reversed,
    /// An exception that the chain took back.
    Gone,
}

/// Why nobody was credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Less than the token's minimum.
    Dust,
    /// The address is for another token.
    OtherAsset,
    /// The address was never given to a customer.
    UnknownAddress,
    /// The ledger refuses to credit it.
    Refused,
}

/// A deposit, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deposit {
    /// Its name: `dep_…`.
    pub id: String,
    /// Who was credited, or to whom the address belongs.
    #[serde(default, with = "names::maybe")]
    pub customer: Option<CustomerId>,
    /// In which asset it was credited, by its code.
    pub asset: Option<String>,
    /// How much.
    pub amount: Amount,
    /// Where it stands.
    pub state: DepositState,
    /// Why nobody was credited.
    pub reason: Option<Reason>,
    /// The chain.
    pub network: String,
    /// The token.
    pub token: String,
    /// The transaction's hash.
    pub tx_hash: String,
    /// The place of the transfer's log in its transaction.
    pub log: u32,
    /// The block's number.
    pub block: u64,
    /// The block's hash.
    pub block_hash: String,
    /// Who sent it.
    pub from: String,
    /// The address it came to.
    pub to: String,
    /// How often it was credited: more than once only when the chain took it back in between.
    pub credits: u32,
    /// The newest block when its own was found to be gone.
    pub missing_since: Option<u64>,
    /// When it was seen.
    pub created_ms: u64,
    /// When it was changed last.
    pub updated_ms: u64,
}

impl Document for Deposit {
    const TABLE: Table = Table::new("deposit");
    const NAME: &'static str = "deposit";
}

/// Whose deposit a transfer is. One for every transfer that was ever taken in: what makes it happen once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ByTransfer {
    #[serde(with = "names::text")]
    pub(super) tenant: TenantId,
    pub(super) id: String,
}

impl Document for ByTransfer {
    const TABLE: Table = Table::new("deposit_by_transfer");
    const NAME: &'static str = "deposit";
}

/// The transfers of a block: found again when the block is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InBlock {
    pub(super) transfer: String,
}

impl Document for InBlock {
    const TABLE: Table = Table::new("deposit_in_block");
    const NAME: &'static str = "deposit";
}

/// Deposits whose block is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IsMissing {
    pub(super) transfer: String,
}

impl Document for IsMissing {
    const TABLE: Table = Table::new("deposit_missing");
    const NAME: &'static str = "deposit";
}

/// The key of a transfer.
pub(super) fn transfer_key(network: &str, tx_hash: &str, log: u32) -> String {
    format!("{network}/{tx_hash}/{log}")
}

/// The key of a transfer in its block: in the order of blocks.
pub(super) fn block_key(network: &str, block: u64, id: &str) -> String {
    format!("{network}/{block:016x}/{id}")
}

impl Deposit {
    pub(super) fn transfer(&self) -> String {
        transfer_key(&self.network, &self.tx_hash, self.log)
    }

    pub(super) fn in_block(&self) -> String {
        block_key(&self.network, self.block, &self.id)
    }

    pub(super) fn missing(&self) -> String {
        format!("{}/{}", self.network, self.id)
    }

    /// The name of its credit number `credits` in the ledger, and of the chargeback that takes it back.
    pub(super) fn group(&self, what: Move) -> GroupId {
        let (what, n) = match what {
            Move::Credit(n) => ("deposit credit", n),
            Move::Reversal(n) => ("deposit reversal", n),
        };
        GroupId::from_u128(of_text(what, &[u128::from(n)], &self.transfer()))
    }
}

/// What a movement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// The credit with this number, from 1.
    Credit(u32),
    /// It is taken back.
    Reversal(u32),
}
