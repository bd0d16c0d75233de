//! `farthing wallet fund`: play money from a chain's faucet, and what to do where there is none.

use std::time::Duration;

use alloy_primitives::B256;
use farthing_rails::tempo::{RpcError, Wallet};
use serde_json::json;

use super::{Holder, balance};
use crate::cli::network::{NetworkArgs, Reach};
use crate::config::network::{MAINNET, MODERATO};
use crate::error::{CliError, Exit};
use crate::output::{Output, paint, style};

/// How often a faucet's transactions are looked for, and how long apart.
const LOOKS: u32 = 60;
const APART: Duration = Duration::from_millis(250);

pub async fn run(holder: Holder, network: &NetworkArgs, output: Output) -> Result<(), CliError> {
    let reach = network.or_sandbox().await?;
    if reach.chain_id == MAINNET.chain_id {
        return Err(CliError::usage("no_faucet", "there is no play money on Tempo mainnet")
            .help(format!("send USDC.e on Tempo to {}, from an exchange or a bridge; farthing wallet balance shows when it is there", holder.address)));
    }
    let hashes = output.progress("asking the faucet", faucet(&reach, &holder)).await?;
    output.progress("waiting for the money", arrive(&reach, &hashes)).await?;
    if output.is_json() {
        return output.json(&json!({
            "name": holder.name, "address": holder.address, "chain_id": reach.chain_id, "transactions": hashes,
        }));
    }
    output.note(format_args!("{} {} on {}", paint(style::GOOD, "funded"), holder.address, reach.name()));
    let here = NetworkArgs { chain_id: Some(reach.chain_id), rpc_url: network.rpc_url.clone() };
    balance::run(holder, &here, None, output).await
}

async fn faucet(reach: &Reach, holder: &Holder) -> Result<Vec<B256>, CliError> {
    reach.rpc.expect_chain(reach.chain_id).await?;
    reach.rpc.request("tempo_fundAddress", json!([holder.address])).await.map_err(|error| match error {
        RpcError::MethodMissing { .. } => {
            CliError::usage("no_faucet", format!("{} gives no play money through this port", reach.name()))
                .help(format!(
                    "send some to {} yourself; on the testnet ({}) the public port has a faucet",
                    holder.address, MODERATO.chain_id
                ))
        }
        error => error.into(),
    })
}

async fn arrive(reach: &Reach, hashes: &[B256]) -> Result<(), CliError> {
    let wallet = Wallet::new(reach.chain_id, reach.rpc.clone());
    for hash in hashes {
        let mut looks = 0;
        while wallet.receipt(*hash).await?.is_none() {
            looks += 1;
            if looks == LOOKS {
                return Err(CliError::new(
                    Exit::Unknown,
                    "faucet_slow",
                    format!("the faucet's transaction {hash} is not in a block yet"),
                )
                .help("look later: farthing wallet balance"));
            }
            tokio::time::sleep(APART).await;
        }
    }
    Ok(())
}
