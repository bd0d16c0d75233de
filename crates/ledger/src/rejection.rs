//! [`Rejection`]: one stable code for every rule that a command can break, checked in one fixed order.
//!
//! A command that breaks several rules is answered with the first of them in this table, whatever the store. A rejected
//! command changes nothing and leaves no trace: the same id may be used again.
//!
//! | # | code | rule | commands |
//! |---|---|---|---|
//! | 1 | `linked_group_open` | the last step of a batch ends its group | all |
//! | 2 | `linked_group_failed` | every other step of the group is accepted | all |
//! | 3 | `id_reserved` | an id is neither all zeros nor all ones | define, open, transfer, hold, post, void |
//! | 4 | `asset_too_long` | a token's network and address have at most 512 bytes each | define |
//! | 5 | `accounts_same` | debit and credit account differ | transfer, hold |
//! | 6 | `amount_zero` | something moves | transfer, hold |
//! | 7 | `exists_with_different_kind` | an id that exists names the same kind of command | transfer, hold, post, void |
//! | 8 | `exists_with_different_hold` | … and the same hold | post, void |
//! | 9 | `exists_with_different_debit_account` | … | transfer, hold |
//! | 10 | `exists_with_different_credit_account` | … | transfer, hold |
//! | 11 | `exists_with_different_asset` | … | define, open, transfer, hold |
//! | 12 | `exists_with_different_limit` | … | open |
//! | 13 | `exists_with_different_amount` | … | transfer, hold, post |
//! | 14 | `exists_with_different_remainder` | … | post |
//! | 15 | `exists_with_different_code` | … | transfer, hold |
//! | 16 | `exists_with_different_subject` | … | transfer, hold |
//! | 17 | `exists_with_different_reference` | … | transfer, hold, post, void |
//! | 18 | `exists_with_different_expiry` | … | hold |
//! | 19 | `linked_group_partly_exists` | of a group's money movements, all exist or none does | transfer, hold, post, void |
//! | 20 | `asset_not_found` | the asset is defined | open |
//! | 21 | `account_not_found` | the account exists | close |
//! | 22 | `account_has_holds` | no hold is open on it | close |
//! | 23 | `hold_not_found` | the hold exists | post, void, expire |
//! | 24 | `not_a_hold` | the id is a hold's | post, void, expire |
//! | 25 | `hold_posted` | no post has ended it | post, void, expire |
//! | 26 | `hold_voided` | no void has ended it | post, void, expire |
//! | 27 | `hold_expired` | it has not run out | post, void |
//! | 28 | `hold_not_due` | it has run out | expire |
//! | 29 | `exceeds_hold` | no more is posted than is left | post |
//! | 30 | `expiry_not_in_future` | a new hold ends later than now | hold |
//! | 31 | `debit_account_not_found` | the account exists | transfer, hold |
//! | 32 | `credit_account_not_found` | the account exists | transfer, hold |
//! | 33 | `asset_mismatch` | both accounts hold the transfer's asset | transfer, hold |
//! | 34 | `debit_account_closed` | the account is open | transfer, hold |
//! | 35 | `credit_account_closed` | the account is open | transfer, hold |
//! | 36 | `debits_overflow` | the debit account's debits fit 128 bits | transfer, hold |
//! | 37 | `credits_overflow` | the credit account's credits fit 128 bits | transfer, hold |
//! | 38 | `exceeds_credits` | the debit account's limit | transfer, hold |
//! | 39 | `exceeds_debits` | the credit account's limit | transfer, hold |
//!
//! Between 18 and 19 comes `exists`, which is no rejection: the same content twice is the same transfer, even when it
//! could not be placed again. A hold that ran out may still be voided until it is expired: both give the rest back.
//! Opening an open account, defining a defined asset, closing a closed account and expiring an expired hold answer
//! `exists` too, and may do so in a group whose other steps are new.

use farthing_money::Amount;

/// In what a command differs from the one that used its id first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Transfer, hold, post or void.
    Kind,
    /// The hold it refers to.
    Hold,
    /// The account it leaves.
    DebitAccount,
    /// The account it reaches.
    CreditAccount,
    /// The asset, or what the asset is.
    Asset,
    /// The account's limit.
    Limit,
    /// How much.
    Amount,
    /// What happens to the rest of a hold.
    Remainder,
    /// Why.
    Code,
    /// Whose work.
    Subject,
    /// What it refers to outside the ledger.
    Reference,
    /// Until when.
    Expiry,
}

/// Why a command was refused. The variants stand in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The batch ended inside the group.
    #[error("the batch ends inside a linked group")]
    LinkedGroupOpen,
    /// Another step of the group was refused.
    #[error("another step of the linked group was refused")]
    LinkedGroupFailed,
    /// The id is all zeros or all ones.
    #[error("the id is reserved")]
    IdReserved,
    /// A token's network or address is too long to be written.
    #[error("the asset's network and address have at most 512 bytes each")]
    AssetTooLong,
    /// Debit and credit account are the same.
    #[error("debit and credit account are the same")]
    AccountsSame,
    /// Nothing would move.
    #[error("the amount is zero")]
    AmountZero,
    /// The id was used for something else.
    #[error("the id was used before with a different {0:?}")]
    ExistsWithDifferent(Field),
    /// Some of the group's money movements exist and some do not.
    #[error("a part of the linked group exists already")]
    LinkedGroupPartlyExists,
    /// The asset is not defined.
    #[error("the asset is not defined")]
    AssetNotFound,
    /// The account to close does not exist.
    #[error("the account does not exist")]
    AccountNotFound,
    /// The account to close has open holds.
    #[error("the account has open holds")]
    AccountHasHolds,
    /// The hold does not exist.
    #[error("the hold does not exist")]
    HoldNotFound,
    /// The id is another kind's.
    #[error("the id does not name a hold")]
    NotAHold,
    /// A post has ended the hold.
    #[error("the hold was posted")]
    HoldPosted,
    /// A void has ended the hold.
    #[error("the hold was voided")]
    HoldVoided,
    /// The hold has run out.
    #[error("the hold has expired")]
    HoldExpired,
    /// The hold has not run out.
    #[error("the hold has not run out")]
    HoldNotDue,
    /// More than the hold still keeps aside.
    #[error("{required} base units are more than the {left} that are left of the hold")]
    ExceedsHold {
        /// What is left.
        left: Amount,
        /// What was to be posted.
        required: Amount,
    },
    /// The hold would have run out already.
    #[error("the hold's expiry is not in the future")]
    ExpiryNotInFuture,
    /// The debit account does not exist.
    #[error("the debit account does not exist")]
    DebitAccountNotFound,
    /// The credit account does not exist.
    #[error("the credit account does not exist")]
    CreditAccountNotFound,
    /// An account holds another asset than the transfer's.
    #[error("an account holds another asset")]
    AssetMismatch,
    /// The debit account is closed.
    #[error("the debit account is closed")]
    DebitAccountClosed,
    /// The credit account is closed.
    #[error("the credit account is closed")]
    CreditAccountClosed,
    /// The debit account's debits would not fit 128 bits.
    #[error("the debit account's debits would overflow")]
    DebitsOverflow,
    /// The credit account's credits would not fit 128 bits.
    #[error("the credit account's credits would overflow")]
    CreditsOverflow,
    /// The debit account must not spend more than it received.
    #[error("{required} base units are more than the {available} that the debit account has available")]
    ExceedsCredits {
        /// What it could spend.
        available: Amount,
        /// What it was to spend.
        required: Amount,
    },
    /// The credit account must not give back more than it took.
    #[error("{required} base units are more than the {available} that the credit account may take")]
    ExceedsDebits {
        /// What it could take.
        available: Amount,
        /// What it was to take.
        required: Amount,
    },
}

impl Rejection {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::LinkedGroupOpen => "linked_group_open",
            Self::LinkedGroupFailed => "linked_group_failed",
            Self::IdReserved => "id_reserved",
            Self::AssetTooLong => "asset_too_long",
            Self::AccountsSame => "accounts_same",
            Self::AmountZero => "amount_zero",
            Self::ExistsWithDifferent(field) => field.code(),
            Self::LinkedGroupPartlyExists => "linked_group_partly_exists",
            Self::AssetNotFound => "asset_not_found",
            Self::AccountNotFound => "account_not_found",
            Self::AccountHasHolds => "account_has_holds",
            Self::HoldNotFound => "hold_not_found",
            Self::NotAHold => "not_a_hold",
            Self::HoldPosted => "hold_posted",
            Self::HoldVoided => "hold_voided",
            Self::HoldExpired => "hold_expired",
            Self::HoldNotDue => "hold_not_due",
            Self::ExceedsHold { .. } => "exceeds_hold",
            Self::ExpiryNotInFuture => "expiry_not_in_future",
            Self::DebitAccountNotFound => "debit_account_not_found",
            Self::CreditAccountNotFound => "credit_account_not_found",
            Self::AssetMismatch => "asset_mismatch",
            Self::DebitAccountClosed => "debit_account_closed",
            Self::CreditAccountClosed => "credit_account_closed",
            Self::DebitsOverflow => "debits_overflow",
            Self::CreditsOverflow => "credits_overflow",
            Self::ExceedsCredits { .. } => "exceeds_credits",
            Self::ExceedsDebits { .. } => "exceeds_debits",
        }
    }
}

impl Field {
    /// The code of the rejection that names this field.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Kind => "exists_with_different_kind",
            Self::Hold => "exists_with_different_hold",
            Self::DebitAccount => "exists_with_different_debit_account",
            Self::CreditAccount => "exists_with_different_credit_account",
            Self::Asset => "exists_with_different_asset",
            Self::Limit => "exists_with_different_limit",
            Self::Amount => "exists_with_different_amount",
            Self::Remainder => "exists_with_different_remainder",
            Self::Code => "exists_with_different_code",
            Self::Subject => "exists_with_different_subject",
            Self::Reference => "exists_with_different_reference",
            Self::Expiry => "exists_with_different_expiry",
        }
    }
}
