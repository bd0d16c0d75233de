//! `farthing billing collections`: what `collect` has sent, as its record has it. It reads the record, and asks nobody.

use std::path::PathBuf;

use alloy_primitives::Address;
use anstyle::Style;
use farthing_billing::service::collection::{Collection, CollectionState};
use farthing_billing::service::{Billing, PageQuery};
use farthing_ledger::record::Order;
use farthing_money::Money;
use farthing_protocol::UnixMs;
use farthing_rails::tempo::tokens;
use serde_json::{Value, json};

use super::world::operator;
use crate::config::billing;
use crate::error::{CliError, Exit};
use crate::output::{Align, Output, Table, one_line, style};

/// How many are listed.
const LAST: usize = 20;
/// Collections in one reading.
const PAGE: usize = 900;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// How many, counted from the latest; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = LAST)]
    last: usize,
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let config = billing::load(Some(&args.config), None)?;
    let last = if args.last == 0 { usize::MAX } else { args.last };
    let found = match config.look_at_collections().await? {
        Some(record) => read(&Billing::new(record), last).await?,
        None => Vec::new(),
    };
    if output.is_json() {
        output.json(&json!({ "collections": found.iter().map(as_json).collect::<Vec<Value>>() }))?;
        return Ok(Exit::Ok);
    }
    if found.is_empty() {
        output.note("nothing was collected yet");
        return Ok(Exit::Ok);
    }
    let mut table = Table::default();
    for it in &found {
        let (words, style) = state(it);
        table.row([
            (UnixMs::from_ms(it.created_ms).to_string(), style::DIM, Align::Left),
            (money(it), style::MONEY, Align::Right),
            (words, style, Align::Left),
            (one_line(&it.address), Style::new(), Align::Left),
            (one_line(&it.tx_hash), style::DIM, Align::Left),
        ]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))?;
    Ok(Exit::Ok)
}

/// The newest `last` of them, the newest first.
async fn read(record: &Billing, last: usize) -> Result<Vec<Collection>, CliError> {
    let mut page = PageQuery { after: None, limit: PAGE.min(last), order: Order::Descending };
    let mut found = Vec::new();
    loop {
        let collections = record.list_collections(&operator(), &page).await?;
        found.extend(collections.data);
        match collections.next {
            Some(next) if found.len() < last => page.after = Some(next),
            _ => break,
        }
    }
    found.truncate(last);
    Ok(found)
}

/// How much of what.
fn money(it: &Collection) -> String {
    let chain_id = it.network.rsplit(':').next().and_then(|id| id.parse().ok());
    match chain_id.zip(it.token.parse::<Address>().ok()) {
        Some((chain_id, token)) => Money::new(it.amount, tokens::asset(chain_id, token)).to_string(),
        None => format!("{} base units of {}", it.amount, one_line(&it.token)),
    }
}

fn state(it: &Collection) -> (String, Style) {
    let why = it.why.as_deref().map(|why| format!(": {}", one_line(why))).unwrap_or_default();
    match it.state {
        CollectionState::Collected => ("collected".to_owned(), style::GOOD),
        CollectionState::Sending => ("may be on its way".to_owned(), style::WARN),
        CollectionState::Failed => (format!("failed{why}"), style::BAD),
        CollectionState::Unclear => (format!("not known{why}"), style::BAD),
    }
}

/// One in a line.
pub fn in_words(it: &Collection) -> String {
    let (state, _) = state(it);
    format!("{} from {}  {}  {state}", money(it), one_line(&it.address), one_line(&it.tx_hash))
}

/// A collection for programs: the whole record.
pub fn as_json(it: &Collection) -> Value {
    json!(it)
}
