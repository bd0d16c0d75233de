//! What became of a payment when a node lies, when somebody else was faster, and when time has passed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[macro_use]
mod support;

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U64, U256};
use alloy_sol_types::SolCall;
use async_trait::async_trait;
use farthing_money::Amount;
use farthing_protocol::ports::{PayContext, PayError, Payer, Resolution, SettleError, Verifier, Witness};
use farthing_protocol::{Challenge, PaymentProof, UnixMs};
use farthing_rails::tempo::abi::Tip20;
use farthing_rails::tempo::offline::{self, Named};
use farthing_rails::tempo::{PayMode, PrivateKey, Sponsorship, TempoCharge, TempoPayer, TempoRpc, tokens};
use serde_json::{Value, json};
use support::lossy::{Fault, Lossy};
use support::{Node, balance, challenge, code, fresh_address, key, money, now, pay, payer, rpc, settle};
use tempo_primitives::transaction::{Call, PrimitiveSignature};
use tempo_primitives::{TempoSignature, TempoTransaction};

on_every_chain!(
    what_a_lying_node_says_decides_nothing,
    a_transaction_that_landed_counts,
    a_sponsored_transaction_that_landed_counts,
    late_payments_count_if_they_were_made_in_time,
    a_proof_is_kept_before_money_moves,
    only_what_can_be_included_now_is_taken,
    a_sponsor_does_not_pay_for_too_little_gas,
);

fn seller(node: &Node, recipient: Address) -> TempoCharge {
    TempoCharge::builder(node.chain_id, rpc(node), recipient, tokens::PATH_USD).build().unwrap()
}

fn sponsoring(node: &Node, recipient: Address) -> TempoCharge {
    let sponsorship = Sponsorship::new(node.chain_id, key(3), Amount::from_base(1_000_000));
    let terms = TempoCharge::builder(node.chain_id, rpc(node), recipient, tokens::PATH_USD);
    terms.sponsor(sponsorship).build().unwrap()
}

async fn what_a_lying_node_says_decides_nothing(node: Node) {
    const SEND: &str = "eth_sendRawTransactionSync";
    const RECEIPT: &str = "eth_getTransactionReceipt";
    let recipient = fresh_address();
    let mut paid = 0;
    for fault in [Fault::Lie, Fault::TimeOut] {
        let proxy = Lossy::start(&node.url).await;
        let lossy = TempoRpc::new(&proxy.url).unwrap();
        let terms = TempoCharge::builder(node.chain_id, lossy.clone(), recipient, tokens::PATH_USD);
        let (seller, buyer) = (terms.build().unwrap(), payer(&node, 0).build());

        let first = challenge(&seller, money(&node, 5), 300);
        let verified = pay(&buyer, &first, money(&node, 5)).await.unwrap().verify(&seller).await.unwrap();
        proxy.inject(fault, SEND);
        proxy.inject(Fault::LoseAnswer, RECEIPT);
        let outcome = settle(&seller, &verified).await;
        assert!(matches!(outcome, Err(SettleError::Unknown { .. })), "{fault:?}: {outcome:?}");
        proxy.heal();
        let resolved = support::resolve(&seller, &verified).await;
        assert!(matches!(resolved, Resolution::Settled(_)), "{fault:?}: {resolved:?}");

        let pusher =
            TempoPayer::builder(key(0)).chain(node.chain_id, lossy).mode(PayMode::PreferPush).build();
        let second = challenge(&seller, money(&node, 5), 300);
        proxy.inject(fault, SEND);
        proxy.inject(Fault::LoseAnswer, RECEIPT);
        let lost = pay(&pusher, &second, money(&node, 5)).await.err().unwrap();
        let PayError::Unknown { reference, .. } = lost else { panic!("{fault:?}: {lost:?}") };
        proxy.heal();
        let hash = json!({"type": "hash", "hash": reference});
        support::presented_with(&second, &hash, None).verify(&seller).await.unwrap();
        paid += 10;
        assert_eq!(balance(&node, recipient).await, paid);
    }
}

async fn a_transaction_that_landed_counts(node: Node) {
    let recipient = fresh_address();
    let seller = seller(&node, recipient);
    let poor = PrivateKey::random(&mut rand::rng());
    support::fund(&node, poor.address(), 100_000).await;
    let buyer = TempoPayer::builder(poor).chain(node.chain_id, rpc(&node)).build();

    // Sent by the payer, who holds too little for another one now; and looked at when its validity is over.
    let asked = challenge(&seller, money(&node, 55_000), 300);
    let payload = support::proof_json(&asked, &buyer).await;
    let presented = support::presented_with(&asked, &payload, None);
    let over = presented.verify_at(&seller, now().plus_ms(26_000)).await.unwrap_err();
    assert_eq!(code(&over), "transaction_expired");
    let receipt = support::broadcast(&node, &payload).await;
    for at in [now(), now().plus_ms(26_000)] {
        let verified = presented.verify_at(&seller, at).await.unwrap();
        for key in presented.keys(&seller).unwrap() {
            assert!(verified.keys.contains(&key), "C21: {key:?}");
        }
        assert_eq!(settle(&seller, &verified).await.unwrap().reference, receipt["transactionHash"]);
    }
    assert_eq!(balance(&node, recipient).await, 55_000);
}

async fn a_sponsored_transaction_that_landed_counts(node: Node) {
    let recipient = fresh_address();
    let (seller, buyer) = (sponsoring(&node, recipient), payer(&node, 0).build());
    let asked = challenge(&seller, money(&node, 7), 300);
    let presented = pay(&buyer, &asked, money(&node, 7)).await.unwrap();
    let first = presented.verify(&seller).await.unwrap();
    let settled = settle(&seller, &first).await.unwrap();
    // As if that had been recorded as failed.
    let again = presented.verify_at(&seller, now().plus_ms(26_000)).await.unwrap();
    assert_eq!((again.keys.len(), again.reservation.is_none()), (first.keys.len(), true));
    assert_eq!(settle(&seller, &again).await.unwrap().reference, settled.reference);
    assert_eq!(balance(&node, recipient).await, 7);
}

async fn late_payments_count_if_they_were_made_in_time(node: Node) {
    let recipient = fresh_address();
    let seller = seller(&node, recipient);
    let (pull, push) = (payer(&node, 0).build(), payer(&node, 0).mode(PayMode::PreferPush).build());
    assert_eq!(seller.late_ms(), 600_000);
    let late = async |asked: &Challenge, payload: &Value, expires: Option<UnixMs>| {
        let presented = support::presented_with(asked, payload, None);
        let presented = match expires {
            Some(expires) => presented.expiring(expires),
            None => presented,
        };
        presented.verify_late(&seller).await.map_or_else(|error| code(&error), |_| "ok")
    };
    let long_ago = Some(UnixMs::from_ms(now().as_ms() - 100_000));

    // A proof proves who asks, and nobody is asked any more.
    let free = challenge(&seller, money(&node, 0), 300);
    let proof = support::proof_json(&free, &pull).await;
    assert_eq!(late(&free, &proof, None).await, "challenge_expired");

    // Pull: nothing is broadcast late.
    let asked = challenge(&seller, money(&node, 5), 300);
    let pulled = support::proof_json(&asked, &pull).await;
    assert_eq!(late(&asked, &pulled, None).await, "unavailable", "blocks in time may still come");
    assert_eq!(late(&asked, &pulled, long_ago).await, "challenge_expired");
    assert_eq!(balance(&node, recipient).await, 0);
    let receipt = support::broadcast(&node, &pulled).await;
    let number: U64 = serde_json::from_value(receipt["blockNumber"].clone()).unwrap();
    let block: Value = rpc(&node).request("eth_getBlockByNumber", json!([number, false])).await.unwrap();
    let at_s: U64 = serde_json::from_value(block["timestamp"].clone()).unwrap();
    // Times of blocks are whole seconds: the one that the challenge ends in counts.
    let at_ms = at_s.to::<u64>() * 1_000;
    for (expires, expected) in [
        (None, "ok"),
        (Some(at_ms), "ok"),
        (Some(at_ms - 1), "challenge_expired"),
        (Some(at_ms - 100_000), "challenge_expired"),
    ] {
        assert_eq!(late(&asked, &pulled, expires.map(UnixMs::from_ms)).await, expected, "{expires:?}");
    }

    // Push: the same, by the hash.
    let hash = json!({"type": "hash", "hash": receipt["transactionHash"]});
    for (expires, expected) in [(None, "ok"), (Some(at_ms), "ok"), (Some(at_ms - 1), "challenge_expired")] {
        assert_eq!(late(&asked, &hash, expires.map(UnixMs::from_ms)).await, expected, "{expires:?}");
    }
    let unheard = json!({"type": "hash", "hash": B256::repeat_byte(0x5a)});
    assert_eq!(late(&asked, &unheard, None).await, "unavailable");
    assert_eq!(late(&asked, &unheard, long_ago).await, "challenge_expired");
    // Paid for another challenge: late or not, nobody is asked to pay again.
    let other = challenge(&seller, money(&node, 5), 300);
    let pushed = support::proof_json(&other, &push).await;
    assert_eq!(late(&asked, &pushed, None).await, "replayed");
}

/// Keeps proofs, or cannot.
#[derive(Debug)]
struct Keeper {
    rpc: TempoRpc,
    recipient: Address,
    answer: Result<(), String>,
    kept: Mutex<Vec<Value>>,
}

#[async_trait]
impl Witness for Keeper {
    async fn about_to_move(&self, proof: &PaymentProof) -> Result<(), String> {
        let balance = self.rpc.balance(tokens::PATH_USD, self.recipient).await.unwrap();
        assert!(balance.is_zero(), "the proof is kept before money moves");
        self.kept.lock().unwrap().push(serde_json::from_str(proof.payload.get()).unwrap());
        self.answer.clone()
    }
}

async fn a_proof_is_kept_before_money_moves(node: Node) {
    let recipient = fresh_address();
    let seller = seller(&node, recipient);
    let buyer = payer(&node, 0).mode(PayMode::PreferPush).build();
    let asked = challenge(&seller, money(&node, 5), 300);
    let keeper = |answer| Arc::new(Keeper { rpc: rpc(&node), recipient, answer, kept: Mutex::default() });
    let context = |keeper: &Arc<Keeper>| PayContext {
        cap: money(&node, 5),
        now: now(),
        witness: Some(Arc::<Keeper>::clone(keeper)),
    };

    let full = keeper(Err("the disk is full".to_owned()));
    let error = buyer.pay(&asked, context(&full)).await.unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), ("proof_not_kept", "the disk is full"));
    assert_eq!(full.kept.lock().unwrap().len(), 1);
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(balance(&node, recipient).await, 0, "no money moved");

    let good = keeper(Ok(()));
    let proof = buyer.pay(&asked, context(&good)).await.unwrap();
    let made: Value = serde_json::from_str(proof.payload.get()).unwrap();
    assert_eq!(*good.kept.lock().unwrap(), [made]);
    assert_eq!(balance(&node, recipient).await, 5);
}

/// A transaction that pays a challenge five base units, as another client would write it.
fn transaction(node: &Node, asked: &Challenge, to: Address) -> TempoTransaction {
    let named = Named { realm: &asked.realm, challenge_id: &asked.id };
    let memo = offline::attribution_memo(named, None);
    let input = Tip20::transferWithMemoCall { to, amount: U256::from(5), memo }.abi_encode();
    TempoTransaction {
        chain_id: node.chain_id,
        fee_token: Some(tokens::PATH_USD),
        max_priority_fee_per_gas: 1_000_000_000,
        max_fee_per_gas: 41_000_000_000,
        gas_limit: 1_000_000,
        calls: vec![Call { to: TxKind::Call(tokens::PATH_USD), value: U256::ZERO, input: input.into() }],
        nonce_key: U256::MAX,
        valid_before: NonZeroU64::new(now().as_secs() + 20),
        ..TempoTransaction::default()
    }
}

fn signed(payer: &PrivateKey, tx: TempoTransaction) -> Value {
    let signature = PrimitiveSignature::Secp256k1(payer.sign(tx.signature_hash()));
    let raw = tx.into_signed(TempoSignature::Primitive(signature)).encoded_2718();
    json!({"type": "transaction", "signature": format!("0x{}", hex::encode(raw))})
}

async fn only_what_can_be_included_now_is_taken(node: Node) {
    let recipient = fresh_address();
    let seller = seller(&node, recipient);
    let asked = challenge(&seller, money(&node, 5), 300);
    let poor = PrivateKey::random(&mut rand::rng());
    support::fund(&node, poor.address(), 200_000).await;
    let base = || transaction(&node, &asked, recipient);
    let cases = [
        ("ok", base()),
        ("nonce_not_current", TempoTransaction { nonce: 1, ..base() }),
        ("nonce_key_refused", TempoTransaction { nonce_key: U256::from(7), ..base() }),
        ("ok", TempoTransaction { nonce_key: U256::ZERO, ..base() }),
        ("nonce_not_current", TempoTransaction { nonce_key: U256::ZERO, nonce: 1, ..base() }),
        ("fee_below_base", TempoTransaction { max_fee_per_gas: 0, max_priority_fee_per_gas: 0, ..base() }),
    ];
    for (i, (expected, tx)) in cases.into_iter().enumerate() {
        let presented = support::presented_with(&asked, &signed(&poor, tx), None);
        let got = presented.verify_at(&seller, now()).await.map_or_else(|error| code(&error), |_| "ok");
        assert_eq!(got, expected, "case {i}");
    }
}

async fn a_sponsor_does_not_pay_for_too_little_gas(node: Node) {
    let recipient = fresh_address();
    let seller = sponsoring(&node, recipient);
    let asked = challenge(&seller, money(&node, 5), 300);
    for (gas_limit, expected) in [(60_000, "transaction_would_fail"), (1_000_000, "ok")] {
        let tx = TempoTransaction { gas_limit, fee_token: None, ..transaction(&node, &asked, recipient) };
        let envelope = format!("0x{}", hex::encode(offline::envelope(tx, &key(0))));
        let payload = json!({"type": "transaction", "signature": envelope});
        let presented = support::presented_with(&asked, &payload, None);
        let got = presented.verify_at(&seller, now()).await.map_or_else(|error| code(&error), |_| "ok");
        assert_eq!(got, expected, "{gas_limit}");
    }
}
