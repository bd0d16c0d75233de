//! [`CallWallet`]: the wallet that a call is charged to, where the agent spends somebody's money that is accounted for elsewhere.
//!
//! Money is held in it before a rail is asked to pay, captured once the payment is certainly made, voided once it certainly
//! is not, and stays held while that is not known: the same moments at which the [`SpendBook`](crate::SpendBook) is told. Whether there
//! is enough, and for which budget, the wallet decides. It is not the account on the rail that pays the seller.

use farthing_money::Money;

use crate::PaymentId;

/// A call that is about to be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletCall {
    /// The payment: it names the hold, so that the same payment told twice holds once.
    pub payment: PaymentId,
    /// What the seller asks for.
    pub money: Money,
    /// The seller's host, with the port where it is not the usual one.
    pub vendor: String,
    /// What is bought: the request's method and path, without a query.
    pub offer: String,
    /// Who receives the money on the rail.
    pub recipient: String,
    /// CAIP-2.
    pub network: String,
}

/// What a captured payment leaves in the wallet's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// What the call cost, where that is not what was held; never more than that.
    pub cost: Option<Money>,
    /// The receipt's reference, where one came.
    pub reference: Option<String>,
}

/// Why a wallet did not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// It says no: there is not enough, a limit forbids it, or the vendor's price has to be accepted first. Nothing is held.
    #[error("{why}")]
    Refused {
        /// The wallet's own code.
        code: String,
        /// What it says, and what to do.
        why: String,
    },
    /// It could not be asked.
    #[error("the wallet could not be reached: {why}")]
    Unavailable {
        /// What went wrong.
        why: String,
    },
}

impl WalletError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "wallet_refused",
            Self::Unavailable { .. } => "wallet_unavailable",
        }
    }
}

/// Holds, captures and gives back. Every method may block, on files and on the network, and may be told twice.
pub trait CallWallet: Send + Sync {
    /// Holds the money of a call, before anything is paid.
    ///
    /// # Errors
    /// [`WalletError`]. After [`WalletError::Unavailable`] it may be held: it is voided, by whoever asked.
    fn place(&self, call: &WalletCall) -> Result<(), WalletError>;

    /// The payment was made. What cannot be told now must be kept and told later ([`CallWallet::catch_up`]).
    ///
    /// # Errors
    /// [`WalletError`], only when it could not even be kept.
    fn capture(&self, payment: &PaymentId, captured: &Captured) -> Result<(), WalletError>;

    /// The payment was certainly not made. Likewise kept. Nothing happens when nothing is held for it.
    ///
    /// # Errors
    /// [`WalletError`], only when it could not even be kept.
    fn void(&self, payment: &PaymentId) -> Result<(), WalletError>;

    /// Payments for which money is held as far as is known here.
    ///
    /// # Errors
    /// [`WalletError`].
    fn held(&self) -> Result<Vec<PaymentId>, WalletError>;

    /// Tells what was kept because it could not be told, and says how much of it is left.
    ///
    /// # Errors
    /// [`WalletError`].
    fn catch_up(&self) -> Result<usize, WalletError>;
}
