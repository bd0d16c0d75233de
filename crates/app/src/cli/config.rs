//! `farthing config example`: a commented configuration that passes its own check.

use clap::Subcommand;

use crate::error::{CliError, Exit};
use crate::output::Output;

/// The configuration that `config example` and `serve --init` print.
pub const EXAMPLE: &str = include_str!("../help/gateway.toml");

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a commented gateway configuration
    Example,
}

pub fn run(args: &Args, output: Output) -> Result<Exit, CliError> {
    let Command::Example = args.command;
    print_example(output)
}

/// Prints the example.
pub fn print_example(output: Output) -> Result<Exit, CliError> {
    if output.is_json() {
        output.json(&serde_json::json!({ "toml": EXAMPLE }))?;
    } else {
        output.bytes(EXAMPLE.as_bytes())?;
    }
    Ok(Exit::Ok)
}
