//! `farthing`: the money layer for machines that buy from machines, as one binary.
//!
//! This crate alone reads the clock, the environment and the terminal. It wires the other crates together and holds no
//! rule about money of its own.

use std::process::ExitCode;

mod billing;
mod cli;
mod clock;
mod config;
mod error;
mod observe;
mod output;
mod private_file;
mod proxy;
mod wire;

#[allow(clippy::disallowed_methods, reason = "the command line is read here and nowhere else")]
fn main() -> ExitCode {
    cli::run(std::env::args_os().collect())
}
