//! `farthing policy recount`: makes the spend book anew from the payment journal.

use std::path::Path;

use farthing_client::PaymentJournal;
use farthing_client::journal::PaymentState;
use farthing_client::spend::{Certainty, Spending};
use farthing_protocol::ports::Clock;
use serde_json::json;
use url::Url;

use crate::clock::SystemClock;
use crate::error::CliError;
use crate::output::{Output, paint, style};
use crate::wire::{journal, policy};

pub fn run(named: Option<&Path>, output: Output) -> Result<(), CliError> {
    let loaded = super::loaded(named)?;
    let records = journal::open()?.payments().map_err(|error| CliError::from(&error))?;
    let (mut spendings, mut left_out) = (Vec::new(), 0);
    for record in records.into_iter().filter(|record| record.state != PaymentState::NotPaid) {
        let parsed = Url::parse(&record.target.url).ok().zip(record.quote());
        let Some(draws) = parsed.and_then(|(url, quote)| loaded.policy.draws_of(&url, &quote)) else {
            left_out += 1;
            continue;
        };
        let certainty = if record.state.is_known() { Certainty::Confirmed } else { Certainty::Held };
        spendings.push(Spending { payment: record.id, at: record.changed, draws, certainty });
    }
    let counted = spendings.len();
    let book = policy::book()?;
    book.recount(spendings, SystemClock.now())?;
    if output.is_json() {
        return output.json(&json!({ "file": book.path(), "payments": counted, "left_out": left_out }));
    }
    if left_out > 0 {
        output
            .warn(format_args!("{left_out} payments could not be read from the journal and are not counted"));
    }
    output.note(format_args!("{} {counted} payments anew", paint(style::GOOD, "counted")));
    Ok(())
}
