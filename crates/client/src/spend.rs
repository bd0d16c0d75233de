//! [`SpendBook`]: what has been spent, so that limits hold over many calls. It decides nothing about hosts or recipients:
//! that is [`Policy`](crate::Policy).
//!
//! A payment is *held* before a rail is asked to pay, in one atomic step over every limit that applies, so that concurrent
//! calls together never exceed one. It is confirmed once served, released only when it is certain that nothing was paid, and
//! stays held (and counts) while its outcome is unknown.

mod counters;
mod file;

pub use file::FileBook;

use std::sync::{Mutex, PoisonError};

use farthing_money::Amount;

use crate::PaymentId;
use crate::policy::UNITS_SCALE;
use counters::Counters;

/// What one payment takes from one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// Names the counter: the limit's scope and what it covers.
    pub counter: String,
    /// How much, in units of 10^-18 whole units.
    pub units: Amount,
    /// The most that the counter may reach.
    pub limit: Amount,
    /// The payment, for messages: `0.01 PathUSD`.
    pub asked: String,
    /// The limit and how to change it, for messages.
    pub rule: String,
}

/// What a counter stands at, in units of 10^-18 whole units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Certainly spent.
    pub confirmed: Amount,
    /// Being spent, or of unknown outcome.
    pub held: Amount,
}

/// Why a book refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpendError {
    /// The payment does not fit a limit. Nothing was written.
    #[error(
        "{asked} more does not fit the limit of {rule}: {} of it is spent or held",
        spent.to_decimal(UNITS_SCALE)
    )]
    OverLimit {
        /// The payment.
        asked: String,
        /// The limit and how to change it.
        rule: String,
        /// What is spent or held of it.
        spent: Amount,
    },
    /// The book could not be read or written.
    #[error("{why}")]
    Storage {
        /// What went wrong, and where.
        why: String,
    },
}

impl SpendError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OverLimit { .. } => "over_spend_limit",
            Self::Storage { .. } => "spend_book_failed",
        }
    }
}

/// Counts what is spent. Every method is one atomic step, and may block on a file.
pub trait SpendBook: Send + Sync {
    /// Holds all `draws` for `payment`, or none of them.
    ///
    /// # Errors
    /// [`SpendError`].
    fn hold(&self, payment: &PaymentId, draws: &[Draw]) -> Result<(), SpendError>;

    /// Whether `draws` would fit now. Writes nothing.
    ///
    /// # Errors
    /// [`SpendError`].
    fn check(&self, draws: &[Draw]) -> Result<(), SpendError>;

    /// Turns what `payment` holds into what is spent. Nothing happens when it holds nothing.
    ///
    /// # Errors
    /// [`SpendError::Storage`].
    fn confirm(&self, payment: &PaymentId) -> Result<(), SpendError>;

    /// Gives back what `payment` holds: only when it is certain that nothing was paid.
    ///
    /// # Errors
    /// [`SpendError::Storage`].
    fn release(&self, payment: &PaymentId) -> Result<(), SpendError>;

    /// What a counter stands at.
    ///
    /// # Errors
    /// [`SpendError::Storage`].
    fn spent(&self, counter: &str) -> Result<Spent, SpendError>;
}

/// A book that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryBook {
    counters: Mutex<Counters>,
}

impl MemoryBook {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Counters) -> T) -> T {
        // Counters change in one assignment each, after all checks: a panic leaves them whole.
        act(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SpendBook for MemoryBook {
    fn hold(&self, payment: &PaymentId, draws: &[Draw]) -> Result<(), SpendError> {
        self.with(|counters| counters.hold(payment, draws))
    }

    fn check(&self, draws: &[Draw]) -> Result<(), SpendError> {
        self.with(|counters| counters.check(draws))
    }

    fn confirm(&self, payment: &PaymentId) -> Result<(), SpendError> {
        self.with(|counters| counters.confirm(payment));
        Ok(())
    }

    fn release(&self, payment: &PaymentId) -> Result<(), SpendError> {
        self.with(|counters| counters.release(payment));
        Ok(())
    }

    fn spent(&self, counter: &str) -> Result<Spent, SpendError> {
        Ok(self.with(|counters| counters.spent(counter)))
    }
}

#[cfg(test)]
mod tests;
