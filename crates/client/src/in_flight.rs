//! [`InFlight`]: one payment between the decision and the outcome. Whoever drops it, wherever that happens, leaves the book
//! and the journal saying what is known.

use std::fmt;
use std::sync::{Arc, OnceLock};

use farthing_money::Money;
use farthing_protocol::flow::payer::Refusal;
use farthing_protocol::ports::{PayError, Quote};
use farthing_protocol::{Challenge, PaymentProof, Receipt, UnixMs};

use crate::books::{Books, HoldError};
use crate::journal::{Agreed, PaymentRecord, PaymentState, Step, StoredCredential, Target};
use crate::spend::Draw;
use crate::wallet::{WalletCall, WalletError};
use crate::witness::FlightWitness;
use crate::{AgentError, PaymentId, SpendError, resolve};

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
    /// Nothing is held and nothing recorded.
    Unbegun,
    /// Money is held; the journal knows nothing of it.
    Unrecorded,
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
    /// The rail has said that the money moved.
    moved: bool,
    /// The `Idempotency-Key` that the paid request is sent with, unless the caller gave it one.
    key: Option<String>,
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("id", &self.id).field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// What a payment is begun with.
#[derive(Clone)]
pub(crate) struct Intention {
    pub(crate) target: Target,
    pub(crate) key: KeyOfOurs,
    pub(crate) method: String,
    pub(crate) quote: Quote,
    pub(crate) draws: Vec<Draw>,
    /// When a metered call counts as charged in full, if nobody knows better until then.
    pub(crate) charge_at: Option<UnixMs>,
}

impl Intention {
    fn call(&self, payment: &PaymentId) -> WalletCall {
        let path = self.target.url.split_once("://").map_or(self.target.url.as_str(), |(_, rest)| rest);
        let path = path.find('/').map_or("/", |at| &path[at..]);
        WalletCall {
            payment: payment.clone(),
            money: self.quote.money.clone(),
            vendor: self.target.host().to_owned(),
            offer: format!("{} {path}", self.target.method),
            recipient: self.quote.recipient.clone(),
            network: self.quote.network.clone(),
        }
    }
}

/// Whether the client gives the paid request an `Idempotency-Key` of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyOfOurs {
    /// The payment's id, which is a UUID that no other payment has.
    PaymentId,
    /// None: the request has one, needs none, or the caller wants none.
    None,
}

impl InFlight {
    /// Holds the money and records the intention, before any rail is asked.
    pub(crate) fn begin(books: Arc<Books>, intention: &Intention) -> Result<Self, BeginError> {
        let id = PaymentId::fresh(books.clock.now());
        let unrecorded = |why: String| BeginError::Books(AgentError::Unrecorded { why });
        // Before the money is held: what a dead process holds is told from what a living one is about to use.
        books.journal.enter(&id).map_err(|error| unrecorded(error.to_string()))?;
        let quote = &intention.quote;
        // Dropped on failure, which gives the money back.
        let flight = Self {
            books,
            id,
            moves_first: !matches!(quote.mode, "pull" | "proof"),
            worth: if quote.money.amount().is_zero() { Worth::Nothing } else { Worth::Money },
            stage: Stage::Unbegun,
            credential: None,
            moved: false,
            key: None,
        };
        let mut flight = flight.hold(intention)?;
        let mut target = intention.target.clone();
        if intention.key == KeyOfOurs::PaymentId {
            flight.key = Some(flight.id.to_string());
            target.idempotency_key.clone_from(&flight.key);
        }
        let charge_at_ms = intention.charge_at.map(UnixMs::as_ms);
        let agreed = Agreed { charge_at_ms, ..Agreed::of(&intention.method, quote) };
        flight.write(Step::Intended { target, agreed: Box::new(agreed) }).map_err(unrecorded)?;
        flight.stage = Stage::Held;
        Ok(flight)
    }

    fn hold(mut self, intention: &Intention) -> Result<Self, BeginError> {
        let (draws, call) = (&intention.draws, intention.call(&self.id));
        let held = match self.books.hold(&self.id, draws, &call) {
            // What a process held that died before it sent anything is free: look for it when it is needed.
            Err(
                HoldError::Spend(SpendError::OverLimit { .. })
                | HoldError::Wallet(WalletError::Refused { .. }),
            ) if resolve::sweep(&self.books) > 0 => self.books.hold(&self.id, draws, &call),
            held => held,
        };
        match held {
            Ok(()) => {
                self.stage = Stage::Unrecorded;
                Ok(self)
            }
            Err(HoldError::Spend(error @ SpendError::OverLimit { .. })) => {
                Err(BeginError::Limit(Refusal { code: error.code(), why: error.to_string() }))
            }
            Err(HoldError::Wallet(error)) => {
                Err(BeginError::Limit(Refusal { code: error.code(), why: error.to_string() }))
            }
            Err(HoldError::Spend(error)) => {
                Err(BeginError::Books(AgentError::Unrecorded { why: error.to_string() }))
            }
        }
    }

    /// Takes up a payment of an earlier call, whose credential is presented again. The journal has adopted it.
    pub(crate) fn resume(books: Arc<Books>, record: &PaymentRecord) -> Self {
        Self {
            books,
            id: record.id.clone(),
            moves_first: record.agreed.mode != "pull",
            worth: Worth::Money,
            stage: Stage::Sent,
            credential: record.credential.clone(),
            moved: record.state == PaymentState::Paid,
            key: record.target.idempotency_key.clone(),
        }
    }

    pub(crate) const fn id(&self) -> &PaymentId {
        &self.id
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
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

    /// A vendor is about to be called that counts by itself.
    pub(crate) fn calling(&mut self) {
        self.stage = Stage::Paying;
    }

    /// A vendor has answered, and the call cost so much of what was held.
    pub(crate) fn metered(&mut self, status: u16, cost: Money) {
        self.stage = Stage::Closed;
        let step = Step::metered(status, cost.amount());
        if let Err(error) = self.books.confirm_cost(&self.id, cost) {
            // It stays held, which counts as much.
            tracing::error!(payment = %self.id, error, "a metered call could not be confirmed in the books");
        }
        self.note(step);
    }

    /// The rail has answered.
    pub(crate) fn after_pay(&mut self, challenge: &Challenge, result: &Result<PaymentProof, PayError>) {
        match result {
            Ok(proof) => {
                self.stage = Stage::Made;
                self.credential =
                    challenge.answer(proof).ok().map(|value| StoredCredential::new(challenge.header, value));
                // What only the seller can move is written down when it is about to be sent.
                if self.moves_first {
                    self.note(Step::Made { credential: self.worth_keeping() });
                }
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

    /// The credential is about to leave. What a seller could take with it is kept before, or it does not leave.
    ///
    /// # Errors
    /// Why it does not leave. The payment is closed: nothing was paid.
    pub(crate) fn sending(&mut self) -> Result<(), String> {
        if self.stage != Stage::Made {
            return Ok(());
        }
        match self.write(Step::Sent { credential: self.worth_keeping() }) {
            Ok(()) => {}
            Err(why) if !self.moves_first => {
                self.not_paid("payment_unrecorded", why.clone());
                return Err(why);
            }
            // The money has moved and its proof was kept before it did: the call is still to be had.
            Err(error) => {
                tracing::error!(payment = %self.id, error, "a step of a payment could not be recorded")
            }
        }
        self.stage = Stage::Sent;
        Ok(())
    }

    /// Paid and served.
    pub(crate) fn served(&mut self, status: u16, receipt: Option<&Receipt>) {
        self.stage = Stage::Closed;
        self.confirm(receipt.map(|receipt| receipt.reference.as_str()));
        self.note(Step::served(status, receipt));
    }

    /// Answered and not served; the payment may have been taken.
    pub(crate) fn refused(&mut self, status: u16, why: String) {
        self.stage = Stage::Closed;
        // The rail knows that it was taken, and the seller that it will not serve: nothing is left to be learnt.
        if self.moved && matches!(status, 402 | 403) {
            self.confirm(None);
            return self.note(Step::Forfeited { why });
        }
        self.note(Step::Refused { status, why, credential: self.worth_keeping() });
    }

    fn confirm(&self, reference: Option<&str>) {
        if let Err(error) = self.books.confirm(&self.id, reference) {
            // It stays held, which counts as much.
            tracing::error!(payment = %self.id, error, "a payment could not be confirmed in the books");
        }
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
        self.note(Step::not_paid(code, why));
    }

    /// Whether money can have moved by now.
    pub(crate) fn may_have_paid(&self) -> bool {
        !self.is_certainly_unpaid()
    }

    fn is_certainly_unpaid(&self) -> bool {
        match self.stage {
            Stage::Unbegun | Stage::Unrecorded | Stage::Held => true,
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
        if let Err(error) = self.books.release(&self.id) {
            tracing::error!(payment = %self.id, error, "money that was not paid could not be given back to the budget");
        }
    }

    fn write(&self, step: Step) -> Result<(), String> {
        self.books.write(&self.id, step)
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
        match self.stage {
            Stage::Closed | Stage::Unbegun => {}
            Stage::Unrecorded => self.release(),
            _ if self.is_certainly_unpaid() => self.not_paid("cancelled", WHY.to_owned()),
            _ => self.unknown(WHY.to_owned()),
        }
        self.books.journal.leave(&self.id);
    }
}
