//! `farthing wallet`: keys on disk, and the money that they hold.

use std::path::PathBuf;

use alloy_primitives::{Address, B256};
use clap::Subcommand;
use farthing_client::Keystore;
use farthing_client::keystore::KeyInfo;

use super::network::NetworkArgs;
use super::password::PasswordArgs;
use crate::config::value;
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::wire::wallets;

mod balance;
mod fund;
mod keys;
mod send;

#[derive(Debug, clap::Args)]
#[command(after_long_help = include_str!("../../help/wallet.txt"))]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a wallet
    New {
        /// What it is called
        #[arg(default_value = "default")]
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Keep a private key that you have already; it is read from a file, standard input or a prompt
    Import(ImportArgs),
    /// Show all wallets
    List,
    /// Show a wallet's address
    Address {
        /// Which wallet
        name: Option<String>,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Show what a wallet holds, on one chain or on all that are known
    Balance {
        /// Which wallet, or an address
        name: Option<String>,
        #[command(flatten)]
        network: NetworkArgs,
        /// One token only: an address or a name
        #[arg(long)]
        token: Option<String>,
    },
    /// Get play money, on the sandbox or the testnet
    Fund {
        /// Which wallet, or an address
        name: Option<String>,
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// Send money
    Send(SendArgs),
    /// Show a wallet's private key
    Export {
        /// Which wallet
        name: Option<String>,
        /// The encrypted file instead of the key
        #[arg(long)]
        encrypted: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Remove a wallet for good
    Remove {
        /// Which wallet
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// What it is to be called
    name: String,
    /// Never given here: a key on the command line is seen by other processes and kept by the shell
    #[arg(hide = true)]
    key: Option<String>,
    /// The file with the key in hexadecimal; - is standard input
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Debug, clap::Args)]
struct SendArgs {
    /// How much, such as 2.50
    #[arg(value_parser = value::amount)]
    amount: farthing_money::Amount,
    /// To whom: 0x and 40 hex digits
    #[arg(value_parser = value::address)]
    to: Address,
    /// From which wallet
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Which token: an address or a name; the chain's first dollar token otherwise
    #[arg(long)]
    token: Option<String>,
    /// What the transfer says: 0x and 64 hex digits
    #[arg(long, value_name = "HEX", value_parser = memo)]
    memo: Option<B256>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

fn memo(text: &str) -> Result<B256, String> {
    value::memo(text).map(B256::from)
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let keystore = wallets::keystore()?;
    match args.command {
        Command::New { name, password } => keys::create(&keystore, &name, &password, output),
        Command::Import(args) => keys::import(&keystore, &args, output),
        Command::List => keys::list(&keystore, output),
        Command::Address { name, password } => {
            keys::show_address(&keystore, name.as_deref(), &password, output)
        }
        Command::Balance { name, network, token } => {
            let holder = holder(&keystore, name.as_deref())?;
            balance::run(holder, &network, token.as_deref(), output).await
        }
        Command::Fund { name, network } => {
            fund::run(holder(&keystore, name.as_deref())?, &network, output).await
        }
        Command::Send(args) => send::run(keystore, args, output).await,
        Command::Export { name, encrypted, yes, password } => {
            let what = if encrypted { keys::Exported::Encrypted } else { keys::Exported::Plain };
            keys::export(
                &keystore,
                name.as_deref(),
                &keys::Export { what, consent: yes.into(), password },
                output,
            )
        }
        Command::Remove { name, yes } => keys::remove(&keystore, &name, yes.into(), output),
    }?;
    Ok(Exit::Ok)
}

/// Whose money a command looks at: an account, and the wallet that it belongs to, if it is one of ours.
#[derive(Debug, Clone)]
struct Holder {
    name: Option<String>,
    address: Address,
}

fn holder(keystore: &Keystore, named: Option<&str>) -> Result<Holder, CliError> {
    if let Some(text) = named.filter(|text| text.starts_with("0x")) {
        let address = value::address(text).map_err(|message| CliError::usage("address", message))?;
        return Ok(Holder { name: None, address });
    }
    let info = wallets::pick(keystore, named)?;
    Ok(Holder { name: Some(info.name.to_string()), address: address_of(&info)? })
}

fn address_of(info: &KeyInfo) -> Result<Address, CliError> {
    let address = info.address.ok_or_else(|| {
        CliError::usage(
            "key_without_address",
            format!("the file of wallet {} does not tell its address", info.name),
        )
        .help(format!("farthing wallet address {} unlocks it and shows the address", info.name))
    })?;
    Ok(Address::from(address.bytes()))
}
