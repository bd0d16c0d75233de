//! [`LedgerStore`]: what a durable ledger promises. It decides nothing: [`crate::Engine`] does.
//!
//! Every store gives the same outcomes for the same history; [`crate::testkit::conformance`] is the proof it has to pass.
//! An outcome is answered only when it would survive the end of the process.

use async_trait::async_trait;
use farthing_money::Asset;

use crate::journal::{Head, Sealed};
use crate::record::BadWork;
use crate::verify::{Fault, Report};
use crate::{Account, AccountId, AssetId, Known, Outcome, Step, Timestamp, TransferId};

/// The most steps in one batch.
pub const MAX_STEPS: usize = 8_192;

/// The most items on one page.
pub const MAX_PAGE: usize = 1_000;

/// Why a store did not answer. Whether a command is allowed is never an error: that is an [`Outcome`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The batch is longer than [`MAX_STEPS`].
    #[error("a batch has at most {max} steps, not {steps}")]
    BatchTooLong {
        /// How many it had.
        steps: usize,
        /// The most.
        max: usize,
    },
    /// A commit breaks a rule about records, whatever is stored.
    #[error(transparent)]
    BadWork(BadWork),
    /// Nothing was changed; the same call may be made again.
    #[error("the ledger could not be reached or written; nothing was changed")]
    Retryable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It is not known whether the batch was written; the same call with the same ids is safe and tells.
    #[error("it is not known whether the batch was written")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store was shut down; nothing was changed.
    #[error("the ledger is closed")]
    Closed,
    /// The store was opened to be looked at, and this is more than that; nothing was changed.
    #[error("the ledger is only looked at here: it changes nothing and knows no balances")]
    OnlyLooked,
    /// What is stored contradicts itself.
    #[error("the stored ledger is damaged: {what}")]
    Damaged {
        /// What does.
        what: String,
    },
}

impl StoreError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BatchTooLong { .. } => "batch_too_long",
            Self::BadWork(bad) => bad.code(),
            Self::Retryable(_) => "ledger_unavailable",
            Self::Unknown(_) => "ledger_outcome_unknown",
            Self::Closed => "ledger_closed",
            Self::OnlyLooked => "ledger_only_looked",
            Self::Damaged { .. } => "ledger_damaged",
        }
    }
}

/// Which part of an account's history is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The account.
    pub account: AccountId,
    /// Only entries before this one: the cursor of the page before. `None` for the newest.
    pub before: Option<u64>,
    /// At most this many, and never more than [`MAX_PAGE`].
    pub limit: usize,
}

/// Entries that touched an account, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Sealed>,
    /// The cursor of the next page, when there is one.
    pub before: Option<u64>,
}

/// A durable ledger.
#[async_trait]
pub trait LedgerStore: Send + Sync {
    /// Decides `steps` at `now` and answers, in order, what became of each, once that is durable.
    ///
    /// Linked steps succeed or fail together; the others stand alone. `now` is the caller's clock; the journal's time
    /// never goes back.
    ///
    /// # Errors
    /// [`StoreError`]; after [`StoreError::Unknown`] the same call tells what happened.
    async fn transact(&self, now: Timestamp, steps: Vec<Step>) -> Result<Vec<Outcome>, StoreError>;

    /// Accounts as they are now, in the order asked; `None` for one that does not exist.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError>;

    /// An account as it was after everything that happened up to and including `at`. It may read all that came before.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn account_at(&self, id: AccountId, at: Timestamp) -> Result<Option<Account>, StoreError>;

    /// The asset with this number.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn asset(&self, id: AssetId) -> Result<Option<Asset>, StoreError>;

    /// What `id` was used for, and for a hold what became of it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn known(&self, id: TransferId) -> Result<Option<Known>, StoreError>;

    /// At most `limit` open holds that have run out at `now`, the longest overdue first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<TransferId>, StoreError>;

    /// A page of an account's history.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn history(&self, query: HistoryQuery) -> Result<Page, StoreError>;

    /// At most `limit` entries after entry `seq`, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn journal(&self, seq: u64, limit: usize) -> Result<Vec<Sealed>, StoreError>;

    /// The end of the journal.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn head(&self) -> Result<Head, StoreError>;

    /// Proves the whole ledger from its journal. It reads everything.
    ///
    /// # Errors
    /// [`StoreError`]; that the ledger is broken is an answer, not an error.
    async fn verify(&self) -> Result<Result<Report, Fault>, StoreError>;
}
