//! `--chain-id` and `--rpc-url`: which chains a command talks to, and through which ports.

use std::time::Duration;

use farthing_rails::tempo::TempoRpc;
use url::Url;

use crate::config::network::{self, Network};
use crate::config::value;
use crate::error::CliError;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct NetworkArgs {
    /// The chain: 4217 is Tempo mainnet, 42431 its testnet, 1337 the local sandbox
    #[arg(long, value_name = "ID")]
    pub chain_id: Option<u64>,
    /// The chain's JSON-RPC port
    #[arg(long, value_name = "URL", value_parser = value::rpc_url)]
    pub rpc_url: Option<Url>,
}

/// A chain and how to reach it.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Its id.
    pub chain_id: u64,
    /// Its port.
    pub rpc: TempoRpc,
}

impl Reach {
    /// The chain's name for people.
    pub fn name(&self) -> String {
        network::name(self.chain_id)
    }
}

/// How long a port may take to say which chain it is.
const GREETING: Duration = Duration::from_secs(10);

impl NetworkArgs {
    /// Whether a chain was chosen.
    pub const fn is_given(&self) -> bool {
        self.chain_id.is_some() || self.rpc_url.is_some()
    }

    /// The chain that was chosen, or every known one.
    ///
    /// # Errors
    /// An unknown chain without a port, or a port that does not answer.
    pub async fn all(&self) -> Result<Vec<Reach>, CliError> {
        if self.is_given() {
            return Ok(vec![self.one().await?]);
        }
        network::ALL.iter().map(reach).collect()
    }

    /// The chain that was chosen.
    ///
    /// # Errors
    /// No choice, an unknown chain without a port, or a port that does not answer.
    pub async fn one(&self) -> Result<Reach, CliError> {
        match (self.chain_id, &self.rpc_url) {
            (Some(chain_id), Some(url)) => Ok(Reach { chain_id, rpc: TempoRpc::new(url.as_str())? }),
            (None, Some(url)) => {
                let rpc = TempoRpc::new(url.as_str())?;
                let chain_id = rpc.clone().with_timeout(GREETING).chain_id().await?;
                Ok(Reach { chain_id, rpc })
            }
            (Some(chain_id), None) => match network::by_id(chain_id) {
                Some(network) => reach(&network),
                None => Err(CliError::usage("unknown_chain", format!("chain {chain_id} is not known here"))
                    .help("name its JSON-RPC port with --rpc-url")),
            },
            (None, None) => Err(CliError::usage("no_chain", "it is not said on which chain")
                .help("add --chain-id 4217 (mainnet), 42431 (testnet) or 1337 (sandbox), or --rpc-url")),
        }
    }

    /// The chain that was chosen, or the local sandbox.
    ///
    /// # Errors
    /// As [`NetworkArgs::one`].
    pub async fn or_sandbox(&self) -> Result<Reach, CliError> {
        if self.is_given() { self.one().await } else { reach(&network::SANDBOX) }
    }
}

fn reach(network: &Network) -> Result<Reach, CliError> {
    Ok(Reach { chain_id: network.chain_id, rpc: TempoRpc::new(network.rpc_url)? })
}
