//! Top-ups by card against localstripe: charges, declines, faults on the way, and drivers that end in between.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farthing_billing::service::PageQuery;
use farthing_billing::service::topup::run::RuleName;
use farthing_billing::service::topup::{Attempt, AttemptState, NewTopUpRule, RuleState, Source};
use farthing_billing::service::wallet::{Adjust, Direction};
use farthing_billing::topup::{BackOff, Size};
use farthing_funding::stripe::{Stripe, StripeKey};
use farthing_funding::topup::{Nudge, Sources, TopUpSettings, TopUps};
use support::stripe::{Fault, LocalStripe, Proxy, SECRET};
use support::{Scene, amount, until};

/// A card that pays, one that is declined when it is charged, and one whose bank asks the customer.
const GOOD: &str = "4242424242424242";
const DECLINED: &str = "4000000000000341";
const ASKS: &str = "4000002500003155";

struct World {
    scene: Scene,
    server: LocalStripe,
    proxy: Proxy,
    rule: RuleName,
}

impl World {
    async fn new(card: &str) -> Option<Self> {
        let server = LocalStripe::start().await?;
        let proxy = Proxy::before(&server.url).await;
        let scene = Scene::usd().await;
        let (customer, payment_method) = server.customer(card).await;
        let new = NewTopUpRule {
            threshold: amount(500),
            size: Size::Steps(amount(1_000)),
            cap_per_day: amount(200_000),
            back_off: BackOff { first_ms: 60_000, longest_ms: 600_000, most: 3 },
            source: Source::Card { customer, payment_method },
        };
        scene.billing.put_topup_rule(&scene.cx(), (scene.customer, "USD"), &new).await.unwrap();
        let rule = RuleName { tenant: scene.tenant, customer: scene.customer, asset: "USD".to_owned() };
        Some(Self { scene, server, proxy, rule })
    }

    fn start(&self) -> (Nudge, tokio::task::JoinHandle<()>) {
        let key = StripeKey::new(SECRET).unwrap();
        let stripe = Stripe::new(key, &self.proxy.url, Duration::from_secs(2)).unwrap();
        let sources = Sources { card: Some(Arc::new(stripe)), chain: None };
        let settings = TopUpSettings { sweep: Duration::from_millis(200), at_once: 4 };
        let topups = TopUps::new(self.scene.billing.clone(), sources, self.scene.make_cx(), settings);
        topups.start(std::future::pending())
    }

    async fn attempts(&self) -> Vec<Attempt> {
        let of = (self.scene.customer, "USD");
        let page = PageQuery::default();
        self.scene.billing.list_topups(&self.scene.cx(), of, &page).await.unwrap().data
    }

    async fn state(&self) -> RuleState {
        let of = (self.scene.customer, "USD");
        self.scene.billing.topup_rule(&self.scene.cx(), of).await.unwrap().state
    }

    /// What is available; nothing while there is no wallet.
    async fn available(&self) -> i128 {
        let wallet = self.scene.billing.open_wallet(&self.scene.cx(), self.scene.customer, "USD").await;
        wallet.unwrap();
        self.scene.available("USD").await
    }

    async fn spend(&self, base: u128) {
        let adjust =
            Adjust { direction: Direction::Debit, amount: amount(base), reason: "r".into(), reference: None };
        self.scene.billing.adjust(&self.scene.cx(), (self.scene.customer, "USD"), &adjust).await.unwrap();
    }

    fn pass_ms(&self, ms: u64) {
        self.scene.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_under_the_threshold_is_charged_once_and_again_when_it_falls() {
    let Some(world) = World::new(GOOD).await else { return };
    let (_nudge, task) = world.start();
    until("the first credit", async || world.available().await == 1_000).await;
    assert_eq!(world.server.intents().await, [("succeeded".to_owned(), 1_000)]);
    // The driver follows the ledger: nobody tells it.
    world.spend(600).await;
    until("the second credit", async || world.available().await == 1_400).await;
    let attempts = world.attempts().await;
    assert!(attempts.iter().all(|attempt| attempt.state == AttemptState::Succeeded), "{attempts:?}");
    assert!(attempts.iter().all(|attempt| attempt.reference.as_ref().unwrap().starts_with("pi_")));
    assert_eq!(world.server.intents().await.len(), 2);
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_drivers_charge_once() {
    let Some(world) = World::new(GOOD).await else { return };
    let drivers = [world.start(), world.start(), world.start()];
    for _ in 0..5 {
        until("a credit", async || world.available().await >= 500).await;
        world.spend(u128::try_from(world.available().await).unwrap()).await;
    }
    until("the last credit", async || world.available().await == 1_000).await;
    let intents = world.server.intents().await;
    assert_eq!(intents.len(), 6, "{intents:?}");
    drivers.iter().for_each(|(_, task)| task.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_on_the_way_is_neither_a_decline_nor_a_second_charge() {
    let faults =
        [Fault::LoseRequest, Fault::LoseAnswer, Fault::ServerError, Fault::Silence, Fault::LoseRequest];
    let Some(world) = World::new(GOOD).await else { return };
    let (_nudge, task) = world.start();
    for (n, fault) in faults.into_iter().enumerate() {
        let before = world.available().await;
        if n == 0 {
            // The loop may have charged already: make the first one fail by beginning anew.
            until("the first credit", async || world.available().await == 1_000).await;
        }
        world.proxy.fail(fault.clone());
        world.spend(u128::try_from(world.available().await).unwrap()).await;
        until("it is not known", async || {
            world.attempts().await.first().is_some_and(|attempt| attempt.note.is_some())
        })
        .await;
        assert_eq!(
            (world.state().await, world.available().await),
            (RuleState::Charging, 0),
            "{fault:?} {before}"
        );
        world.pass_ms(130_000);
        until("it is known", async || world.available().await == 1_000).await;
    }
    let intents = world.server.intents().await;
    assert_eq!(intents.len(), 6, "one charge an attempt: {intents:?}");
    let attempts = world.attempts().await;
    assert!(attempts.iter().all(|attempt| attempt.state == AttemptState::Succeeded), "{attempts:?}");
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_does_not_pay_backs_off_and_pauses() {
    let Some(world) = World::new(DECLINED).await else { return };
    let (_nudge, task) = world.start();
    until("the first decline", async || world.state().await == RuleState::BackingOff).await;
    world.pass_ms(61_000);
    until("the second decline", async || {
        world.attempts().await.iter().filter(|attempt| attempt.state == AttemptState::Declined).count() == 2
    })
    .await;
    world.pass_ms(200_000);
    until("the last decline", async || world.state().await == RuleState::Paused).await;
    let attempts = world.attempts().await;
    assert_eq!(attempts.len(), 3);
    assert!(attempts.iter().all(|attempt| attempt.state == AttemptState::Declined), "{attempts:?}");
    assert_eq!(attempts[0].declined.as_ref().unwrap().code, "card_declined");
    assert_eq!(world.available().await, 0);
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_asks_the_customer_pauses_and_the_payment_is_cancelled() {
    let Some(world) = World::new(ASKS).await else { return };
    let (_nudge, task) = world.start();
    until("it pauses", async || world.state().await == RuleState::Paused).await;
    let attempts = world.attempts().await;
    assert_eq!(attempts[0].declined.as_ref().unwrap().code, "authentication_required");
    assert_eq!(world.server.intents().await, [("canceled".to_owned(), 1_000)]);
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_card_pauses_at_once_and_a_person_resumes_it() {
    let Some(world) = World::new(GOOD).await else { return };
    world.proxy.fail(Fault::Decline("stolen_card"));
    let (nudge, task) = world.start();
    until("it pauses", async || world.state().await == RuleState::Paused).await;
    let of = (world.scene.customer, "USD");
    world.scene.billing.resume_topup_rule(&world.scene.cx(), of).await.unwrap();
    nudge.look(world.rule.clone());
    until("it is charged", async || world.available().await == 1_000).await;
    let declined = world.attempts().await.pop().unwrap();
    assert_eq!(declined.declined.unwrap().code, "stolen_card");
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_that_are_killed_at_any_point_leave_one_credit_a_charge() {
    let Some(world) = World::new(GOOD).await else { return };
    for round in 0..25_u64 {
        let fault = [None, None, Some(Fault::LoseAnswer), Some(Fault::LoseRequest)]
            [usize::try_from(round % 4).unwrap()]
        .clone();
        fault.into_iter().for_each(|fault| world.proxy.fail(fault));
        let (_nudge, task) = world.start();
        tokio::time::sleep(Duration::from_millis(rand::random::<u64>() % 60)).await;
        task.abort();
        let _ = task.await;
        let available = world.available().await;
        if available >= 500 {
            world.spend(u128::try_from(available).unwrap()).await;
        }
        world.pass_ms(61_000);
    }
    let (_nudge, task) = world.start();
    let mut spent_all = 0;
    until("all is known", async || {
        world.pass_ms(61_000);
        spent_all += 1;
        world.available().await >= 500 && world.state().await == RuleState::Active
    })
    .await;
    task.abort();
    let paid = world.server.intents().await.iter().filter(|(status, _)| status == "succeeded").count();
    let succeeded =
        world.attempts().await.iter().filter(|attempt| attempt.state == AttemptState::Succeeded).count();
    assert_eq!(paid, succeeded, "every payment is a credit");
}
