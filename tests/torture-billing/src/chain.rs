//! [`Chain`]: the sandbox chain of a run, on which deposits are sent and taken back by reorganisations.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::process::Child;

use crate::served::{self, Settings};
use crate::world::TOKEN_ADDRESS;

/// Its id, and its name in billing.
pub const CHAIN_ID: u64 = 1337;
/// See [`CHAIN_ID`].
pub const NETWORK: &str = "eip155:1337";

/// A chain. It ends with its owner.
pub struct Chain {
    _child: Child,
    /// Where it answers.
    pub url: String,
    http: reqwest::Client,
}

/// What happened on a chain.
#[derive(Debug, Clone, Copy, Default)]
pub struct Happened {
    /// Transfers to customers, those that were taken back included.
    pub sent: usize,
    /// How often blocks were replaced.
    pub reorganised: usize,
}

impl Chain {
    /// Starts it.
    ///
    /// # Errors
    /// A sentence.
    pub async fn start(settings: &Settings) -> Result<Self, String> {
        let (child, ready) = served::start(settings, &["sandbox", "--port", "0"]).await?;
        let url = ready["rpc_url"].as_str().ok_or("a chain without an address")?.to_owned();
        let http = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        Ok(Self { _child: child, url, http })
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let sent = self.http.post(&self.url).json(&body).send().await.map_err(|error| error.to_string())?;
        let answer: Value = sent.json().await.map_err(|error| error.to_string())?;
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(format!("{method}: {answer}")),
        }
    }

    async fn send(&self, to: &str, amount: u128) -> Result<(), String> {
        let params = json!([to, TOKEN_ADDRESS, format!("{amount:#x}")]);
        self.call("sandbox_fund", params).await.map(drop)
    }

    async fn height(&self) -> Result<u64, String> {
        number(&self.call("eth_blockNumber", json!([])).await?)
    }

    /// Makes empty blocks.
    ///
    /// # Errors
    /// A sentence.
    pub async fn mine(&self, blocks: u64) -> Result<(), String> {
        self.call("anvil_mine", json!([format!("{blocks:#x}")])).await.map(drop)
    }

    /// What an address has: all that was ever sent to it, for nobody sweeps it here.
    ///
    /// # Errors
    /// A sentence.
    pub async fn balance(&self, address: &str) -> Result<u128, String> {
        let data = format!("0x70a08231{:0>64}", address.trim_start_matches("0x"));
        let found = self.call("eth_call", json!([{ "to": TOKEN_ADDRESS, "data": data }, "latest"])).await?;
        let digits = found.as_str().unwrap_or_default().trim_start_matches("0x");
        u128::from_str_radix(digits.trim_start_matches('0'), 16).or_else(|_| match digits {
            "" => Err(format!("no balance: {found}")),
            _ => Ok(0),
        })
    }

    /// Sends deposits to `addresses`, and now and then replaces the last blocks by others, until it is told to stop.
    ///
    /// # Errors
    /// A sentence.
    pub async fn live(&self, seed: u64, addresses: &[String], stop: &AtomicBool) -> Result<Happened, String> {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut happened = Happened::default();
        while !stop.load(Ordering::SeqCst) {
            if dice.random_range(0..12) == 0 {
                happened.sent += self.reorganise(&mut dice, addresses).await?;
                happened.reorganised += 1;
            } else {
                self.deposit(&mut dice, addresses).await?;
                happened.sent += 1;
            }
            pause(&mut dice, 150).await;
        }
        // What came last has its confirmations.
        self.mine(8).await?;
        Ok(happened)
    }

    async fn deposit(&self, dice: &mut StdRng, addresses: &[String]) -> Result<(), String> {
        let to = &addresses[dice.random_range(0..addresses.len())];
        self.send(to, dice.random_range(20_000..5_000_000)).await
    }

    /// Blocks with deposits, long enough that some are credited, and then others in their place: with some of the deposits, or none.
    async fn reorganise(&self, dice: &mut StdRng, addresses: &[String]) -> Result<usize, String> {
        let snapshot = self.call("evm_snapshot", json!([])).await?;
        let lost = dice.random_range(1..5);
        for _ in 0..lost {
            self.deposit(dice, addresses).await?;
            pause(dice, 400).await;
        }
        self.mine(2).await?;
        pause(dice, 2_500).await;
        let height = self.height().await?;
        if self.call("evm_revert", json!([snapshot])).await? != json!(true) {
            return Err("blocks cannot be taken back".to_owned());
        }
        let again = dice.random_range(0..3);
        for _ in 0..again {
            self.deposit(dice, addresses).await?;
        }
        // A chain is replaced by a longer one.
        let now = self.height().await?;
        self.mine((height + 2).saturating_sub(now)).await?;
        Ok(lost + again)
    }
}

async fn pause(dice: &mut StdRng, most_ms: u64) {
    tokio::time::sleep(Duration::from_millis(dice.random_range(0..most_ms))).await;
}

fn number(value: &Value) -> Result<u64, String> {
    let digits = value.as_str().unwrap_or_default().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).map_err(|_| format!("no number: {value}"))
}
