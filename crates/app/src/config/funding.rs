//! The tables `[stripe]`, `[chain]`, `[deposits]` and `[treasury]` of billing: where the money of wallets comes from. What is read
//! here is right in form; whether Stripe and the node agree shows when they are asked.

use std::time::Duration;

use alloy_primitives::Address;
use farthing_funding::deposit::keys::DepositKeys;
use farthing_funding::deposit::watcher::WatchedToken;
use farthing_funding::drivers::{DepositConfig, StripeConfig};
use farthing_funding::stripe::StripeKey;
use farthing_money::Amount;
use url::{Host, Url};

use super::read::{Field, Section};
use super::secret::{SecretKeys, Surroundings};
use super::tempo::{SponsorKey, read_chain, read_key};
use super::{token, value};

/// Blocks in which a transfer has to be, when nothing is said.
const CONFIRMATIONS: u64 = 2;
/// The most that can be asked for.
const MAX_CONFIRMATIONS: u64 = 10_000;
/// Less is dust when nothing is said: one cent.
const MINIMUM: Amount = Amount::from_base(10_000);

/// Where money comes from. With neither, only what an operator books comes in.
#[derive(Debug, Default)]
pub struct FundingTables {
    /// Cards.
    pub stripe: Option<StripeConfig>,
    /// A chain.
    pub chain: Option<ChainTables>,
}

/// A chain, and what is done on it.
pub struct ChainTables {
    /// Its id.
    pub chain_id: u64,
    /// Where a node answers.
    pub rpc_url: Url,
    /// Deposits.
    pub deposits: Option<DepositConfig>,
    /// The account that pays for top-ups.
    pub treasury: Option<TreasuryTable>,
}

impl std::fmt::Debug for ChainTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The path and the query of the chain's URL may hold a key.
        let host = self.rpc_url.host_str().unwrap_or("?");
        write!(f, "ChainTables(chain {} at {host})", self.chain_id)
    }
}

/// The account that pays for top-ups in tokens.
#[derive(Debug)]
pub struct TreasuryTable {
    /// Its key.
    pub key: SponsorKey,
    /// Where it pays to.
    pub collect_to: Address,
}

impl FundingTables {
    /// Reads the tables of `root` that there are.
    pub(super) fn read(root: &Section<'_>, around: Surroundings<'_>, warnings: &mut Vec<String>) -> Self {
        let stripe = root.section("stripe").and_then(|section| read_stripe(&section, around, warnings));
        let chain = root.section("chain");
        let chain_id = chain.as_ref().and_then(|section| section.number("chain_id")).map(|field| field.value);
        let deposits = root
            .section("deposits")
            .and_then(|section| read_deposits(&section, chain_id.unwrap_or_default(), around, warnings));
        let treasury = root.section("treasury").and_then(|section| read_treasury(&section, around, warnings));
        let Some(chain) = chain else {
            if (root.has("deposits") || root.has("treasury")) && !root.has("chain") {
                root.missing(
                    "chain",
                    "write [chain] with the chain_id and rpc_url of the chain that is meant",
                );
            }
            return Self { stripe, chain: None };
        };
        let (chain_id, rpc_url) = read_chain(&chain);
        chain.refuse_unknown();
        let chain = chain_id.zip(rpc_url).map(|(chain_id, rpc_url)| ChainTables {
            chain_id,
            rpc_url,
            deposits,
            treasury,
        });
        Self { stripe, chain }
    }
}

fn read_stripe(
    section: &Section<'_>,
    around: Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Option<StripeConfig> {
    let keys = SecretKeys { inline: None, file: "secret_key_file", env: "secret_key_env" };
    if !section.has("secret_key_file") && !section.has("secret_key_env") {
        section.missing("secret_key_file", "the file with a restricted key that may write payment intents");
    }
    let key = around.secret(section, keys).and_then(|found| {
        warnings.extend(found.warning);
        let field = section.text("secret_key_file").or_else(|| section.text("secret_key_env"))?;
        StripeKey::new(&found.secret)
            .map_err(|error| field.fault(format!("what it names is no key: {error}")))
            .ok()
    });
    let url = section.parse("url", stripe_url);
    let timeout = section.number("timeout_ms").and_then(|field| within(&field, 1_000, 600_000));
    section.refuse_unknown();
    let mut stripe = StripeConfig::new(key?);
    if let Some(url) = url {
        stripe.url = url.into();
    }
    if let Some(ms) = timeout {
        stripe.timeout = Duration::from_millis(ms);
    }
    Some(stripe)
}

/// Where the secret key is sent: it travels no open network.
fn stripe_url(text: &str) -> Result<Url, String> {
    let url = value::http_url(text)?;
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "https" || here {
        Ok(url)
    } else {
        Err("would send the secret key without TLS; write https".into())
    }
}

fn read_deposits(
    section: &Section<'_>,
    chain_id: u64,
    around: Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Option<DepositConfig> {
    let keys = read_xpub(section, around, warnings);
    let confirmations = match section.number("confirmations") {
        Some(field) => within(&field, 1, MAX_CONFIRMATIONS),
        None => Some(CONFIRMATIONS),
    };
    let start_block = section.number("start_block").map(|field| field.value);
    let tables = section.sections("tokens");
    if tables.is_empty() {
        section.missing(
            "tokens",
            "which tokens are taken: [[deposits.tokens]] with a token, such as \"PathUSD\"",
        );
    }
    let mut tokens: Vec<WatchedToken> = Vec::new();
    for table in &tables {
        let Some(read) = read_token(table, chain_id) else { continue };
        if tokens.iter().any(|other| other.token == read.token) {
            table.fault("is a token that stands above already");
        }
        tokens.push(read);
    }
    section.refuse_unknown();
    Some(DepositConfig { keys: keys?, tokens, confirmations: confirmations?, start_block })
}

/// The key of the addresses. It can take nothing; it links all customers, which is why a file is preferred.
fn read_xpub(
    section: &Section<'_>,
    around: Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Option<DepositKeys> {
    let field =
        section.text("xpub_file").or_else(|| section.text("xpub_env")).or_else(|| section.text("xpub"));
    if !["xpub_file", "xpub_env", "xpub"].into_iter().any(|key| section.has(key)) {
        section.missing("xpub_file", "the file with the extended public key (xpub\u{2026}) of m/44'/60'/0'");
    }
    let keys = SecretKeys { inline: Some("xpub"), file: "xpub_file", env: "xpub_env" };
    let found = around.secret(section, keys)?;
    warnings.extend(found.warning);
    let read = DepositKeys::from_xpub(&found.secret);
    read.map_err(|error| field.into_iter().for_each(|field| field.fault(error.to_string()))).ok()
}

fn read_token(table: &Section<'_>, chain_id: u64) -> Option<WatchedToken> {
    let purpose = format!("the token: its address, or a name ({})", token::names(chain_id));
    let token = table.require("token", &purpose, |text| token::find(text, chain_id));
    let minimum = match table.has("minimum") {
        true => table.parse("minimum", value::amount),
        false => Some(MINIMUM),
    };
    table.refuse_unknown();
    Some(WatchedToken { token: token?.address, minimum: minimum? })
}

fn read_treasury(
    section: &Section<'_>,
    around: Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Option<TreasuryTable> {
    let purpose = "another account of yours, which is no deposit address: 0x and 40 hex digits";
    let collect_to = section.require("collect_to", purpose, |text| {
        let address = value::address(text)?;
        if address.is_zero() {
            Err("is the zero address, from which money never returns".into())
        } else {
            Ok(address)
        }
    });
    let key = read_key(section, around, warnings, "the treasury's key");
    section.refuse_unknown();
    Some(TreasuryTable { key: key?, collect_to: collect_to? })
}

/// The number, when it is one of these.
fn within(field: &Field<'_, u64>, least: u64, most: u64) -> Option<u64> {
    if (least..=most).contains(&field.value) {
        return Some(field.value);
    }
    field.fault(format!("is {least} to {most}"));
    None
}
