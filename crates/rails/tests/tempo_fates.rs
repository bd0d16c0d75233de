//! What a buyer learns from the chain about a payment whose outcome it does not know.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[macro_use]
mod support;

use std::num::NonZeroU64;

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::SolCall;
use farthing_money::Amount;
use farthing_protocol::ports::{Funds, PayError, Payer, PaymentFate, SentPayment};
use farthing_protocol::{Challenge, CredentialBuf, PaymentProof};
use farthing_rails::tempo::abi::Tip20;
use farthing_rails::tempo::offline::{self, Named};
use farthing_rails::tempo::{
    PayMode, PrivateKey, Sponsorship, TempoCharge, TempoPayer, TempoRpc, Transfer, Wallet, tokens,
};
use serde_json::{Value, json};
use support::lossy::{Fault, Lossy};
use support::{Node, challenge, fresh_address, key, money, now, pass, payer, rpc, settle};
use tempo_primitives::TempoTransaction;
use tempo_primitives::transaction::{Call, PrimitiveSignature};

on_every_chain!(
    a_pulled_payment_moves_or_ends,
    a_sponsored_payment_is_found_by_its_memo,
    a_pushed_payment_is_found_by_its_hash,
    what_failed_or_was_replaced_cannot_move,
    a_silent_or_forgetful_node_decides_nothing,
    settling_later_is_possible_until_the_payment_ends,
);

fn seller(node: &Node) -> TempoCharge {
    TempoCharge::builder(node.chain_id, rpc(node), fresh_address(), tokens::PATH_USD).build().unwrap()
}

fn sponsoring(node: &Node) -> TempoCharge {
    let sponsorship = Sponsorship::new(node.chain_id, key(3), Amount::from_base(1_000_000));
    let terms = TempoCharge::builder(node.chain_id, rpc(node), fresh_address(), tokens::PATH_USD);
    terms.sponsor(sponsorship).build().unwrap()
}

/// Asks as a process does that has nothing but the journal: its own key is another one.
struct Asker<'a> {
    node: &'a Node,
    rpc: TempoRpc,
    payer: Address,
}

impl<'a> Asker<'a> {
    fn new(node: &'a Node, payer: Address) -> Self {
        Self { node, rpc: rpc(node), payer }
    }

    async fn ask(&self, challenge: &Challenge, payload: &Value) -> Result<PaymentFate, String> {
        let payload = serde_json::value::to_raw_value(payload).unwrap();
        let buf = CredentialBuf::decode(&challenge.answer(&PaymentProof { payload, source: None }).unwrap());
        let buf = buf.unwrap();
        let network = format!("eip155:{}", self.node.chain_id);
        let payer = self.payer.to_string();
        let credential = Some(buf.view().unwrap());
        let sent =
            SentPayment { credential, reference: None, network: &network, payer: &payer, mode: "pull" };
        self.outcome(&sent).await
    }

    async fn ask_of_hash(&self, reference: Option<&str>) -> Result<PaymentFate, String> {
        let network = format!("eip155:{}", self.node.chain_id);
        let payer = self.payer.to_string();
        let sent =
            SentPayment { credential: None, reference, network: &network, payer: &payer, mode: "push" };
        self.outcome(&sent).await
    }

    async fn outcome(&self, sent: &SentPayment<'_>) -> Result<PaymentFate, String> {
        let reader = TempoPayer::builder(key(1)).chain(self.node.chain_id, self.rpc.clone()).build();
        reader.outcome(sent, now()).await
    }
}

fn moved(reference: &str) -> Result<PaymentFate, String> {
    Ok(PaymentFate::Moved { reference: reference.to_owned() })
}

fn cannot_move(fate: &Result<PaymentFate, String>) -> bool {
    matches!(fate, Ok(PaymentFate::CannotMove { .. }))
}

async fn a_pulled_payment_moves_or_ends(node: Node) {
    let (seller, buyer) = (seller(&node), payer(&node, 0).build());
    let asker = Asker::new(&node, buyer.address());
    let (taken, left) = (challenge(&seller, money(&node, 5), 300), challenge(&seller, money(&node, 5), 300));
    let taken_payload = support::proof_json(&taken, &buyer).await;
    let left_payload = support::proof_json(&left, &buyer).await;
    assert_eq!(asker.ask(&taken, &taken_payload).await, Ok(PaymentFate::Pending), "it can still be sent");
    let receipt = support::broadcast(&node, &taken_payload).await;
    let hash = receipt["transactionHash"].as_str().unwrap();
    assert_eq!(asker.ask(&taken, &taken_payload).await, moved(hash));
    // What pays one challenge is not what another's payment became.
    assert!(asker.ask(&left, &taken_payload).await.is_err());

    // Nobody sends the other one.
    assert_eq!(asker.ask(&left, &left_payload).await, Ok(PaymentFate::Pending));
    pass(&node, 28).await;
    assert_eq!(asker.ask(&left, &left_payload).await, Ok(PaymentFate::Pending), "a block may still turn up");
    pass(&node, 30).await;
    let fate = asker.ask(&left, &left_payload).await;
    assert!(cannot_move(&fate), "{fate:?}");
    assert_eq!(asker.ask(&taken, &taken_payload).await, moved(hash), "and what moved has moved");

    // Nothing is read into a damaged file.
    assert!(Asker::new(&node, fresh_address()).ask(&left, &left_payload).await.is_err(), "another's");
    let elsewhere =
        TempoCharge::builder(4217, rpc(&node), fresh_address(), tokens::PATH_USD).build().unwrap();
    let foreign = challenge(
        &elsewhere,
        farthing_money::Money::new(Amount::from_base(5), tokens::asset(4217, tokens::PATH_USD)),
        300,
    );
    assert!(asker.ask(&foreign, &left_payload).await.is_err(), "another chain's");
    assert!(asker.ask(&left, &json!({"type": "voucher"})).await.is_err());
}

async fn a_sponsored_payment_is_found_by_its_memo(node: Node) {
    let (seller, buyer) = (sponsoring(&node), payer(&node, 0).client_id("an agent").build());
    let asker = Asker::new(&node, buyer.address());
    let (taken, left) = (challenge(&seller, money(&node, 7), 300), challenge(&seller, money(&node, 7), 300));
    let taken_payload = support::proof_json(&taken, &buyer).await;
    let left_payload = support::proof_json(&left, &buyer).await;
    assert_eq!(asker.ask(&taken, &taken_payload).await, Ok(PaymentFate::Pending));
    let verified = support::presented_with(&taken, &taken_payload, None).verify(&seller).await.unwrap();
    assert_eq!(
        asker.ask(&taken, &taken_payload).await,
        Ok(PaymentFate::Pending),
        "the seller may send it yet"
    );
    let settled = settle(&seller, &verified).await.unwrap();
    assert_eq!(asker.ask(&taken, &taken_payload).await, moved(&settled.reference), "co-signed, another hash");

    assert_eq!(asker.ask(&left, &left_payload).await, Ok(PaymentFate::Pending));
    pass(&node, 28).await;
    assert_eq!(asker.ask(&left, &left_payload).await, Ok(PaymentFate::Pending));
    pass(&node, 30).await;
    let fate = asker.ask(&left, &left_payload).await;
    assert!(cannot_move(&fate), "{fate:?}");
    pass(&node, 3_000).await;
    assert_eq!(asker.ask(&taken, &taken_payload).await, moved(&settled.reference), "an hour later");
}

async fn a_pushed_payment_is_found_by_its_hash(node: Node) {
    let seller = seller(&node);
    let buyer = payer(&node, 0).mode(PayMode::PreferPush).build();
    let asker = Asker::new(&node, buyer.address());
    let asked = challenge(&seller, money(&node, 5), 120);
    let payload = support::proof_json(&asked, &buyer).await;
    let hash = payload["hash"].as_str().unwrap();
    assert_eq!(asker.ask(&asked, &payload).await, moved(hash));
    assert_eq!(asker.ask_of_hash(Some(hash)).await, moved(hash), "without a credential");
    assert!(Asker::new(&node, fresh_address()).ask_of_hash(Some(hash)).await.is_err(), "another's");
    assert!(asker.ask_of_hash(None).await.is_err());

    // Sent, and the answer lost.
    let proxy = Lossy::start(&node.url).await;
    let lossy = TempoRpc::new(&proxy.url).unwrap();
    let unlucky = TempoPayer::builder(key(0)).chain(node.chain_id, lossy).mode(PayMode::PreferPush).build();
    let second = challenge(&seller, money(&node, 5), 120);
    proxy.inject(Fault::LoseAnswer, "eth_sendRawTransactionSync");
    proxy.inject(Fault::LoseAnswer, "eth_getTransactionReceipt");
    let lost = support::pay(&unlucky, &second, money(&node, 5)).await.err().unwrap();
    let PayError::Unknown { reference, .. } = lost else { panic!("{lost:?}") };
    assert_eq!(asker.ask_of_hash(Some(&reference)).await, moved(&reference));

    // Kept, and the process died before it was sent: what is valid ends with its challenge at the latest.
    let unheard = B256::repeat_byte(0x5a).to_string();
    let never = json!({"type": "hash", "hash": unheard});
    assert_eq!(asker.ask(&second, &never).await, Ok(PaymentFate::Pending));
    pass(&node, 140).await;
    let fate = asker.ask(&second, &never).await;
    assert!(cannot_move(&fate), "{fate:?}");
    assert_eq!(asker.ask_of_hash(Some(&unheard)).await, Ok(PaymentFate::Pending), "nobody knows until when");

    // A proof of identity.
    let free = challenge(&seller, money(&node, 0), 120);
    let proof = support::proof_json(&free, &buyer).await;
    let fate = asker.ask(&free, &proof).await;
    assert!(cannot_move(&fate), "{fate:?}");
}

/// A transaction that pays a challenge five base units, with the account's own nonce.
fn with_nonce(node: &Node, asked: &Challenge, payer: &PrivateKey, nonce: u64) -> Value {
    let named = Named { realm: &asked.realm, challenge_id: &asked.id };
    let memo = offline::attribution_memo(named, None);
    let input = Tip20::transferWithMemoCall { to: fresh_address(), amount: U256::from(5), memo }.abi_encode();
    let tx = TempoTransaction {
        chain_id: node.chain_id,
        fee_token: Some(tokens::PATH_USD),
        max_priority_fee_per_gas: 1_000_000_000,
        max_fee_per_gas: 41_000_000_000,
        gas_limit: 1_000_000,
        calls: vec![Call { to: TxKind::Call(tokens::PATH_USD), value: U256::ZERO, input: input.into() }],
        nonce,
        valid_before: NonZeroU64::new(now().as_secs() + 40),
        ..TempoTransaction::default()
    };
    let signature = PrimitiveSignature::Secp256k1(payer.sign(tx.signature_hash()));
    let raw = tx.into_signed(tempo_primitives::TempoSignature::Primitive(signature)).encoded_2718();
    json!({"type": "transaction", "signature": format!("0x{}", hex::encode(raw))})
}

async fn what_failed_or_was_replaced_cannot_move(node: Node) {
    let seller = seller(&node);
    let poor = PrivateKey::random(&mut rand::rng());
    support::fund(&node, poor.address(), 200_000).await;
    let buyer = TempoPayer::builder(poor.clone()).chain(node.chain_id, rpc(&node)).build();
    let asker = Asker::new(&node, poor.address());

    // Executed, and the money was gone: the fee is paid, and nothing moved.
    let asked = challenge(&seller, money(&node, 150_000), 300);
    let payload = support::proof_json(&asked, &buyer).await;
    let transfer = Transfer {
        token: tokens::PATH_USD,
        to: fresh_address(),
        amount: Amount::from_base(80_000),
        memo: None,
    };
    Wallet::new(node.chain_id, rpc(&node)).send(&poor, transfer, now()).await.unwrap();
    let receipt: Value =
        rpc(&node).request("eth_sendRawTransactionSync", json!([payload["signature"]])).await.unwrap();
    assert_eq!(receipt["status"], "0x0", "{receipt}");
    let fate = asker.ask(&asked, &payload).await;
    assert!(cannot_move(&fate), "{fate:?}");

    // Another transaction took its nonce. That is certain once it has ended: until then a node may only be behind.
    let asked = challenge(&seller, money(&node, 5), 300);
    let (ours, other) = (with_nonce(&node, &asked, &poor, 0), with_nonce(&node, &asked, &poor, 0));
    support::broadcast(&node, &other).await;
    assert_eq!(asker.ask(&asked, &ours).await, Ok(PaymentFate::Pending));
    pass(&node, 60).await;
    // The other one paid for the same challenge.
    assert!(matches!(asker.ask(&asked, &ours).await, Ok(PaymentFate::Moved { .. })));
    let second = challenge(&seller, money(&node, 5), 300);
    let late = with_nonce(&node, &second, &poor, 0);
    pass(&node, 60).await;
    let fate = asker.ask(&second, &late).await;
    assert!(cannot_move(&fate), "{fate:?}");
}

async fn a_silent_or_forgetful_node_decides_nothing(node: Node) {
    let proxy = Lossy::start(&node.url).await;
    let buyer = payer(&node, 0).build();
    let asker = Asker { node: &node, rpc: TempoRpc::new(&proxy.url).unwrap(), payer: buyer.address() };
    let (plain, sponsoring) = (seller(&node), sponsoring(&node));
    let (pulled, sponsored) =
        (challenge(&plain, money(&node, 5), 300), challenge(&sponsoring, money(&node, 5), 300));
    let pulled_payload = support::proof_json(&pulled, &buyer).await;
    let sponsored_payload = support::proof_json(&sponsored, &buyer).await;
    pass(&node, 60).await;
    let cases = [
        (&pulled, &pulled_payload, "eth_getTransactionReceipt"),
        (&pulled, &pulled_payload, "eth_getBlockByNumber"),
        (&pulled, &pulled_payload, "eth_getLogs"),
        (&sponsored, &sponsored_payload, "eth_getBlockByNumber"),
        (&sponsored, &sponsored_payload, "eth_getLogs"),
    ];
    for (asked, payload, method) in cases {
        for fault in [Fault::LoseAnswer, Fault::Lie, Fault::TimeOut] {
            proxy.inject(fault, method);
            let fate = asker.ask(asked, payload).await;
            assert!(fate.is_err(), "{method} {fault:?}: {fate:?}");
            proxy.heal();
        }
        assert!(cannot_move(&asker.ask(asked, payload).await), "{method}");
    }
    let unreachable = Asker { rpc: TempoRpc::new("http://127.0.0.1:1").unwrap(), ..asker };
    assert!(unreachable.ask(&pulled, &pulled_payload).await.is_err());
}

async fn settling_later_is_possible_until_the_payment_ends(node: Node) {
    let (plain, sponsored) = (seller(&node), sponsoring(&node));
    let (pull, push) = (payer(&node, 0).build(), payer(&node, 0).mode(PayMode::PreferPush).build());
    for (seller, buyer, base, expected) in [
        (&plain, &pull, 5, Funds::Authorised),
        (&sponsored, &pull, 5, Funds::Authorised),
        (&plain, &push, 5, Funds::Moved),
        (&plain, &pull, 0, Funds::Authorised),
    ] {
        let asked = challenge(seller, money(&node, base), 300);
        let payload = support::proof_json(&asked, buyer).await;
        let presented =
            support::presented_with(&asked, &payload, Some(support::did_of(&node, buyer.address())));
        let verified = presented.verify(seller).await.unwrap();
        assert_eq!(verified.funds, expected);
        let signed = base > 0 && expected == Funds::Authorised;
        assert_eq!(verified.settle_by.is_some(), signed, "only a signature runs out");
        let Some(settle_by) = verified.settle_by else { continue };
        let left_ms = now().until_ms(settle_by);
        assert!((10_000..=26_000).contains(&left_ms), "{left_ms}");
        // What has landed by itself has moved, whatever it was before.
        settle(seller, &verified).await.unwrap();
        let again = presented.verify_at(seller, now().plus_ms(26_000)).await.unwrap();
        assert_eq!((again.funds, again.settle_by), (Funds::Moved, None));
    }
}
