//! `farthing billing`: wallets, holds, budgets, usage and margin over HTTP. It wires a store, the API and what works beside it;
//! no rule about money is here.

use std::path::PathBuf;

use clap::Subcommand;

use crate::error::{CliError, Exit};
use crate::output::Output;

mod collect;
mod collections;
mod init;
mod serve;
mod work;
mod world;

pub use world::System;

#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../../help/billing.txt"))]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a tenant in a store, and its first API key, which is shown once
    Init(init::Args),
    /// Serve the API
    Serve(serve::Args),
    /// Bring what lies at customers' deposit addresses to an account of yours
    Collect(Box<collect::Args>),
    /// List what was collected, from its record
    Collections(collections::Args),
    /// Print the OpenAPI document of the API
    Openapi,
}

/// Which store.
#[derive(Debug, clap::Args)]
struct Place {
    /// The store: a file, or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    store: Option<String>,
    /// The configuration file, which says where the store is
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    match args.command {
        Command::Init(args) => init::run(args, output).await,
        Command::Serve(args) => serve::run(args, output).await,
        Command::Collect(args) => collect::run(*args, output).await,
        Command::Collections(args) => collections::run(args, output).await,
        Command::Openapi => openapi(output),
    }
}

fn openapi(output: Output) -> Result<Exit, CliError> {
    let document = farthing_api::openapi::document(&farthing_api::v1::operations());
    let text = serde_json::to_string_pretty(&document).map_err(|error| {
        CliError::unexpected("openapi", format!("the document cannot be written: {error}"))
    })?;
    output.bytes(format!("{text}\n").as_bytes())?;
    Ok(Exit::Ok)
}

impl Place {
    fn config(&self) -> Result<crate::config::billing::BillingConfig, CliError> {
        crate::config::billing::load(self.config.as_deref(), self.store.as_deref())
    }
}
