//! Kills and races processes that run the billing service, and proves afterwards what became of every unit of money.
//!
//! ```text
//! farthing-torture-billing kills --seed 7 --times 300
//! farthing-torture-billing --postgres kills --seed 7 --times 300
//! farthing-torture-billing --postgres race --calls 1000 --enough-for 400
//! farthing-torture-billing service --binary target/debug/farthing --seed 7 --times 300 --settle-s 150
//! ```
//!
//! This process is the client: it asks, asks again under the same idempotency key when nobody answered, and keeps what was
//! answered. It ends with 1 when a rule is broken, and prints which. The same seed asks for the same things and kills after the
//! same pauses; what the machine's scheduler makes of it is its own.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a command-line tool, whose processes take the time from it"
)]

mod audit;
mod call;
mod card;
mod chain;
mod clock;
mod job;
mod kills;
mod pipe;
mod place;
mod pool;
mod race;
mod served;
mod service;
mod source;
mod worker;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::place::Place;

#[derive(Debug, Parser)]
#[command(name = "farthing-torture-billing", about)]
struct Args {
    /// Two processes over a PostgreSQL server that is started for the run; without it, one over a SQLite file
    #[arg(long, global = true)]
    postgres: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// SIGKILL at random instants under a mixed load
    Kills {
        /// Where the randomness begins
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many
        #[arg(long, default_value_t = 300)]
        times: usize,
        /// Kills of the database
        #[arg(long, default_value_t = 0)]
        database_times: usize,
    },
    /// SIGKILL for `farthing billing serve` itself at random instants, under a mixed load over HTTP
    Service {
        /// The program
        #[arg(long)]
        binary: PathBuf,
        /// Where the randomness begins
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many
        #[arg(long, default_value_t = 300)]
        times: usize,
        /// Kills of the database
        #[arg(long, default_value_t = 0)]
        database_times: usize,
        /// Seconds in which it ends by itself what is open afterwards; what is left is ended for it. A top-up of which nobody
        /// knows what became is looked after when it is a minute old
        #[arg(long, default_value_t = 0)]
        settle_s: u64,
    },
    /// Many calls at once against a wallet that can pay for some of them
    Race {
        /// Calls
        #[arg(long, default_value_t = 1_000)]
        calls: usize,
        /// How many of them the wallet can pay for
        #[arg(long, default_value_t = 400)]
        enough_for: usize,
        /// How often
        #[arg(long, default_value_t = 1)]
        rounds: usize,
    },
    /// What is started by the others: serves billing calls on standard input and output
    #[command(hide = true)]
    Worker {
        /// The store
        #[arg(long)]
        store: String,
        /// The file of the scripted card processor
        #[arg(long)]
        source: PathBuf,
    },
    /// Proves a store that was left behind
    #[command(hide = true)]
    Verify {
        /// The store
        store: PathBuf,
    },
}

/// What is wrong, in sentences. Empty when nothing is.
#[derive(Debug, Default)]
pub struct Findings(Vec<String>);

impl Findings {
    /// Notes a broken rule unless it holds.
    pub fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(findings) if findings.0.is_empty() => ExitCode::SUCCESS,
        Ok(findings) => {
            for finding in findings.0.iter().take(50) {
                eprintln!("BROKEN: {finding}");
            }
            eprintln!("{} findings", findings.0.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: Args) -> Result<Findings, String> {
    let mut findings = Findings::default();
    match args.command {
        Command::Worker { store, source } => worker::run(&store, &source).await?,
        Command::Verify { store } => {
            let proof = farthing_store::ledger::verify_file(store).map_err(|error| error.to_string())?;
            println!("{proof:?}");
        }
        Command::Kills { seed, times, database_times } => {
            let place = Arc::new(Place::new(args.postgres)?);
            let plan = kills::Plan { seed, times, database_times, pause_us: kills::PAUSE_US };
            kills::run(&place, plan, &mut findings).await?;
        }
        Command::Service { binary, seed, times, database_times, settle_s } => {
            let place = Arc::new(Place::new(args.postgres)?);
            let service = service::Service { binary: &binary, settle: Duration::from_secs(settle_s) };
            let plan = kills::Plan { seed, times, database_times, pause_us: service::PAUSE_US };
            service::run(&place, service, plan, &mut findings).await?;
        }
        Command::Race { calls, enough_for, rounds } => {
            for _ in 0..rounds {
                let place = Place::new(args.postgres)?;
                race::run(&place, race::Plan { calls, enough_for }, &mut findings).await?;
            }
        }
    }
    Ok(findings)
}
