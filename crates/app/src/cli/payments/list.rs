//! `farthing payments list`.

use anstyle::Style;
use farthing_client::FileJournal;
use serde_json::{Value, json};

use super::filter::FilterArgs;
use super::{colour, cost, words};
use crate::error::CliError;
use crate::output::{Align, Output, Table, style};

/// How many payments are listed.
const LAST: usize = 20;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// How many, counted from the latest [default: 20]
    #[arg(long, value_name = "COUNT")]
    last: Option<usize>,
}

impl ListArgs {
    /// Options count before `list` and after it.
    pub fn and(self, more: Self) -> Self {
        Self { filter: self.filter.and(more.filter), last: more.last.or(self.last) }
    }
}

pub fn run(journal: &FileJournal, args: &ListArgs, output: Output) -> Result<(), CliError> {
    let records = args.filter.select(journal)?;
    let hidden = records.len().saturating_sub(args.last.unwrap_or(LAST));
    let shown = &records[hidden..];
    if output.is_json() {
        let payments: Vec<Value> = shown.iter().map(super::json::payment).collect();
        return output.json(&json!({ "payments": payments, "earlier": hidden }));
    }
    if shown.is_empty() {
        let none = if args.filter.is_given() { "there is no such payment" } else { "nothing was paid yet" };
        output.note(none);
        return Ok(());
    }
    let mut table = Table::default();
    for record in shown {
        table.row([
            (record.began.to_string(), style::DIM, Align::Left),
            (cost(record), style::MONEY, Align::Right),
            (words(record).to_owned(), colour(record.state), Align::Left),
            (record.target.url.clone(), Style::new(), Align::Left),
            (record.id.to_string(), style::DIM, Align::Left),
        ]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))?;
    if hidden > 0 {
        output.note(format_args!("{hidden} earlier ones are not shown: --last {}", records.len()));
    }
    Ok(())
}
