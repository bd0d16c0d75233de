//! The buyer: an agent that pays from a wallet, within the policy that the command line says.

use std::sync::Arc;
use std::time::Duration;

use farthing_client::{Agent, AgentBuilder, IdempotencyKeys, Redirects};
use farthing_protocol::flow::payer::PayerFlow;
use farthing_rails::prepaid::PrepaidPayer;
use farthing_rails::tempo::PayMode;

use super::lazy::{LazyPayer, LockedKey, PayerOptions};
use super::policy::{self, Cap, Loaded};
use super::{balance, journal, wallet, wallets};
use crate::billing::wallet::ServiceWallet;
use crate::cli::charge::ServiceArgs;
use crate::cli::network::NetworkArgs;
use crate::cli::password::PasswordArgs;
use crate::cli::request::args::{Args, Mode, PayingArgs};
use crate::cli::request::ask::Ask;
use crate::clock::SystemClock;
use crate::error::CliError;
use crate::output::Output;

/// The most redirects that one call follows, as curl has it by default.
const MAX_REDIRECTS: u8 = 50;

/// An agent for one `farthing request`.
///
/// # Errors
/// [`CliError`] for arguments that do not fit together.
pub async fn agent(args: &Args, output: Output) -> Result<Agent, CliError> {
    let redirects =
        if args.location { Redirects::Follow { at_most: MAX_REDIRECTS } } else { Redirects::Return };
    let loaded = policy::load(args.paying.policy.as_deref())?;
    let mut builder =
        build(&args.paying, Unlock::AtFirstPayment, loaded.as_ref()).await?.redirects(redirects);
    if let Some(loaded) = loaded {
        builder = builder.consent(Arc::new(Ask::new(loaded.approvals, output)));
    }
    builder.build().map_err(|error| CliError::unexpected("http_client", error.to_string()))
}

/// When the wallet's password is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlock {
    /// Most calls cost nothing.
    AtFirstPayment,
    /// Later there is nobody to ask.
    Now,
}

/// What pays as the arguments say. How it reaches servers is the caller's to adjust.
///
/// # Errors
/// [`CliError`] for arguments that do not fit together.
pub async fn builder(paying: &PayingArgs, unlock: Unlock) -> Result<AgentBuilder, CliError> {
    build(paying, unlock, policy::load(paying.policy.as_deref())?.as_ref()).await
}

async fn build(
    paying: &PayingArgs,
    unlock: Unlock,
    loaded: Option<&Loaded>,
) -> Result<AgentBuilder, CliError> {
    // What is wrong with the command line is said before anybody is asked.
    let balance = paying.balance.as_deref().map(balance::read).transpose()?;
    let wallet = wallet::to_charge(&paying.charge).await?;
    let chains = paying.network.all().await?;
    // A process that stays makes many calls: what may be spent is then said for all of them together.
    let cap = if unlock == Unlock::Now { Cap::Run } else { Cap::Call };
    let policy = policy::of(paying, loaded, &chains, cap)?;
    let mode = match paying.mode {
        Some(Mode::Push) => PayMode::PreferPush,
        Some(Mode::Pull) | None => PayMode::PreferPull,
    };
    let keystore = wallets::keystore()?;
    let info = match (wallets::pick(&keystore, paying.key.as_deref()), &paying.key) {
        // A wallet that was named and is not there is a mistake even where nothing is to be paid.
        (Err(error), Some(_)) => return Err(error),
        (info, _) => info,
    };
    let key = LockedKey { keystore, info, password: paying.password.clone() };
    let payer = LazyPayer::new(PayerOptions { chains, mode }, key);
    if unlock == Unlock::Now {
        payer.unlock_now().await?;
    }
    let builder = charged(Agent::builder(Arc::new(SystemClock)), wallet);
    let vendors = loaded.iter().flat_map(|loaded| &loaded.file.vendors);
    let builder = vendors.fold(builder, |builder, vendor| builder.vendor(vendor.clone()));
    // A balance is asked first: it was paid for already.
    let builder = match balance {
        Some(account) => builder.payer(Arc::new(PrepaidPayer::new(account))),
        None => builder,
    };
    Ok(builder
        .payer(Arc::new(payer))
        .policy(policy)
        .spend_book(Arc::new(policy::run_book()?))
        .journal(Arc::new(journal::open()?))
        .max_wait(patience(paying, loaded))
        .idempotency_keys(keys(paying, loaded)))
}

/// With the wallet that calls are charged to; and wherever the service is known, what it is still to be told is told.
fn charged(builder: AgentBuilder, wallet: Option<Arc<ServiceWallet>>) -> AgentBuilder {
    match wallet {
        Some(wallet) => builder.wallet(wallet),
        None => builder,
    }
}

/// The command line goes before the file: how long to wait is no limit on what is paid.
fn patience(paying: &PayingArgs, loaded: Option<&Loaded>) -> Duration {
    let said = paying.max_wait.or_else(|| loaded.and_then(|loaded| loaded.file.max_wait));
    said.unwrap_or(Duration::from_millis(PayerFlow::MAX_WAIT_MS))
}

fn keys(paying: &PayingArgs, loaded: Option<&Loaded>) -> IdempotencyKeys {
    if paying.no_idempotency_key {
        return IdempotencyKeys::Leave;
    }
    loaded.map_or(IdempotencyKeys::Add, |loaded| loaded.file.keys)
}

/// An agent that pays nothing: it looks up what became of payments, and needs no wallet for it.
///
/// # Errors
/// [`CliError`] for a chain that cannot be reached.
pub async fn observer(network: &NetworkArgs, service: ServiceArgs) -> Result<Agent, CliError> {
    let chains = network.all().await?;
    let keystore = wallets::keystore()?;
    let info = wallets::pick(&keystore, None);
    let key = LockedKey { keystore, info, password: PasswordArgs::default() };
    let payer = LazyPayer::new(PayerOptions { chains, mode: PayMode::PreferPull }, key);
    let builder = charged(Agent::builder(Arc::new(SystemClock)), wallet::to_tell(service).await?);
    let builder = builder
        .payer(Arc::new(payer))
        .spend_book(Arc::new(policy::book()?))
        .journal(Arc::new(journal::open()?));
    builder.build().map_err(|error| CliError::unexpected("http_client", error.to_string()))
}
