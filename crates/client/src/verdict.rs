//! [`Verdict`]: somebody's word about a payment whose outcome no rail knows. A vendor that counts by itself was called, and its
//! answer did not come: whether it counted the call, only the vendor can say. A person who has looked there says it; or the time
//! passes that the policy gives, and then the call counts as charged in full. Without anybody's word its money is never free.

use std::sync::Arc;

use farthing_money::{Amount, Money};
use farthing_protocol::UnixMs;

use crate::PaymentId;
use crate::books::Books;
use crate::journal::{DecidedBy, JournalError, PaymentRecord, Step};
use crate::resolve::Adopted;

/// The code of a payment of which somebody has said that the vendor did not charge for it.
const NOT_CHARGED: &str = "not_charged";

/// What the vendor took, as somebody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// Nothing.
    Nothing,
    /// So much of what is held, in base units.
    Part(Amount),
    /// All that is held.
    All,
}

/// Somebody's word about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What the vendor took.
    pub charge: Charge,
    /// Why, for the journal.
    pub note: Option<String>,
}

/// What was decided of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What the call cost, in base units; nothing where it was not charged.
    pub cost: Amount,
    /// Whose word it is.
    pub by: DecidedBy,
}

/// Why somebody's word was not taken. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// The rail that it was paid by knows what became of it.
    #[error(
        "the payment {payment} was made by `{method}`, which knows what became of it: it is asked, and not decided"
    )]
    Answerable {
        /// Which payment.
        payment: PaymentId,
        /// The payment method.
        method: String,
    },
    /// A call never costs more than was held for it.
    #[error(
        "the payment {payment} holds {held}, and {cost} is more: a call never costs more than is held for it"
    )]
    AboveHold {
        /// Which payment.
        payment: PaymentId,
        /// What is said that it cost.
        cost: Box<Money>,
        /// What is held for it.
        held: Box<Money>,
    },
    /// The journal's entry of the payment was edited into nonsense, or cannot be written.
    #[error("what was decided of the payment {payment} could not be written down: {why}")]
    Unwritten {
        /// Which payment.
        payment: PaymentId,
        /// What went wrong.
        why: String,
    },
    /// It is closed, or somebody is at work on it; or the journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl DecideError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Answerable { .. } => "payment_answerable",
            Self::AboveHold { .. } => "cost_above_hold",
            Self::Unwritten { .. } => "payment_undecided",
            Self::Journal(error) => error.code(),
        }
    }
}

/// Closes an open payment by a person's word.
pub(crate) fn decide(books: &Arc<Books>, id: &PaymentId, verdict: &Verdict) -> Result<Decided, DecideError> {
    let Some(adopted) = Adopted::take(books, id)? else {
        let payment = id.clone();
        return Err(DecideError::Journal(if books.journal.is_in_flight(id)? {
            JournalError::InFlight { payment }
        } else {
            JournalError::Closed { payment }
        }));
    };
    let record = &adopted.record;
    if !record.agreed.is_metered() {
        let method = record.agreed.method.clone();
        return Err(DecideError::Answerable { payment: id.clone(), method });
    }
    let held = held(record)?;
    let cost = match verdict.charge {
        Charge::Nothing => Amount::ZERO,
        Charge::Part(cost) => cost,
        Charge::All => held.amount(),
    };
    let cost = Money::new(cost, held.asset().clone());
    if cost.amount() > held.amount() {
        return Err(DecideError::AboveHold {
            payment: id.clone(),
            cost: Box::new(cost),
            held: Box::new(held),
        });
    }
    let why = verdict.note.clone().unwrap_or_else(|| "somebody who knows has said so".to_owned());
    close(books, id, (cost, DecidedBy::Person), why)
}

/// Whether the time has passed until which somebody could have said what became of a metered call.
pub(crate) fn is_overdue(record: &PaymentRecord, now: UnixMs) -> bool {
    let at = record.agreed.charge_at_ms.filter(|_| record.agreed.is_metered());
    at.is_some_and(|at| at <= now.as_ms())
}

/// Counts an overdue payment as charged in full. It is adopted.
pub(crate) fn charge(books: &Books, record: &PaymentRecord) -> Result<Decided, DecideError> {
    let why = "nobody has said what became of it in the time that the policy gives".to_owned();
    close(books, &record.id, (held(record)?, DecidedBy::Policy), why)
}

fn held(record: &PaymentRecord) -> Result<Money, DecideError> {
    let unreadable = || DecideError::Unwritten {
        payment: record.id.clone(),
        why: "its entry in the payment journal is not readable".to_owned(),
    };
    Ok(record.quote().ok_or_else(unreadable)?.money)
}

fn close(
    books: &Books,
    id: &PaymentId,
    (cost, decided_by): (Money, DecidedBy),
    why: String,
) -> Result<Decided, DecideError> {
    let decided = Decided { cost: cost.amount(), by: decided_by };
    let step = if decided.cost.is_zero() {
        Step::NotPaid { code: NOT_CHARGED.to_owned(), why, decided_by: Some(decided_by) }
    } else {
        Step::Charged { cost_base: decided.cost, decided_by, why }
    };
    // The journal first: what it says is told to budget and wallet by the next sweep, whatever happens here.
    books.write(id, step).map_err(|why| DecideError::Unwritten { payment: id.clone(), why })?;
    let told = if decided.cost.is_zero() { books.release(id) } else { books.confirm_cost(id, cost) };
    if let Err(error) = told {
        tracing::error!(payment = %id, error, "what was decided of a payment could not be told to the books; it is kept, and told later");
    }
    Ok(decided)
}
