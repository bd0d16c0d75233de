//! What became of payments that were left open: by a process that died, an answer that was lost, a seller that did not serve.
//! It asks the journal and the rails, closes what is certain, and pays nothing.

use std::sync::Arc;

use farthing_protocol::ports::{Payer, PaymentFate, SentPayment};
use farthing_protocol::{CredentialBuf, UnixMs};

use crate::PaymentId;
use crate::books::Books;
use crate::driver::off_thread;
use crate::in_flight::InFlight;
use crate::journal::{JournalError, PaymentRecord, PaymentState, Step};
use crate::verdict::{self, Decided};

/// What is known of an open payment after looking.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// It was closed before.
    Closed,
    /// A process is at work on it: it is left alone.
    InFlight,
    /// Nothing was sent that could move money, and nothing will be: closed, and the money is free again.
    NotSent,
    /// It can no longer move: closed, and the money is free again.
    CannotMove {
        /// Why.
        why: String,
    },
    /// The money has moved. The payment is kept, and can be presented for the call.
    Moved {
        /// What shows it on the rail.
        reference: String,
    },
    /// No rail knows, and only somebody's word closes it, or has closed it now: the vendor of a metered call was called, and its
    /// answer did not come.
    Charged(Decided),
    /// The same, and nobody has said anything yet ([`crate::Agent::decide`]): its money stays held.
    OnlyVendorKnows {
        /// When it counts as charged in full; none: never, before somebody says what became of it.
        charge_at: Option<UnixMs>,
    },
    /// Not known yet.
    Pending,
    /// It could not be looked up.
    NotFound {
        /// Why.
        why: String,
    },
}

/// Gives back what was held by processes that died before they sent anything, and says how many payments that were. Metered calls
/// that nobody has said anything of in time count as charged from then on.
pub(crate) fn sweep(books: &Books) -> usize {
    let swept = sweep_open(books).and_then(|open| Ok(open + sweep_orphans(books)?));
    swept.unwrap_or_else(|error| {
        tracing::error!(%error, "payments that were given up could not be looked for");
        0
    })
}

fn sweep_open(books: &Books) -> Result<usize, JournalError> {
    let (mut swept, now) = (0, books.clock.now());
    for record in books.journal.open()? {
        if record.in_flight || !(was_never_sent(&record) || verdict::is_overdue(&record, now)) {
            continue;
        }
        if let Some(record) = books.journal.adopt(&record.id)? {
            if verdict::is_overdue(&record, now) {
                charge_overdue(books, &record);
            } else {
                swept += usize::from(was_never_sent(&record) && close_unsent(books, &record.id));
            }
            books.journal.leave(&record.id);
        }
    }
    Ok(swept)
}

fn charge_overdue(books: &Books, record: &PaymentRecord) -> Option<Decided> {
    match verdict::charge(books, record) {
        Ok(decided) => {
            tracing::warn!(payment = %record.id, amount = %record.agreed, "a metered call whose outcome nobody knows counts as charged in full");
            Some(decided)
        }
        Err(error) => {
            tracing::error!(payment = %record.id, %error, "a metered call could not be counted as charged");
            None
        }
    }
}

/// What is held for a payment that the journal never saw begin. Its process is dead: a living one has entered it first.
fn sweep_orphans(books: &Books) -> Result<usize, JournalError> {
    let held = books.held();
    let open = books.journal.open()?;
    let unknown: Vec<PaymentId> =
        held.into_iter().filter(|id| !open.iter().any(|record| record.id == *id)).collect();
    let mut swept = 0;
    for id in unknown {
        if books.journal.is_in_flight(&id)? {
            continue;
        }
        let record = books.journal.payment(&id)?;
        let released = match record.as_ref().map(|record| record.state) {
            None | Some(PaymentState::NotPaid) => books.release(&id).is_ok(),
            Some(PaymentState::Served | PaymentState::Forfeited | PaymentState::Charged) => {
                // Counts as much as before: nothing is gained by it now.
                let _ = match record.and_then(|record| record.part()) {
                    Some(cost) => books.confirm_cost(&id, cost),
                    None => books.confirm(&id, None),
                };
                false
            }
            Some(_) => false,
        };
        swept += usize::from(released);
    }
    Ok(swept)
}

/// Whether no bytes that could move money can have left: nothing was kept, and it is kept before it leaves. Of a payment that
/// somebody has adopted, nothing can leave any more either.
fn was_never_sent(record: &PaymentRecord) -> bool {
    // Of a way to pay that this crate knows nothing of, nothing is certain.
    let kept_first = matches!(record.agreed.mode.as_str(), "pull" | "push" | "proof");
    kept_first && record.state == PaymentState::Intended && record.credential.is_none()
}

/// Closes a payment that was never sent. From then on the journal refuses every further step of it.
fn close_unsent(books: &Books, id: &PaymentId) -> bool {
    let why = "the process ended before anything was sent".to_owned();
    close_unpaid(books, id, "abandoned", why)
}

fn close_unpaid(books: &Books, id: &PaymentId, code: &str, why: String) -> bool {
    // The journal first: it is what a process that is not dead after all must get past.
    let closed = books.write(id, Step::not_paid(code, why));
    let result = closed.and_then(|()| books.release(id));
    if let Err(error) = &result {
        tracing::error!(payment = %id, error, "a payment that was not made could not be closed");
    }
    result.is_ok()
}

/// A payment that this process has taken up, until it is dropped.
pub(crate) struct Adopted {
    books: Arc<Books>,
    pub(crate) record: PaymentRecord,
    /// Whether somebody else says that the payment is left.
    passed_on: bool,
}

impl Adopted {
    /// None when the payment is closed, or somebody is at work on it.
    pub(crate) fn take(books: &Arc<Books>, id: &PaymentId) -> Result<Option<Self>, JournalError> {
        let record = books.journal.adopt(id)?;
        Ok(record.map(|record| Self { books: Arc::clone(books), record, passed_on: false }))
    }

    /// Goes on with it: its credential is presented again.
    pub(crate) fn resume(mut self) -> InFlight {
        self.passed_on = true;
        InFlight::resume(Arc::clone(&self.books), &self.record)
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        if !self.passed_on {
            self.books.journal.leave(&self.record.id);
        }
    }
}

/// Learns what became of the payment `id`, and closes it where that is certain.
pub(crate) async fn resolve(
    books: &Arc<Books>,
    payers: &[Arc<dyn Payer>],
    id: &PaymentId,
) -> Result<Resolution, JournalError> {
    let (for_adoption, named) = (Arc::clone(books), id.clone());
    let adopted = off_thread(move || Adopted::take(&for_adoption, &named)).await?;
    match adopted {
        Some(mut adopted) => Ok(settle(books, payers, &mut adopted).await),
        None if books.journal.is_in_flight(id)? => Ok(Resolution::InFlight),
        None => Ok(Resolution::Closed),
    }
}

/// Looks up a payment that this process has adopted, and writes down what is certain.
pub(crate) async fn settle(
    books: &Arc<Books>,
    payers: &[Arc<dyn Payer>],
    adopted: &mut Adopted,
) -> Resolution {
    let record = &adopted.record;
    let (books, id) = (Arc::clone(books), record.id.clone());
    if was_never_sent(record) {
        off_thread(move || close_unsent(&books, &id)).await;
        return Resolution::NotSent;
    }
    if record.agreed.is_metered() {
        return word_of(books, record.clone()).await;
    }
    if record.state == PaymentState::Paid {
        return Resolution::Moved { reference: record.reference.clone().unwrap_or_default() };
    }
    match look(&books, payers, record).await {
        Ok(PaymentFate::Moved { reference }) => {
            adopted.record.state = PaymentState::Paid;
            let moved = reference.clone();
            off_thread(move || note_moved(&books, &id, moved)).await;
            Resolution::Moved { reference }
        }
        Ok(PaymentFate::CannotMove { why }) => {
            let words = why.clone();
            off_thread(move || close_unpaid(&books, &id, "cannot_move", words)).await;
            Resolution::CannotMove { why }
        }
        Ok(PaymentFate::Pending) => Resolution::Pending,
        Err(why) => Resolution::NotFound { why },
    }
}

/// What is to be said of a metered call: no rail can be asked.
async fn word_of(books: Arc<Books>, record: PaymentRecord) -> Resolution {
    let charge_at = record.agreed.charge_at_ms.map(UnixMs::from_ms);
    let overdue = verdict::is_overdue(&record, books.clock.now());
    let decided = if overdue { off_thread(move || charge_overdue(&books, &record)).await } else { None };
    decided.map_or(Resolution::OnlyVendorKnows { charge_at }, Resolution::Charged)
}

fn note_moved(books: &Books, id: &PaymentId, reference: String) {
    let confirmed = books.confirm(id, Some(&reference));
    let noted = books.write(id, Step::Paid { reference });
    if let Err(error) = noted.and(confirmed) {
        tracing::error!(payment = %id, error, "a payment that was made could not be recorded");
    }
}

async fn look(
    books: &Books,
    payers: &[Arc<dyn Payer>],
    record: &PaymentRecord,
) -> Result<PaymentFate, String> {
    let agreed = &record.agreed;
    let decoded = record.credential.as_ref().map(|kept| CredentialBuf::decode(kept.reveal())).transpose();
    let decoded = decoded.map_err(|error| format!("the credential that was kept is damaged: {error}"))?;
    let credential = decoded.as_ref().map(CredentialBuf::view).transpose();
    let credential =
        credential.map_err(|error| format!("the credential that was kept is damaged: {error}"))?;
    // What the rail called it; a seller's word for it is not asked for.
    let reference = record.reference.as_deref().filter(|_| record.receipt.is_none());
    if credential.is_none() && reference.is_none() {
        return Err("nothing was kept that it could be found by".to_owned());
    }
    let method = credential.as_ref().map_or(agreed.method.as_str(), |kept| &kept.challenge.method).to_owned();
    let mut why = format!("no wallet here pays with the method `{method}`");
    let payment = SentPayment {
        credential,
        reference,
        network: &agreed.network,
        payer: &agreed.payer,
        mode: &agreed.mode,
    };
    for payer in payers.iter().filter(|payer| payer.method().as_str() == method) {
        match payer.outcome(&payment, books.clock.now()).await {
            Ok(fate) => return Ok(fate),
            Err(words) => why = words,
        }
    }
    Err(why)
}
