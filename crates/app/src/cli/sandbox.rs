//! `farthing sandbox`: a Tempo chain model on a port of this machine, until it is told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anstyle::Style;
use farthing_protocol::ports::Clock;
use farthing_sandbox::genesis::{DEV_ACCOUNTS, TOKENS};
use farthing_sandbox::{BlockTime, RunningSandbox, Sandbox, SandboxConfig};
use serde_json::json;

use super::stop::Stop;
use crate::clock::SystemClock;
use crate::config::{network, value};
use crate::error::{CliError, Exit};
use crate::output::{Align, Output, Table, paint, style};

#[derive(Debug, clap::Args)]
#[command(after_long_help = include_str!("../help/sandbox.txt"))]
pub struct Args {
    /// Listen on this port of this machine; 0 takes a free one
    #[arg(long, default_value_t = 8545)]
    port: u16,
    /// The chain's id; the ids of networks with real money are refused
    #[arg(long, value_name = "ID", default_value_t = network::SANDBOX.chain_id)]
    chain_id: u64,
    /// Make a block this often, such as 1s; without it, as soon as there is a transaction
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    block_time: Option<Duration>,
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    super::log::start(output);
    let config = SandboxConfig {
        chain_id: args.chain_id,
        listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), args.port),
        block_time: args.block_time.map_or(BlockTime::Instant, BlockTime::Every),
        ..SandboxConfig::default()
    };
    let sandbox = start(config).await?;
    let stop = Stop::listen()?;
    introduce(&sandbox, output)?;
    stop.asked().await;
    output.note("stopping; this chain and everything on it is gone");
    sandbox.shutdown().await;
    Ok(Exit::Ok)
}

/// Starts a sandbox on the system's clock.
pub async fn start(config: SandboxConfig) -> Result<RunningSandbox, CliError> {
    Sandbox::start(config, || SystemClock.now().as_ms()).await.map_err(CliError::from)
}

fn introduce(sandbox: &RunningSandbox, output: Output) -> Result<(), CliError> {
    let (url, chain_id) = (sandbox.url(), sandbox.chain_id());
    if output.is_json() {
        let tokens: Vec<_> =
            TOKENS.iter().map(|(address, name)| json!({ "name": name, "address": address })).collect();
        return output.json(&json!({
            "sandbox": true, "rpc_url": url, "chain_id": chain_id, "tokens": tokens, "accounts": DEV_ACCOUNTS,
        }));
    }
    output.line(format_args!(
        "{}  chain {chain_id} at {}",
        paint(style::TITLE, "Farthing sandbox"),
        paint(style::MONEY, &url)
    ))?;
    output.line("A model of a Tempo chain for development. Its money is worth nothing.")?;
    let mut table = Table::default();
    for (address, name) in TOKENS {
        table.row([
            (name.to_owned(), Style::new(), Align::Left),
            (address.to_string(), style::DIM, Align::Left),
        ]);
    }
    output.line("\nTokens, with 6 decimals:")?;
    print_lines(&table, output)?;
    let mut table = Table::default();
    for (index, address) in DEV_ACCOUNTS.iter().enumerate() {
        table.row([
            (format!("({index})"), style::DIM, Align::Left),
            (address.to_string(), Style::new(), Align::Left),
        ]);
    }
    output.line("\nAccounts with play money, of the public mnemonic `test test test test test test test test test test test junk`:")?;
    print_lines(&table, output)?;
    let rpc = if url == network::SANDBOX.rpc_url { String::new() } else { format!(" --rpc-url {url}") };
    output.line(format_args!("\nNext: farthing wallet new agent && farthing wallet fund agent{rpc}"))?;
    output.line("Ready. Ctrl-C stops it.")
}

fn print_lines(table: &Table, output: Output) -> Result<(), CliError> {
    table.lines().into_iter().try_for_each(|line| output.line(line))
}
