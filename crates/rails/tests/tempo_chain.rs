//! A buyer's [`TempoPayer`] against a seller's [`TempoCharge`] on a chain, end to end, without HTTP between them.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[macro_use]
mod support;

use alloy_primitives::B256;
use farthing_money::Amount;
use farthing_protocol::ports::{FeeBearer, PayError, Payer, Resolution, SettleError, Verifier};
use farthing_rails::tempo::{
    Mode, Modes, PayMode, Split, Sponsorship, TempoCharge, TempoPayer, TempoRpc, tokens,
};
use support::access_key;
use support::lossy::{Fault, Lossy};
use support::{
    Node, Presented, balance, challenge, code, fresh_address, key, money, pay, payer, rpc, settle,
};

on_every_chain!(
    pull_pays_once,
    push_pays_once,
    proof_moves_nothing,
    sponsored_pull_costs_the_payer_no_fee,
    splits_reach_everybody,
    a_lost_answer_is_resolved,
    what_cannot_be_paid_is_refused,
    a_payment_serves_one_challenge,
    a_sponsor_without_money_sponsors_nothing,
);

/// The sandbox has no account keychain.
#[tokio::test(flavor = "multi_thread")]
async fn access_keys_sign_for_accounts_that_authorised_them_on_anvil() {
    if let Some(node) = support::node::anvil().await {
        access_keys_sign_for_accounts_that_authorised_them(node).await;
    }
}

fn seller(node: &Node, recipient: alloy_primitives::Address) -> TempoCharge {
    TempoCharge::builder(node.chain_id, rpc(node), recipient, tokens::PATH_USD).build().unwrap()
}

async fn pull_pays_once(node: Node) {
    let recipient = fresh_address();
    let (seller, buyer) = (seller(&node, recipient), payer(&node, 0).build());
    let challenge = challenge(&seller, money(&node, 1_250), 300);
    let quote = buyer.quote(&challenge).unwrap();
    assert_eq!((quote.mode, quote.fee), ("pull", FeeBearer::Payer));
    assert_eq!(quote.money, money(&node, 1_250));

    let presented = pay(&buyer, &challenge, money(&node, 1_250)).await.unwrap();
    let verified = presented.verify(&seller).await.unwrap();
    assert_eq!(balance(&node, recipient).await, 0, "verifying moves nothing");
    let settled = settle(&seller, &verified).await.unwrap();
    assert_eq!(balance(&node, recipient).await, 1_250);
    assert_eq!(settled.external_id.as_deref(), Some("order-7"));

    // TC9: the reference is the hash, lower case; settling again finds it and moves nothing.
    assert!(
        verified.keys.iter().any(|key| key.0 == format!("tempo:{}:tx:{}", node.chain_id, settled.reference))
    );
    assert_eq!(settle(&seller, &verified).await.unwrap().reference, settled.reference);
    let resolved = seller.resolve(&verified.plan, support::now()).await.unwrap();
    assert!(matches!(resolved, Resolution::Settled(again) if again.reference == settled.reference));
    assert_eq!(balance(&node, recipient).await, 1_250);

    // C21: the same transaction, pushed: its key is one that the pull claimed.
    let hash =
        serde_json::json!({"type": "hash", "hash": settled.reference.to_uppercase().replace('X', "x")});
    let pushed = support::presented_with(&challenge, &hash, None);
    for key in pushed.keys(&seller).unwrap() {
        assert!(verified.keys.contains(&key), "{key:?}");
    }
    // And it satisfies its challenge, so only the claim stands between it and a second delivery.
    assert!(pushed.verify(&seller).await.is_ok());
}

async fn push_pays_once(node: Node) {
    let recipient = fresh_address();
    let terms = TempoCharge::builder(node.chain_id, rpc(&node), recipient, tokens::PATH_USD);
    let seller = terms.modes(Modes::Only(Mode::Push)).build().unwrap();
    let buyer = payer(&node, 0).mode(PayMode::PreferPull).client_id("some agent").build();
    let challenge = challenge(&seller, money(&node, 42), 300);
    assert_eq!(buyer.quote(&challenge).unwrap().mode, "push");
    let presented = pay(&buyer, &challenge, money(&node, 100)).await.unwrap();
    assert_eq!(balance(&node, recipient).await, 42);
    let verified = presented.verify(&seller).await.unwrap();
    let settled = settle(&seller, &verified).await.unwrap();
    assert_eq!(balance(&node, recipient).await, 42);
    assert_eq!(settled.reference, settled.reference.to_lowercase());
    assert_eq!(verified.keys.len(), 1);
    assert_eq!(
        verified.payer.as_deref(),
        Some(&*format!("did:pkh:eip155:{}:{}", node.chain_id, buyer.address()))
    );
}

async fn proof_moves_nothing(node: Node) {
    let recipient = fresh_address();
    let (seller, buyer) = (seller(&node, recipient), payer(&node, 0).build());
    let challenge = challenge(&seller, money(&node, 0), 300);
    let quote = buyer.quote(&challenge).unwrap();
    assert_eq!((quote.mode, quote.fee), ("proof", FeeBearer::Nobody));
    let presented = pay(&buyer, &challenge, money(&node, 0)).await.unwrap();
    let verified = presented.verify(&seller).await.unwrap();
    let settled = settle(&seller, &verified).await.unwrap();
    assert_eq!(settled.reference, challenge.id, "TC9");
    assert_eq!(balance(&node, recipient).await, 0);

    // TC6: another account's name on the same signature.
    let other = payer(&node, 1).build();
    let proof = support::proof_json(&challenge, &buyer).await;
    let stolen = support::presented_with(&challenge, &proof, Some(support::did_of(&node, other.address())));
    assert_eq!(code(&stolen.verify_at(&seller, support::now()).await.unwrap_err()), "key_not_authorised");
}

async fn sponsored_pull_costs_the_payer_no_fee(node: Node) {
    let recipient = fresh_address();
    let sponsorship = Sponsorship::new(node.chain_id, key(3), Amount::from_base(1_000_000));
    let terms = TempoCharge::builder(node.chain_id, rpc(&node), recipient, tokens::PATH_USD);
    let seller = terms.sponsor(sponsorship).build().unwrap();
    // An account that holds exactly the price and could not pay any fee.
    let poor = farthing_rails::tempo::PrivateKey::random(&mut rand::rng());
    support::fund(&node, poor.address(), 777).await;
    let buyer = TempoPayer::builder(poor.clone()).chain(node.chain_id, rpc(&node)).build();
    let challenge = challenge(&seller, money(&node, 777), 300);
    let quote = buyer.quote(&challenge).unwrap();
    assert_eq!((quote.mode, quote.fee), ("pull", FeeBearer::Seller));
    let presented = pay(&buyer, &challenge, money(&node, 777)).await.unwrap();
    let before = presented.keys(&seller).unwrap();
    let verified = presented.verify(&seller).await.unwrap();
    let reservation = verified.reservation.clone().unwrap();
    assert_eq!(reservation.budget, format!("tempo:{}:sponsor", node.chain_id));
    assert!(!reservation.amount.is_zero() && reservation.amount < Amount::from_base(50_001));
    let settled = settle(&seller, &verified).await.unwrap();
    assert_eq!(balance(&node, recipient).await, 777);
    assert_eq!(balance(&node, poor.address()).await, 0);
    // Before and after co-signing it is the same money.
    assert!(before.iter().all(|key| verified.keys.contains(key)));
    assert!(verified.keys.iter().any(|key| key.0.ends_with(&settled.reference)));

    // TC1: a hash where the fee is sponsored.
    let hash = serde_json::json!({"type": "hash", "hash": settled.reference});
    let pushed = support::presented_with(&challenge, &hash, None);
    assert_eq!(code(&pushed.verify_at(&seller, support::now()).await.unwrap_err()), "sponsored_push");
}

async fn splits_reach_everybody(node: Node) {
    let (recipient, platform, partner) = (fresh_address(), fresh_address(), fresh_address());
    let splits = vec![
        Split { recipient: platform, amount: Amount::from_base(100), memo: None },
        Split { recipient: partner, amount: Amount::from_base(25), memo: Some(B256::repeat_byte(9)) },
    ];
    let terms = TempoCharge::builder(node.chain_id, rpc(&node), recipient, tokens::PATH_USD);
    let seller = terms.splits(splits).build().unwrap();
    for mode in [PayMode::PreferPull, PayMode::PreferPush] {
        let buyer = payer(&node, 0).mode(mode).build();
        let challenge = challenge(&seller, money(&node, 1_000), 300);
        assert_eq!(buyer.quote(&challenge).unwrap().shares.len(), 2, "TC10");
        let presented = pay(&buyer, &challenge, money(&node, 1_000)).await.unwrap();
        let verified = presented.verify(&seller).await.unwrap();
        settle(&seller, &verified).await.unwrap();
    }
    for (who, expected) in [(recipient, 2 * 875), (platform, 2 * 100), (partner, 2 * 25)] {
        assert_eq!(balance(&node, who).await, expected);
    }
}

async fn a_lost_answer_is_resolved(node: Node) {
    const SEND: &str = "eth_sendRawTransactionSync";
    const RECEIPT: &str = "eth_getTransactionReceipt";
    let proxy = Lossy::start(&node.url).await;
    let recipient = fresh_address();
    let lossy_rpc = TempoRpc::new(&proxy.url).unwrap();
    let seller =
        TempoCharge::builder(node.chain_id, lossy_rpc.clone(), recipient, tokens::PATH_USD).build().unwrap();
    let buyer = payer(&node, 0).build();

    // The answer is lost, the receipt is found: settled.
    let first = challenge(&seller, money(&node, 5), 300);
    let verified = pay(&buyer, &first, money(&node, 5)).await.unwrap().verify(&seller).await.unwrap();
    proxy.inject(Fault::LoseAnswer, SEND);
    settle(&seller, &verified).await.unwrap();
    assert_eq!(balance(&node, recipient).await, 5);

    // Everything is lost: unknown, and resolved when the node is back.
    let second = challenge(&seller, money(&node, 5), 300);
    let verified = pay(&buyer, &second, money(&node, 5)).await.unwrap().verify(&seller).await.unwrap();
    proxy.inject(Fault::LoseAnswer, RECEIPT);
    let outcome = settle(&seller, &verified).await;
    assert!(matches!(outcome, Err(SettleError::Unknown { .. })), "{outcome:?}");
    assert!(seller.resolve(&verified.plan, support::now()).await.is_err(), "nobody to ask");
    proxy.heal();
    let resolved = seller.resolve(&verified.plan, support::now()).await.unwrap();
    assert!(matches!(resolved, Resolution::Settled(_)), "{resolved:?}");
    assert_eq!(balance(&node, recipient).await, 10);

    // The request is lost: resolving sends the same transaction while it is valid.
    let third = challenge(&seller, money(&node, 5), 300);
    let verified = pay(&buyer, &third, money(&node, 5)).await.unwrap().verify(&seller).await.unwrap();
    proxy.inject(Fault::LoseRequest, SEND);
    let outcome = settle(&seller, &verified).await;
    assert!(matches!(outcome, Err(SettleError::Unknown { .. })), "{outcome:?}");
    proxy.heal();
    let sent = seller.resolve(&verified.plan, support::now()).await.unwrap();
    assert_eq!(sent, Resolution::Pending, "sent, and not waited for");
    let resolved = support::resolve(&seller, &verified).await;
    assert!(matches!(resolved, Resolution::Settled(_)), "{resolved:?}");
    assert_eq!(balance(&node, recipient).await, 15);

    // A node without the synchronous method.
    let fourth = challenge(&seller, money(&node, 5), 300);
    let verified = pay(&buyer, &fourth, money(&node, 5)).await.unwrap().verify(&seller).await.unwrap();
    proxy.inject(Fault::Unknown, SEND);
    let before = proxy.count("eth_sendRawTransaction");
    settle(&seller, &verified).await.unwrap();
    assert_eq!(proxy.count("eth_sendRawTransaction"), before + 1);
    assert_eq!(balance(&node, recipient).await, 20);
    proxy.heal();

    // The buyer's own broadcast: what was sent is never reported as not paid.
    let pusher =
        TempoPayer::builder(key(0)).chain(node.chain_id, lossy_rpc).mode(PayMode::PreferPush).build();
    let fifth = challenge(&seller, money(&node, 5), 300);
    proxy.inject(Fault::LoseAnswer, SEND);
    proxy.inject(Fault::LoseAnswer, RECEIPT);
    let lost = pay(&pusher, &fifth, money(&node, 5)).await.err().unwrap();
    let PayError::Unknown { reference, .. } = lost else { panic!("{lost:?}") };
    proxy.heal();
    let hash = serde_json::json!({"type": "hash", "hash": reference});
    let verified = support::presented_with(&fifth, &hash, None).verify(&seller).await.unwrap();
    settle(&seller, &verified).await.unwrap();
    assert_eq!(balance(&node, recipient).await, 25);
}

async fn what_cannot_be_paid_is_refused(node: Node) {
    let recipient = fresh_address();
    let seller = seller(&node, recipient);
    let poor = farthing_rails::tempo::PrivateKey::random(&mut rand::rng());
    support::fund(&node, poor.address(), 100_000).await;
    let buyer = TempoPayer::builder(poor.clone()).chain(node.chain_id, rpc(&node)).build();

    // Too little money: found out before anything is signed.
    let dear = challenge(&seller, money(&node, 100_001), 300);
    let error = pay(&buyer, &dear, money(&node, 200_000)).await.err().unwrap();
    let PayError::Insufficient { available, required, .. } = error else { panic!("{error:?}") };
    assert_eq!((available, required), (money(&node, 100_000), money(&node, 100_001)));
    // Enough for the price and not for the fee.
    let all = challenge(&seller, money(&node, 100_000), 300);
    let error = pay(&buyer, &all, money(&node, 200_000)).await.err().unwrap();
    assert_eq!(error.code(), "no_fee_token", "{error:?}");
    // More than the cap; an expired challenge; another chain.
    let cheap = challenge(&seller, money(&node, 10), 300);
    assert_eq!(pay(&buyer, &cheap, money(&node, 9)).await.err().unwrap().code(), "over_cap");
    let expired = challenge(&seller, money(&node, 10), 0);
    assert_eq!(pay(&buyer, &expired, money(&node, 10)).await.err().unwrap().code(), "challenge_expired");
    let elsewhere = TempoPayer::builder(poor.clone()).chain(4217, rpc(&node)).build();
    assert_eq!(elsewhere.quote(&cheap).unwrap_err().code, "chain_not_allowed");

    // The seller: the money went away between signing and settling.
    let price = challenge(&seller, money(&node, 60_000), 300);
    let presented = pay(&buyer, &price, money(&node, 60_000)).await.unwrap();
    support::drain(&node, &poor, fresh_address()).await;
    let late = presented.verify(&seller).await;
    assert_eq!(late.map_err(|error| code(&error)).err(), Some("payer_insufficient"));
    // Past the end of validity.
    let over = presented.verify_at(&seller, support::now().plus_ms(26_000)).await.unwrap_err();
    assert_eq!(code(&over), "transaction_expired");
    assert_eq!(balance(&node, recipient).await, 0);

    // A node of another chain is not believed.
    let wrong = TempoCharge::builder(4217, rpc(&node), recipient, tokens::PATH_USD).build().unwrap();
    assert_eq!(wrong.check_node().await.unwrap_err().code(), "rpc_wrong_chain");
}

async fn a_payment_serves_one_challenge(node: Node) {
    let recipient = fresh_address();
    let seller = seller(&node, recipient);
    let (pull, push) = (payer(&node, 0).build(), payer(&node, 0).mode(PayMode::PreferPush).build());
    let (mine, other) =
        (challenge(&seller, money(&node, 10), 300), challenge(&seller, money(&node, 10), 300));

    // A transaction signed for another challenge: nothing has moved, a fresh challenge helps.
    let payload = support::proof_json(&other, &pull).await;
    let moved = support::presented_with(&mine, &payload, None);
    assert_eq!(
        code(&moved.verify_at(&seller, support::now()).await.unwrap_err()),
        "memo_of_another_challenge"
    );

    // A hash that paid another challenge: the money has moved, nobody is asked to pay again.
    let payload = support::proof_json(&other, &push).await;
    let moved = support::presented_with(&mine, &payload, None);
    assert_eq!(code(&moved.verify_at(&seller, support::now()).await.unwrap_err()), "replayed");

    // A plain transfer, a hash that nobody knows, another's payment.
    let plain = support::send(&node, &key(0), recipient, 10).await;
    let bare = support::presented_with(&mine, &serde_json::json!({"type": "hash", "hash": plain}), None);
    assert_eq!(code(&bare.verify_at(&seller, support::now()).await.unwrap_err()), "transfer_missing");
    let unheard = serde_json::json!({"type": "hash", "hash": B256::repeat_byte(0x5a)});
    let unheard = support::presented_with(&mine, &unheard, None);
    assert_eq!(code(&unheard.verify_at(&seller, support::now()).await.unwrap_err()), "unavailable");
    let payload = support::proof_json(&mine, &push).await;
    let claimed = support::presented_with(&mine, &payload, Some(support::did_of(&node, key(1).address())));
    assert_eq!(code(&claimed.verify_at(&seller, support::now()).await.unwrap_err()), "transfer_missing");
    let payload = support::proof_json(&mine, &pull).await;
    let claimed = support::presented_with(&mine, &payload, Some(support::did_of(&node, key(1).address())));
    assert_eq!(code(&claimed.verify_at(&seller, support::now()).await.unwrap_err()), "source_differs");
    let _: &Presented = &claimed;
}

async fn a_sponsor_without_money_sponsors_nothing(node: Node) {
    let proxy = Lossy::start(&node.url).await;
    let poor = farthing_rails::tempo::PrivateKey::random(&mut rand::rng());
    let terms = |key| {
        let rpc = TempoRpc::new(&proxy.url).unwrap();
        let sponsorship = Sponsorship::new(node.chain_id, key, Amount::from_base(1_000_000));
        let terms = TempoCharge::builder(node.chain_id, rpc, fresh_address(), tokens::PATH_USD);
        terms.sponsor(sponsorship).build().unwrap()
    };
    let buyer = payer(&node, 0).build();
    let unfunded = terms(poor);
    let offered = challenge(&unfunded, money(&node, 5), 300);
    let presented = pay(&buyer, &offered, money(&node, 5)).await.unwrap();
    let refused = presented.verify_at(&unfunded, support::now()).await.unwrap_err();
    assert_eq!(code(&refused), "unavailable", "TC7: {refused}");
    assert_eq!(proxy.count("tempo_simulateV1"), 0, "nothing was co-signed");

    // With money, what is co-signed is simulated as a whole before it is broadcast, where the node can.
    let funded = terms(key(3));
    let offered = challenge(&funded, money(&node, 5), 300);
    let presented = pay(&buyer, &offered, money(&node, 5)).await.unwrap();
    let verified = presented.verify(&funded).await.unwrap();
    assert_eq!(proxy.count("tempo_simulateV1"), 1);
    assert_eq!(proxy.count("eth_sendRawTransactionSync"), 0);
    settle(&funded, &verified).await.unwrap();
}

async fn access_keys_sign_for_accounts_that_authorised_them(node: Node) {
    let recipient = fresh_address();
    let seller = seller(&node, recipient);
    let account = key(1);
    let access = farthing_rails::tempo::PrivateKey::random(&mut rand::rng());
    let free = challenge(&seller, money(&node, 0), 300);
    let proofs = [
        access_key::bare_proof(&node, &account, &access, &free),
        access_key::wrapped_proof(&node, &account, &access, &free),
    ];
    let named = Some(support::did_of(&node, account.address()));
    for proof in &proofs {
        let early = support::presented_with(&free, proof, named.clone());
        let refused = early.verify_at(&seller, support::now()).await.unwrap_err();
        assert_eq!(code(&refused), "key_not_authorised", "TC6");
    }
    access_key::authorise(&node, &account, access.address()).await;
    for proof in &proofs {
        let verified = support::presented_with(&free, proof, named.clone()).verify(&seller).await.unwrap();
        assert_eq!(settle(&seller, &verified).await.unwrap().reference, free.id);
    }

    let paid = challenge(&seller, money(&node, 9), 300);
    let payload = access_key::payment(&node, &account, &access, &paid, recipient);
    let verified = support::presented_with(&paid, &payload, named).verify(&seller).await.unwrap();
    settle(&seller, &verified).await.unwrap();
    assert_eq!(balance(&node, recipient).await, 9);

    // A key that nobody authorised cannot pay with somebody's money.
    let stranger = farthing_rails::tempo::PrivateKey::random(&mut rand::rng());
    let payload = access_key::payment(&node, &account, &stranger, &paid, recipient);
    let stolen = support::presented_with(&paid, &payload, None);
    assert_eq!(code(&stolen.verify_at(&seller, support::now()).await.unwrap_err()), "key_not_authorised");
}
