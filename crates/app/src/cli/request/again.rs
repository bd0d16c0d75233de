//! `--payment ID`: presents a payment that was made before and whose call was not served, instead of paying again. It goes to
//! the resource that it was made for, and nowhere else; nothing is ever paid here.

use farthing_client::journal::{JournalEntry, PaymentRecord, PaymentState, Step, StoredCredential};
use farthing_client::{FileJournal, PaymentJournal, SpendBook};
use farthing_protocol::Receipt;
use farthing_protocol::ports::Clock;
use http::header::{HeaderName, HeaderValue};
use reqwest::{Request, Response};

use super::args::Args;
use super::{answer, trace};
use crate::cli::payments;
use crate::clock::SystemClock;
use crate::error::{CliError, Exit};
use crate::output::{Output, paint, style};
use crate::wire::{self, policy};

/// Sends the request with the payment `id`.
pub async fn run(id: &str, request: Request, args: &Args, output: Output) -> Result<Exit, CliError> {
    let journal = wire::journal::open()?;
    let record = payments::find(&journal, id)?;
    presentable(&record, &request)?;
    let adopted = journal.adopt(&record.id).map_err(|error| CliError::from(&error))?;
    let record = adopted.ok_or_else(|| {
        CliError::usage("payment_in_flight", format!("a process is at work on the payment {id}"))
            .help(format!("wait for it, and see farthing payments {id}"))
    })?;
    let result = present(&journal, &record, request, args, output).await;
    journal.leave(&record.id);
    result
}

async fn present(
    journal: &FileJournal,
    record: &PaymentRecord,
    request: Request,
    args: &Args,
    output: Output,
) -> Result<Exit, CliError> {
    let credential = presentable(record, &request)?;
    let sending = send(request, record, credential, args, output);
    let response = output.progress("presenting the payment again", sending).await?;
    let status = response.status();
    if !status.is_success() {
        let kept = note_refusal(journal, record, status.as_u16())?;
        output.note(format_args!(
            "{}: the seller answered {status}; the payment {} {kept}",
            paint(style::WARN, "not served"),
            record.id
        ));
        answer::write(response, None, args, output).await?;
        return Ok(Exit::NotServed);
    }
    keep(journal, record, &response)?;
    output.note(format_args!(
        "{} for the payment {}; nothing was paid now",
        paint(style::GOOD, "served"),
        record.id
    ));
    answer::write(response, None, args, output).await
}

/// A payment that the chain knows to be made, and that its seller refuses for good, is over: nothing more can be learnt.
fn note_refusal(
    journal: &FileJournal,
    record: &PaymentRecord,
    status: u16,
) -> Result<&'static str, CliError> {
    if record.state != PaymentState::Paid || !matches!(status, 402 | 403) {
        return Ok("is kept as it is");
    }
    let why = format!("the seller answered {status} to a payment that was made");
    write(journal, record, Step::Forfeited { why })?;
    Ok("was made, and is closed as not served")
}

fn presentable<'r>(record: &'r PaymentRecord, request: &Request) -> Result<&'r StoredCredential, CliError> {
    let id = &record.id;
    if record.state.is_final() {
        return Err(CliError::usage(
            "payment_final",
            format!("the payment {id} is settled: there is nothing left to be served"),
        )
        .help(format!("see farthing payments {id}")));
    }
    let target = url::Url::parse(&record.target.url).ok();
    let same = target.is_some_and(|target| {
        target.origin() == request.url().origin() && target.path() == request.url().path()
    });
    if !same || record.target.method != request.method().as_str() {
        let target = &record.target;
        return Err(CliError::usage(
            "payment_for_another",
            format!("the payment {id} was made for {} {}", target.method, target.url),
        )
        .help("it is presented there, and nowhere else"));
    }
    record.credential.as_ref().ok_or_else(|| {
        CliError::usage(
            "payment_without_credential",
            format!("the payment {id} cannot be presented again: its credential was not kept"),
        )
        .help(format!("see farthing payments {id}"))
    })
}

async fn send(
    mut request: Request,
    record: &PaymentRecord,
    credential: &StoredCredential,
    args: &Args,
    output: Output,
) -> Result<Response, CliError> {
    let damaged =
        || CliError::unexpected("journal_damaged", "the credential in the payment journal is damaged");
    let name: HeaderName = credential.header.parse().map_err(|_| damaged())?;
    let mut value = HeaderValue::from_str(credential.reveal()).map_err(|_| damaged())?;
    value.set_sensitive(true);
    request.headers_mut().insert(name, value);
    let key = record.target.idempotency_key.as_deref().and_then(|key| HeaderValue::from_str(key).ok());
    if let Some(key) = key {
        request.headers_mut().entry("idempotency-key").or_insert(key);
    }
    // A credential follows no redirect, and sees no proxy.
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
    let client = client.map_err(|error| CliError::unexpected("http_client", error.to_string()))?;
    let mut client = reqwest_middleware::ClientBuilder::new(client);
    if args.verbose {
        client = client.with(trace::Trace { output });
    }
    client.build().execute(request).await.map_err(|error| {
        CliError::new(Exit::Unknown, "answer_lost", format!("no answer came: {}", error.without_url()))
            .help("the payment is kept as it is; present it again later")
    })
}

/// Writes down that the payment was good for something after all.
fn keep(journal: &FileJournal, record: &PaymentRecord, response: &Response) -> Result<(), CliError> {
    let receipt = response.headers().get("payment-receipt").and_then(|value| value.to_str().ok());
    let receipt = receipt.and_then(|value| Receipt::parse(value).ok());
    policy::book()?.confirm(&record.id, SystemClock.now())?;
    write(journal, record, Step::served(response.status().as_u16(), receipt.as_ref()))
}

fn write(journal: &FileJournal, record: &PaymentRecord, step: Step) -> Result<(), CliError> {
    let entry = JournalEntry { payment: record.id.clone(), at_ms: SystemClock.now().as_ms(), step };
    journal.record(&entry).map_err(|error| CliError::from(&error))
}
