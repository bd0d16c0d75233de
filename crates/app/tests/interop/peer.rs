//! The counterparts: mppx, pympp and the `mpp` crate, each as a client and as a server. See tests/interop/README.md.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cell::Kind;
use crate::chain::{CHAIN_ID, CURRENCY, Chain, PARTNER, RECIPIENT, SPONSOR, THEIR_PAYER};
use crate::process::{Process, root, target_dir};

/// The price of every paid route, in base units, and the partner's share where there is one.
pub(crate) const PRICE: u128 = 10_000;
pub(crate) const SHARE: u128 = 2_500;

/// One SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Mppx,
    Pympp,
    MppCrate,
}

/// A running server of a counterpart.
pub(crate) struct Server {
    pub(crate) url: String,
    _process: Process,
}

impl Peer {
    /// Those that this machine has; the others are named.
    pub(crate) fn all() -> Vec<Self> {
        let wanted = [
            (Self::Mppx, Some("FARTHING_INTEROP_JS")),
            (Self::Pympp, Some("FARTHING_INTEROP_PYTHON")),
            (Self::MppCrate, None),
        ];
        let here = |(peer, variable): &(Self, Option<&str>)| {
            let there = variable.is_none_or(|variable| std::env::var_os(variable).is_some());
            if !there {
                println!(
                    "SKIPPED: interop with {} ({} is not set)",
                    peer.name(),
                    variable.unwrap_or_default()
                );
            }
            there
        };
        wanted.into_iter().filter(here).map(|(peer, _)| peer).collect()
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mppx => "mppx 0.11.0",
            Self::Pympp => "pympp 0.16.0",
            Self::MppCrate => "mpp 0.18.2",
        }
    }

    /// Why this SDK cannot do `kind` as a client: tried against its own server and the others'.
    pub(crate) const fn client_cannot(self, kind: Kind) -> Option<&'static str> {
        match (self, kind) {
            (Self::Pympp, Kind::Proof) => Some("pympp has no proofs"),
            (Self::Pympp, Kind::Push) => Some("pympp's client pays in pull mode only"),
            (Self::MppCrate, Kind::Push) => Some("the mpp crate's client pays in pull mode only"),
            _ => None,
        }
    }

    /// Why this SDK cannot do `kind` as a server on `chain`: no client of any SDK can pay it there.
    pub(crate) fn server_cannot(self, kind: Kind, chain: &Chain) -> Option<&'static str> {
        match (self, kind) {
            (Self::Pympp, Kind::Proof) => Some("pympp has no proofs"),
            (Self::Pympp, Kind::Pull | Kind::Splits) if chain.name == "anvil" => {
                Some("pympp's server sends a time-out with eth_sendRawTransactionSync, which anvil refuses")
            }
            (Self::Pympp, Kind::Sponsored) if chain.name == "anvil" => {
                Some("pympp's server needs tempo_simulateV1, which anvil does not have")
            }
            _ => None,
        }
    }

    /// The route of this SDK's server that is paid as `kind`.
    pub(crate) const fn route(self, kind: Kind) -> &'static str {
        match (self, kind) {
            // pympp cannot ask for one mode: its plain route takes both.
            (Self::Pympp, Kind::Push) | (_, Kind::Pull) => "/charge",
            (_, Kind::Push) => "/push",
            (_, Kind::Proof) => "/proof",
            (_, Kind::Sponsored) => "/sponsored",
            (_, Kind::Splits) => "/splits",
        }
    }

    fn command(self, role: &str) -> Command {
        match self {
            Self::Mppx => {
                let mut command = Command::new("node");
                let folder = PathBuf::from(std::env::var_os("FARTHING_INTEROP_JS").unwrap());
                command.arg(folder.join(format!("{role}.mjs")));
                command
            }
            Self::Pympp => {
                let mut command = Command::new(std::env::var_os("FARTHING_INTEROP_PYTHON").unwrap());
                command.arg(root().join("tests/interop/py").join(format!("{role}.py")));
                command
            }
            Self::MppCrate => {
                let profile = target_dir().join(if cfg!(debug_assertions) { "debug" } else { "release" });
                let mut command = Command::new(profile.join("farthing-peer"));
                command.arg(role);
                command
            }
        }
    }

    /// Starts the SDK's server on `chain`.
    pub(crate) fn serve(self, chain: &Chain) -> Server {
        let config = json!({
            "port": 0,
            "rpcUrl": chain.url,
            "chainId": CHAIN_ID,
            "recipient": RECIPIENT,
            "currency": CURRENCY,
            "amount": PRICE.to_string(),
            "secretKey": "a secret of the interop tests, 32 bytes or more",
            "feePayerKey": SPONSOR.key,
            "splits": [{ "amount": SHARE.to_string(), "recipient": PARTNER }],
            "expiresSeconds": 25,
            "realm": "127.0.0.1",
            "maxSeconds": 600,
        });
        let name = format!("{} server", self.name());
        let process = Process::start(&name, self.command("server").arg(config.to_string()));
        let url = process.line_with(Duration::from_secs(60), |line| {
            serde_json::from_str::<Value>(line).ok()?["url"].as_str().map(str::to_owned)
        });
        Server { url, _process: process }
    }

    /// Pays `url` with the SDK's client and returns the line that it prints.
    pub(crate) fn pay(self, chain: &Chain, url: &str, kind: Kind) -> Value {
        let mut config = json!({
            "url": url,
            "rpcUrl": chain.url,
            "chainId": CHAIN_ID,
            "privateKey": THEIR_PAYER.key,
            "expectedRecipients": [RECIPIENT, PARTNER],
        });
        match kind {
            Kind::Push => config["mode"] = json!("push"),
            Kind::Pull => config["mode"] = json!("pull"),
            Kind::Proof | Kind::Sponsored | Kind::Splits => {}
        }
        let name = format!("{} client", self.name());
        let process = Process::start(&name, self.command("client").arg(config.to_string()));
        process.line_with(Duration::from_secs(60), |line| serde_json::from_str(line).ok())
    }
}
