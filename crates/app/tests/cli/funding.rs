//! `farthing billing serve` with deposits on a chain: what is sent to a customer's address is theirs, also when nobody listened.

use farthing_funding::deposit::keys::DepositSeed;
use serde_json::json;

use crate::support::Home;
use crate::tenant::{Tenant, watching};

const SEED: [u8; 32] = [7; 32];

fn xpub() -> String {
    DepositSeed::from_bytes(&SEED).unwrap().xpub().unwrap()
}

#[test]
fn a_transfer_to_a_customers_address_is_credited_also_when_nobody_listened() {
    let home = Home::new();
    let sandbox = home.sandbox();
    home.funded("agent", &sandbox);
    let config = watching(&home, &sandbox, &SEED);
    let made = home.run(&["billing", "init", "--config", &config, "--output", "json"]).ok().json();
    let key = made["api_key"].as_str().unwrap();
    let serve = ["billing", "serve", "--config", &config, "--listen", "127.0.0.1:0"];
    let send = |amount: &str, to: &str| {
        let args = ["wallet", "send", amount, to, "--from", "agent", "--yes", "--rpc-url", sandbox.rpc()];
        home.run(&args).ok();
    };

    let service = home.start(&serve);
    let tenant = Tenant { url: service.url(), key };
    let asset = json!({
        "code": "USDP", "scale": 6, "kind": "token", "network": "eip155:1337",
        "address": "0x20c0000000000000000000000000000000000000",
    });
    assert_eq!(tenant.post("/v1/assets", &asset).0, 201);
    let (_, customer) = tenant.post("/v1/customers", &json!({ "external_id": "acme" }));
    let wallet = format!("/v1/customers/{}/wallets/USDP", customer["id"].as_str().unwrap());
    let addresses = format!("{wallet}/deposit_addresses");
    let (status, made) = tenant.post(&addresses, &json!({}));
    assert_eq!((status, &made["network"]), (200, &json!("eip155:1337")), "{made}");
    assert_eq!(tenant.post(&addresses, &json!({})).1, made, "it is the customer's for good");
    let address = made["address"].as_str().unwrap();
    let usd = json!({ "code": "USD", "scale": 6, "kind": "fiat" });
    assert_eq!(tenant.post("/v1/assets", &usd).0, 201);
    let (status, refused) = tenant.post(&addresses.replace("USDP", "USD"), &json!({}));
    assert_eq!((status, &refused["code"]), (422, &json!("invalid_field")), "{refused}");

    send("2.5", address);
    tenant.has(&wallet, "2500000", &service);
    // Less than the minimum is kept, and nobody's.
    send("0.49", address);
    let log = service.terminated();
    assert!(!log.contains("did not end well"), "{log}");
    send("1", address);

    let service = home.start(&serve);
    let tenant = Tenant { url: service.url(), key };
    tenant.has(&wallet, "3500000", &service);
    let exceptions = tenant.get("/v1/deposits/exceptions");
    assert_eq!(exceptions["data"].as_array().unwrap().len(), 1, "{exceptions}");
    assert_eq!(tenant.get(&wallet)["available"], "3500000");
}

#[test]
fn without_deposits_there_are_no_addresses_and_it_is_said() {
    let home = Home::new();
    let store = home.path().join("billing.db").display().to_string();
    let made = home.run(&["billing", "init", "--store", &store, "--output", "json"]).ok().json();
    let service = home.start(&["billing", "serve", "--store", &store, "--listen", "127.0.0.1:0"]);
    let tenant = Tenant { url: service.url(), key: made["api_key"].as_str().unwrap() };
    let (_, customer) = tenant.post("/v1/customers", &json!({ "external_id": "acme" }));
    let path = format!("/v1/customers/{}/wallets/USD/deposit_addresses", customer["id"].as_str().unwrap());
    let (status, refused) = tenant.post(&path, &json!({}));
    assert_eq!((status, &refused["code"]), (409, &json!("deposits_not_watched")), "{refused}");
}

#[test]
fn every_mistake_about_funding_is_told_by_its_key_and_no_secret_with_it() {
    let home = Home::new();
    home.file("stripe.key", "pk_test_farthing-canary-1");
    home.file("good.key", "rk_test_123");
    home.file("good.xpub", xpub());
    let chain = "[chain]\nchain_id = 1337\n";
    let deposits = "[deposits]\nxpub_file = \"good.xpub\"\n";
    let token = "[[deposits.tokens]]\ntoken = \"PathUSD\"\n";
    let cases = [
        ("[stripe]\n".to_owned(), "stripe.secret_key_file"),
        ("[stripe]\nsecret_key_file = \"stripe.key\"\n".to_owned(), "stripe.secret_key_file"),
        ("[stripe]\nsecret_key_env = \"NO_SUCH\"\n".to_owned(), "stripe.secret_key_env"),
        (
            "[stripe]\nsecret_key_file = \"good.key\"\nurl = \"http://stripe.example\"\n".to_owned(),
            "stripe.url",
        ),
        ("[stripe]\nsecret_key_file = \"good.key\"\ntimeout_ms = 0\n".to_owned(), "stripe.timeout_ms"),
        (format!("{deposits}{token}"), "chain"),
        ("[chain]\nchain_id = 99\n".to_owned(), "chain.rpc_url"),
        (format!("{chain}{deposits}"), "deposits.tokens"),
        (format!("{chain}[deposits]\n{token}"), "deposits.xpub_file"),
        (format!("{chain}[deposits]\nxpub = \"xprv9s21\"\n{token}"), "deposits.xpub"),
        (format!("{chain}{deposits}confirmations = 0\n{token}"), "deposits.confirmations"),
        (format!("{chain}{deposits}confirmation = 2\n{token}"), "deposits.confirmation"),
        (format!("{chain}{deposits}{token}{token}"), "deposits.tokens[1]"),
        (format!("{chain}{deposits}{token}minimum = \"0.0000001\"\n"), "deposits.tokens[0].minimum"),
        (format!("{chain}{deposits}[[deposits.tokens]]\ntoken = \"USDX\"\n"), "deposits.tokens[0].token"),
        (format!("{chain}[treasury]\nkey_file = \"good.key\"\n"), "treasury.collect_to"),
        ("[webhooks]\nallowed_networks = [\"10.0.0.0/40\"]\n".to_owned(), "webhooks.allowed_networks[0]"),
    ];
    for (tables, key) in cases {
        let config = home.file("billing.toml", format!("[billing]\nstore = \"billing.db\"\n{tables}"));
        let run = home.run(&["billing", "serve", "--config", &config, "--output", "json"]);
        assert_eq!(run.code, 2, "{tables} {run:?}");
        let told = format!("\"key\":\"{key}\"");
        let said = run.stderr.replace("\": \"", "\":\"");
        assert!(said.contains(&told), "{key}: {run:?}");
    }
}
