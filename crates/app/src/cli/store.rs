//! `farthing store`: what a gateway's store holds and owes, whether it is whole, and what to do after a backup was restored whose
//! restoring cannot be seen. Only `fence` writes.

use std::path::{Path, PathBuf};

use anstyle::Style;
use clap::Subcommand;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{Claim, Clock, Listed, Page, StoreError};
use farthing_store::{Location, Looker};
use serde_json::json;

use crate::clock::SystemClock;
use crate::config::{env, secret};
use crate::error::{CliError, Exit};
use crate::output::{Align, Output, Table, one_line, paint, style};

const EXAMPLES: &str = "Examples:
  farthing store credits --config gateway.toml      what is owed to whom
  farthing store check --store farthing.db
  farthing store fence --store postgres://farthing@db.example.com/farthing

The password of a database comes from --password-file or FARTHING_STORE_PASSWORD.";

/// Claims of one page of a list.
const PAGE: usize = 500;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is owed: calls that were paid and not delivered, and money that is to be given back
    Credits(Place),
    /// Look over the whole store: how much there is of what, and whether its parts fit together
    Check(Place),
    /// Honour no credential of a challenge that was issued before now: after a backup was restored in a way that cannot be seen
    Fence(Place),
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The store: a file, or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", required_unless_present = "config", conflicts_with = "config")]
    store: Option<String>,
    /// The gateway's configuration, which says where its store is
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file with the database's password
    #[arg(long, value_name = "FILE", requires = "store")]
    password_file: Option<PathBuf>,
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    match args.command {
        Command::Credits(place) => credits(&place.location()?, output).await,
        Command::Check(place) => check(&place.location()?, output).await,
        Command::Fence(place) => fence(&place.location()?, output).await,
    }
}

impl Place {
    fn location(self) -> Result<Location, CliError> {
        let Some(store) = self.store else {
            return Ok(super::serve::load(self.config.as_deref().unwrap_or(Path::new("gateway.toml")))?.store);
        };
        location_of(&store, self.password_file.as_deref())
    }
}

/// The place that `store` says, with its password.
pub(super) fn location_of(store: &str, password_file: Option<&Path>) -> Result<Location, CliError> {
    let location = Location::parse(store, |path| PathBuf::from(path))
        .map_err(|error| CliError::usage(error.code(), error.to_string()))?;
    let password = match password_file {
        Some(file) => Some(
            secret::read_secret(file)
                .map_err(|error| CliError::file("read the database's password", file, &error))?,
        ),
        None => env::read(env::STORE_PASSWORD).map(zeroize::Zeroizing::new),
    };
    Ok(password.iter().fold(location, |location, password| location.with_password(password)))
}

/// What somebody has coming.
struct Owed {
    claim: Claim,
    /// What: a call, or money.
    what: &'static str,
}

async fn credits(location: &Location, output: Output) -> Result<Exit, CliError> {
    let looker = location.look().await?;
    let mut owed = Vec::new();
    for (listed, what) in
        [(Listed::Credit, "call"), (Listed::RefundDue, "refund"), (Listed::Refunding, "refund_sent")]
    {
        list(&looker, listed, |claim| owed.push(Owed { claim, what }))
            .await
            .map_err(|error| failed(&error))?;
    }
    let now = SystemClock.now();
    if output.is_json() {
        let owed: Vec<_> = owed.iter().map(|owed| in_json(owed, now)).collect();
        output.json(&json!({ "owed": owed }))?;
        return Ok(Exit::Ok);
    }
    if owed.is_empty() {
        output.line(format_args!("Nothing is owed in {location}."))?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::default();
    for Owed { claim, what } in &owed {
        let amount = claim.new.paid.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        table.row([
            (claim.changed.to_string(), style::DIM, Align::Left),
            (amount, style::MONEY, Align::Right),
            ((*what).replace('_', " "), Style::new(), Align::Left),
            (one_line(&claim.new.scope), Style::new(), Align::Left),
            (one_line(claim.new.payer.as_deref().unwrap_or("-")), Style::new(), Align::Left),
            (one_line(&claim.new.id.0), style::DIM, Align::Left),
        ]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))?;
    output.line(format_args!("{} owed: since, amount, what, route, payer, id", owed.len()))?;
    Ok(Exit::Ok)
}

fn in_json(Owed { claim, what }: &Owed, now: UnixMs) -> serde_json::Value {
    json!({
        "id": claim.new.id.0,
        "owed": what,
        "payer": claim.new.payer,
        "paid": claim.new.paid,
        "route": claim.new.scope,
        "reference": claim.state.settled().map(|settled| &settled.reference),
        "since": claim.changed.to_string(),
        "since_ms": claim.changed.as_ms(),
        "for_ms": claim.changed.until_ms(now),
        "deliveries": claim.deliveries,
        "answered": claim.answered,
    })
}

/// Every claim of one kind, page by page.
async fn list(looker: &Looker, listed: Listed, mut each: impl FnMut(Claim)) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = Page { before: UnixMs::from_ms(u64::MAX), after, limit: PAGE };
        let page = looker.claims().list(listed, page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some((last.changed, last.new.id.clone()));
        page.into_iter().for_each(&mut each);
    }
}

async fn check(location: &Location, output: Output) -> Result<Exit, CliError> {
    let looker = location.look().await?;
    let report =
        output.progress("looking over the store", looker.check()).await.map_err(|error| failed(&error))?;
    let whole = report.problems.is_empty();
    if output.is_json() {
        let problems: Vec<_> = report
            .problems
            .iter()
            .map(|problem| json!({ "what": problem.what, "count": problem.count }))
            .collect();
        output.json(&json!({
            "ok": whole, "schema": report.schema, "epoch": report.epoch.0, "claims": report.claims,
            "problems": problems,
        }))?;
    } else {
        let mut table = Table::default();
        for (state, count) in &report.claims {
            table.row([
                (count.to_string(), Style::new(), Align::Right),
                (state.replace('_', " "), Style::new(), Align::Left),
            ]);
        }
        table.lines().into_iter().try_for_each(|line| output.line(line))?;
        for problem in &report.problems {
            output.warn(format_args!("{}: {}", problem.count, one_line(&problem.what)));
        }
        if whole {
            output.line(format_args!(
                "{} {location} fits together (schema {})",
                paint(style::GOOD, "ok"),
                report.schema
            ))?;
        }
    }
    if whole {
        return Ok(Exit::Ok);
    }
    let message = format!("{location} does not fit together: {} kinds of problems", report.problems.len());
    Err(CliError::unexpected("store_damaged", message).help("keep a copy, restore a backup, and report it"))
}

async fn fence(location: &Location, output: Output) -> Result<Exit, CliError> {
    let epoch = location.fence().await?;
    if output.is_json() {
        output.json(&json!({ "ok": true, "epoch": epoch.0 }))?;
    } else {
        output.line(format_args!(
            "{} {location}: challenges that were issued before now are not honoured any more",
            paint(style::GOOD, "ok")
        ))?;
    }
    Ok(Exit::Ok)
}

fn failed(error: &StoreError) -> CliError {
    CliError::unexpected("store", error.to_string())
}
