//! Presenting an earlier payment: when the same request was paid before and its outcome is open, that payment is shown to the
//! seller again, and nothing is paid.

use std::sync::Arc;

use farthing_protocol::CredentialHeader;
use farthing_protocol::flow::payer::{CredentialValue, Kept};

use crate::AgentError;
use crate::driver::{Core, off_thread};
use crate::in_flight::InFlight;
use crate::journal::{JournalError, PaymentRecord, StoredCredential};
use crate::outgoing::Outgoing;
use crate::resolve::{self, Adopted, Resolution};

/// The payment to present for this request, if there is one: the oldest open one for the same method, URL and body that nobody
/// is at work on. One whose money can no longer move is closed on the way, and does not count.
///
/// # Errors
/// [`AgentError::PaymentUnknown`] when there is one that can be neither presented nor closed: a second payment could be made
/// for one call. [`AgentError::Unrecorded`] when the journal cannot be read.
pub(crate) async fn find(
    core: &Arc<Core>,
    request: &Outgoing,
) -> Result<Option<(InFlight, Kept)>, AgentError> {
    // What the policy no longer allows to be sent there is not sent; that is told when the offers are judged. A host that a
    // person would be asked about has been asked about for this payment: it is presented without another word.
    let site = request.site();
    if core.policy.admit(site).is_err() && !core.policy.asks_about(site) {
        return Ok(None);
    }
    let books = &core.books;
    let journal = Arc::clone(&books.journal);
    let open = off_thread(move || journal.open()).await.map_err(|error| unreadable(&error))?;
    for record in open.into_iter().filter(|record| is_for(record, request)) {
        let (for_adoption, id) = (Arc::clone(books), record.id);
        let adopted = off_thread(move || Adopted::take(&for_adoption, &id))
            .await
            .map_err(|error| unreadable(&error))?;
        let Some(mut adopted) = adopted else { continue };
        let resolution = resolve::settle(books, &core.payers, &mut adopted).await;
        if matches!(resolution, Resolution::NotSent | Resolution::CannotMove { .. }) {
            continue;
        }
        return match adopted.record.credential.as_ref().and_then(|kept| presentable(kept, &adopted.record)) {
            Some(kept) => Ok(Some((adopted.resume(), kept))),
            None => Err(AgentError::PaymentUnknown {
                reference: adopted.record.reference.clone().unwrap_or_default(),
                why: "an earlier payment for this same request is open, and what proves it was not kept"
                    .to_owned(),
                payment: adopted.record.id.clone(),
            }),
        };
    }
    Ok(None)
}

/// Whether it is a payment of money for this same request that nobody is at work on.
pub(crate) fn is_for(record: &PaymentRecord, request: &Outgoing) -> bool {
    let names_it = |name: &String| Some(name) == request.name().as_ref();
    let money = !record.agreed.amount_base.is_zero();
    !record.in_flight && money && record.target.request.as_ref().is_some_and(names_it)
}

fn presentable(kept: &StoredCredential, record: &PaymentRecord) -> Option<Kept> {
    let headers = [CredentialHeader::Authorization, CredentialHeader::PaymentAuthorization];
    Some(Kept {
        header: headers.into_iter().find(|header| header.name() == kept.header)?,
        value: CredentialValue::kept(kept.reveal().to_owned()),
        challenge_id: record.target.challenge_id.clone(),
        quote: record.agreed.quote().ok()?,
    })
}

fn unreadable(error: &JournalError) -> AgentError {
    AgentError::Unrecorded { why: error.to_string() }
}
