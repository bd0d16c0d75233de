//! `farthing ledger`: proves the books of a billing store from its journal. It changes nothing and waits for nobody: a file may be open
//! in another process, and a database in use.

use std::path::PathBuf;

use anstyle::Style;
use clap::Subcommand;
use farthing_ledger::verify::{AssetReport, Fault, Report};
use farthing_store::Location;
use serde_json::json;

use super::store::location_of;
use crate::error::{CliError, Exit};
use crate::output::{Align, Output, Table, paint, style};

const EXAMPLES: &str = "Examples:
  farthing ledger verify --store billing.db
  farthing ledger verify --store postgres://farthing@db.example.com/farthing --output json
  farthing ledger verify --store billing.db --hash 5f0c…   and that it ends as it did then

The password of a database comes from --password-file or FARTHING_STORE_PASSWORD.

Exit codes: 0 it is sound, 1 it is not, 2 it cannot be read, 3 the database did not answer.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prove that debits equal credits in every asset, that balances are what the journal adds up to, and that no entry was changed
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// The billing store: a file, or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL")]
    store: String,
    /// The file with the database's password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The hash of the last entry, as it was kept elsewhere: proves that nothing was cut off the end since, nor added
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let Command::Verify(args) = args.command;
    let location = location_of(&args.store, args.password_file.as_deref())?;
    let proof = output.progress("reading the whole journal", prove(&location)).await?;
    let report = proof.map_err(|fault| broken(&location, &fault))?;
    if let Some(hash) = args.hash.filter(|hash| !hash.eq_ignore_ascii_case(&report.hash)) {
        let message = format!("{location} is sound, but ends with {} and not with {hash}", report.hash);
        return Err(CliError::unexpected("ledger_ends_otherwise", message)
            .help("entries were added since that hash was noted, or the end was cut off: compare the number of entries"));
    }
    show(&location, &report, output)?;
    Ok(Exit::Ok)
}

/// Reads everything, and says what it comes to.
async fn prove(location: &Location) -> Result<Result<Report, Fault>, CliError> {
    match location {
        Location::Sqlite(path) => {
            let path = path.clone();
            let proving = tokio::task::spawn_blocking(move || farthing_store::ledger::verify_file(path));
            let proof = proving.await.map_err(|error| CliError::unexpected("store", error.to_string()))?;
            proof.map_err(|error| CliError::usage(error.code(), error.to_string()))
        }
        Location::Postgres(url) => {
            let proof = farthing_store::pg_ledger::verify_database(url, 0).await;
            proof.map_err(|error| CliError::network(error.code(), error.to_string()))
        }
    }
}

fn broken(location: &Location, fault: &Fault) -> CliError {
    CliError::unexpected(fault.code(), format!("the ledger in {location} is broken: {fault}"))
        .details(json!({ "entry": fault.seq() }))
        .help("stop what writes to it, keep a copy as it is, and restore a backup that this command proves sound")
}

fn show(location: &Location, report: &Report, output: Output) -> Result<(), CliError> {
    if output.is_json() {
        let assets: Vec<_> = report
            .assets
            .iter()
            .map(|(id, asset)| {
                let AssetReport { accounts, posted, pending } = asset;
                json!({ "asset": id, "accounts": accounts, "posted": posted, "pending": pending })
            })
            .collect();
        output.json(&json!({
            "ok": true, "entries": report.entries, "hash": report.hash, "accounts": report.accounts,
            "open_holds": report.open_holds, "assets": assets,
        }))?;
        return Ok(());
    }
    let mut table = Table::default();
    for (id, AssetReport { accounts, posted, pending }) in &report.assets {
        // A sum of many 128-bit numbers may need more.
        let sum = |amount: &Option<farthing_money::Amount>| {
            amount.map_or_else(|| "more than 128 bits".to_owned(), |amount| amount.base().to_string())
        };
        table.row([
            (format!("asset {id}"), Style::new(), Align::Left),
            (format!("{accounts} accounts"), Style::new(), Align::Right),
            (format!("{} posted", sum(posted)), style::MONEY, Align::Right),
            (format!("{} in flight", sum(pending)), style::DIM, Align::Right),
        ]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))?;
    output.line(format_args!(
        "{} {location} is sound: {} entries, {} accounts, {} open holds; debits equal credits in every asset",
        paint(style::GOOD, "ok"),
        report.entries,
        report.accounts,
        report.open_holds,
    ))?;
    output.line(format_args!("   it ends with {}", report.hash))?;
    Ok(())
}
