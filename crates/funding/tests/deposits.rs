//! Deposits on a real Tempo EVM and on the sandbox: credited once, whatever happens to the watcher and to the chain.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use farthing_billing::CustomerId;
use farthing_billing::service::PageQuery;
use farthing_billing::service::deposit::{Deposit, DepositState, Reason};
use farthing_funding::deposit::keys::{DepositKeys, DepositSeed};
use farthing_funding::deposit::watcher::{
    DepositBook, DepositWatcher, Pass, WatchError, WatchSettings, WatchedToken,
};
use farthing_rails::tempo::{Transfer, tokens};
use serde_json::json;
use support::chain::{Node, anvil, sandbox};
use support::{Scene, amount, until};

const TOKEN: Address = tokens::PATH_USD;
const MINIMUM: u128 = 1_000;
const SEED: [u8; 32] = [7; 32];

struct World {
    node: Node,
    scene: Scene,
    keys: DepositKeys,
    settings: WatchSettings,
    asset: String,
}

impl World {
    async fn new(node: Node) -> Self {
        let asset = tokens::named_asset(node.chain_id, TOKEN, "USDC").unwrap();
        let scene = Scene::new(&asset).await;
        let keys = DepositKeys::from_xpub(&DepositSeed::from_bytes(&SEED).unwrap().xpub().unwrap()).unwrap();
        let watched = |token| WatchedToken { token, minimum: amount(MINIMUM) };
        let settings = WatchSettings {
            every: Duration::from_millis(50),
            start_block: Some(1),
            ..WatchSettings::new(node.chain_id, vec![watched(TOKEN), watched(tokens::ALPHA_USD)])
        };
        Self { node, scene, keys, settings, asset: "USDC".to_owned() }
    }

    fn watcher(&self) -> DepositWatcher {
        let from = (self.node.rpc(), self.keys.clone());
        DepositWatcher::new(self.scene.billing.clone(), from, self.settings.clone(), self.scene.make_cx())
    }

    async fn address(&self, customer: CustomerId) -> Address {
        let book = DepositBook::new(self.keys.clone(), &self.settings);
        let of = (customer, self.asset.as_str());
        let made = self.scene.billing.deposit_address(&self.scene.cx(), of, &book).await.unwrap();
        made.address.parse().unwrap()
    }

    async fn deposits(&self) -> Vec<Deposit> {
        let page = PageQuery { limit: 900, ..PageQuery::default() };
        self.scene.billing.list_deposits(&self.scene.cx(), &page).await.unwrap().data
    }

    async fn available(&self) -> i128 {
        self.scene.available(&self.asset).await
    }
}

/// Passes until there is nothing more to read.
async fn read(watcher: &mut DepositWatcher) -> Pass {
    let mut sum = Pass::default();
    for _ in 0..100 {
        match watcher.pass().await {
            Ok(pass) => {
                sum.blocks += pass.blocks;
                sum.credited += pass.credited;
                sum.exceptions += pass.exceptions;
                sum.reversed += pass.reversed;
                sum.reorganised |= pass.reorganised;
                if !pass.more {
                    return sum;
                }
            }
            Err(WatchError::Moving) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("it never ends");
}

async fn what_comes_is_credited_once_or_kept(node: Node) {
    let world = World::new(node).await;
    let to = world.address(world.scene.customer).await;
    let other = world.scene.new_customer("d").await;
    let second = world.address(other).await;
    let mut watcher = world.watcher();
    world.node.send(TOKEN, to, 5_000).await;
    let memo = Transfer { token: TOKEN, to, amount: amount(7_000), memo: Some(B256::repeat_byte(9)) };
    let hash = world.node.transfer(1, memo).await;
    world.node.send(TOKEN, second, 11_000).await;
    world.node.send(TOKEN, to, MINIMUM - 1).await;
    // Two tokens that are called dollars: one is watched and not this address's, the other is not watched.
    world.node.send(tokens::ALPHA_USD, to, 50_000).await;
    world.node.send(tokens::BETA_USD, to, 60_000).await;
    // An address of ours that nobody was given.
    world.node.send(TOKEN, world.keys.address(9), 70_000).await;
    assert_eq!(
        read(&mut watcher).await.credited,
        3,
        "the newest block is not confirmed, and nothing in it matters"
    );
    world.node.mine(2).await;
    read(&mut watcher).await;
    assert_eq!(read(&mut watcher).await, Pass::default(), "nothing twice");
    assert_eq!(world.available().await, 12_000);
    assert_eq!(world.scene.available_of(other, "USDC").await, 11_000);
    let deposits = world.deposits().await;
    let kept = |reason| deposits.iter().filter(|deposit| deposit.reason == Some(reason)).count();
    assert_eq!((kept(Reason::Dust), kept(Reason::OtherAsset), deposits.len()), (1, 1, 5));
    assert!(deposits.iter().any(|deposit| deposit.tx_hash == hash && deposit.amount == amount(7_000)));
    let nobodys = world
        .scene
        .billing
        .list_unmatched_deposits(&world.scene.cx(), &PageQuery::default())
        .await
        .unwrap()
        .data;
    assert_eq!((nobodys.len(), nobodys[0].amount), (1, amount(70_000)));
    // A watcher with no memory of its own does not begin anew.
    let mut anew = world.watcher();
    assert_eq!(read(&mut anew).await, Pass::default());
    let assigned =
        world.scene.billing.assign_unmatched_deposit(&world.scene.cx(), &nobodys[0].id, other).await.unwrap();
    assert_eq!(assigned.state, DepositState::Credited);
    assert_eq!(world.scene.available_of(other, "USDC").await, 81_000);
}

async fn a_gap_is_read(node: Node) {
    let mut world = World::new(node).await;
    world.settings.blocks_per_pass = 7;
    let to = world.address(world.scene.customer).await;
    let mut watcher = world.watcher();
    for base in [2_000, 3_000, 4_000] {
        world.node.send(TOKEN, to, base).await;
        world.node.mine(20).await;
    }
    let pass = read(&mut watcher).await;
    assert_eq!((pass.credited, world.available().await), (3, 9_000));
    assert!(pass.blocks >= 60, "{pass:?}");
}

async fn a_deposit_waits_for_its_confirmations(node: Node) {
    let mut world = World::new(node).await;
    world.settings.confirmations = 4;
    let to = world.address(world.scene.customer).await;
    let mut watcher = world.watcher();
    read(&mut watcher).await;
    world.node.send(TOKEN, to, 5_000).await;
    for expected in [0, 0, 0, 5_000] {
        read(&mut watcher).await;
        assert_eq!(world.available().await, expected);
        world.node.mine(1).await;
    }
}

/// A revert of the chain: blocks are gone, others come in their place.
async fn a_deposit_whose_block_is_gone_is_taken_back_and_credited_anew_when_it_returns(node: Node) {
    let world = World::new(node).await;
    let to = world.address(world.scene.customer).await;
    let mut watcher = world.watcher();
    world.node.send(TOKEN, to, 1_500).await;
    world.node.mine(3).await;
    read(&mut watcher).await;
    let snapshot = world.node.ask("evm_snapshot", json!([])).await;
    world.node.send(TOKEN, to, 5_000).await;
    world.node.mine(3).await;
    read(&mut watcher).await;
    assert_eq!(world.available().await, 6_500);
    world.node.ask("evm_revert", json!([snapshot])).await;
    // Shorter than before: it may be a node that is behind, so nothing happens yet.
    assert!(matches!(watcher.pass().await, Err(WatchError::Moving)));
    assert_eq!(world.available().await, 6_500);
    // Other blocks in their place: their times differ.
    world.node.ask("evm_increaseTime", json!([5])).await;
    world.node.mine(5).await;
    assert!(read(&mut watcher).await.reorganised);
    let missing = world.deposits().await;
    assert_eq!(missing[0].state, DepositState::Missing);
    assert_eq!(world.available().await, 6_500, "it may come back");
    world.node.mine(2).await;
    assert_eq!(read(&mut watcher).await.reversed, 1);
    assert_eq!((world.deposits().await[0].state, world.available().await), (DepositState::Reversed, 1_500));
    // Life goes on.
    world.node.send(TOKEN, to, 9_000).await;
    world.node.mine(2).await;
    assert_eq!(read(&mut watcher).await.credited, 1);
    assert_eq!(world.available().await, 10_500);
}

on_every_chain!(
    what_comes_is_credited_once_or_kept,
    a_gap_is_read,
    a_deposit_waits_for_its_confirmations,
    a_deposit_whose_block_is_gone_is_taken_back_and_credited_anew_when_it_returns,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_of_anvil_is_followed() {
    let Some(node) = anvil().await else { return };
    let world = World::new(node).await;
    let to = world.address(world.scene.customer).await;
    let mut watcher = world.watcher();
    world.node.send(TOKEN, to, 2_000).await;
    world.node.mine(5).await;
    for base in [5_000, 6_000] {
        world.node.send(TOKEN, to, base).await;
    }
    world.node.mine(2).await;
    read(&mut watcher).await;
    assert_eq!(world.available().await, 13_000);
    // The last four blocks are replaced by empty ones: both deposits are gone.
    world.node.ask("anvil_reorg", json!([4, []])).await;
    world.node.mine(1).await;
    let pass = read(&mut watcher).await;
    assert!(pass.reorganised, "{pass:?}");
    world.node.mine(3).await;
    read(&mut watcher).await;
    assert_eq!(world.available().await, 2_000);
    let reversed = world.deposits().await.iter().filter(|it| it.state == DepositState::Reversed).count();
    assert_eq!(reversed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_or_another_key_changes_nothing() {
    let mut world = World::new(sandbox().await).await;
    world.settings.start_block = None;
    let to = world.address(world.scene.customer).await;
    world.node.mine(5).await;
    read(&mut world.watcher()).await;
    world.node.send(TOKEN, to, 5_000).await;
    world.node.mine(3).await;
    read(&mut world.watcher()).await;
    assert_eq!(world.available().await, 5_000);
    let fresh = sandbox().await;
    fresh.ask("evm_increaseTime", json!([100])).await;
    fresh.mine(30).await;
    let from = (fresh.rpc(), world.keys.clone());
    let mut elsewhere =
        DepositWatcher::new(world.scene.billing.clone(), from, world.settings.clone(), world.scene.make_cx());
    for _ in 0..5 {
        assert_eq!(elsewhere.pass().await.unwrap_err().code(), "deposit_chain_replaced");
    }
    assert_eq!((world.available().await, world.deposits().await[0].state), (5_000, DepositState::Credited));
    let keys = DepositKeys::from_xpub(&DepositSeed::from_bytes(&[8; 32]).unwrap().xpub().unwrap()).unwrap();
    let from = (world.node.rpc(), keys);
    let mut other =
        DepositWatcher::new(world.scene.billing.clone(), from, world.settings.clone(), world.scene.make_cx());
    assert_eq!(other.pass().await.unwrap_err().code(), "deposit_key_changed");
}

/// Watchers that are killed at any point while deposits flow in, two at a time.
async fn killed_watchers_credit_each_deposit_once(node: Node) {
    let world = World::new(node).await;
    let customers =
        [world.scene.customer, world.scene.new_customer("d").await, world.scene.new_customer("e").await];
    let mut expected: BTreeMap<CustomerId, i128> = BTreeMap::new();
    for round in 0..30_u64 {
        let watchers = [world.watcher(), world.watcher()];
        let running = watchers.map(|watcher| watcher.start(std::future::pending()));
        for n in 0..rand::random::<u64>() % 3 {
            let customer = customers[usize::try_from((round + n) % 3).unwrap()];
            let base = u128::from(rand::random::<u64>() % 9_000) + MINIMUM;
            let to = world.address(customer).await;
            world.node.send(TOKEN, to, base).await;
            *expected.entry(customer).or_default() += i128::try_from(base).unwrap();
        }
        world.node.mine(rand::random::<u64>() % 3).await;
        tokio::time::sleep(Duration::from_millis(rand::random::<u64>() % 80)).await;
        for task in running {
            task.abort();
            let _ = task.await;
        }
    }
    world.node.mine(3).await;
    let task = world.watcher().start(std::future::pending());
    for (customer, expected) in expected {
        until("everything is credited", async || {
            world.scene.available_of(customer, "USDC").await == expected
        })
        .await;
    }
    task.abort();
    let credited = world.deposits().await;
    assert!(credited.iter().all(|deposit| deposit.credits == 1), "{credited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_watchers_credit_each_deposit_once_on_anvil() {
    if let Some(node) = anvil().await {
        killed_watchers_credit_each_deposit_once(node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_watchers_credit_each_deposit_once_on_the_sandbox() {
    killed_watchers_credit_each_deposit_once(sandbox().await).await;
}
