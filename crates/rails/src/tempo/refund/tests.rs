//! What is refused before any node is asked: the node of these tests does not exist.
#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_primitives::{Address, B256};
use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    ClaimId, RefundError, RefundRequest, Refunder, SettleError, Settled, SettlementPlan,
};
use serde_json::json;

use super::plan::{Plan, Transfer};
use super::{InLine, TempoRefunder, free};
use crate::tempo::{PrivateKey, TempoRpc, tokens};

const CHAIN: u64 = 42431;
const NOW: UnixMs = UnixMs::from_ms(1_900_000_000_000);
const PAYER: &str = "did:pkh:eip155:42431:0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

fn refunder() -> TempoRefunder {
    let rpc = TempoRpc::new("http://127.0.0.1:1").unwrap();
    let key = PrivateKey::from_bytes(&[7; 32]).unwrap();
    TempoRefunder::builder(CHAIN, rpc, key, Amount::from_base(1_000)).build()
}

async fn code(payer: &str, paid: Money) -> (&'static str, &'static str) {
    let settled = Settled {
        reference: B256::repeat_byte(1).to_string(),
        at: NOW,
        external_id: None,
        extra: serde_json::Map::new(),
    };
    let claim = ClaimId("c".into());
    let request = RefundRequest { claim: &claim, payer, paid: &paid, settled: &settled, now: NOW };
    match refunder().plan(request).await.unwrap_err() {
        RefundError::Impossible { code, .. } => ("impossible", code),
        RefundError::Unavailable { code, .. } => ("unavailable", code),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_can_never_be_given_back_is_told_from_what_cannot_now() {
    let money = |base, asset: Asset| Money::new(Amount::from_base(base), asset);
    let path = || tokens::asset(CHAIN, tokens::PATH_USD);
    let usd = Asset::new("USD", 6, AssetKind::Fiat).unwrap();
    let elsewhere = PAYER.replace("42431", "4217");
    let nobody = format!("did:pkh:eip155:{CHAIN}:{}", Address::ZERO);
    let cases = [
        (PAYER, money(0, path()), ("impossible", "refund_nothing_paid")),
        (PAYER, money(5, usd), ("impossible", "refund_other_asset")),
        (PAYER, money(5, tokens::asset(4217, tokens::PATH_USD)), ("impossible", "refund_other_asset")),
        (elsewhere.as_str(), money(5, path()), ("impossible", "refund_payer_unknown")),
        (nobody.as_str(), money(5, path()), ("impossible", "refund_payer_unknown")),
        ("somebody", money(5, path()), ("impossible", "refund_payer_unknown")),
        ("", money(5, path()), ("impossible", "refund_payer_unknown")),
        (PAYER, money(5, path()), ("unavailable", "rpc_unavailable")),
    ];
    for (payer, paid, expected) in cases {
        assert_eq!(code(payer, paid.clone()).await, expected, "{payer} {paid}");
    }
}

#[tokio::test]
async fn a_damaged_plan_is_unknown_and_a_plan_is_not_shown() {
    let transfer = Transfer {
        raw: "0xc0ffee".into(),
        hash: B256::repeat_byte(1),
        from: Address::repeat_byte(2),
        to: Address::repeat_byte(3),
        token: tokens::PATH_USD,
        amount: Amount::from_base(5),
        memo: B256::repeat_byte(4),
        nonce: 7,
        valid_before: 1_900_000_000,
    };
    let data = Plan::Transfer(transfer.clone()).to_value();
    assert!(Plan::read(&data).unwrap() == Plan::Transfer(transfer));
    let refunder = refunder();
    assert_eq!(refunder.rail(), "tempo:42431");
    for data in [json!(null), json!({"kind": "transfer"}), json!({"how": {"kind": "push"}})] {
        let plan = SettlementPlan { rail: refunder.rail().to_owned(), data };
        assert!(matches!(refunder.send(&plan, NOW).await, Err(SettleError::Unknown { .. })));
        assert!(refunder.resolve(&plan, NOW).await.is_err());
    }
    let shown = format!("{:?} {refunder:?}", SettlementPlan { rail: String::new(), data });
    assert!(!shown.contains("c0ffee") && !shown.contains(&"07".repeat(32)), "C19: {shown}");
}

#[test]
fn one_refund_of_a_nonce_is_on_its_way_at_a_time() {
    let line = Some(InLine { nonce: 7, valid_before: 100 });
    let cases = [
        (None, 7, 99, true),
        (line, 7, 99, false),
        (line, 7, 100, true),
        (line, 8, 99, true),
        (line, 6, 99, true),
    ];
    for (line, nonce, chain_now, expected) in cases {
        assert_eq!(free(line, nonce, chain_now).is_ok(), expected, "{line:?} {nonce} {chain_now}");
    }
}
