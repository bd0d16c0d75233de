//! `farthing wallet balance`.

use std::time::Duration;

use alloy_primitives::Address;
use farthing_money::{Amount, Money};
use farthing_rails::tempo::Wallet;
use serde_json::{Value, json};

use super::Holder;
use crate::cli::network::{NetworkArgs, Reach};
use crate::config::token;
use crate::error::CliError;
use crate::output::{Align, Output, Table, paint, style};

/// How long one chain may take where all are asked.
const PATIENCE: Duration = Duration::from_secs(8);

/// What a chain said.
struct Answer {
    reach: Reach,
    held: Result<Vec<(Address, Money)>, CliError>,
}

pub async fn run(
    holder: Holder,
    network: &NetworkArgs,
    token: Option<&str>,
    output: Output,
) -> Result<(), CliError> {
    let asked_one = network.is_given();
    let reaches = network.all().await?;
    let asking = reaches.into_iter().map(|reach| ask(reach, holder.address, token));
    let answers = output.progress("asking the chains", futures_util::future::join_all(asking)).await;
    if asked_one
        && let Some(Answer { held: Err(error), .. }) = answers.iter().find(|answer| answer.held.is_err())
    {
        return Err(error.clone());
    }
    if answers.iter().all(|answer| answer.held.is_err()) {
        let first = answers.into_iter().find_map(|answer| answer.held.err());
        return Err(first.unwrap_or_else(|| CliError::unexpected("no_chain", "no chain was asked")));
    }
    if output.is_json() {
        let chains: Vec<Value> = answers.iter().map(to_json).collect();
        return output.json(&json!({ "name": holder.name, "address": holder.address, "chains": chains }));
    }
    output.note(format_args!("{} {}", holder.name.unwrap_or_default(), holder.address));
    answers.iter().try_for_each(|answer| print(answer, output))
}

async fn ask(mut reach: Reach, account: Address, token: Option<&str>) -> Answer {
    reach.rpc = reach.rpc.with_timeout(PATIENCE);
    let held = held(&reach, account, token).await;
    Answer { reach, held }
}

async fn held(
    reach: &Reach,
    account: Address,
    token: Option<&str>,
) -> Result<Vec<(Address, Money)>, CliError> {
    let tokens = match token {
        Some(text) => {
            let found =
                token::find(text, reach.chain_id).map_err(|message| CliError::usage("token", message))?;
            vec![found.address]
        }
        None => token::dollars(reach.chain_id),
    };
    let wallet = Wallet::new(reach.chain_id, reach.rpc.clone());
    let mut held = Vec::new();
    for address in tokens {
        match wallet.balance(address, account).await {
            Ok(amount) => held.push((address, Money::new(amount, wallet.asset(address)))),
            // A token that this chain does not have is no reason to hide the others.
            Err(farthing_rails::tempo::WalletError::Rpc(farthing_rails::tempo::RpcError::Rejected {
                ..
            })) if token.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(held)
}

fn print(answer: &Answer, output: Output) -> Result<(), CliError> {
    let held = match &answer.held {
        Ok(held) => held,
        Err(error) => {
            output.note(format_args!(
                "{}: {}",
                answer.reach.name(),
                paint(style::DIM, format_args!("not reached: {error}"))
            ));
            return Ok(());
        }
    };
    output.line(paint(style::TITLE, answer.reach.name()))?;
    let mut table = Table::default();
    for (address, money) in held.iter().filter(|(_, money)| money.amount() > Amount::ZERO || held.len() == 1)
    {
        let asset = money.asset();
        table.row([
            (money.amount().to_decimal(asset.scale()), style::MONEY, Align::Right),
            (asset.code().to_owned(), style::TITLE, Align::Left),
            (address.to_string(), style::DIM, Align::Left),
        ]);
    }
    let lines = table.lines();
    if lines.is_empty() {
        return output.line("  nothing");
    }
    lines.into_iter().try_for_each(|line| output.line(line))
}

fn to_json(answer: &Answer) -> Value {
    let chain = json!({ "chain_id": answer.reach.chain_id, "name": answer.reach.name() });
    let mut chain = chain;
    match &answer.held {
        Ok(held) => {
            chain["balances"] = held
                .iter()
                .map(|(address, money)| {
                    let asset = money.asset();
                    json!({
                        "token": address, "asset": asset.code(), "amount": money.amount().to_decimal(asset.scale()),
                        "amount_base": money.amount(),
                    })
                })
                .collect();
        }
        Err(error) => chain["error"] = error.to_json()["error"].clone(),
    }
    chain
}
