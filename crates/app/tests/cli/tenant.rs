//! A tenant's view of a running billing service.

use farthing_funding::deposit::keys::DepositSeed;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::support::{Home, Running};

/// The file of a billing service that watches the sandbox for deposits to addresses of this seed.
pub fn watching(home: &Home, sandbox: &Running, seed: &[u8]) -> String {
    home.file("deposits.xpub", DepositSeed::from_bytes(seed).unwrap().xpub().unwrap());
    home.file(
        "billing.toml",
        format!(
            r#"
            [billing]
            store = "billing.db"
            [chain]
            chain_id = 1337
            rpc_url = "{}"
            [deposits]
            xpub_file = "deposits.xpub"
            confirmations = 1
            [[deposits.tokens]]
            token = "PathUSD"
            minimum = "0.50"
            "#,
            sandbox.rpc()
        ),
    )
}

pub struct Tenant<'a> {
    pub url: &'a str,
    pub key: &'a str,
}

impl Tenant<'_> {
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(reqwest::Method::POST, path, body)
    }

    pub fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(reqwest::Method::PUT, path, body)
    }

    fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> (u16, Value) {
        let asked = Client::new().request(method, format!("{}{path}", self.url)).bearer_auth(self.key);
        let answer = asked.header("Content-Type", "application/json").body(body.to_string()).send().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().unwrap()).unwrap())
    }

    pub fn get(&self, path: &str) -> Value {
        let asked = Client::new().get(format!("{}{path}", self.url)).bearer_auth(self.key);
        serde_json::from_str(&asked.send().unwrap().text().unwrap()).unwrap()
    }

    /// Waits until so much is there.
    #[track_caller]
    pub fn has(&self, wallet: &str, available: &str, service: &Running) {
        self.sees(wallet, service, |wallet| wallet["available"] == available);
    }

    /// Waits until what is at `path` is so; what it is then.
    #[track_caller]
    pub fn sees(&self, path: &str, service: &Running, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1_200 {
            let found = self.get(path);
            if is(&found) {
                return found;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("it never is so: {} {}", self.get(path), service.log());
    }

    /// A new customer: the path of their wallet of the sandbox's PathUSD, and the address for deposits into it.
    pub fn wallet_with_address(&self, external_id: &str) -> (String, String) {
        let asset = json!({
            "code": "USDP", "scale": 6, "kind": "token", "network": "eip155:1337",
            "address": "0x20c0000000000000000000000000000000000000",
        });
        let (status, said) = self.post("/v1/assets", &asset);
        assert!(matches!(status, 201 | 409), "{said}");
        let (_, customer) = self.post("/v1/customers", &json!({ "external_id": external_id }));
        let wallet = format!("/v1/customers/{}/wallets/USDP", customer["id"].as_str().unwrap());
        let (status, made) = self.post(&format!("{wallet}/deposit_addresses"), &json!({}));
        assert_eq!(status, 200, "{made}");
        (wallet, made["address"].as_str().unwrap().to_owned())
    }
}
