//! Everything that a run needs: a chain, an API, gateways over one store, and buyers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::Address;
use farthing_rails::tempo::{PrivateKey, TempoRpc, tokens};
use tempfile::TempDir;

use crate::process::Process;
use crate::upstream::Upstream;

/// What a call costs, in base units.
pub const PRICE: u128 = 50_000;
/// The part of a split call that goes to the partner.
pub const SHARE: u128 = 20_000;
/// The sandbox's chain.
pub const CHAIN_ID: u64 = 1337;

/// Keys of the sandbox's own accounts 1, 2, 5 to 8: known to everybody, worth nothing.
const BUYERS: [&str; 6] = [
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
];
/// Account 9.
const SPONSOR: &str = "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6";

/// Binds challenges. No log may show it.
const SECRET: &str = "farthing-canary-secret-of-the-torture-runs";

/// One way to pay for one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The gateway broadcasts.
    Pull,
    /// The buyer broadcasts.
    Push,
    /// Nothing is paid.
    Proof,
    /// The gateway broadcasts and pays the fee.
    Sponsored,
    /// A part goes to a partner.
    Splits,
    /// The gateway broadcasts once the API has answered.
    After,
}

impl Kind {
    /// The route.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Pull => "/pull",
            Self::Push => "/push",
            Self::Proof => "/proof",
            Self::Sponsored => "/sponsored",
            Self::Splits => "/splits",
            Self::After => "/after",
        }
    }

    /// What the seller and the partner receive for a call.
    #[must_use]
    pub const fn parts(self) -> (u128, u128) {
        match self {
            Self::Proof => (0, 0),
            Self::Splits => (PRICE - SHARE, SHARE),
            _ => (PRICE, 0),
        }
    }
}

/// A chain, an API, and gateways in front of it.
#[derive(Debug)]
pub struct World {
    /// The API.
    pub upstream: Upstream,
    binary: PathBuf,
    home: TempDir,
    chain: Process,
    store: String,
    ports: Vec<u16>,
    seller: Address,
    partner: Address,
    calls: AtomicU64,
    prefix: String,
    /// The kinds of payment that its gateways take.
    pub kinds: Vec<Kind>,
}

impl World {
    /// A world with so many gateways over `store`: a path, or the URL of a database.
    ///
    /// # Errors
    /// A sentence.
    pub async fn new(binary: &Path, store: &str, gateways: usize, kinds: &[Kind]) -> Result<Self, String> {
        let io = |error: std::io::Error| error.to_string();
        let home = tempfile::tempdir().map_err(io)?;
        let chain = Process::start(
            Command::new(binary)
                .args(["sandbox", "--port", "0", "--output", "json"])
                .env("FARTHING_HOME", home.path()),
        )?;
        let ports = (0..gateways).map(|_| free_port()).collect::<std::io::Result<_>>().map_err(io)?;
        // Recipients that nobody has used, so that balances are what was earned here.
        let fresh = || PrivateKey::random(&mut rand::rng()).address();
        let world = Self {
            upstream: Upstream::start().await.map_err(io)?,
            binary: binary.to_owned(),
            store: if store.contains("://") { store.to_owned() } else { "claims.db".to_owned() },
            home,
            chain,
            ports,
            seller: fresh(),
            partner: fresh(),
            calls: AtomicU64::new(0),
            prefix: format!("{:08x}", rand::random::<u32>()),
            kinds: kinds.to_vec(),
        };
        for (name, text) in [("secret", SECRET), ("sponsor.key", SPONSOR)] {
            world.write(name, text)?;
        }
        for (index, port) in world.ports.iter().enumerate() {
            world.write(&format!("gateway-{index}.toml"), &world.configuration(*port))?;
        }
        Ok(world)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.home.path().join(name);
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .map_err(|error| error.to_string())
    }

    /// How many gateways there are.
    #[must_use]
    pub fn gateways(&self) -> usize {
        self.ports.len()
    }

    /// Starts a gateway, on the address that it had before.
    ///
    /// # Errors
    /// A sentence.
    pub fn serve(&self, index: usize) -> Result<Process, String> {
        let config = self.home.path().join(format!("gateway-{index}.toml"));
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--output", "json", "--config"]).arg(config);
        command.env("FARTHING_HOME", self.home.path());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log(index));
        command.stderr(log.map_err(|error| error.to_string())?);
        Process::start(&mut command)
    }

    fn log(&self, index: usize) -> PathBuf {
        self.home.path().join(format!("gateway-{index}.log"))
    }

    /// What no log of a gateway may show: secrets, keys, and anything that is written as credentials are (C19, C20). In sentences.
    #[must_use]
    pub fn indiscretions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for index in 0..self.ports.len() {
            let log = std::fs::read_to_string(self.log(index)).unwrap_or_default();
            let key = SPONSOR.trim_start_matches("0x");
            // Base64 of a JSON object begins so.
            for (what, text) in [("the secret", SECRET), ("the sponsor's key", key), ("a credential", "eyJ")]
            {
                found.extend(log.contains(text).then(|| format!("the log of gateway {index} shows {what}")));
            }
        }
        found
    }

    /// The last words of every gateway, for whoever looks for a cause.
    #[must_use]
    pub fn last_words(&self, lines: usize) -> String {
        let mut words = String::new();
        for index in 0..self.ports.len() {
            let log = std::fs::read_to_string(self.log(index)).unwrap_or_default();
            let mut tail: Vec<&str> = log.lines().rev().take(lines).collect();
            tail.reverse();
            words.push_str(&format!("gateway {index}:\n{}\n", tail.join("\n")));
        }
        words
    }

    /// A URL at a gateway.
    #[must_use]
    pub fn url(&self, gateway: usize, target: &str) -> String {
        format!("http://127.0.0.1:{}{target}", self.ports[gateway % self.ports.len()])
    }

    /// The chain's port.
    #[must_use]
    pub fn rpc_url(&self) -> &str {
        self.chain.said("rpc_url")
    }

    /// A name for a call that no other call has.
    #[must_use]
    pub fn call_id(&self) -> String {
        format!("{}-{}", self.prefix, self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// The key of one of the buyers.
    ///
    /// # Errors
    /// Never, with the keys above.
    pub fn buyer_key(index: usize) -> Result<PrivateKey, String> {
        PrivateKey::from_hex(BUYERS[index % BUYERS.len()]).map_err(|error| error.to_string())
    }

    /// What the seller and the partner have been paid.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn earned(&self) -> Result<(u128, u128), String> {
        let rpc = TempoRpc::new(self.rpc_url()).map_err(|error| error.to_string())?;
        let of = async |who| {
            let balance = rpc.balance(tokens::PATH_USD, who).await.map_err(|error| error.to_string())?;
            Ok::<u128, String>(balance.saturating_to())
        };
        Ok((of(self.seller).await?, of(self.partner).await?))
    }

    fn configuration(&self, port: u16) -> String {
        let routes: String = self.kinds.iter().map(|kind| self.route(*kind)).collect();
        format!(
            r#"
[gateway]
listen = "127.0.0.1:{port}"
realm = "torture.test"
upstream = "http://{upstream}"
store = "{store}"
secret_file = "secret"

[upstream]
response_timeout = "2s"
idle_timeout = "2s"

[tempo]
chain_id = {CHAIN_ID}
rpc_url = "{rpc}"
recipient = "{seller}"
currency = "PathUSD"

[tempo.sponsor]
key_file = "sponsor.key"
budget_per_day = "100000"
{routes}"#,
            upstream = self.upstream.address,
            store = self.store,
            rpc = self.rpc_url(),
            seller = self.seller,
        )
    }

    fn route(&self, kind: Kind) -> String {
        let terms = match kind {
            Kind::Pull | Kind::Push => "price = \"0.05\"".to_owned(),
            Kind::Proof => "price = \"0\"".to_owned(),
            Kind::Sponsored => "price = \"0.05\"\nsponsored = true".to_owned(),
            Kind::Splits => {
                format!(
                    "price = \"0.05\"\nsplits = [{{ recipient = \"{}\", amount = \"0.02\" }}]",
                    self.partner
                )
            }
            Kind::After => "price = \"0.05\"\nmodes = [\"pull\"]\nsettle = \"after\"".to_owned(),
        };
        format!("\n[[routes]]\npath = \"{}\"\n{terms}\n", kind.path())
    }
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
