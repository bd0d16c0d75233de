//! A gateway on the sandbox in front of a scripted API, and a buyer's credential made by hand: what the tests of money share.

use std::sync::Arc;

use farthing_money::Amount;
use farthing_money::Money;
use farthing_protocol::ports::{PayContext, Payer};
use farthing_protocol::{Challenge, UnixMs};
use farthing_rails::tempo::{PrivateKey, TempoPayer, TempoRpc};

use crate::server::{Answer, Asked, Server};
use crate::support::{Home, Running};

pub const SELLER: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
pub const PARTNER: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
/// A key of the sandbox's own accounts, number 9: worth nothing.
pub const SPONSOR_KEY: &str = "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6";

/// A chain, an API and a gateway.
pub struct Network {
    pub home: Home,
    pub sandbox: Running,
    pub api: Server,
    pub config: String,
    listen: String,
}

impl Network {
    pub fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::with_blocks(&[], answer)
    }

    /// On a sandbox with these arguments besides.
    pub fn with_blocks(args: &[&str], answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let home = Home::new();
        let sandbox = home.start(&[&["sandbox", "--port", "0"], args].concat());
        let api = Server::start(answer);
        home.file("secret", "farthing-canary-secret-0123456789abcdef");
        home.file("sponsor.key", SPONSOR_KEY);
        let listen = free_address();
        let config = home.file("gateway.toml", configuration(&listen, &api, &sandbox));
        Self { home, sandbox, api, config, listen }
    }

    pub fn serve(&self) -> Running {
        self.home.start(&["serve", "--config", &self.config])
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// What an account holds of PathUSD.
    pub fn balance(&self, who: &str) -> u128 {
        self.home.balance(who, &self.sandbox)
    }

    /// The credential with which `key` pays what `path` asks for. Nothing is sent to the gateway but the question.
    pub fn credential(&self, key: &str, path: &str) -> String {
        self.answer_to(key, &reqwest::blocking::get(self.url(path)).unwrap())
    }

    /// The credential with which `key` pays what a 402 asks for.
    pub fn answer_to(&self, key: &str, answer: &reqwest::blocking::Response) -> String {
        assert_eq!(answer.status(), 402);
        let header = answer.headers().get("www-authenticate").unwrap().to_str().unwrap();
        let challenge = Challenge::parse(header).unwrap();
        let rpc = TempoRpc::new(self.sandbox.rpc()).unwrap();
        let payer = TempoPayer::builder(PrivateKey::from_hex(key).unwrap()).chain(1337, rpc).build();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let now =
            UnixMs::from_ms(u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
        let cap = payer.quote(&challenge).unwrap().money;
        let cap = Money::new(Amount::MAX, cap.asset().clone());
        let proof = runtime
            .block_on(Arc::new(payer).pay(&challenge, PayContext { cap, now, witness: None }))
            .unwrap();
        challenge.answer(&proof).unwrap()
    }
}

/// An address that was free a moment ago.
pub fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn configuration(listen: &str, api: &Server, sandbox: &Running) -> String {
    format!(
        r#"
[gateway]
listen = "{listen}"
realm = "{listen}"
upstream = "http://{upstream}"
store = "claims.db"
secret_file = "secret"

[tempo]
chain_id = 1337
rpc_url = "{rpc}"
recipient = "{SELLER}"
currency = "PathUSD"

[tempo.sponsor]
key_file = "sponsor.key"
budget_per_day = "1"

[[routes]]
path = "/free"
free = true

[[routes]]
path = "/paid"
price = "0.05"
description = "something good"

[[routes]]
path = "/split"
price = "0.05"
splits = [{{ recipient = "{PARTNER}", amount = "0.02" }}]

[[routes]]
path = "/sponsored"
price = "0.05"
sponsored = true

[[routes]]
path = "/proof"
price = "0"

[[routes]]
path = "/dear"
price = "3"
"#,
        upstream = api.address,
        rpc = sandbox.rpc(),
    )
}
