//! [`Hold`]: a pending transfer with an expiry, and what ends it. A hold moves nothing by itself: it sets money aside.
//!
//! A hold is posted wholly, partly or in increments; what is not posted is given back when the last post says so, when the
//! hold is voided, or when it expires. The parts of a hold add up: `amount = posted + released + left`, always.

use farthing_money::Amount;

use crate::{Expiry, Transfer, TransferId};

/// A wish to set money aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NewHold {
    /// What is to move at most, between whom, and the hold's id.
    pub transfer: Transfer,
    /// Until when.
    pub expiry: Expiry,
}

/// How much of a hold is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PostAmount {
    /// This much; nothing is a valid amount.
    Exact(Amount),
    /// All that is left.
    Rest,
}

/// What a post does with what it leaves over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remainder {
    /// Keeps it aside for further posts.
    Keep,
    /// Gives it back and ends the hold.
    Release,
}

/// A wish to move what a hold set aside, or a part of it. Code and subject are the hold's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PostHold {
    /// Its own name.
    pub id: TransferId,
    /// The hold.
    pub hold: TransferId,
    /// How much moves.
    pub amount: PostAmount,
    /// What happens to the rest.
    pub remainder: Remainder,
    /// What it refers to outside the ledger, such as a receipt; zero for none.
    pub reference: u128,
}

/// A wish to give back all that a hold still keeps aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VoidHold {
    /// Its own name.
    pub id: TransferId,
    /// The hold.
    pub hold: TransferId,
    /// What it refers to outside the ledger; zero for none.
    pub reference: u128,
}

/// Where a hold stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// It keeps something aside.
    Open,
    /// A post ended it.
    Posted,
    /// A void ended it.
    Voided,
    /// Time ended it.
    Expired,
}

/// A hold and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hold {
    /// What was asked for.
    pub new: NewHold,
    /// What it still keeps aside; nothing unless it is open.
    pub left: Amount,
    /// Where it stands.
    pub state: HoldState,
}
