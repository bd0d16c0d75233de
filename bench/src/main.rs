//! Measures the gateway against its peers in one run: `cargo xtask bench` builds this and runs it.
//!
//! One process measures and makes the load, on one CPU; every server is a process of its own, pinned to another. Rounds of
//! the servers alternate, so that what else the machine does disturbs all of them alike, and the first figure is always the
//! CPU time of the server's process for each request: it is what other programs disturb least.
//!
//! It is no test: nothing fails here because something is slow.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]
#![allow(clippy::float_arithmetic, reason = "statistics; there is no money here")]

mod clock;
mod load;
mod process;
mod report;
mod scenario;
mod serve;
mod stats;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What went wrong, for people.
pub(crate) type Failure = Box<dyn std::error::Error>;

#[derive(Debug, Parser)]
#[command(about = "Measures the gateway against its peers")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, and print tables in Markdown
    Run(scenario::RunArgs),
    /// Be one of the servers that are measured, until standard input closes
    Serve {
        #[command(subcommand)]
        server: serve::Server,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => scenario::run(&args),
        Command::Serve { server } => serve::run(server),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
