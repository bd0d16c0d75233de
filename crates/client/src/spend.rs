//! [`SpendBook`]: what has been spent, so that limits hold over many calls. It decides nothing about hosts or recipients:
//! that is [`Policy`](crate::Policy).
//!
//! A payment is *held* before a rail is asked to pay, in one atomic step over every limit that applies, so that concurrent
//! calls together never exceed one. It is confirmed once served, released only when it is certain that nothing was paid, and
//! stays held while its outcome is unknown. What is held counts in every window, however long ago it was held.
//!
//! # Windows
//!
//! An hour, a day and a month (30 days) slide: they end now, so that no two halves of a limit can be spent around midnight.
//! A counter keeps sums of short stretches of time ([`Window::stretch_ms`]) and not every payment, so that its size does not
//! grow with their number; a stretch counts until its *end* is a window ago. A payment therefore counts for the whole window
//! and at most one stretch longer, and never shorter.
//!
//! # A clock that jumps
//!
//! Backwards: what was spent in a future that did not come counts as spent now. Forwards: what would be forgotten is kept for
//! one window more, and counts again when the clock is set back within that time.

mod counters;
mod file;
mod run;
mod series;

pub use file::FileBook;
pub use run::RunBook;
pub use series::Window;

use std::sync::{Mutex, PoisonError};

use farthing_money::Amount;
use farthing_protocol::UnixMs;

use crate::PaymentId;
use crate::policy::UNITS_SCALE;
use counters::Counters;

/// What one payment takes from one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// Names the counter: the limit's scope and what it covers.
    pub counter: String,
    /// How long a payment counts.
    pub window: Window,
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
    /// Certainly spent, within the window.
    pub confirmed: Amount,
    /// Being spent, or of unknown outcome.
    pub held: Amount,
}

impl Spent {
    /// Both together: what limits are compared with.
    #[must_use]
    pub fn used(self) -> Amount {
        self.confirmed.checked_add(self.held).unwrap_or(Amount::MAX)
    }
}

/// Something that was spent before, for a book that is counted anew.
#[derive(Debug, Clone)]
pub struct Spending {
    /// Which payment.
    pub payment: PaymentId,
    /// When.
    pub at: UnixMs,
    /// What it draws; limits are not looked at.
    pub draws: Vec<Draw>,
    /// Whether its outcome is known.
    pub certainty: Certainty,
}

/// Whether money is certainly spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It is spent.
    Confirmed,
    /// Its outcome is not known: it stays held.
    Held,
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
    /// The book was there and is gone. It is never taken for an empty one.
    #[error(
        "the spend book {path} is gone, and payments were made before: restore it from a copy, or count again from the \
         payment journal with `farthing policy recount`"
    )]
    Missing {
        /// Where it was.
        path: String,
    },
    /// The book is not as it was written. It is never taken for an empty one.
    #[error(
        "the spend book {path} is damaged ({why}): restore it from a copy, or count again from the payment journal with \
         `farthing policy recount`"
    )]
    Damaged {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        why: String,
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
            Self::Missing { .. } => "spend_book_missing",
            Self::Damaged { .. } => "spend_book_damaged",
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
    fn hold(&self, payment: &PaymentId, draws: &[Draw], now: UnixMs) -> Result<(), SpendError>;

    /// Whether `draws` would fit now. Writes nothing.
    ///
    /// # Errors
    /// [`SpendError`].
    fn check(&self, draws: &[Draw], now: UnixMs) -> Result<(), SpendError>;

    /// Turns what `payment` holds into what is spent `now`. Nothing happens when it holds nothing.
    ///
    /// # Errors
    /// [`SpendError`].
    fn confirm(&self, payment: &PaymentId, now: UnixMs) -> Result<(), SpendError>;

    /// Gives back what `payment` holds: only when it is certain that nothing was paid.
    ///
    /// # Errors
    /// [`SpendError`].
    fn release(&self, payment: &PaymentId) -> Result<(), SpendError>;

    /// What a counter stands at.
    ///
    /// # Errors
    /// [`SpendError`].
    fn spent(&self, counter: &str, now: UnixMs) -> Result<Spent, SpendError>;

    /// The payments that hold something.
    ///
    /// # Errors
    /// [`SpendError`].
    fn held(&self) -> Result<Vec<PaymentId>, SpendError>;
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
        // Counters change after all checks, without a step that can fail: a panic leaves them whole.
        act(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SpendBook for MemoryBook {
    fn hold(&self, payment: &PaymentId, draws: &[Draw], now: UnixMs) -> Result<(), SpendError> {
        self.with(|counters| counters.hold(payment, draws, now))
    }

    fn check(&self, draws: &[Draw], now: UnixMs) -> Result<(), SpendError> {
        self.with(|counters| counters.check(draws, now))
    }

    fn confirm(&self, payment: &PaymentId, now: UnixMs) -> Result<(), SpendError> {
        self.with(|counters| counters.confirm(payment, now));
        Ok(())
    }

    fn release(&self, payment: &PaymentId) -> Result<(), SpendError> {
        self.with(|counters| counters.release(payment));
        Ok(())
    }

    fn spent(&self, counter: &str, now: UnixMs) -> Result<Spent, SpendError> {
        Ok(self.with(|counters| counters.spent(counter, now)))
    }

    fn held(&self) -> Result<Vec<PaymentId>, SpendError> {
        Ok(self.with(|counters| counters.held()))
    }
}

#[cfg(test)]
mod tests;
