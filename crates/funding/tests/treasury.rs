//! Top-ups from an account on a chain: one transfer an attempt, however often it is asked for and by whom.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy_primitives::U256;
use farthing_billing::service::PageQuery;
use farthing_billing::service::topup::{AttemptState, NewTopUpRule, Source};
use farthing_billing::topup::{BackOff, Decline, Size};
use farthing_funding::source::{Charge, Charged, Found, FundingSource};
use farthing_funding::topup::{Sources, TopUpSettings, TopUps};
use farthing_funding::treasury::Treasury;
use farthing_ledger::Timestamp;
use farthing_rails::tempo::{PrivateKey, tokens};
use support::chain::{Node, anvil, key, sandbox};
use support::{Scene, amount, now_ms, until};

fn charge(node: &Node, n: u128, base: u128) -> Charge {
    Charge {
        attempt: format!("top_{:032x}", n << 8),
        amount: amount(base),
        asset: tokens::asset(node.chain_id, tokens::PATH_USD),
        from: Source::Chain,
        began: Timestamp::from_unix_ms(now_ms()),
        now: Timestamp::from_unix_ms(now_ms()),
    }
}

async fn a_charge_is_one_transfer_whoever_says_it(node: Node) {
    let collect = PrivateKey::random(&mut rand::rng()).address();
    let treasury = Treasury::new((node.chain_id, node.rpc()), key(2), collect);
    let it = charge(&node, 1, 5_000);
    assert_eq!(
        treasury.lookup(&it).await,
        Found::Attempt(Charged::Unknown { why: "it may still be on its way".into() })
    );
    let later = Charge { now: Timestamp::from_unix_ms(now_ms() + 200_000), ..it.clone() };
    assert_eq!(treasury.lookup(&later).await, Found::Nothing);
    // Two processes at the same moment: at most one of them learns at once that it worked, and the chain executes one.
    let other = treasury.clone();
    let (one, two) = tokio::join!(treasury.charge(&it), other.charge(&it));
    let yes = |charged: &Charged| matches!(charged, Charged::Yes { .. });
    assert!(yes(&one) || yes(&two), "{one:?} {two:?}");
    node.mine(1).await;
    let again = treasury.charge(&it).await;
    let Charged::Yes { reference } = again.clone() else { panic!("{again:?}") };
    assert_eq!(treasury.lookup(&it).await, Found::Attempt(again));
    assert!(reference.starts_with("0x") && reference.len() == 66);
    assert_eq!(node.balance(tokens::PATH_USD, collect).await, U256::from(5_000));
    let poor = Treasury::new((node.chain_id, node.rpc()), PrivateKey::random(&mut rand::rng()), collect);
    let declined = poor.charge(&charge(&node, 2, 5_000)).await;
    assert!(matches!(declined, Charged::No(declined) if declined.class == Decline::Soft));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_is_one_transfer_on_anvil() {
    if let Some(node) = anvil().await {
        a_charge_is_one_transfer_whoever_says_it(node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_is_one_transfer_on_the_sandbox() {
    a_charge_is_one_transfer_whoever_says_it(sandbox().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_is_topped_up_from_the_sandbox_by_drivers_that_are_killed() {
    let node = sandbox().await;
    let asset = tokens::named_asset(node.chain_id, tokens::PATH_USD, "USDC").unwrap();
    let scene = Scene::new(&asset).await;
    let of = (scene.customer, "USDC");
    let new = NewTopUpRule {
        threshold: amount(500),
        size: Size::Target(amount(2_000)),
        cap_per_day: amount(1_000_000),
        back_off: BackOff { first_ms: 60_000, longest_ms: 600_000, most: 3 },
        source: Source::Chain,
    };
    scene.billing.put_topup_rule(&scene.cx(), of, &new).await.unwrap();
    scene.billing.open_wallet(&scene.cx(), scene.customer, "USDC").await.unwrap();
    let collect = PrivateKey::random(&mut rand::rng()).address();
    let start = || {
        let treasury: Arc<dyn FundingSource> =
            Arc::new(Treasury::new((node.chain_id, node.rpc()), key(2), collect));
        let sources = Sources { card: None, chain: Some(treasury) };
        let settings = TopUpSettings { sweep: Duration::from_millis(100), at_once: 2 };
        TopUps::new(scene.billing.clone(), sources, scene.make_cx(), settings).start(std::future::pending())
    };
    for _ in 0..10 {
        let (_nudge, task) = start();
        tokio::time::sleep(Duration::from_millis(rand::random::<u64>() % 60)).await;
        task.abort();
        let _ = task.await;
    }
    let (_nudge, task) = start();
    until("it is topped up", async || {
        scene.ahead_ms.fetch_add(130_000, Ordering::Relaxed);
        scene.available("USDC").await == 2_000
    })
    .await;
    task.abort();
    let attempts = scene.billing.list_topups(&scene.cx(), of, &PageQuery::default()).await.unwrap().data;
    let paid: u128 = attempts
        .iter()
        .filter(|attempt| attempt.state == AttemptState::Succeeded)
        .map(|attempt| attempt.amount.base())
        .sum();
    assert_eq!(node.balance(tokens::PATH_USD, collect).await, U256::from(paid), "{attempts:?}");
    assert_eq!(paid, 2_000);
}
