//! Collecting what lies at deposit addresses, on a real Tempo EVM and on the sandbox: all of it, once, whatever happens in between.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, U256};
use farthing_billing::CustomerId;
use farthing_billing::service::collection::{Collection, CollectionState, NewCollection};
use farthing_billing::service::{Billing, PageQuery};
use farthing_funding::collect::{CollectSettings, Collector, Done, Ended, Left, Lying, Plan, Verdict};
use farthing_funding::deposit::keys::{DepositKeys, DepositSeed};
use farthing_funding::deposit::watcher::{DepositBook, DepositWatcher, Pass, WatchSettings, WatchedToken};
use farthing_ledger::testkit::MemoryStore;
use farthing_money::Amount;
use farthing_rails::tempo::sweep::Sweeper;
use farthing_rails::tempo::{PrivateKey, TempoRpc, network, tokens};
use serde_json::json;
use support::chain::{Node, key, sandbox};
use support::lossy::{Fault, Lossy};
use support::{Scene, amount, now_ms};

const TOKEN: Address = tokens::PATH_USD;
const OTHER: Address = tokens::ALPHA_USD;
const ASSET: &str = "USDC";

struct World {
    node: Node,
    scene: Scene,
    keys: DepositKeys,
    settings: WatchSettings,
    /// Whom nobody has ever paid.
    to: Address,
    record: Billing,
}

fn seed(byte: u8) -> DepositSeed {
    DepositSeed::from_bytes(&[byte; 32]).unwrap()
}

fn record() -> Billing {
    Billing::new(Arc::new(MemoryStore::new()))
}

impl World {
    async fn new(node: Node) -> Self {
        let asset = tokens::named_asset(node.chain_id, TOKEN, ASSET).unwrap();
        let scene = Scene::new(&asset).await;
        let keys = DepositKeys::from_xpub(&seed(7).xpub().unwrap()).unwrap();
        let watched = |token| WatchedToken { token, minimum: amount(1_000) };
        let settings = WatchSettings {
            start_block: Some(1),
            ..WatchSettings::new(node.chain_id, vec![watched(TOKEN), watched(OTHER)])
        };
        let to = PrivateKey::random(&mut rand::rng()).address();
        Self { node, scene, keys, settings, to, record: record() }
    }

    async fn address(&self, customer: CustomerId) -> Address {
        let book = DepositBook::new(self.keys.clone(), &self.settings);
        let made = self.scene.billing.deposit_address(&self.scene.cx(), (customer, ASSET), &book).await;
        made.unwrap().address.parse().unwrap()
    }

    fn settings(&self) -> CollectSettings {
        let tokens = vec![TOKEN, OTHER];
        CollectSettings { chain_id: self.node.chain_id, tokens, to: self.to, minimum: amount(10_000) }
    }

    fn with(&self, settings: CollectSettings, (rpc, sweeper): (TempoRpc, Sweeper)) -> Collector {
        let from = (rpc, self.keys.clone());
        Collector::new(self.scene.billing.clone(), from, sweeper, settings, self.scene.make_cx())
    }

    fn through(&self, rpc: TempoRpc) -> Collector {
        self.with(self.settings(), (rpc.clone(), Sweeper::new(self.node.chain_id, rpc)))
    }

    fn collector(&self) -> Collector {
        self.through(self.node.rpc())
    }

    fn watcher(&self) -> DepositWatcher {
        let from = (self.node.rpc(), self.keys.clone());
        DepositWatcher::new(self.scene.billing.clone(), from, self.settings.clone(), self.scene.make_cx())
    }

    async fn holds(&self, token: Address, of: Address) -> u128 {
        self.node.balance(token, of).await.to::<u128>()
    }

    async fn written(&self) -> Vec<Collection> {
        let page = PageQuery { limit: 900, ..PageQuery::default() };
        self.record.list_collections(&self.scene.cx(), &page).await.unwrap().data
    }

    /// What the record says arrived.
    async fn arrived(&self) -> u128 {
        let all = self.written().await;
        all.iter().filter(|it| it.state == CollectionState::Collected).map(|it| it.amount.base()).sum()
    }

    /// The chain's clock goes on, so that nothing that was signed is valid any more.
    async fn outlive(&self) {
        self.node.ask("evm_increaseTime", json!([60])).await;
        self.node.mine(1).await;
    }
}

/// One run, as the command makes it.
async fn run(world: &World, collector: &Collector, record: &Billing) -> Vec<Done> {
    let open = collector.look_up(record).await.unwrap();
    let plan = collector.plan(&open).await.unwrap();
    let done = collector.collect(record, &seed(7), &plan, |_| ()).await.unwrap();
    world.node.mine(1).await;
    done
}

fn lying(plan: &Plan, index: u32, token: Address) -> &Lying {
    plan.lying.iter().find(|it| (it.index, it.token) == (index, token)).unwrap()
}

async fn read(watcher: &mut DepositWatcher) -> Pass {
    loop {
        let pass = watcher.pass().await.unwrap();
        if !pass.more {
            return pass;
        }
    }
}

async fn what_lies_there_arrives_to_the_base_unit_and_nobody_is_credited_for_it(node: Node) {
    let world = World::new(node).await;
    let one = world.address(world.scene.customer).await;
    let customer = world.scene.new_customer("d").await;
    let two = world.address(customer).await;
    // Two deposits to one address, one to another, another token there, dust, and one to an address that nobody was given.
    for (token, to, base) in [
        (TOKEN, one, 5_000_000),
        (TOKEN, one, 1_234_567),
        (TOKEN, two, 7_000_000),
        (OTHER, two, 3_000_000),
        (TOKEN, world.keys.address(9), 70_000),
        (TOKEN, world.keys.address(10), 900),
    ] {
        world.node.send(token, to, base).await;
    }
    world.node.mine(2).await;
    let mut watcher = world.watcher();
    read(&mut watcher).await;
    // In a block that the watcher has not read.
    world.node.send(TOKEN, two, 111_111).await;

    let collector = world.collector();
    let plan = collector.plan(&[]).await.unwrap();
    assert_eq!((plan.lying.len(), plan.looked_at), (5, 22));
    let dust = lying(&plan, 10, TOKEN);
    assert_eq!((dust.held, &dust.verdict), (amount(900), &Verdict::Leave(Left::BelowMinimum)));
    let all = CollectSettings { minimum: Amount::ZERO, ..world.settings() };
    let from = (world.node.rpc(), Sweeper::new(world.node.chain_id, world.node.rpc()));
    let all = world.with(all, from).plan(&[]).await.unwrap();
    assert_eq!(lying(&all, 10, TOKEN).verdict, Verdict::Leave(Left::CostsMore));
    let first = lying(&plan, 0, TOKEN);
    assert_eq!(first.owner.as_ref().unwrap().external_id, "c");
    assert_eq!(first.moved.checked_add(first.fee).unwrap(), amount(6_234_567), "all but the fee");
    assert_eq!(plan.owed.exceptions_at(two, OTHER), amount(3_000_000));
    assert_eq!(plan.owed.unread_at(two, TOKEN), amount(111_111));
    assert_eq!(plan.owed.exceptions.len(), 3);
    assert!(world.written().await.is_empty(), "looking writes nothing");

    let done = collector.collect(&world.record, &seed(7), &plan, |_| ()).await.unwrap();
    let mut arrived = 0;
    for Done { lying, ended } in &done {
        let Ended::Collected { amount, fee_most, fee, .. } = ended else { panic!("{done:?}") };
        let fee = fee.expect("the node shows it");
        assert!(!fee.is_zero() && fee <= *fee_most, "{ended:?}");
        let stays = lying.held.checked_sub(*amount).unwrap().checked_sub(fee).unwrap();
        assert_eq!(world.holds(lying.token, lying.address).await, stays.base(), "what the fee did not take");
        arrived += if lying.token == TOKEN { amount.base() } else { 0 };
    }
    assert_eq!(done.len(), 4);
    assert_eq!(world.holds(TOKEN, world.to).await, arrived);
    assert_eq!(world.arrived().await, arrived + world.holds(OTHER, world.to).await);
    let written = world.written().await;
    assert!(
        written.iter().all(|it| it.state == CollectionState::Collected && it.block.is_some()),
        "{written:?}"
    );

    // What left is none of the watcher's business; what came in before that is.
    world.node.mine(2).await;
    let pass = read(&mut watcher).await;
    assert_eq!((pass.credited, pass.exceptions), (1, 0));
    assert_eq!(world.scene.available_of(customer, ASSET).await, 7_111_111);
    assert_eq!(world.scene.available(ASSET).await, 6_234_567);
    // Nothing is left that is worth it.
    let again = collector.plan(&[]).await.unwrap();
    assert_eq!(again.collected().count(), 0, "{again:?}");
    assert!(run(&world, &collector, &world.record).await.is_empty());
}

async fn where_another_account_pays_the_fees_nothing_stays(node: Node) {
    let world = World::new(node).await;
    let one = world.address(world.scene.customer).await;
    for (to, base) in [(one, 2_000_001), (world.keys.address(3), 5_000)] {
        world.node.send(TOKEN, to, base).await;
    }
    let sweeper = Sweeper::new(world.node.chain_id, world.node.rpc()).with_fee_payer(key(2));
    let payer = key(2).address();
    let settings = CollectSettings { minimum: amount(6_000), ..world.settings() };
    let before = world.holds(TOKEN, payer).await;
    let collector = world.with(settings, (world.node.rpc(), sweeper.clone()));
    let plan = collector.plan(&[]).await.unwrap();
    assert_eq!(lying(&plan, 3, TOKEN).verdict, Verdict::Leave(Left::BelowMinimum));
    let done = run(&world, &collector, &world.record).await;
    assert!(matches!(done.as_slice(), [Done { ended: Ended::Collected { .. }, .. }]), "{done:?}");
    assert_eq!(world.holds(TOKEN, one).await, 0);
    assert_eq!(world.holds(TOKEN, world.to).await, 2_000_001);
    let fee = before - world.holds(TOKEN, payer).await;
    assert!(fee > 0 && fee <= world.written().await[0].fee_most.base());
    assert_eq!(world.written().await[0].fee_payer, Some(tokens::lower(payer)));
    // One who has nothing pays nothing, and it is said.
    let poor = sweeper.with_fee_payer(PrivateKey::random(&mut rand::rng()));
    let all = CollectSettings { minimum: Amount::ZERO, ..world.settings() };
    let plan = world.with(all, (world.node.rpc(), poor)).plan(&[]).await.unwrap();
    assert!(matches!(lying(&plan, 3, TOKEN).verdict, Verdict::Leave(Left::NoFee { .. })), "{plan:?}");
}

async fn an_answer_that_is_lost_is_looked_up_and_nothing_is_sent_twice(node: Node) {
    let world = World::new(node).await;
    let lossy = Lossy::start(&world.node.url).await;
    let through = world.through(TempoRpc::new(&lossy.url).unwrap());
    let one = world.address(world.scene.customer).await;
    for method in ["eth_sendRawTransactionSync", "eth_getTransactionReceipt"] {
        lossy.inject(Fault::LoseAnswer, method);
    }
    world.node.send(TOKEN, one, 4_000_000).await;
    let open = through.look_up(&world.record).await.unwrap();
    let plan = through.plan(&open).await.unwrap();
    let done = through.collect(&world.record, &seed(7), &plan, |_| ()).await.unwrap();
    assert!(matches!(done.as_slice(), [Done { ended: Ended::Unknown { .. }, .. }]), "{done:?}");
    assert_eq!(world.written().await[0].state, CollectionState::Sending);
    let arrived = world.holds(TOKEN, world.to).await;
    assert!(arrived > 3_900_000, "it was executed");
    // More comes before anybody knows: nothing is sent from there until it is known.
    world.node.send(TOKEN, one, 1_000_000).await;
    let blind = world.collector();
    let open = blind.open(&world.record).await.unwrap();
    let plan = blind.plan(&open).await.unwrap();
    assert!(matches!(lying(&plan, 0, TOKEN).verdict, Verdict::Leave(Left::UnderWay { .. })));
    // The next run knows, and sends what came since.
    lossy.heal();
    let found = blind.look_up(&world.record).await.unwrap();
    assert_eq!((found[0].state, found[0].amount), (CollectionState::Collected, amount(arrived)));
    let done = run(&world, &through, &world.record).await;
    assert!(matches!(done.as_slice(), [Done { ended: Ended::Collected { .. }, .. }]), "{done:?}");
    assert_eq!(world.holds(TOKEN, world.to).await, world.arrived().await);
    // A request that never arrived: not known, until its validity has ended.
    world.node.send(TOKEN, one, 500_000).await;
    lossy.inject(Fault::LoseRequest, "eth_sendRawTransactionSync");
    let done = run(&world, &through, &world.record).await;
    assert!(matches!(done.as_slice(), [Done { ended: Ended::Unknown { .. }, .. }]), "{done:?}");
    lossy.heal();
    assert_eq!(through.look_up(&world.record).await.unwrap()[0].state, CollectionState::Sending);
    world.outlive().await;
    assert_eq!(through.look_up(&world.record).await.unwrap()[0].state, CollectionState::Failed);
    run(&world, &through, &world.record).await;
    assert_eq!(world.holds(TOKEN, world.to).await, world.arrived().await);
    assert!(world.arrived().await > 5_400_000);
}

async fn runs_side_by_side_send_what_is_there_and_no_more(node: Node) {
    let world = World::new(node).await;
    for index in 0..6 {
        world.node.send(TOKEN, world.keys.address(index), 1_000_000).await;
    }
    let elsewhere = record();
    let (one, two, three) = (world.collector(), world.collector(), world.collector());
    // Two share a record, the third has its own: a copy on another machine.
    let (done, _, other) = tokio::join!(
        run(&world, &one, &world.record),
        run(&world, &two, &world.record),
        run(&world, &three, &elsewhere),
    );
    world.outlive().await;
    for _ in 0..3 {
        run(&world, &one, &world.record).await;
        run(&world, &three, &elsewhere).await;
    }
    let page = PageQuery::default();
    let mut all = elsewhere.list_collections(&world.scene.cx(), &page).await.unwrap().data;
    all.extend(world.written().await);
    // Runs that sign the same thing in the same second sign one transaction: both records name it.
    let made: BTreeMap<&String, u128> = all
        .iter()
        .filter(|it| it.state == CollectionState::Collected)
        .map(|it| (&it.tx_hash, it.amount.base()))
        .collect();
    let arrived = world.holds(TOKEN, world.to).await;
    assert_eq!(arrived, made.values().sum::<u128>(), "{done:?} {other:?}");
    assert!(arrived > 5_900_000 && arrived < 6_000_000, "{arrived}");
}

on_every_chain!(
    what_lies_there_arrives_to_the_base_unit_and_nobody_is_credited_for_it,
    where_another_account_pays_the_fees_nothing_stays,
    an_answer_that_is_lost_is_looked_up_and_nothing_is_sent_twice,
    runs_side_by_side_send_what_is_there_and_no_more,
);

/// Runs that end at any point, while more comes in. How long a run takes is measured, so that they do.
#[tokio::test(flavor = "multi_thread")]
async fn runs_that_are_killed_at_any_point_leave_a_record_that_agrees_with_the_chain() {
    let world = Arc::new(World::new(sandbox().await).await);
    let (mut sent, mut lifetime, mut killed) = (0, 0, 0);
    for round in 0..16_u64 {
        for index in 0..4 {
            let base = 100_000 + u128::from(rand::random::<u16>());
            world.node.send(TOKEN, world.keys.address(index), base).await;
            sent += base;
        }
        let began = now_ms();
        let mut task = tokio::spawn({
            let world = Arc::clone(&world);
            async move { run(&world, &world.collector(), &world.record).await }
        });
        if round % 5 == 0 {
            (&mut task).await.unwrap();
            lifetime = now_ms() - began;
        }
        tokio::time::sleep(Duration::from_millis(rand::random::<u64>() % (lifetime + 1))).await;
        killed += u32::from(!task.is_finished());
        task.abort();
        if round % 3 == 0 {
            world.outlive().await;
        }
    }
    world.outlive().await;
    run(&world, &world.collector(), &world.record).await;
    let written = world.written().await;
    let open = written.iter().filter(|it| it.state == CollectionState::Sending).count();
    assert_eq!(open, 0, "{written:?}");
    let mut left = 0;
    for index in 0..4 {
        left += world.holds(TOKEN, world.keys.address(index)).await;
    }
    let arrived = world.holds(TOKEN, world.to).await;
    assert_eq!(arrived, world.arrived().await, "the record is what arrived");
    let fees: u128 = written.iter().filter_map(|it| it.fee).map(Amount::base).sum();
    assert_eq!(arrived + left + fees, sent, "and every base unit is somewhere");
    assert!(killed > 4 && written.len() > 16, "{killed} of {}", written.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_seed_another_key_and_a_deposit_address_are_refused_before_anything_is_sent() {
    let world = World::new(sandbox().await).await;
    let one = world.address(world.scene.customer).await;
    world.node.send(TOKEN, one, 4_000_000).await;
    let plan = world.collector().plan(&[]).await.unwrap();
    let refused = world.collector().collect(&world.record, &seed(8), &plan, |_| ()).await.unwrap_err();
    assert_eq!(refused.code(), "deposit_seed_of_another_key");
    let rpc = world.node.rpc();
    let sweeper = Sweeper::new(world.node.chain_id, rpc.clone());
    for to in [one, world.keys.address(5), world.keys.address(70)] {
        let settings = CollectSettings { to, ..world.settings() };
        let refused = world.with(settings, (rpc.clone(), sweeper.clone())).plan(&[]).await.unwrap_err();
        assert_eq!(refused.code(), "collect_to_deposit_address", "{to}");
    }
    let keys = DepositKeys::from_xpub(&seed(8).xpub().unwrap()).unwrap();
    let other = Collector::new(
        world.scene.billing.clone(),
        (rpc, keys),
        sweeper,
        world.settings(),
        world.scene.make_cx(),
    );
    assert_eq!(other.plan(&[]).await.unwrap_err().code(), "deposit_key_changed");
    assert_eq!(world.node.balance(TOKEN, one).await, U256::from(4_000_000));
    assert!(world.written().await.is_empty());
}

/// A record of long ago, of a transaction that the chain has never seen.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_down_and_never_sent_is_known_not_to_have_happened() {
    let world = World::new(sandbox().await).await;
    let one = world.address(world.scene.customer).await;
    let new = NewCollection {
        network: network(world.node.chain_id),
        token: tokens::lower(TOKEN),
        address: tokens::lower(one),
        index: 0,
        owner: None,
        to: tokens::lower(world.to),
        amount: amount(5),
        fee_most: amount(1),
        fee_token: tokens::lower(TOKEN),
        fee_payer: None,
        tx_hash: format!("0x{}", "ab".repeat(32)),
        valid_before_s: 1,
    };
    world.record.begin_collection(&world.scene.cx(), &new).await.unwrap().unwrap();
    let found = world.collector().look_up(&world.record).await.unwrap();
    assert_eq!(found[0].state, CollectionState::Unclear, "no node remembers that time");
    assert!(world.collector().look_up(&world.record).await.unwrap().is_empty());
}
