//! [`Transfer`]: an amount of one asset that moves from one account to another. Immutable once it is in the journal.

use farthing_money::Amount;

use crate::{AccountId, AssetId, TransferId};

/// Whose work a transfer belongs to and what it refers to. Opaque here: billing gives the numbers their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tag {
    /// The unit of work under which it rolls up; zero for none.
    pub subject: u128,
    /// What it refers to outside the ledger, such as a receipt; zero for none.
    pub reference: u128,
}

/// One debit and one credit of the same amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transfer {
    /// Its name, chosen by the caller: the same id twice is the same transfer.
    pub id: TransferId,
    /// The account it leaves.
    pub debit: AccountId,
    /// The account it reaches.
    pub credit: AccountId,
    /// What moves; both accounts must hold it.
    pub asset: AssetId,
    /// How much moves.
    pub amount: Amount,
    /// Why it moves: a number of the caller's chart, such as charge, refund or grant.
    pub code: u32,
    /// Whose work it belongs to and what it refers to.
    pub tag: Tag,
}
