//! The command line: one module a command. Each reads its arguments, calls what the crates offer, and writes what happened.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum};

use crate::error::{CliError, Exit};
use crate::output::{Color, Format, Output};

pub(crate) mod billing;
pub(crate) mod charge;
mod completions;
mod config;
mod confirm;
mod demo;
mod ledger;
pub(crate) mod log;
mod man;
pub(crate) mod network;
pub(crate) mod password;
pub(crate) mod payments;
mod policy;
mod proxy;
mod reload;
pub(crate) mod request;
pub(crate) mod sandbox;
mod serve;
mod stop;
mod store;
mod wallet;

/// The money layer for machines that buy from machines
#[derive(Debug, Parser)]
#[command(name = "farthing", version, about, long_about = include_str!("../help/about.txt"))]
#[command(after_help = include_str!("../help/examples.txt"), max_term_width = 98, propagate_version = true)]
pub struct Cli {
    /// How results and errors are written: for people, or one JSON object for programs
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    /// When colours are used; NO_COLOR turns them off too
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sell an HTTP API: a reverse proxy that asks for payment
    Serve(serve::Args),
    /// Call a URL and pay for it if it asks, within a limit
    Request(Box<request::args::Args>),
    /// Run a proxy that pays for any program
    Proxy(Box<proxy::Args>),
    /// Keep the accounts that pay
    Wallet(Box<wallet::Args>),
    /// Show what was paid, and what is not known to be
    Payments(Box<payments::Args>),
    /// Write, check and explain the policy that payments are made within
    Policy(policy::Args),
    /// Keep wallets, holds, budgets, usage and margin, over HTTP
    Billing(billing::Args),
    /// Show what a gateway's store holds and owes, and fence a restored one
    Store(store::Args),
    /// Prove the books of a billing store
    Ledger(ledger::Args),
    /// Run a Tempo chain on this machine, for development
    Sandbox(sandbox::Args),
    /// Show a seller and a buyer working together
    Demo(demo::Args),
    /// Print a configuration to start from
    Config(config::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print man pages, or write them all
    Man(man::Args),
    /// What the exit codes mean
    #[command(long_about = include_str!("../help/exit-codes.txt"))]
    ExitCodes,
}

/// Runs one command line and says how the process ends.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let format = wanted_format(&args);
    wanted_color(&args).apply();
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, format),
    };
    cli.color.apply();
    let output = Output::new(cli.output);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(dispatch(cli.command, output));
            // A read of standard input cannot be cancelled; whatever still waits is left to the end of the process.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(CliError::unexpected("runtime", format!("cannot start: {error}"))),
    };
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit.code())
        }
    }
}

async fn dispatch(command: Command, output: Output) -> Result<Exit, CliError> {
    match command {
        Command::Serve(args) => serve::run(args, output).await,
        Command::Request(args) => request::run(*args, output).await,
        Command::Proxy(args) => proxy::run(*args, output).await,
        Command::Wallet(args) => wallet::run(*args, output).await,
        Command::Payments(args) => payments::run(*args, output).await,
        Command::Policy(args) => policy::run(args, output),
        Command::Billing(args) => billing::run(args, output).await,
        Command::Store(args) => store::run(args, output).await,
        Command::Ledger(args) => ledger::run(args, output).await,
        Command::Sandbox(args) => sandbox::run(args, output).await,
        Command::Demo(args) => demo::run(args, output).await,
        Command::Config(args) => config::run(&args, output),
        Command::Completions(args) => completions::run(&args, output),
        Command::Man(args) => man::run(&args, output),
        Command::ExitCodes => exit_codes(output),
    }
}

fn exit_codes(output: Output) -> Result<Exit, CliError> {
    if output.is_json() {
        let codes: Vec<_> = Exit::ALL
            .iter()
            .map(|e| serde_json::json!({ "code": e.code(), "meaning": e.meaning() }))
            .collect();
        output.json(&codes)?;
    } else {
        output.bytes(include_str!("../help/exit-codes.txt").as_bytes())?;
    }
    Ok(Exit::Ok)
}

/// What `--output` says, even where the rest of the line cannot be read.
fn wanted_format(args: &[OsString]) -> Format {
    // What comes after `--` is another program's.
    let json = args.iter().take_while(|arg| *arg != "--").enumerate().any(|(index, arg)| {
        arg == "--output=json"
            || (arg == "--output" && args.get(index + 1).is_some_and(|next| next == "json"))
    });
    if json { Format::Json } else { Format::Text }
}

/// What `--color` says, likewise.
fn wanted_color(args: &[OsString]) -> Color {
    let said = |value: &OsString| value.to_str().and_then(|value| Color::from_str(value, false).ok());
    let ours = args.iter().take_while(|arg| *arg != "--");
    let color = ours.enumerate().find_map(|(index, arg)| match arg.to_str()?.strip_prefix("--color") {
        Some("") => said(args.get(index + 1)?),
        Some(value) => said(&value.strip_prefix('=')?.into()),
        None => None,
    });
    color.unwrap_or_default()
}

/// Help and version are answers; everything else is a usage error.
fn refuse(error: &clap::Error, format: Format) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) || format == Format::Text {
        // Nobody is left to tell when standard error is closed.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
    }
    let text = error.render().to_string();
    let message = text.lines().next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    Output::new(format).error(&CliError::usage("usage", message).help("see farthing --help"));
    ExitCode::from(Exit::Usage.code())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_well_defined() {
        Cli::command().debug_assert();
    }
}
