//! Kills and races the real gateway on a sandbox chain, and counts every payment and every call of the API afterwards.
//!
//! ```text
//! farthing-torture --postgres copies --rounds 100 --copies 256
//! farthing-torture --postgres kills --seed 7 --times 200 --database-times 20
//! farthing-torture failures --calls 1000
//! ```
//!
//! It ends with 1 when a rule is broken, and prints which. The same seed makes the same choices; what the machine's scheduler
//! does with them is its own.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod books;
mod buyer;
mod copies;
mod failures;
mod kills;
mod process;
mod upstream;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use farthing_store::testkit::postgres::Cluster;

use crate::books::Findings;
use crate::kills::Victim;
use crate::world::{Kind, World};

#[derive(Debug, Parser)]
#[command(name = "farthing-torture", about)]
struct Args {
    /// The binary under test
    #[arg(long, global = true, default_value = "target/debug/farthing")]
    binary: PathBuf,
    /// Gateways over a PostgreSQL server that is started for the run; without it, one gateway over a SQLite file
    #[arg(long, global = true)]
    postgres: bool,
    /// Gateways over one database
    #[arg(long, global = true, default_value_t = 2)]
    gateways: usize,
    /// Kinds of payment
    #[arg(
        long,
        global = true,
        value_delimiter = ',',
        default_value = "pull,push,proof,sponsored,splits,after"
    )]
    kinds: Vec<Kind>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Many copies of one credential at once
    Copies {
        /// Rounds for each kind of payment
        #[arg(long, default_value_t = 100)]
        rounds: usize,
        /// Copies in a round
        #[arg(long, default_value_t = 256)]
        copies: usize,
    },
    /// SIGKILL at random instants under load
    Kills {
        /// Where the randomness begins
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Kills of a gateway
        #[arg(long, default_value_t = 200)]
        times: usize,
        /// Kills of the database
        #[arg(long, default_value_t = 0)]
        database_times: usize,
    },
    /// An API that fails in every way
    Failures {
        /// Calls, each of which fails at first
        #[arg(long, default_value_t = 1000)]
        calls: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(findings) if findings.all().is_empty() => ExitCode::SUCCESS,
        Ok(findings) => {
            for finding in findings.all().iter().take(50) {
                eprintln!("BROKEN: {finding}");
            }
            eprintln!("{} findings", findings.all().len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: Args) -> Result<Findings, String> {
    let binary = args.binary.canonicalize().map_err(|error| format!("{}: {error}", args.binary.display()))?;
    // Ends after everything that uses it.
    let cluster = args.postgres.then(start_postgres).transpose()?;
    let database = cluster.as_ref().map(|cluster| cluster.database());
    let (store, gateways) = match &database {
        Some(url) => (url.as_str(), args.gateways),
        None => ("claims.db", 1),
    };
    let world = Arc::new(World::new(&binary, store, gateways, &args.kinds).await?);
    let mut findings = Findings::default();
    match args.command {
        Command::Copies { rounds, copies } => {
            copies::run(&world, copies::Plan { rounds, copies }, &mut findings).await?;
        }
        Command::Kills { seed, times, database_times } => {
            if database_times > 0 && cluster.is_none() {
                return Err("there is no database to kill: add --postgres".into());
            }
            let victim = cluster.clone().map(|cluster| Box::new(Database(cluster)) as Box<dyn Victim>);
            let plan = kills::Plan { seed, gateways: times, others: database_times, victim };
            kills::run(&world, plan, &mut findings).await?;
        }
        Command::Failures { calls } => failures::run(&world, calls, &mut findings).await?,
    }
    world.indiscretions().into_iter().for_each(|what| findings.broken(what));
    if !findings.all().is_empty() {
        eprintln!("{}", world.last_words(40));
    }
    Ok(findings)
}

fn start_postgres() -> Result<Arc<Cluster>, String> {
    let bin = Cluster::find().ok_or("there is no PostgreSQL on this machine")?;
    Cluster::start(&bin).map(Arc::new).map_err(|error| error.to_string())
}

/// The server as something that is killed.
struct Database(Arc<Cluster>);

impl Victim for Database {
    fn kill_and_restart(&mut self) -> Result<(), String> {
        self.0.kill();
        self.0.resume().map_err(|error| error.to_string())
    }
}
