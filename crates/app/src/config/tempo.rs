//! The `[tempo]` table: the chain, the account that is paid, the token, and who pays fees.

use std::path::PathBuf;

use alloy_primitives::Address;
use farthing_money::Amount;
use farthing_rails::tempo::PrivateKey;
use url::Url;
use zeroize::Zeroizing;

use super::network;
use super::read::Section;
use super::refund::RefundConfig;
use super::secret::{SecretKeys, Surroundings, open_to_others, read_secret};
use super::token;
use super::value;

/// What is taken, where.
pub struct TempoConfig {
    /// The chain's JSON-RPC port.
    pub rpc_url: Url,
    /// Its id; checked against the chain at start.
    pub chain_id: u64,
    /// Who is paid.
    pub recipient: Address,
    /// The token.
    pub currency: token::Currency,
    /// How buyers may pay, unless a route says otherwise.
    pub modes: Modes,
    /// The account that pays fees for buyers on sponsored routes.
    pub sponsor: Option<SponsorConfig>,
    /// The account that gives payments back.
    pub refunds: Option<RefundConfig>,
}

impl std::fmt::Debug for TempoConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The path and the query of the chain's URL may hold a key.
        let host = self.rpc_url.host_str().unwrap_or("?");
        write!(f, "TempoConfig(chain {} at {host}, for {})", self.chain_id, self.recipient)
    }
}

/// How buyers may pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Modes {
    /// Both.
    PullAndPush,
    /// A signed transaction that the gateway broadcasts.
    Pull,
    /// A transaction that the buyer has broadcast.
    Push,
}

/// The account that pays fees.
#[derive(Debug)]
pub struct SponsorConfig {
    /// Its key.
    pub key: SponsorKey,
    /// The most that it pays a day, in whole dollars at six decimals.
    pub budget_per_day: Amount,
}

/// Where the key of an account of the gateway's is: one that pays fees, or one that gives back.
pub enum SponsorKey {
    /// The key itself.
    Plain(PrivateKey),
    /// An encrypted keystore file and its password.
    Keystore {
        /// The file.
        path: PathBuf,
        /// Its password.
        password: Zeroizing<String>,
    },
}

impl std::fmt::Debug for SponsorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SponsorKey(redacted)")
    }
}

impl TempoConfig {
    pub(super) fn read(
        section: &Section<'_>,
        around: Surroundings<'_>,
        warnings: &mut Vec<String>,
    ) -> Option<Self> {
        let (chain_id, rpc_url) = read_chain(section);
        let recipient =
            section.require("recipient", "the account that is paid: 0x and 40 hex digits", |text| {
                let address = value::address(text)?;
                if address.is_zero() {
                    Err("is the zero address, from which money never returns".into())
                } else {
                    Ok(address)
                }
            });
        let names = chain_id.map(token::names).unwrap_or_default();
        let purpose = format!("the token that is taken: its address, or a name ({names})");
        let currency =
            section.require("currency", &purpose, |text| token::find(text, chain_id.unwrap_or_default()));
        let modes = read_modes(section).unwrap_or(Modes::PullAndPush);
        let sponsor = section.section("sponsor").and_then(|section| {
            let sponsor = read_sponsor(&section, around, warnings);
            section.refuse_unknown();
            sponsor
        });
        let refunds =
            section.section("refunds").and_then(|section| RefundConfig::read(&section, around, warnings));
        section.refuse_unknown();
        Some(Self {
            rpc_url: rpc_url?,
            chain_id: chain_id?,
            recipient: recipient?,
            currency: currency?,
            modes,
            sponsor,
            refunds,
        })
    }
}

/// `chain_id`, and `rpc_url` or the public port of a chain that is known.
pub(super) fn read_chain(section: &Section<'_>) -> (Option<u64>, Option<Url>) {
    if !section.has("chain_id") {
        section.missing("chain_id", "which chain: 4217 (mainnet), 42431 (testnet) or 1337 (sandbox)");
    }
    let chain_id = section.number("chain_id").map(|field| field.value);
    let rpc_url = section.parse("rpc_url", value::rpc_url).or_else(|| {
        let known = chain_id.and_then(network::by_id).and_then(|network| Url::parse(network.rpc_url).ok());
        if known.is_none() && chain_id.is_some() && !section.has("rpc_url") {
            section.missing("rpc_url", "this chain has no public RPC port that is known here; write its URL");
        }
        known
    });
    (chain_id, rpc_url)
}

/// `modes`, where the section has it.
pub(super) fn read_modes(section: &Section<'_>) -> Option<Modes> {
    let fields = section.texts("modes")?;
    let (mut pull, mut push) = (false, false);
    for field in &fields {
        match field.value {
            "pull" => pull = true,
            "push" => push = true,
            other => field.fault(format!("{other:?} is not a mode; there are \"pull\" and \"push\"")),
        }
    }
    if fields.is_empty() {
        section.missing("modes[0]", "a list of modes has at least one of \"pull\" and \"push\"");
    }
    match (pull, push) {
        (true, true) => Some(Modes::PullAndPush),
        (true, false) => Some(Modes::Pull),
        (false, true) => Some(Modes::Push),
        (false, false) => None,
    }
}

fn read_sponsor(
    section: &Section<'_>,
    around: Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Option<SponsorConfig> {
    let budget_per_day =
        section.require("budget_per_day", "the most that fees may cost a day, such as \"5.00\"", |text| {
            let amount = value::amount(text)?;
            if amount.is_zero() { Err("is nothing, so no fee could be paid".into()) } else { Ok(amount) }
        });
    let key = read_key(section, around, warnings, "the sponsor's key");
    Some(SponsorConfig { key: key?, budget_per_day: budget_per_day? })
}

/// A key that is a keystore and its password, a file, or an environment variable; `whose` says of what, for people.
pub(super) fn read_key(
    section: &Section<'_>,
    around: Surroundings<'_>,
    warnings: &mut Vec<String>,
    whose: &str,
) -> Option<SponsorKey> {
    let keys = SecretKeys { inline: None, file: "key_file", env: "key_env" };
    let found = around.secret(section, keys);
    let has_plain = section.has("key_file") || section.has("key_env");
    let password = section.text("password_file").and_then(|field| {
        let path = value::beside(around.file, field.value);
        warnings.extend(open_to_others(&path));
        read_secret(&path)
            .map_err(|e| {
                field.fault(format!("cannot read {}: {}", path.display(), crate::error::plain_io(&e)))
            })
            .ok()
    });
    match section.text("keystore") {
        Some(_) if has_plain => {
            section.fault("has a `keystore` and a plain key; keep one of them");
            None
        }
        Some(field) => {
            let path = value::beside(around.file, field.value);
            if !path.is_file() {
                field.fault(format!("there is no file {}", path.display()));
            }
            if !section.has("password_file") {
                section.missing("password_file", "the file with the keystore's password");
            }
            password.map(|password| SponsorKey::Keystore { path, password })
        }
        None => {
            if !has_plain {
                let sources = "`keystore` and `password_file`, `key_file`, or `key_env`";
                section.missing("keystore", &format!("{whose}: {sources}"));
            }
            found.and_then(|found| {
                warnings.extend(found.warning);
                let key = PrivateKey::from_hex(found.secret.trim());
                let field = section.text("key_file").or_else(|| section.text("key_env"))?;
                key.map_err(|error| field.fault(format!("what it names is not a key: {error}")))
                    .map(SponsorKey::Plain)
                    .ok()
            })
        }
    }
}
