//! Paid calls and the books: a request charges a customer's wallet, a gateway tells its revenue, a balance pays a route.

use serde_json::{Value, json};

use crate::network::{Network, SELLER, free_address};
use crate::server::{Answer, Server};
use crate::support::{Home, Running};

/// A billing service with a tenant, its key, and two assets.
pub struct Books {
    pub service: Running,
    key: String,
    pub key_file: String,
}

impl Books {
    pub fn open(home: &Home) -> Self {
        let store = home.path().join("billing.db").display().to_string();
        let made = home.run(&["billing", "init", "--store", &store, "--output", "json"]).ok().json();
        let key = made["api_key"].as_str().unwrap().to_owned();
        let key_file = home.file("billing.key", &key);
        let service = home.start(&["billing", "serve", "--store", &store, "--listen", "127.0.0.1:0"]);
        let books = Self { service, key, key_file };
        books.post("assets", &json!({ "code": "PathUSD", "scale": 6, "kind": "custom" }));
        books.post("assets", &json!({ "code": "TOKENS", "scale": 0, "kind": "custom" }));
        books
    }

    fn ask(&self, request: reqwest::blocking::RequestBuilder) -> Value {
        let answer = request.header("Authorization", format!("Bearer {}", self.key)).send().unwrap();
        let (status, text) = (answer.status(), answer.text().unwrap());
        assert!(status.is_success(), "{status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub fn get(&self, path: &str) -> Value {
        self.ask(reqwest::blocking::Client::new().get(format!("{}/v1/{path}", self.service.url())))
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/v1/{path}", self.service.url());
        self.ask(reqwest::blocking::Client::new().post(url).json(body))
    }

    /// A customer with so much of each asset.
    fn customer(&self, name: &str, micros: u64, tokens: u64) -> String {
        let made = self.post("customers", &json!({ "external_id": name }));
        let id = made["id"].as_str().unwrap().to_owned();
        for (asset, amount) in [("PathUSD", micros), ("TOKENS", tokens)] {
            if amount > 0 {
                let credit = json!({ "amount": amount.to_string() });
                self.post(&format!("customers/{id}/wallets/{asset}/credits"), &credit);
            }
        }
        id
    }

    /// Settled, held, available.
    pub fn balances(&self, customer: &str, asset: &str) -> [String; 3] {
        let wallet = self.get(&format!("customers/{customer}/wallets/{asset}"));
        ["settled", "held", "available"].map(|name| wallet[name].as_str().unwrap().to_owned())
    }

    /// The wallet's arguments of a request.
    pub fn charge<'a>(&'a self, customer: &'a str) -> Vec<&'a str> {
        let url = self.service.url();
        vec!["--wallet", customer, "--billing-url", url, "--billing-key-file", &self.key_file]
    }
}

fn goods() -> Network {
    Network::new(|_| Answer::new(200, "the goods"))
}

fn request(network: &Network, path: &str, args: &[&str]) -> crate::support::Run {
    let url = network.url(path);
    let rpc = network.sandbox.rpc();
    let always = ["request", "--rpc-url", rpc, "--key", "agent", "--max-spend", "1"];
    network.home.run(&[&always, args, &[&url]].concat())
}

#[test]
fn a_request_holds_before_it_pays_and_captures_with_the_receipt() {
    let network = goods();
    let _gateway = network.serve();
    network.home.funded("agent", &network.sandbox);
    let books = Books::open(&network.home);
    let acme = books.customer("acme", 120_000, 0);
    let with = [books.charge("acme"), vec!["--subject", "task 47"]].concat();

    request(&network, "/paid", &with).ok();
    assert_eq!(books.balances(&acme, "PathUSD"), ["70000", "0", "70000"]);
    let holds = books.get(&format!("holds?customer={acme}&subject=task%2047"));
    let hold = &holds["data"][0];
    assert_eq!((hold["state"].as_str(), hold["captured"].as_str()), (Some("captured"), Some("50000")));
    let reference = hold["receipts"][0]["reference"].as_str().unwrap();
    assert!(reference.starts_with("0x"), "the hash of the payment: {reference}");

    request(&network, "/free", &with).ok();
    request(&network, "/paid", &with).ok();
    assert_eq!(books.balances(&acme, "PathUSD"), ["20000", "0", "20000"]);
    // 0.02 are left: nothing is paid, and the seller gets nothing.
    let before = network.balance(SELLER);
    let refused = request(&network, "/paid", &with);
    assert_eq!((refused.code, network.balance(SELLER)), (4, before), "{refused:?}");
    assert!(refused.stderr.contains("insufficient_funds"), "{}", refused.stderr);
    assert_eq!(books.balances(&acme, "PathUSD"), ["20000", "0", "20000"]);
    assert!(!network.home.path().join("wallet-holds").read_dir().unwrap().any(|_| true), "no ticket is left");
}

#[test]
fn a_product_prices_the_call_and_a_budget_limits_it() {
    let network = goods();
    let _gateway = network.serve();
    network.home.funded("agent", &network.sandbox);
    let books = Books::open(&network.home);
    let acme = books.customer("acme", 1_000_000, 0);
    let price = json!({ "model": { "type": "mark_up", "millionths": 200_000 } });
    let product = books.post("products", &json!({ "name": "search", "asset": "PathUSD", "price": price }));
    let budget =
        json!({ "customer": acme, "asset": "PathUSD", "funding": { "kind": "shared", "total": "70000" } });
    let budget = books.post("budgets", &budget);
    let (product, budget) = (product["id"].as_str().unwrap(), budget["id"].as_str().unwrap());
    let more = ["--subject", "task 48", "--product", product, "--budget", budget];
    let with = [books.charge("acme"), more.to_vec()].concat();

    // The seller takes 0.05, the customer pays 0.06.
    request(&network, "/paid", &with).ok();
    assert_eq!(books.balances(&acme, "PathUSD"), ["940000", "0", "940000"]);
    let usage = books.get("usage_events")["data"][0].clone();
    assert_eq!(
        (usage["price"].as_str(), usage["cost"].as_str(), usage["margin"].as_str()),
        (Some("60000"), Some("50000"), Some("10000"))
    );
    // 0.01 of the budget is left.
    let refused = request(&network, "/paid", &with);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains("budget_total_exceeded"), "{}", refused.stderr);
    assert_eq!(books.balances(&acme, "PathUSD"), ["940000", "0", "940000"]);
}

#[test]
fn a_lost_answer_keeps_the_hold_until_it_is_resolved() {
    let network = Network::new(|_| Answer::new(200, "the goods"));
    network.home.funded("agent", &network.sandbox);
    let books = Books::open(&network.home);
    let acme = books.customer("acme", 120_000, 0);
    let broken = Server::start(|_| Answer::new(500, "out of order"));
    let config = std::fs::read_to_string(&network.config).unwrap();
    let upstream = format!("http://{}", network.api.address);
    network.home.file("gateway.toml", config.replace(&upstream, &format!("http://{}", broken.address)));
    let _gateway = network.serve();

    let with = [books.charge("acme"), vec!["--max-wait", "0"]].concat();
    let failed = request(&network, "/paid", &with);
    assert_ne!(failed.code, 0, "{failed:?}");
    // The seller has the money and did not serve: whether it will is open, and the money stays aside.
    assert_eq!(books.balances(&acme, "PathUSD"), ["120000", "50000", "70000"]);
    let rpc = network.sandbox.rpc();
    let url = books.service.url();
    let tell = ["--rpc-url", rpc, "--billing-url", url, "--billing-key-file", &books.key_file];
    network.home.run(&[&["payments", "resolve", "--all"][..], &tell].concat());
    assert_eq!(books.balances(&acme, "PathUSD"), ["70000", "0", "70000"], "the chain says that it moved");
}

#[test]
fn a_gateway_tells_its_revenue_once_and_a_balance_pays_a_route() {
    let network = goods();
    network.home.funded("agent", &network.sandbox);
    let books = Books::open(&network.home);
    let acme = books.customer("acme", 0, 12);
    let config = std::fs::read_to_string(&network.config).unwrap();
    let billing = format!(
        "[billing]\nurl = \"{}\"\nkey_file = \"billing.key\"\nprepaid_asset = \"TOKENS\"\n\n[[routes]]\npath = \"/balance\"\n\
         price = \"0.05\"\nprepaid = \"5\"\ncost = \"0.01\"\nvendor = \"model.example\"\n",
        books.service.url()
    );
    network.home.file("gateway.toml", format!("{config}\n{billing}"));
    let gateway = network.serve();

    let budget =
        json!({ "customer": acme, "asset": "TOKENS", "funding": { "kind": "shared", "total": "100" } });
    let budget = books.post("budgets", &budget);
    let expires = 4_000_000_000_000_u64;
    let token = json!({ "budget": budget["id"], "actions": ["spend"], "expires_ms": expires });
    let token = books.post("tokens", &token);
    let issuer = network.url("").replace("http://", "");
    let text = |name: &str| token[name].as_str().unwrap_or_else(|| panic!("{token}"));
    let (id, secret) = (text("id"), text("secret"));
    let balance = json!({ "issuer": issuer, "asset": "TOKENS", "token": id, "secret": secret });
    let balance = network.home.file("balance.json", balance.to_string());
    let prepaid = ["--balance", &balance, "--max-spend", "5 TOKENS"];

    let pay = |extra: &[&str]| {
        // Another call than the one that was refused, which is open until the seller has said what became of it.
        let url = network.url(if extra[0] == "--key" { "/balance?by=money" } else { "/balance" });
        network.home.run(&[&["request", "--rpc-url", network.sandbox.rpc()], extra, &[&url]].concat())
    };
    assert_eq!(pay(&prepaid).ok().stdout, "the goods");
    pay(&prepaid).ok();
    assert_eq!(books.balances(&acme, "TOKENS"), ["2", "0", "2"]);
    let refused = pay(&prepaid);
    assert_ne!(refused.code, 0, "2 are left, and it costs 5: {refused:?}");
    assert_eq!(books.balances(&acme, "TOKENS"), ["2", "0", "2"]);

    // The same route for money; told with its cost, once, also when the gateway starts again and reads everything anew.
    let paid = ["--key", "agent", "--max-spend", "1"];
    pay(&paid).ok();
    assert_eq!(
        revenue(&books, 3),
        [("10".to_owned(), "0".to_owned()), ("50000".to_owned(), "10000".to_owned())]
    );
    gateway.terminate();
    std::fs::remove_file(network.home.path().join("farthing-revenue.json")).unwrap();
    let _gateway = network.serve();
    pay(&paid).ok();
    assert_eq!(
        revenue(&books, 4),
        [("10".to_owned(), "0".to_owned()), ("100000".to_owned(), "20000".to_owned())]
    );
}

/// Revenue and cost in TOKENS and in PathUSD, once so many sales were told.
fn revenue(books: &Books, sales: usize) -> [(String, String); 2] {
    for _ in 0..600 {
        let told = books.get("usage_events?limit=100");
        let told = told["data"].as_array().unwrap();
        if told.len() >= sales {
            assert_eq!(told.len(), sales, "{told:?}");
            return ["TOKENS", "PathUSD"].map(|asset| {
                let of = |name: &str| -> u128 {
                    let mine = told.iter().filter(|sale| sale["asset"] == asset);
                    mine.map(|sale| sale[name].as_str().unwrap().parse::<u128>().unwrap()).sum()
                };
                (of("price").to_string(), of("cost").to_string())
            });
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the sales are never told: {}", books.get("usage_events"));
}

#[test]
fn what_is_wrong_with_a_wallet_is_said_before_anything_is_paid() {
    let home = Home::new();
    let nowhere = format!("http://{}", free_address());
    let key = home.file("billing.key", "fk_1");
    for (args, code, words) in [
        (vec!["--wallet", "acme"], 2, "--billing-url"),
        (vec!["--wallet", "acme", "--billing-url", &nowhere], 2, "--billing-key-file"),
        (
            vec!["--wallet", "acme", "--billing-url", "http://billing.example", "--billing-key-file", &key],
            2,
            "https",
        ),
        (vec!["--wallet", "acme", "--billing-url", &nowhere, "--billing-key-file", &key], 3, "running"),
        (vec!["--subject", "task"], 2, "--wallet"),
        (vec!["--balance", &key], 2, "describes no balance"),
    ] {
        let run =
            home.run(&[&["request", "--rpc-url", &nowhere], &args[..], &["http://localhost:1"]].concat());
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        assert!(run.stderr.contains(words), "{args:?}: {}", run.stderr);
    }
}
