//! [`InFlight`]: one payment between the decision and the outcome. Whoever drops it, wherever that happens, leaves the book
//! and the journal saying what is known.

use std::fmt;
use std::sync::{Arc, OnceLock};

use farthing_protocol::flow::payer::Refusal;
use farthing_protocol::ports::{Clock, PayError, Quote};
use farthing_protocol::{Challenge, PaymentProof, Receipt};

use crate::journal::{Agreed, JournalEntry, PaymentJournal, Step, StoredCredential, Target};
use crate::spend::{Draw, SpendBook};
use crate::witness::FlightWitness;
use crate::{AgentError, PaymentId, SpendError};

/// Where payments are counted and recorded.
pub(crate) struct Books {
    pub(crate) spend: Arc<dyn SpendBook>,
    pub(crate) journal: Arc<dyn PaymentJournal>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").finish_non_exhaustive()
    }
}

/// Why a payment was not begun.
#[derive(Debug)]
pub(crate) enum BeginError {
    /// It does not fit a limit; another offer may.
    Limit(Refusal),
    /// The books cannot be written.
    Books(AgentError),
}

/// How far a payment has come, as far as money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Money is held; no rail was asked.
    Held,
    /// A rail is paying.
    Paying,
    /// There is a credential, and it has not left this process.
    Made,
    /// The credential was sent.
    Sent,
    /// The outcome is recorded.
    Closed,
}

/// What a credential can be worth later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// What was paid.
    Money,
    /// Nothing: it proves an identity.
    Nothing,
}

/// One payment that was begun. Its methods may block on files.
pub(crate) struct InFlight {
    books: Arc<Books>,
    id: PaymentId,
    /// The payment moves money before the credential exists (`push`).
    moves_first: bool,
    worth: Worth,
    stage: Stage,
    credential: Option<StoredCredential>,
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("id", &self.id).field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// What a payment is begun with.
pub(crate) struct Intention {
    pub(crate) target: Target,
    pub(crate) quote: Quote,
    pub(crate) draws: Vec<Draw>,
}

impl InFlight {
    /// Holds the money and records the intention, before any rail is asked.
    pub(crate) fn begin(books: Arc<Books>, intention: Intention) -> Result<Self, BeginError> {
        let id = PaymentId::fresh(books.clock.now());
        books.spend.hold(&id, &intention.draws).map_err(|error| match error {
            SpendError::OverLimit { .. } => {
                BeginError::Limit(Refusal { code: error.code(), why: error.to_string() })
            }
            SpendError::Storage { why } => BeginError::Books(AgentError::Unrecorded { why }),
        })?;
        let quote = &intention.quote;
        let flight = Self {
            books,
            id,
            moves_first: !matches!(quote.mode, "pull" | "proof"),
            worth: if quote.money.amount().is_zero() { Worth::Nothing } else { Worth::Money },
            stage: Stage::Held,
            credential: None,
        };
        let step = Step::Intended { target: intention.target, agreed: Box::new(Agreed::of(quote)) };
        // On failure `flight` is dropped here, which gives the money back.
        flight.write(step).map_err(|why| BeginError::Books(AgentError::Unrecorded { why }))?;
        Ok(flight)
    }

    pub(crate) const fn id(&self) -> &PaymentId {
        &self.id
    }

    /// A rail is about to be asked; it shows the witness what it broadcasts, before it does.
    pub(crate) fn paying(&mut self, challenge: &Challenge) -> Arc<FlightWitness> {
        self.stage = Stage::Paying;
        Arc::new(FlightWitness {
            books: Arc::clone(&self.books),
            id: self.id.clone(),
            challenge: challenge.clone(),
            worth: self.worth,
            failure: OnceLock::new(),
        })
    }

    /// The rail has answered.
    pub(crate) fn after_pay(&mut self, challenge: &Challenge, result: &Result<PaymentProof, PayError>) {
        match result {
            Ok(proof) => {
                self.stage = Stage::Made;
                self.credential =
                    challenge.answer(proof).ok().map(|value| StoredCredential::new(challenge.header, value));
                let credential = self.worth_keeping().filter(|_| self.moves_first);
                self.note(Step::Made { credential });
            }
            Err(PayError::Unknown { reference, why }) => {
                self.stage = Stage::Closed;
                let reference = Some(reference.clone()).filter(|reference| !reference.is_empty());
                // What the witness was shown is in the journal and stays there.
                self.note(Step::Unknown { why: why.clone(), reference, credential: None });
            }
            Err(error) => self.not_paid(error.code(), error.to_string()),
        }
    }

    /// The credential is about to leave.
    pub(crate) fn sending(&mut self) {
        if self.stage == Stage::Made {
            self.stage = Stage::Sent;
            self.note(Step::Sent);
        }
    }

    /// Paid and served.
    pub(crate) fn served(&mut self, status: u16, receipt: Option<&Receipt>) {
        self.stage = Stage::Closed;
        let reference = receipt.map(|receipt| receipt.reference.clone());
        let settled_at = receipt.map(|receipt| receipt.timestamp.clone());
        if let Err(error) = self.books.spend.confirm(&self.id) {
            // It stays held, which counts as much.
            tracing::error!(payment = %self.id, %error, "a paid call could not be confirmed in the spend book");
        }
        self.note(Step::Served { status, reference, settled_at });
    }

    /// Answered and not served; the payment may have been taken.
    pub(crate) fn refused(&mut self, status: u16, why: String) {
        self.stage = Stage::Closed;
        self.note(Step::Refused { status, why, credential: self.worth_keeping() });
    }

    /// Whether it was taken is not known.
    pub(crate) fn unknown(&mut self, why: String) {
        self.stage = Stage::Closed;
        self.note(Step::Unknown { why, reference: None, credential: self.worth_keeping() });
    }

    /// Certainly not paid: the money is free again.
    pub(crate) fn not_paid(&mut self, code: &str, why: String) {
        self.stage = Stage::Closed;
        self.release();
        self.note(Step::NotPaid { code: code.to_owned(), why });
    }

    /// Whether money can have moved by now.
    pub(crate) fn may_have_paid(&self) -> bool {
        !self.is_certainly_unpaid()
    }

    fn is_certainly_unpaid(&self) -> bool {
        match self.stage {
            Stage::Held => true,
            // A credential that never left this process and moved nothing by itself dies with it.
            Stage::Made => !self.moves_first,
            Stage::Paying | Stage::Sent | Stage::Closed => false,
        }
    }

    /// A proof of identity is worth nothing later, and is not kept.
    fn worth_keeping(&self) -> Option<StoredCredential> {
        self.credential.clone().filter(|_| self.worth == Worth::Money)
    }

    fn release(&self) {
        if let Err(error) = self.books.spend.release(&self.id) {
            tracing::error!(payment = %self.id, %error, "money that was not paid could not be given back to the budget");
        }
    }

    fn write(&self, step: Step) -> Result<(), String> {
        let entry = JournalEntry { payment: self.id.clone(), at_ms: self.books.clock.now().as_ms(), step };
        self.books.journal.record(&entry).map_err(|error| error.to_string())
    }

    /// Records a step of a payment that goes on whatever happens: the last entry written says less, and nothing wrong.
    fn note(&self, step: Step) {
        if let Err(error) = self.write(step) {
            tracing::error!(payment = %self.id, error, "a step of a payment could not be recorded");
        }
    }
}

impl Drop for InFlight {
    /// The call was given up: its future was dropped, or something panicked.
    fn drop(&mut self) {
        const WHY: &str = "the call was given up before it ended";
        if self.stage == Stage::Closed {
            return;
        }
        if self.is_certainly_unpaid() {
            self.not_paid("cancelled", WHY.to_owned());
        } else {
            self.unknown(WHY.to_owned());
        }
    }
}
