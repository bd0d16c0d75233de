#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{Resolution, SettleError};
use serde_json::{Value, json};

use super::{GRACE_S, How, Plan, Pull};
use crate::tempo::abi::Tip20;
use crate::tempo::memo::{self, Named};
use crate::tempo::testing::{error, node, result};
use crate::tempo::{offline, tokens};

const SEND: &str = "eth_sendRawTransactionSync";
const RECEIPT: &str = "eth_getTransactionReceipt";
const HEAD: &str = "eth_getBlockByNumber";
const HASH: B256 = B256::repeat_byte(0x11);
const PAYER: Address = Address::repeat_byte(0xaa);
const RECIPIENT: Address = Address::repeat_byte(0xbb);
const NAMED: Named<'static> = Named { realm: "api.example.com", challenge_id: "c" };
const END: u64 = 1_900_000_000;
const NOW: UnixMs = UnixMs::from_ms(END * 1000);

fn plan() -> Plan {
    let charge = offline::plain_charge(Amount::from_base(5), tokens::PATH_USD, RECIPIENT);
    Plan {
        how: How::Pull(Pull {
            raw: "0x76".into(),
            hash: HASH,
            payer: PAYER,
            valid_before: END,
            request: charge.to_json(),
            realm: NAMED.realm.into(),
            challenge_id: NAMED.challenge_id.into(),
        }),
        external_id: None,
    }
}

fn receipt(status: &str, logs: Value) -> Value {
    result(json!({"transactionHash": HASH, "status": status, "from": PAYER, "logs": logs}))
}

fn logs() -> Value {
    let memo = memo::encode(NAMED, None);
    let event = Tip20::TransferWithMemo { from: PAYER, to: RECIPIENT, amount: U256::from(5), memo };
    let data = event.encode_log_data();
    json!([{"address": tokens::PATH_USD, "topics": data.topics(), "data": data.data}])
}

fn head(at: u64) -> Value {
    result(json!({"timestamp": format!("{at:#x}"), "baseFeePerGas": "0x1"}))
}

/// What a node says to sending, to a receipt, to the newest block.
fn says(send: Value, receipt: Value, head: Value) -> impl Fn(&str) -> Value + Send + Sync + 'static {
    move |method| match method {
        SEND => send.clone(),
        RECEIPT => receipt.clone(),
        HEAD => head.clone(),
        _ => error(-32601, "Method not found"),
    }
}

#[tokio::test]
async fn only_what_cannot_have_happened_is_rejected() {
    let paid = || receipt("0x1", logs());
    let nothing = || result(Value::Null);
    let no_funds = || error(-32000, "insufficient funds for fee");
    let cases = [
        ("settled", paid(), nothing()),
        ("transaction_reverted", receipt("0x0", json!([])), nothing()),
        // A node that forgets the logs has not undone the payment.
        ("unknown", receipt("0x1", json!([])), nothing()),
        ("payer_insufficient", no_funds(), nothing()),
        ("transaction_refused", error(-32003, "transaction underpriced"), nothing()),
        // Refused, and yet in a block: somebody sent it before.
        ("settled", no_funds(), paid()),
        ("settled", error(-32000, "already known"), paid()),
        ("unknown", no_funds(), error(-32005, "slow down")),
        ("unknown", error(-32005, "slow down"), nothing()),
    ];
    for (i, (expected, send, receipt)) in cases.into_iter().enumerate() {
        let rpc = node(says(send, receipt, head(END))).await;
        let got = match plan().settle(&rpc, NOW).await {
            Ok(settled) if settled.reference == HASH.to_string() => "settled",
            Err(SettleError::Rejected(problem)) => problem.code,
            Err(SettleError::Unknown { .. }) => "unknown",
            other => panic!("{other:?}"),
        };
        assert_eq!(got, expected, "case {i}");
    }
}

#[tokio::test]
async fn an_outcome_is_final_only_when_the_chain_can_no_longer_change_it() {
    let paid = || receipt("0x1", logs());
    let nothing = || result(Value::Null);
    let refused = || error(-32000, "insufficient funds for fee");
    let cases = [
        ("settled", refused(), paid(), head(END - 5)),
        ("failed", refused(), receipt("0x0", json!([])), head(END - 5)),
        ("stays unknown", refused(), receipt("0x1", json!([])), head(END - 5)),
        // Still valid: sent again, and whatever the node says now may pass.
        ("settled", paid(), nothing(), head(END - 5)),
        ("pending", refused(), nothing(), head(END - 5)),
        // No longer valid, and a block may still arrive; and then none can.
        ("pending", paid(), nothing(), head(END)),
        ("pending", paid(), nothing(), head(END + GRACE_S - 1)),
        ("failed", paid(), nothing(), head(END + GRACE_S)),
        ("stays unknown", paid(), error(-32603, "internal"), head(END + GRACE_S)),
        ("stays unknown", paid(), nothing(), error(-32603, "internal")),
    ];
    for (i, (expected, send, receipt, head)) in cases.into_iter().enumerate() {
        let rpc = node(says(send, receipt, head)).await;
        let got = match plan().resolve(&rpc, NOW).await {
            Ok(Resolution::Settled(_)) => "settled",
            Ok(Resolution::Failed { .. }) => "failed",
            Ok(Resolution::Pending) => "pending",
            Err(_) => "stays unknown",
        };
        assert_eq!(got, expected, "case {i}");
    }
}

#[test]
fn a_plan_survives_the_journal_and_damage_is_not_a_failure() {
    let kept = plan().to_value();
    let text = kept.to_string();
    assert!(Plan::read(&serde_json::from_str(&text).unwrap()).unwrap() == plan());
    for how in [How::Push { hash: HASH }, How::Proof { challenge_id: "c".into() }] {
        let plan = Plan { how, external_id: Some("o-1".into()) };
        assert!(Plan::read(&plan.to_value()).unwrap() == plan);
    }
    assert!(Plan::read(&json!({"how": {"kind": "teleport"}})).is_err());
}

#[tokio::test]
async fn what_has_settled_needs_no_node() {
    let rpc = crate::tempo::TempoRpc::new("http://127.0.0.1:1").unwrap();
    let push = Plan { how: How::Push { hash: B256::repeat_byte(0xab) }, external_id: Some("o-1".into()) };
    let settled = push.settle(&rpc, NOW).await.unwrap();
    assert_eq!(settled.reference, format!("0x{}", "ab".repeat(32)), "TC9");
    assert_eq!(settled.external_id.as_deref(), Some("o-1"));
    assert_eq!(push.resolve(&rpc, NOW).await, Ok(Resolution::Settled(settled)));
}
