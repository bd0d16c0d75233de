//! `farthing policy show`: the rules, and what is left of each limit.

use std::path::Path;

use anstyle::Style;
use farthing_client::SpendBook;
use farthing_client::policy::{Budget, UNITS_SCALE};
use farthing_client::spend::Spent;
use farthing_money::Amount;
use farthing_protocol::ports::Clock;
use serde_json::{Value, json};

use crate::clock::SystemClock;
use crate::error::CliError;
use crate::output::{Align, Output, Table, paint, style};
use crate::wire::policy::{self, Loaded};

/// A limit and where it stands.
pub struct Standing {
    budget: Budget,
    spent: Spent,
}

impl Standing {
    fn left(&self) -> Amount {
        self.budget.limit.units().checked_sub(self.spent.used()).unwrap_or(Amount::ZERO)
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let units = |amount: Amount| amount.to_decimal(UNITS_SCALE);
        json!({
            "rule": self.budget.rule,
            "window": self.budget.window.name(),
            "covers": self.budget.limit.selector().to_string(),
            "limit": units(self.budget.limit.units()),
            "spent": units(self.spent.confirmed),
            "held": units(self.spent.held),
            "left": units(self.left()),
        })
    }

    fn row(&self, table: &mut Table) {
        let units = |amount: Amount| amount.to_decimal(UNITS_SCALE);
        let held = match self.spent.held {
            Amount::ZERO => String::new(),
            held => format!(", {} held", units(held)),
        };
        table.row([
            (self.budget.rule.clone(), style::DIM, Align::Left),
            (format!("{} left", units(self.left())), style::MONEY, Align::Right),
            (format!("of {}", self.budget.limit), Style::new(), Align::Left),
            (format!("{} spent{held}", units(self.spent.confirmed)), style::DIM, Align::Left),
        ]);
    }
}

/// What the book says to each of these counters.
///
/// # Errors
/// A book that cannot be read.
pub fn standings(budgets: Vec<Budget>) -> Result<Vec<Standing>, CliError> {
    let (book, now) = (policy::book()?, SystemClock.now());
    let standing = |budget: Budget| {
        let spent = book.spent(&budget.counter, now)?;
        Ok(Standing { budget, spent })
    };
    budgets.into_iter().map(standing).collect()
}

/// The lines of [`standings`].
pub fn print(standings: &[Standing], output: Output) -> Result<(), CliError> {
    let mut table = Table::default();
    standings.iter().for_each(|standing| standing.row(&mut table));
    table.lines().into_iter().try_for_each(|line| output.line(line))
}

pub fn run(named: Option<&Path>, output: Output) -> Result<(), CliError> {
    let loaded = super::loaded(named)?;
    let standings = standings(loaded.policy.budgets(None)?)?;
    let calls = loaded.policy.call_limits(None)?;
    let approved = loaded.approvals.hosts()?;
    if output.is_json() {
        let calls: Vec<Value> =
            calls.iter().map(|(limit, rule)| json!({ "rule": rule, "limit": limit.to_string() })).collect();
        let limits: Vec<Value> = standings.iter().map(Standing::json).collect();
        return output.json(&json!({
            "file": loaded.file.path, "call_limits": calls, "limits": limits, "rules": loaded.file.facts,
            "approved_hosts": approved, "approvals_file": loaded.approvals.path(), "warnings": loaded.file.warnings,
        }));
    }
    for warning in &loaded.file.warnings {
        output.warn(warning);
    }
    output.line(paint(style::TITLE, loaded.file.path.display()))?;
    let mut table = Table::default();
    for (limit, rule) in &calls {
        table.row([
            (rule.clone(), style::DIM, Align::Left),
            (format!("at most {limit} a call"), Style::new(), Align::Left),
        ]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))?;
    print(&standings, output)?;
    rules(&loaded, &approved, output)
}

fn rules(loaded: &Loaded, approved: &[String], output: Output) -> Result<(), CliError> {
    let facts = &loaded.file.facts;
    let hosts = match (facts.allow.is_empty(), facts.ask) {
        (true, "unknown") => "none without asking".to_owned(),
        (true, _) => "none".to_owned(),
        (false, "unknown") => format!("{}; others are asked about", facts.allow.join(", ")),
        (false, _) => facts.allow.join(", "),
    };
    let mut table = Table::default();
    let mut row = |name: &str, list: String| {
        if !list.is_empty() {
            table.row([(name.to_owned(), style::DIM, Align::Left), (list, Style::new(), Align::Left)]);
        }
    };
    row("hosts", hosts);
    row("denied", facts.deny.join(", "));
    row("approved", approved.join(", "));
    row("chains", facts.chains.join(", "));
    row("tokens", facts.tokens.join(", "));
    row("recipients", facts.recipients.join(", "));
    row("methods", facts.methods.join(", "));
    row("modes", facts.modes.join(", "));
    table.lines().into_iter().try_for_each(|line| output.line(line))
}
