//! The buyer: an agent that pays from a wallet, within the policy that the command line says.

use std::sync::Arc;

use farthing_client::{Agent, Policy, Redirects};
use farthing_rails::tempo::{PayMode, network, tokens};

use super::lazy::{LazyPayer, LockedKey, PayerOptions};
use super::wallets;
use crate::cli::network::Reach;
use crate::cli::payments;
use crate::cli::request::args::{Args, Mode, PayingArgs};
use crate::clock::SystemClock;
use crate::config::token;
use crate::error::CliError;

/// The most redirects that one call follows, as curl has it by default.
const MAX_REDIRECTS: u8 = 50;

/// An agent for one `farthing request`.
///
/// # Errors
/// [`CliError`] for arguments that do not fit together.
pub async fn agent(args: &Args) -> Result<Agent, CliError> {
    let paying = &args.paying;
    let chains = paying.network.all().await?;
    let policy = policy(paying, &chains)?;
    let mode = match paying.mode {
        Some(Mode::Push) => PayMode::PreferPush,
        Some(Mode::Pull) | None => PayMode::PreferPull,
    };
    let keystore = wallets::keystore()?;
    let info = match (wallets::pick(&keystore, paying.wallet.as_deref()), &paying.wallet) {
        // A wallet that was named and is not there is a mistake even where nothing is to be paid.
        (Err(error), Some(_)) => return Err(error),
        (info, _) => info,
    };
    let key = LockedKey { keystore, info, password: paying.password.clone() };
    let payer = LazyPayer::new(PayerOptions { chains, mode }, key);
    let redirects =
        if args.location { Redirects::Follow { at_most: MAX_REDIRECTS } } else { Redirects::Return };
    let builder = Agent::builder(Arc::new(SystemClock))
        .payer(Arc::new(payer))
        .policy(policy)
        .redirects(redirects)
        .journal(Arc::new(payments::journal()?));
    builder.build().map_err(|error| CliError::unexpected("http_client", error.to_string()))
}

fn policy(paying: &PayingArgs, chains: &[Reach]) -> Result<Policy, CliError> {
    let mut policy = Policy::builder().max_total(&paying.max_spend)?;
    for reach in chains {
        for token in token::dollars(reach.chain_id) {
            policy = policy.dollar_token(&network(reach.chain_id), &tokens::lower(token));
        }
    }
    for host in &paying.allow_host {
        policy = policy.allow_host(host)?;
    }
    for recipient in &paying.allow_recipient {
        policy = policy.allow_recipient(&tokens::lower(*recipient));
    }
    for realm in &paying.allow_realm {
        policy = policy.allow_realm(realm);
    }
    if paying.allow_plaintext {
        policy = policy.allow_plaintext();
    }
    Ok(policy.build())
}
