//! The port without the network: what is answered to what, and that nothing makes it panic.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::server::respond;
use crate::chain::Chain;
use crate::config::{Limits, SandboxConfig};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const DEV: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
const PATH: &str = "0x20c0000000000000000000000000000000000000";

fn chain() -> Arc<Chain> {
    let limits =
        Limits { batch: 3, log_range_blocks: 5, history_blocks: 8, snapshots: 2, ..Default::default() };
    Chain::new(SandboxConfig { limits, ..Default::default() }, Box::new(|| 1_000_000))
}

fn ask(chain: &Arc<Chain>, body: &Value) -> Option<Value> {
    raw(chain, body.to_string().as_bytes())
}

fn raw(chain: &Arc<Chain>, body: &[u8]) -> Option<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(respond(chain, body))
}

#[allow(clippy::needless_pass_by_value, reason = "every caller writes the parameters in place")]
fn call(chain: &Arc<Chain>, method: &str, params: Value) -> Value {
    let mut answer =
        ask(chain, &json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })).unwrap();
    assert_eq!(answer["id"], 1);
    match answer.get_mut("error") {
        Some(error) => json!({ "code": error["code"] }),
        None => answer["result"].take(),
    }
}

#[test]
fn envelopes_follow_json_rpc() {
    let chain = chain();
    let cases: [(&[u8], Option<i64>); 9] = [
        (b"{bad", Some(-32700)),
        (b"", Some(-32700)),
        (b"7", Some(-32600)),
        (b"[]", Some(-32600)),
        (br#"{"id":1}"#, Some(-32600)),
        (br#"{"id":1,"method":"eth_chainId","params":{}}"#, Some(-32602)),
        (br#"{"id":1,"method":"no_such_method"}"#, Some(-32601)),
        (
            br#"[{"id":1,"method":"a"},{"id":2,"method":"a"},{"id":3,"method":"a"},{"id":4,"method":"a"}]"#,
            Some(-32005),
        ),
        (br#"{"method":"eth_chainId"}"#, None),
    ];
    for (body, code) in cases {
        let answer = raw(&chain, body);
        let text = String::from_utf8_lossy(body);
        assert_eq!(answer.map(|answer| answer["error"]["code"].as_i64().unwrap()), code, "{text}");
    }
    let batch = json!([{ "id": "a", "method": "eth_chainId" }, { "method": "eth_chainId" }, { "id": 2, "method": "x" }]);
    let answer = ask(&chain, &batch).unwrap();
    assert_eq!(answer.as_array().unwrap().len(), 2, "a notification is not answered");
    assert_eq!((&answer[0]["id"], &answer[0]["result"]), (&json!("a"), &json!("0x539")));
}

#[test]
fn readers_answer_in_the_shapes_that_clients_parse() {
    let chain = chain();
    let cases = [
        ("web3_clientVersion", json!([]), json!(super::CLIENT_VERSION)),
        ("net_version", json!([]), json!("1337")),
        ("eth_blockNumber", json!([]), json!("0x0")),
        ("eth_gasPrice", json!([]), json!("0x4e3b29200")),
        ("eth_getCode", json!([PATH]), json!("0xef")),
        ("eth_getCode", json!([DEV]), json!("0x")),
        ("eth_getBalance", json!([DEV, "latest"]), json!("0x21e19e0c9bab2400000")),
        ("eth_getTransactionCount", json!([DEV, "pending"]), json!("0x0")),
        ("eth_getBlockByNumber", json!(["0x99", false]), Value::Null),
        ("eth_getTransactionReceipt", json!([alloy_primitives::B256::ZERO]), Value::Null),
        ("eth_getTransactionReceipt", json!(["0x12"]), json!({ "code": -32602 })),
        ("eth_getTransactionReceipt", json!([]), json!({ "code": -32602 })),
        ("eth_call", json!([{ "to": PATH, "data": "0x313ce567" }, "0x99"]), json!({ "code": -32001 })),
        ("eth_call", json!([{ "to": PATH, "data": "0xdeadbeef" }]), json!({ "code": 3 })),
        ("eth_call", json!([{ "data": "0x1234" }]), json!({ "code": -32003 })),
        ("eth_call", json!([{ "to": DEV, "value": "0x1" }]), json!({ "code": -32003 })),
        ("eth_sendRawTransaction", json!(["0x78c0"]), json!({ "code": -32602 })),
        (
            "eth_getLogs",
            json!([{ "blockHash": alloy_primitives::B256::ZERO, "fromBlock": "0x0" }]),
            json!({ "code": -32602 }),
        ),
        ("evm_revert", json!(["0x7"]), json!(false)),
        ("anvil_mine", json!(["0xffffff"]), json!({ "code": -32005 })),
    ];
    for (method, params, expected) in cases {
        assert_eq!(call(&chain, method, params.clone()), expected, "{method} {params}");
    }
}

#[test]
fn history_is_bounded_and_says_so() {
    let chain = chain();
    call(&chain, "anvil_mine", json!([20]));
    assert_eq!(call(&chain, "eth_getBlockByNumber", json!(["0x1", false])), Value::Null);
    assert_eq!(call(&chain, "eth_getBlockByNumber", json!(["earliest", false]))["number"], "0xd");
    assert_eq!(
        call(&chain, "eth_getLogs", json!([{ "fromBlock": "0xd", "toBlock": "0x14" }])),
        json!({ "code": -32005 })
    );
    assert_eq!(call(&chain, "eth_getLogs", json!([{ "fromBlock": "0x10" }])), json!([]));
}

#[test]
fn snapshots_bring_everything_back_once() {
    let chain = chain();
    let balance = || {
        call(
            &chain,
            "eth_call",
            json!([{ "to": PATH, "data": format!("0x70a08231{:0>64}", "77".repeat(20)) }]),
        )
    };
    let before = (balance(), call(&chain, "eth_blockNumber", json!([])));
    let id = call(&chain, "evm_snapshot", json!([]));
    let receipts = call(&chain, "tempo_fundAddress", json!([format!("0x{}", "77".repeat(20))]));
    assert_eq!(receipts.as_array().unwrap().len(), 4);
    let receipt = call(&chain, "eth_getTransactionReceipt", json!([receipts[0]]));
    assert_eq!((&receipt["status"], receipt["logs"].as_array().unwrap().len()), (&json!("0x1"), 2));
    call(&chain, "evm_increaseTime", json!([100]));
    call(&chain, "evm_mine", json!([]));
    assert_ne!(balance(), before.0);
    assert_eq!(call(&chain, "evm_revert", json!([id])), json!(true));
    assert_eq!((balance(), call(&chain, "eth_blockNumber", json!([]))), before);
    assert_eq!(call(&chain, "eth_getTransactionReceipt", json!([receipts[0]])), Value::Null);
    assert_eq!(call(&chain, "evm_revert", json!([id])), json!(false), "a snapshot is used up");
    call(&chain, "evm_mine", json!([]));
    let block = call(&chain, "eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(block["timestamp"], "0x3e8", "time came back too");
}

#[test]
fn time_travels_forward_only() {
    let chain = chain();
    assert_eq!(call(&chain, "evm_increaseTime", json!([10])), json!(10));
    assert_eq!(call(&chain, "evm_increaseTime", json!(["0xa"])), json!(20));
    call(&chain, "evm_mine", json!([]));
    assert_eq!(call(&chain, "eth_getBlockByNumber", json!(["latest"]))["timestamp"], "0x3fc");
    assert_eq!(call(&chain, "evm_setNextBlockTimestamp", json!([1])), json!({ "code": -32602 }));
    assert_eq!(call(&chain, "evm_setNextBlockTimestamp", json!([5000])), Value::Null);
    call(&chain, "anvil_mine", json!([1]));
    assert_eq!(call(&chain, "eth_getBlockByNumber", json!(["latest"]))["timestamp"], "0x1388");
}

/// Every method that the port knows.
const METHODS: [&str; 35] = [
    "web3_clientVersion",
    "eth_chainId",
    "net_version",
    "net_listening",
    "eth_syncing",
    "eth_accounts",
    "eth_blockNumber",
    "eth_gasPrice",
    "eth_maxPriorityFeePerGas",
    "eth_feeHistory",
    "eth_getBalance",
    "eth_getTransactionCount",
    "eth_getCode",
    "eth_getStorageAt",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBlockReceipts",
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
    "eth_call",
    "eth_estimateGas",
    "eth_fillTransaction",
    "eth_getLogs",
    "eth_simulateV1",
    "tempo_simulateV1",
    "eth_sendRawTransaction",
    "eth_sendRawTransactionSync",
    "tempo_fundAddress",
    "sandbox_fund",
    "evm_snapshot",
    "evm_revert",
    "evm_increaseTime",
    "evm_setNextBlockTimestamp",
    "evm_mine",
    "anvil_mine",
];

#[test]
fn the_list_of_methods_is_the_list_that_is_answered() {
    let chain = chain();
    for method in METHODS {
        assert_ne!(call(&chain, method, json!([])), json!({ "code": -32601 }), "{method}");
    }
}

/// Values that parameters are made of: plausible ones, and rubbish.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..80)
            .prop_map(|bytes| json!(alloy_primitives::Bytes::from(bytes))),
        any::<u64>().prop_map(|number| json!(format!("{number:#x}"))),
        any::<[u8; 20]>().prop_map(|bytes| json!(alloy_primitives::Address::from(bytes))),
        any::<[u8; 32]>().prop_map(|bytes| json!(alloy_primitives::B256::from(bytes))),
        Just(json!(DEV)),
        Just(json!(PATH)),
        Just(json!("latest")),
        Just(json!("earliest")),
        Just(json!(format!("0x{}", "f".repeat(64)))),
    ];
    let keys = prop_oneof![
        Just("to".to_owned()),
        Just("from".to_owned()),
        Just("data".to_owned()),
        Just("calls".to_owned()),
        Just("gas".to_owned()),
        Just("nonceKey".to_owned()),
        Just("nonce".to_owned()),
        Just("validBefore".to_owned()),
        Just("validAfter".to_owned()),
        Just("feeToken".to_owned()),
        Just("maxFeePerGas".to_owned()),
        Just("fromBlock".to_owned()),
        Just("toBlock".to_owned()),
        Just("topics".to_owned()),
        Just("address".to_owned()),
        Just("blockStateCalls".to_owned()),
        Just("validation".to_owned()),
        any::<String>(),
    ];
    leaf.prop_recursive(3, 24, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(keys.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_parameters_make_a_method_panic(params in proptest::collection::vec(value(), 0..4)) {
        let chain = chain();
        for method in METHODS {
            // A whole number of blocks or seconds is honoured; that it may be large is not what is tested here.
            let answer = ask(&chain, &json!({ "id": 1, "method": method, "params": params }));
            let answer = answer.unwrap();
            prop_assert!(answer.get("result").is_some() || answer["error"]["code"].is_i64(), "{}", answer);
        }
    }

    #[test]
    fn no_bytes_make_the_port_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        raw(&chain(), &body);
    }

    /// Type byte, list header, rubbish: deeper into the decoder than plain bytes get.
    #[test]
    fn no_transaction_makes_the_pool_panic(kind in prop_oneof![Just(0x76u8), Just(0x78), Just(2), any::<u8>()], body in proptest::collection::vec(any::<u8>(), 0..120)) {
        let mut transaction = vec![kind];
        alloy_rlp::Header { list: true, payload_length: body.len() }.encode(&mut transaction);
        transaction.extend(body);
        let chain = chain();
        prop_assert!(chain.submit(&transaction).is_err());
    }
}
