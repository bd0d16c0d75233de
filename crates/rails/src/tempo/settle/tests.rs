#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ReservationFate, Resolution, SettleError};
use serde_json::{Value, json};

use super::{How, Plan, Pull};
use crate::tempo::abi::Tip20;
use crate::tempo::fate::{GRACE_S, LONG_S};
use crate::tempo::memo::{self, Named};
use crate::tempo::testing::{error, node, node_of, result};
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

/// The money went to an address that nobody named: what a receive policy does (TIP-1028).
fn diverted() -> Value {
    let to = Address::repeat_byte(0x99);
    let data = Tip20::Transfer { from: PAYER, to, amount: U256::from(5) }.encode_log_data();
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
        ("reverted", receipt("0x0", json!([])), nothing()),
        // A node that forgets the logs has not undone the payment; logs that pay somebody else are final.
        ("unknown", receipt("0x1", json!([])), nothing()),
        ("diverted", receipt("0x1", diverted()), nothing()),
        // Whoever answers this may have passed it on.
        ("unknown", error(-32000, "context deadline exceeded"), nothing()),
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
            // Executed: what it cost is spent.
            Err(SettleError::Reverted(problem)) if problem.code == "transaction_reverted" => "reverted",
            Err(SettleError::Reverted(problem)) if problem.code == "legs_missing_on_chain" => "diverted",
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
        ("spent", refused(), receipt("0x0", json!([])), head(END - 5)),
        ("spent", refused(), receipt("0x1", diverted()), head(END - 5)),
        ("stays unknown", refused(), receipt("0x1", json!([])), head(END - 5)),
        // Still valid: sent again without waiting, and whatever the node says now may pass.
        ("pending", paid(), nothing(), head(END - 5)),
        ("pending", refused(), nothing(), head(END - 5)),
        // No longer valid, and a block may still arrive; and then none can.
        ("pending", paid(), nothing(), head(END)),
        ("pending", paid(), nothing(), head(END + GRACE_S - 1)),
        ("released", paid(), nothing(), head(END + GRACE_S)),
        ("released", paid(), nothing(), head(END + LONG_S)),
        // Long ago, and the node shows nothing of that time.
        ("pending", paid(), nothing(), head(END + LONG_S + 1)),
        ("stays unknown", paid(), error(-32603, "internal"), head(END + GRACE_S)),
        ("stays unknown", paid(), nothing(), error(-32603, "internal")),
    ];
    for (i, (expected, send, receipt, head)) in cases.into_iter().enumerate() {
        let rpc = node(says(send, receipt, head)).await;
        let got = match plan().resolve(&rpc, NOW).await {
            Ok(Resolution::Settled(_)) => "settled",
            Ok(Resolution::Failed { reservation: ReservationFate::Released, .. }) => "released",
            Ok(Resolution::Failed { reservation: ReservationFate::Spent, .. }) => "spent",
            Ok(Resolution::Pending) => "pending",
            Err(_) => "stays unknown",
        };
        assert_eq!(got, expected, "case {i}");
    }
}

/// A chain of 40 blocks, a day and a half apart in all, of which a node keeps the receipts of the newest `kept`.
async fn long_after(kept: u64, landed: bool) -> Result<Resolution, String> {
    const EVERY: u64 = 3_600;
    let newest = 40_u64;
    // The transaction could be in block 4 and not in block 5.
    let timestamp = move |number: u64| END - 4 * EVERY - 1 + number * EVERY;
    let rpc = node_of(move |method, params| {
        let word = params[0].as_str().unwrap().to_owned();
        match method {
            HEAD => {
                let digits = word.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16).unwrap());
                let number = digits.unwrap_or(newest);
                let hashes = json!([B256::from(U256::from(number))]);
                let (number, at) = (format!("{number:#x}"), format!("{:#x}", timestamp(number)));
                result(json!({"number": number, "timestamp": at, "transactions": hashes}))
            }
            RECEIPT if word == HASH.to_string() => {
                if landed {
                    receipt("0x1", logs())
                } else {
                    result(Value::Null)
                }
            }
            RECEIPT => {
                let number = U256::from_str_radix(&word[2..], 16).unwrap();
                let known = number > U256::from(newest - kept);
                let receipt = json!({"transactionHash": word, "status": "0x1", "from": PAYER, "logs": []});
                result(if known { receipt } else { Value::Null })
            }
            _ => error(-32601, "Method not found"),
        }
    })
    .await;
    plan().resolve(&rpc, NOW).await
}

#[tokio::test]
async fn a_receipt_missing_long_after_proves_something_only_where_others_of_that_time_are_kept() {
    let failed =
        |outcome| matches!(outcome, Ok(Resolution::Failed { reservation: ReservationFate::Released, .. }));
    assert!(failed(long_after(40, false).await), "the node remembers");
    assert!(failed(long_after(37, false).await), "it remembers block 4");
    assert_eq!(long_after(36, false).await, Ok(Resolution::Pending), "it has pruned block 4");
    assert!(matches!(long_after(1, true).await, Ok(Resolution::Settled(_))));
}

#[tokio::test]
async fn a_block_between_the_first_look_and_the_clock_is_seen() {
    let looks = std::sync::atomic::AtomicU32::new(0);
    let rpc = node(move |method| match method {
        HEAD => head(END + GRACE_S),
        RECEIPT if looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 => receipt("0x1", logs()),
        _ => result(Value::Null),
    })
    .await;
    assert!(matches!(plan().resolve(&rpc, NOW).await, Ok(Resolution::Settled(_))));
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
