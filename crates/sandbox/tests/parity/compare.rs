//! What of two answers is compared, and where they may differ.

use serde_json::{Value, json};

/// Where the two must differ: the step, the JSON pointer into what is compared, and why.
const EXPECTED: &[(&str, &str, &str)] = &[
    ("client version", "", "the sandbox says that it is one"),
    ("sponsored", "/feePayer", "anvil names the sender there; the node, and the sandbox, name who paid"),
    (
        "sponsored transferFrom",
        "/feePayer",
        "anvil names the sender there; the node, and the sandbox, name who paid",
    ),
    (
        "sponsored batch",
        "/feePayer",
        "anvil names the sender there; the node, and the sandbox, name who paid",
    ),
    (
        "resent after inclusion",
        "",
        "anvil answers with the hash again, the node refuses the replay; neither applies it twice, which the balances show",
    ),
    ("call at an unborn block", "/error", "anvil says -32602, the node and the sandbox -32001"),
    (
        "call without a target",
        "/error",
        "anvil runs the data as code and fails, the sandbox says that it does not",
    ),
    (
        "call of a closed window",
        "/error",
        "anvil says -32603, an internal error; the sandbox -32003, a refused transaction",
    ),
    (
        "transaction",
        "/result/gasPrice",
        "anvil leaves the price out of a Tempo transaction, the node tells it",
    ),
    (
        "simulation",
        "/calls/1/error",
        "the messages differ: anvil has none, the sandbox says what eth_call says",
    ),
    ("batch in a call", "", "anvil ignores `calls` in eth_call; the node, and the sandbox, run them"),
    ("faucet", "", "anvil has no faucet; the sandbox has the node's"),
];

/// Both sides without what they are expected to differ in. An expectation that does not come true is a mistake too.
pub fn without_expected(step: &str, mut ours: Value, mut theirs: Value) -> (Value, Value) {
    for (_, pointer, reason) in EXPECTED.iter().filter(|(name, _, _)| *name == step) {
        assert_ne!(ours.pointer(pointer), theirs.pointer(pointer), "{step}: no longer true that {reason}");
        forget(&mut ours, pointer);
        forget(&mut theirs, pointer);
    }
    (ours, theirs)
}

/// Takes out what a JSON pointer points to.
fn forget(value: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        *value = Value::Null;
        return;
    };
    if let Some(fields) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        fields.remove(key);
    }
}

/// What counts of an answer: the result without what depends on the block, or the error's code, and its data if it is a
/// revert's.
pub fn answer(mut answer: Value) -> Value {
    let error = answer["error"].take();
    if error.is_null() {
        return json!({ "result": strip(answer["result"].take()) });
    }
    match error["code"].as_i64() {
        Some(3) => json!({ "error": error }),
        code => json!({ "error": code }),
    }
}

/// What counts of a simulation: what its calls did.
pub fn simulation(mut answer: Value) -> Value {
    let mut calls = strip(answer["result"][0]["calls"].take());
    for call in calls.as_array_mut().into_iter().flatten() {
        // Neither chain has a transaction to name, and only the sandbox tells the gas before refunds.
        call.as_object_mut().into_iter().for_each(|call| drop(call.remove("maxUsedGas")));
        for log in call["logs"].as_array_mut().into_iter().flatten() {
            log["transactionHash"] = Value::Null;
        }
    }
    json!({ "calls": calls, "error": answer["error"]["code"] })
}

/// What counts of a transaction: whether it landed, and the receipt.
pub fn outcome(receipt: Value) -> Value {
    let mut outcome = strip(receipt);
    outcome = match outcome {
        Value::Null => json!({ "landed": "no" }),
        mut receipt => {
            receipt["landed"] = json!(if receipt["status"] == "0x1" { "ok" } else { "reverted" });
            receipt
        }
    };
    outcome
}

/// Removes what two chains cannot share: the hash, number and time of blocks; and the fields that only one has and
/// nobody needs.
fn strip(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(strip).collect(),
        Value::Object(fields) => {
            let local = ["blockHash", "blockNumber", "blockTimestamp", "blobGasPrice", "feeToken"];
            let kept = fields.into_iter().filter(|(key, _)| !local.contains(&key.as_str()));
            Value::Object(kept.map(|(key, value)| (key, strip(value))).collect())
        }
        other => other,
    }
}
