//! A running sandbox as its users meet it: over HTTP, with blocks that take time, with its direct handle, and at its end.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../parity/sign.rs"]
#[allow(dead_code, reason = "shared with the parity scenario, which uses all of it")]
mod sign;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent};
use farthing_sandbox::genesis::PATH_USD;
use farthing_sandbox::{BlockTime, Limits, RunningSandbox, Sandbox, SandboxConfig};
use serde_json::{Value, json};
use sign::{Draft, address};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempo_contracts::precompiles::ITIP20;

const START_S: u64 = 1_800_000_000;
const PAYEE: Address = Address::repeat_byte(0x11);

/// A clock that a test moves by hand.
#[derive(Clone)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START_S * 1000)))
    }

    fn set(&self, seconds: u64) {
        self.0.store(seconds * 1000, Ordering::SeqCst);
    }

    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

async fn start(config: SandboxConfig) -> (RunningSandbox, Hand) {
    let hand = Hand::new();
    let clock = hand.clone();
    let sandbox = Sandbox::start(config, move || clock.0.load(Ordering::SeqCst)).await.unwrap();
    (sandbox, hand)
}

fn transfer(amount: u64) -> Draft {
    let call = ITIP20::transferCall { to: PAYEE, amount: U256::from(amount) };
    Draft::new(START_S, vec![(PATH_USD, Bytes::from(call.abi_encode()))])
}

fn numbered(nonce: u64) -> Draft {
    Draft { nonce_key: U256::ZERO, nonce, valid_before: 0, ..transfer(10 + nonce) }
}

fn raw(signed: &str) -> Bytes {
    signed.parse().unwrap()
}

async fn ask(sandbox: &RunningSandbox, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    reqwest::Client::new().post(sandbox.url()).json(&body).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn it_says_what_it_is_wherever_one_looks() {
    let (sandbox, _) = start(SandboxConfig::default()).await;
    let http = reqwest::Client::new();
    let page = http.get(sandbox.url()).send().await.unwrap();
    assert!(page.headers()["x-farthing-sandbox"].to_str().unwrap().starts_with("farthing-sandbox/"));
    let text = page.text().await.unwrap();
    assert!(text.contains("sandbox") && text.contains("worth nothing"), "{text}");
    let answer = http
        .post(sandbox.url())
        .json(&json!({ "id": 1, "method": "web3_clientVersion" }))
        .send()
        .await
        .unwrap();
    assert!(answer.headers().contains_key("x-farthing-sandbox"));
    let answer: Value = answer.json().await.unwrap();
    assert!(answer["result"].as_str().unwrap().starts_with("farthing-sandbox/"));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn http_is_bounded() {
    let limits = Limits { body_bytes: 1_000, ..Default::default() };
    let (sandbox, _) = start(SandboxConfig { limits, ..Default::default() }).await;
    let http = reqwest::Client::new();
    let send = |kind: &'static str, body: String| {
        http.post(sandbox.url()).header("content-type", kind).body(body).send()
    };
    let request = r#"{"id":1,"method":"eth_chainId"}"#;
    let cases = [
        ("application/json", request.to_owned(), 200),
        ("application/json; charset=utf-8", request.to_owned(), 200),
        ("application/json", r#"{"method":"eth_chainId"}"#.to_owned(), 204),
        ("text/plain", request.to_owned(), 415),
        ("application/json", " ".repeat(1_001), 413),
    ];
    for (kind, body, status) in cases {
        assert_eq!(send(kind, body).await.unwrap().status(), status, "{kind}");
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn sync_waits_for_the_block_and_gives_up_in_time() {
    let block_time = BlockTime::Every(Duration::from_millis(50));
    let (sandbox, _) = start(SandboxConfig { block_time, ..Default::default() }).await;
    let receipt = ask(&sandbox, "eth_sendRawTransactionSync", json!([transfer(5).by(3), 20_000])).await;
    assert_eq!(receipt["result"]["status"], "0x1", "{receipt}");
    assert_eq!(sandbox.chain().balance(PATH_USD, PAYEE), U256::from(5));
    // A gap keeps it from any block.
    let waiting = ask(&sandbox, "eth_sendRawTransactionSync", json!([numbered(5).by(3), "0x32"])).await;
    assert_eq!(waiting["error"]["code"], 4, "{waiting}");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn nobody_waits_longer_than_the_sandbox_allows() {
    let limits = Limits { inclusion_timeout: Duration::from_millis(20), ..Default::default() };
    let (sandbox, _) = start(SandboxConfig { limits, ..Default::default() }).await;
    let request = ask(&sandbox, "eth_sendRawTransactionSync", json!([numbered(5).by(3), 3_000_000]));
    let waiting = tokio::time::timeout(Duration::from_secs(20), request).await.unwrap();
    assert_eq!(waiting["error"]["code"], 4, "{waiting}");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_take_the_chain_along() {
    let (sandbox, hand) = start(SandboxConfig::default()).await;
    hand.set(START_S - 100);
    sandbox.chain().mine();
    let block = ask(&sandbox, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(block["result"]["timestamp"], format!("{START_S:#x}"));
    sandbox.shutdown().await;
}

/// The chain's own system transactions are signed by nobody; nobody else may send such a one.
#[tokio::test]
async fn system_transactions_are_not_for_sale() {
    let (sandbox, _) = start(SandboxConfig::default()).await;
    let chain = sandbox.chain();
    chain.fund(Address::ZERO, PATH_USD, U256::from(1_000_000_000)).unwrap();
    let refused = chain.submit(&raw(&sign::system_transaction(transfer(5)))).unwrap_err();
    assert_eq!(refused.code(), "signer");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn logs_are_found_by_address_topic_and_block() {
    let (sandbox, _) = start(SandboxConfig::default()).await;
    let chain = sandbox.chain();
    for (amount, sender) in [(1, 3), (2, 4), (3, 3)] {
        chain.submit(&raw(&transfer(amount).by(sender))).unwrap();
    }
    let (from3, to) = (address(3).into_word(), PAYEE.into_word());
    let topic = ITIP20::Transfer::SIGNATURE_HASH;
    let second = ask(&sandbox, "eth_getBlockByNumber", json!(["0x2", false])).await["result"]["hash"].take();
    let cases = [
        (json!({ "fromBlock": "0x0" }), 6),
        (json!({}), 2),
        (json!({ "fromBlock": "0x0", "toBlock": "0x2" }), 4),
        (json!({ "blockHash": second }), 2),
        (json!({ "fromBlock": "0x0", "address": PAYEE }), 0),
        (json!({ "fromBlock": "0x0", "address": [PAYEE, PATH_USD] }), 6),
        (json!({ "fromBlock": "0x0", "topics": [topic] }), 6),
        (json!({ "fromBlock": "0x0", "topics": [to] }), 0),
        (json!({ "fromBlock": "0x0", "topics": [null, null, to] }), 3),
        (json!({ "fromBlock": "0x0", "topics": [topic, from3, [to, from3]] }), 2),
        (json!({ "fromBlock": "0x0", "topics": [[], from3] }), 4),
        (json!({ "fromBlock": "0x0", "topics": [null, null, null, null] }), 6),
    ];
    for (filter, count) in cases {
        let found = ask(&sandbox, "eth_getLogs", json!([filter])).await;
        assert_eq!(found["result"].as_array().map(Vec::len), Some(count), "{filter}: {found}");
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn simulations_change_nothing_and_validate_when_asked() {
    let (sandbox, _) = start(SandboxConfig::default()).await;
    let data = |amount: u64| {
        Bytes::from(ITIP20::transferCall { to: PAYEE, amount: U256::from(amount) }.abi_encode())
    };
    let call = |amount| json!({ "from": address(3), "to": PATH_USD, "data": data(amount) });
    let priced = json!({
        "from": address(3), "to": PATH_USD, "data": data(1), "gas": "0x1e8480", "maxFeePerGas": "0x98bca5a00", "nonce": "0x0",
    });
    let mut wrong_nonce = priced.clone();
    wrong_nonce["nonce"] = json!("0x5");
    let simulate = |calls: Vec<Value>, validation: bool| {
        let payload = json!({ "blockStateCalls": [{ "calls": calls }], "validation": validation });
        ask(&sandbox, "tempo_simulateV1", json!([payload, "latest"]))
    };
    // One call sees what the one before it did; a revert is told, not thrown.
    let free = simulate(vec![call(7), call(u64::MAX)], false).await;
    let results = &free["result"]["blocks"][0]["calls"];
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&json!("0x1"), &json!("0x0")), "{free}");
    assert_eq!(results[1]["error"]["code"], 3);
    assert_eq!(free["result"]["tokenMetadata"][PATH_USD.to_string().to_lowercase()]["symbol"], "PathUSD");
    for (calls, refused) in [(vec![call(7)], true), (vec![wrong_nonce], true), (vec![priced], false)] {
        let answer = simulate(calls.clone(), true).await;
        assert_eq!(answer.get("error").is_some(), refused, "{calls:?}: {answer}");
    }
    assert_eq!((sandbox.chain().block_number(), sandbox.chain().balance(PATH_USD, PAYEE)), (0, U256::ZERO));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn held_transactions_are_included_when_they_can_be() {
    let (sandbox, hand) = start(SandboxConfig::default()).await;
    let chain = sandbox.chain();
    // The later nonces first: one gap, then both at once.
    for nonce in [2, 1] {
        chain.submit(&raw(&numbered(nonce).by(3))).unwrap();
        assert_eq!(chain.block_number(), 0, "nothing to mine yet");
    }
    chain.submit(&raw(&numbered(0).by(3))).unwrap();
    assert_eq!(chain.block_number(), 1);
    assert_eq!(chain.balance(PATH_USD, PAYEE), U256::from(10 + 11 + 12));
    // Later: a window that opens, and one that closes while its transaction waits.
    chain.submit(&raw(&Draft { valid_after: START_S + 10, ..transfer(100) }.by(3))).unwrap();
    let lost = Draft { valid_after: START_S + 10, valid_before: START_S + 20, ..transfer(1_000) };
    hand.advance(5);
    chain.submit(&raw(&lost.by(4))).unwrap();
    hand.advance(10);
    chain.mine();
    assert_eq!(chain.balance(PATH_USD, PAYEE), U256::from(33 + 100 + 1_000));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_transaction_that_expires_while_it_waits_never_lands() {
    let block_time = BlockTime::Every(Duration::from_secs(3_600));
    let (sandbox, hand) = start(SandboxConfig { block_time, ..Default::default() }).await;
    let chain = sandbox.chain();
    let hash = chain.submit(&raw(&transfer(5).by(3))).unwrap();
    assert_eq!(
        ask(&sandbox, "eth_getTransactionByHash", json!([hash])).await["result"]["blockHash"],
        Value::Null
    );
    assert_eq!(chain.submit(&raw(&transfer(5).by(3))).unwrap_err().code(), "already_known");
    hand.advance(60);
    chain.mine();
    assert_eq!(chain.balance(PATH_USD, PAYEE), U256::ZERO);
    assert_eq!(ask(&sandbox, "eth_getTransactionByHash", json!([hash])).await["result"], Value::Null);
    assert_eq!(chain.submit(&raw(&transfer(5).by(3))).unwrap_err().code(), "expired");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn the_mempool_is_bounded() {
    let limits = Limits { mempool: 2, ..Default::default() };
    let (sandbox, _) = start(SandboxConfig { limits, ..Default::default() }).await;
    let chain = sandbox.chain();
    for nonce in [1, 2] {
        chain.submit(&raw(&numbered(nonce).by(3))).unwrap();
    }
    assert_eq!(chain.submit(&raw(&numbered(3).by(3))).unwrap_err().code(), "mempool_full");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn one_transaction_sent_by_many_at_once_lands_once() {
    let (sandbox, _) = start(SandboxConfig::default()).await;
    let signed = raw(&transfer(5).by(3));
    let senders: Vec<_> = (0..64)
        .map(|_| {
            let (chain, signed) = (sandbox.chain(), signed.clone());
            tokio::task::spawn_blocking(move || chain.submit(&signed).is_ok())
        })
        .collect();
    let mut taken = 0;
    for sender in senders {
        taken += usize::from(sender.await.unwrap());
    }
    assert_eq!(taken, 1);
    assert_eq!(sandbox.chain().balance(PATH_USD, PAYEE), U256::from(5));
    sandbox.shutdown().await;
}

/// The fee payer's part can be made anew for one signed transaction: still it pays once.
#[tokio::test]
async fn another_sponsor_does_not_make_it_another_payment() {
    let (sandbox, _) = start(SandboxConfig::default()).await;
    let chain = sandbox.chain();
    let sponsored =
        |payer| raw(&Draft { payer: Some(payer), fee_token: Some(PATH_USD), ..transfer(5) }.by(4));
    chain.submit(&sponsored(0)).unwrap();
    assert_eq!(chain.submit(&sponsored(1)).unwrap_err().code(), "replay");
    assert_eq!(chain.balance(PATH_USD, PAYEE), U256::from(5));
    assert_eq!(chain.balance(PATH_USD, address(4)), U256::from(u64::MAX - 5), "the sender paid no fee");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_filled_transaction_is_one_that_lands() {
    let (sandbox, _) = start(SandboxConfig::default()).await;
    let data = Bytes::from(ITIP20::transferCall { to: PAYEE, amount: U256::from(9) }.abi_encode());
    let request = json!({
        "from": address(3), "type": "0x76", "calls": [{ "to": PATH_USD, "data": data }],
        "nonceKey": U256::MAX, "validBefore": format!("{:#x}", START_S + 25),
    });
    let filled = ask(&sandbox, "eth_fillTransaction", json!([request])).await["result"]["tx"].take();
    let number = |field: &str| u64::from_str_radix(&filled[field].as_str().unwrap()[2..], 16).unwrap();
    let draft = Draft {
        gas: number("gas"),
        max_fee: number("maxFeePerGas").into(),
        priority_fee: number("maxPriorityFeePerGas").into(),
        valid_before: START_S + 25,
        ..transfer(9)
    };
    let chain = sandbox.chain();
    let before = chain.snapshot();
    chain.submit(&raw(&draft.by(3))).unwrap();
    assert_eq!(chain.balance(PATH_USD, PAYEE), U256::from(9));
    // It has no slack for a new slot: with less than that the same transaction runs out of gas.
    assert!(chain.revert(before));
    chain.submit(&raw(&Draft { gas: number("gas") - 20_000, ..draft }.by(3))).unwrap();
    assert_eq!((chain.block_number(), chain.balance(PATH_USD, PAYEE)), (1, U256::ZERO));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn nothing_listens_after_the_end() {
    for stop_by_dropping in [false, true] {
        let (sandbox, _) = start(SandboxConfig::default()).await;
        let (url, chain) = (sandbox.url(), sandbox.chain());
        if stop_by_dropping {
            drop(sandbox);
            // The tasks hold the chain; when this is the last handle they are gone.
            while Arc::strong_count(&chain) > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } else {
            sandbox.shutdown().await;
        }
        assert!(reqwest::get(url).await.is_err());
    }
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let (sandbox, _) = start(SandboxConfig::default()).await;
    let config = SandboxConfig { listen: sandbox.address(), ..Default::default() };
    let error = Sandbox::start(config, || 0).await.unwrap_err();
    assert_eq!(error.code(), "listen");
    assert!(error.to_string().contains(&sandbox.address().to_string()), "{error}");
    sandbox.shutdown().await;
}
