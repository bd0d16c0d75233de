//! The demo's world, all of it in this process: a chain, an API, a gateway before it, and an agent with money.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use farthing_client::{Agent, MemoryBook, MemoryJournal, Policy};
use farthing_gate::ResolverOptions;
use farthing_gate::observe::Unobserved;
use farthing_gate::server::{ServerOptions, serve};
use farthing_rails::tempo::tokens::{self, PATH_USD};
use farthing_rails::tempo::{PayMode, PrivateKey, TempoRpc, network};
use farthing_sandbox::{RunningSandbox, SandboxConfig};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::books::Accounts;
use super::upstream::Upstream;
use crate::cli::network::Reach;
use crate::clock::SystemClock;
use crate::config::GatewayConfig;
use crate::error::CliError;
use crate::wire::lazy::PayerOptions;
use crate::wire::seller;

/// The most that the agent may pay for one call.
pub const MAX_PER_CALL: &str = "0.25";
/// The most that it may pay in all.
pub const MAX_TOTAL: &str = "1.00";
/// What the agent begins with, in base units: 5 PathUSD.
const AGENT_BASE: u64 = 5_000_000;
/// What the sponsor begins with: 1 PathUSD.
const SPONSOR_BASE: u64 = 1_000_000;

/// Who signs.
pub struct Keys {
    /// The agent's.
    pub agent: PrivateKey,
    sponsor: PrivateKey,
}

/// Everything that runs.
pub struct World {
    /// The chain.
    pub sandbox: RunningSandbox,
    /// The API.
    pub upstream: Upstream,
    /// The gateway's address.
    pub gateway: SocketAddr,
    /// The chain's port.
    pub rpc: TempoRpc,
    /// The parties.
    pub accounts: Accounts,
    /// The parties' keys, as far as anything is signed with them.
    pub keys: Keys,
    /// Pays by signing.
    pub pulling: Agent,
    /// Pays by broadcasting.
    pub pushing: Agent,
    /// Claims, secrets and keys of this demo.
    pub directory: TempDir,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
    resolving: JoinHandle<()>,
}

impl World {
    /// Starts everything, on free ports of this machine.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start() -> Result<Self, CliError> {
        let directory = tempfile::Builder::new()
            .prefix("farthing-demo-")
            .tempdir()
            .map_err(|e| broken("directory", &e))?;
        let sandbox = crate::cli::sandbox::start(SandboxConfig::default()).await?;
        let upstream = Upstream::start().await.map_err(|e| broken("API", &e))?;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|e| broken("gateway", &e))?;
        let gateway = listener.local_addr().map_err(|e| broken("gateway", &e))?;
        let random = || PrivateKey::random(&mut rand::rng());
        let keys = Keys { agent: random(), sponsor: random() };
        let accounts = Accounts {
            agent: keys.agent.address(),
            seller: random().address(),
            partner: random().address(),
            sponsor: keys.sponsor.address(),
        };
        fund(&sandbox, accounts.agent, AGENT_BASE)?;
        fund(&sandbox, accounts.sponsor, SPONSOR_BASE)?;
        write_secrets(directory.path(), &keys).map_err(|e| broken("directory", &e))?;

        let places = Places { gateway, upstream: upstream.address, chain: &sandbox };
        let config = configure(directory.path(), &places, &accounts)?;
        let store = config.store.open().await?;
        let seller = seller::build(&config, store, Arc::new(Unobserved))?;
        seller::check_chain(&config.tempo).await?;
        seller.gate.recover().await.map_err(|e| CliError::unexpected("store", e.to_string()))?;

        let rpc = TempoRpc::new(&sandbox.url())?;
        let (pulling, pushing) = agents(&keys.agent, sandbox.chain_id(), &rpc)?;
        let gate = seller.gate.clone();
        let resolving = tokio::spawn(async move { gate.resolver(ResolverOptions::default()).await });
        let (stop, stopped) = oneshot::channel();
        let serving =
            tokio::spawn(serve(listener, seller.gate, seller.proxy, ServerOptions::default(), async {
                // Told to, or nobody is left who could tell.
                let _ = stopped.await;
            }));
        Ok(Self {
            sandbox,
            upstream,
            gateway,
            rpc,
            accounts,
            keys,
            pulling,
            pushing,
            directory,
            stop,
            serving,
            resolving,
        })
    }

    /// Stops everything, the gateway first.
    pub async fn stop(self) {
        // A gateway that has ended already needs no telling.
        let _ = self.stop.send(());
        if let Ok(Err(error)) = self.serving.await {
            tracing::warn!(%error, "the gateway did not end well");
        }
        self.resolving.abort();
        self.sandbox.shutdown().await;
    }
}

fn broken(what: &str, error: &std::io::Error) -> CliError {
    CliError::unexpected("demo", format!("the demo's {what} could not be made: {error}"))
}

fn fund(sandbox: &RunningSandbox, holder: Address, amount_base: u64) -> Result<(), CliError> {
    match sandbox.chain().fund(holder, PATH_USD, U256::from(amount_base)) {
        Some(_) => Ok(()),
        None => Err(CliError::unexpected("demo", "the sandbox gave no play money")),
    }
}

fn write_secrets(directory: &Path, keys: &Keys) -> std::io::Result<()> {
    let secret: [u8; 32] = rand::random();
    write_private(&directory.join("secret"), &hex::encode(secret))?;
    write_private(&directory.join("sponsor.key"), &hex::encode(*keys.sponsor.to_bytes()))
}

/// Writes a file that its owner alone can read.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

/// Where everything listens.
struct Places<'a> {
    gateway: SocketAddr,
    upstream: SocketAddr,
    chain: &'a RunningSandbox,
}

fn configure(directory: &Path, places: &Places<'_>, accounts: &Accounts) -> Result<GatewayConfig, CliError> {
    let text = include_str!("../../help/demo-gateway.toml")
        .replace("{listen}", &places.gateway.to_string())
        .replace("{upstream}", &places.upstream.to_string())
        .replace("{chain_id}", &places.chain.chain_id().to_string())
        .replace("{rpc_url}", &places.chain.url())
        .replace("{seller}", &accounts.seller.to_string())
        .replace("{partner}", &accounts.partner.to_string());
    Ok(GatewayConfig::parse(&directory.join("gateway.toml"), &text, &|_| None)?)
}

/// The agent, twice: once for each way to hand a payment over. Both count in one book.
fn agents(key: &PrivateKey, chain_id: u64, rpc: &TempoRpc) -> Result<(Agent, Agent), CliError> {
    let policy = Policy::builder()
        .dollar_token(&network(chain_id), &tokens::lower(PATH_USD))
        .max_per_call(MAX_PER_CALL)?
        .max_total(MAX_TOTAL)?
        .build();
    let (book, journal) = (Arc::new(MemoryBook::new()), Arc::new(MemoryJournal::new()));
    let agent = |mode| {
        let options = PayerOptions { chains: vec![Reach { chain_id, rpc: rpc.clone() }], mode };
        Agent::builder(Arc::new(SystemClock))
            .payer(Arc::new(options.payer(key.clone())))
            .policy(policy.clone())
            .spend_book(book.clone())
            .journal(journal.clone())
            .build()
            .map_err(|error| CliError::unexpected("http_client", error.to_string()))
    };
    Ok((agent(PayMode::PreferPull)?, agent(PayMode::PreferPush)?))
}
