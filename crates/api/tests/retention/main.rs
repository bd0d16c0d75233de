//! What nobody asks for any more is forgotten, over every kind of store, by several processes, with a clock that is moved.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farthing_billing::CustomerId;
use farthing_billing::service::customer::NewCustomer;
use farthing_billing::service::event::EventKind;
use farthing_billing::service::hold::NewHold;
use farthing_billing::service::product::{NewProduct, ProductDoc};
use farthing_billing::service::retention::Retention;
use farthing_billing::service::tenant::NewTenant;
use farthing_billing::service::usage::{NewUsage, RecordedAs};
use farthing_billing::service::wallet::Credit;
use farthing_billing::service::webhook::{
    Answer, Attempt, Delivery, DeliveryState, Endpoint, NewEndpoint, Outcome, Secret,
};
use farthing_billing::service::{
    Authority, Billing, Cx, Draft, HoldId, Idempotency, PageQuery, ServiceError, TenantId,
};
use farthing_ledger::Timestamp;
use farthing_ledger::record::{Order, Record, RecordStore, Scan, Table};
use farthing_ledger::testkit::MemoryStore;
use farthing_money::{Amount, Asset, AssetKind, Id};
use farthing_store::PgUrl;
use farthing_store::ledger::SqliteLedger;
use farthing_store::pg_ledger::PgLedger;
use farthing_store::testkit::postgres::Cluster;
use serde_json::json;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const START: u64 = 1_760_000_000_000;
const KEEP: Retention = Retention { answers_ms: 30 * DAY, delivered_ms: 30 * DAY, dead_ms: 90 * DAY };

struct World {
    /// Two processes over one store, or twice the same where a store is one process's.
    processes: [Billing; 2],
    tenant: TenantId,
    customer: CustomerId,
    ids: AtomicU64,
}

impl World {
    async fn over(stores: [Arc<dyn RecordStore>; 2]) -> Self {
        let (nobody, customer) = (TenantId::from_u128(0), CustomerId::from_u128(0));
        let processes = stores.map(Billing::new);
        let mut world = Self { processes, tenant: nobody, customer, ids: AtomicU64::new(1) };
        let new = NewTenant { name: "t".to_owned() };
        world.tenant = world.billing().create_tenant(&world.at(START), &new).await.unwrap().id;
        let usd = Asset::new("USD", 2, AssetKind::Fiat).unwrap();
        world.billing().create_asset(&world.at(START), &usd).await.unwrap();
        let new = NewCustomer { external_id: "c".to_owned(), ..NewCustomer::default() };
        world.customer = world.billing().create_customer(&world.at(START), &new).await.unwrap().id;
        world
    }

    const fn billing(&self) -> &Billing {
        &self.processes[0]
    }

    fn at(&self, now: u64) -> Cx {
        let n = u128::from(self.ids.fetch_add(1, Ordering::Relaxed));
        let now = Timestamp::from_unix_ms(now);
        Cx { tenant: self.tenant, now, id: Id::from_parts(now.unix_ms(), n << 24), idempotency: None }
    }

    fn keyed(&self, now: u64, key: &str) -> Cx {
        let idempotency = Idempotency { key: key.to_owned(), fingerprint: format!("of {key}") };
        Cx { idempotency: Some(idempotency), ..self.at(now) }
    }

    async fn credit(&self, now: u64, key: &str) -> u128 {
        let credit = Credit { amount: Amount::from_base(100), reference: None, reason: None };
        self.billing().credit(&self.keyed(now, key), (self.customer, "USD"), &credit).await.unwrap();
        self.billing().wallet(&self.at(now), self.customer, "USD").await.unwrap().spendable.base()
    }

    async fn product(&self, now: u64) -> ProductDoc {
        let new: NewProduct = serde_json::from_value(json!({
            "name": "route", "asset": "USD", "price": { "model": { "type": "per_unit", "unit": "3" } },
        }))
        .unwrap();
        self.billing().create_product(&self.keyed(now, "product"), &new).await.unwrap()
    }

    /// Both processes walk until there is nothing more to do, and say how much they removed.
    async fn forget(&self, now: u64) -> usize {
        let walk = async |billing: &Billing| {
            let mut removed = 0;
            for _ in 0..1_000 {
                let done = billing.forget_old(&self.at(now), &KEEP).await.unwrap();
                removed += done.removed;
                if !done.more {
                    return removed;
                }
            }
            panic!("a walk that never ends");
        };
        let (one, two) = tokio::join!(walk(&self.processes[0]), walk(&self.processes[1]));
        one + two
    }

    async fn records(&self, table: &'static str) -> Vec<Record> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let table = Table::new(table);
            let scan = Scan { table, prefix: String::new(), after, order: Order::Ascending, limit: 500 };
            let found = self.billing().store().scan(scan).await.unwrap();
            after = found.last().map(|last| last.key.clone());
            let more = found.len() == 500;
            all.extend(found);
            if !more {
                return all;
            }
        }
    }

    async fn endpoint(&self, host: &str) -> Endpoint {
        let new = NewEndpoint {
            url: format!("https://{host}/"),
            kinds: vec![EventKind::HoldPlaced],
            description: String::new(),
            secret: Secret::from_bytes([5; 32]),
        };
        self.billing().create_webhook(&self.at(START), &new).await.unwrap()
    }

    /// Something happens, and each endpoint answers as it is told.
    async fn webhook(&self, now: u64, answers: &[(&Endpoint, Option<Answer>)]) {
        let (cx, mut draft) = (self.at(now), Draft::new());
        draft.tell(&cx, EventKind::HoldPlaced, &json!({ "customer": cx.id.to_string() })).unwrap();
        self.billing().commit(&cx, draft, &()).await.unwrap();
        while self.billing().fan_out(Timestamp::from_unix_ms(now)).await.unwrap().more {}
        for (endpoint, answer) in answers {
            let Some(answer) = answer else { continue };
            for lane in self.billing().webhook_lanes(self.tenant, &endpoint.id, 100).await.unwrap() {
                let now = Timestamp::from_unix_ms(now);
                let Some(letter) = self.billing().next_webhook(now, &lane.id).await.unwrap() else {
                    continue;
                };
                let (at_ms, response) = (now.unix_ms(), String::new());
                let attempt = Attempt { at_ms, duration_ms: 1, status: Some(200), error: None, response };
                let (lane, event) = (letter.lane, letter.event.id);
                let outcome = Outcome { lane, event, attempt, answer: *answer, jitter: 0 };
                self.billing().settle_webhook(now, self.at(at_ms).id, &outcome).await.unwrap();
            }
        }
    }

    async fn deliveries(&self, endpoint: &Endpoint) -> Vec<Delivery> {
        let page = PageQuery { limit: 900, ..PageQuery::default() };
        self.billing().webhook_deliveries(&self.at(START), &endpoint.id, &page).await.unwrap().data
    }
}

/// Runs a test over every kind of store.
async fn everywhere<F: Future<Output = ()>>(name: &str, test: impl Fn(World) -> F) {
    let memory: Arc<dyn RecordStore> = Arc::new(MemoryStore::new());
    test(World::over([memory.clone(), memory]).await).await;
    let home = tempfile::tempdir().unwrap();
    let sqlite: Arc<dyn RecordStore> =
        Arc::new(SqliteLedger::open(home.path().join("billing.db"), 1).unwrap());
    test(World::over([sqlite.clone(), sqlite]).await).await;
    let Some(cluster) = Cluster::shared(name) else { return };
    let url = PgUrl::parse(&cluster.database()).unwrap();
    let one: Arc<dyn RecordStore> = Arc::new(PgLedger::open(url.clone(), 1).await.unwrap());
    let two: Arc<dyn RecordStore> = Arc::new(PgLedger::open(url, 2).await.unwrap());
    test(World::over([one, two]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_forgotten_when_they_are_old_and_what_has_a_name_happens_once_all_the_same() {
    everywhere("answers_are_forgotten", |world| async move {
        let product = world.product(START).await;
        assert_eq!(world.credit(START, "credit").await, 100);
        assert_eq!(world.credit(START + 10 * DAY, "later").await, 200);
        let hold = HoldId::from_u128(0x4711 << 8);
        let new = NewHold {
            id: Some(hold),
            customer: Some(world.customer),
            asset: Some("USD".to_owned()),
            amount: Amount::from_base(50),
            ..NewHold::default()
        };
        let place = async |now| {
            world.billing().place_hold(&world.keyed(now, "hold"), &Authority::Owner, &new).await.map(|hold| hold.id)
        };
        let usage: NewUsage = serde_json::from_value(json!({
            "event_id": "e", "customer": format!("cus_{}", world.customer), "product": format!("prod_{}", product.id),
            "event_type": "t", "quantity": 2, "hold": format!("hold_{hold}"),
        }))
        .unwrap();
        let record = async |now| {
            let told = world.billing().record_usage(&world.keyed(now, "usage"), &usage).await?;
            Ok::<_, ServiceError>(told.status)
        };
        place(START).await.unwrap();
        assert_eq!(record(START + 1).await.unwrap(), RecordedAs::Recorded);
        let kept = world.records("idempotency").await.len();
        assert_eq!(kept, 5);

        assert_eq!(world.forget(START + 30 * DAY - HOUR).await, 0);
        assert_eq!(world.credit(START + 30 * DAY - 1, "credit").await, 194, "it is the answer of then");
        // A walk rests for an hour; then what is 30 days old is gone, but for what only its key makes once.
        assert_eq!(world.forget(START + 30 * DAY - 1).await, 0);
        assert_eq!(world.forget(START + 30 * DAY + 2).await, 3);
        let left = world.records("idempotency").await;
        let mut left: Vec<&str> = left.iter().map(|one| one.key.rsplit('/').next().unwrap()).collect();
        left.sort_unstable();
        assert_eq!(left, ["later", "product"]);

        let late = START + 31 * DAY;
        assert_eq!(world.product(late).await, product);
        assert_eq!(place(late).await.unwrap(), hold);
        assert_eq!(record(late).await.unwrap(), RecordedAs::Exists);
        let wallet = world.billing().wallet(&world.at(late), world.customer, "USD").await.unwrap();
        assert_eq!((wallet.spendable.base(), wallet.held.base()), (194, 0));
        // What has no name of the caller's is another one.
        assert_eq!(world.credit(late, "credit").await, 294);
        world.billing().store().verify().await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_webhooks_are_forgotten_dead_letters_later_and_what_is_to_be_told_never() {
    everywhere("logs_are_forgotten", |world| async move {
        let failed = Some(Answer::Failed { retry_after_ms: None });
        let (takes, dead) = (world.endpoint("takes.example").await, world.endpoint("dead.example").await);
        let (waits, leaves) = (world.endpoint("waits.example").await, world.endpoint("leaves.example").await);
        world.webhook(START, &[(&takes, failed), (&dead, Some(Answer::Gone)), (&waits, failed)]).await;
        world.webhook(START + HOUR, &[(&takes, Some(Answer::Taken))]).await;
        world.webhook(START + 20 * DAY, &[(&takes, Some(Answer::Taken))]).await;
        let state = async |endpoint: &Endpoint| {
            let all = world.deliveries(endpoint).await;
            let count = |state| all.iter().filter(|one| one.state == state).count();
            [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Dead].map(count)
        };
        assert_eq!(state(&takes).await, [0, 3, 0]);
        assert_eq!(state(&dead).await, [0, 0, 1], "told nothing since");
        assert_eq!(state(&waits).await, [3, 0, 0]);
        world.billing().delete_webhook(&world.at(START), &leaves.id).await.unwrap();
        let attempts = world.records("webhook_attempt").await.len();

        assert_eq!(world.forget(START + 30 * DAY - 2 * HOUR).await, 0);
        assert_eq!(world.forget(START + 30 * DAY + HOUR).await, 2);
        assert_eq!(state(&takes).await, [0, 1, 0]);
        // One of the two was tried twice.
        assert_eq!(world.records("webhook_attempt").await.len(), attempts - 3);
        let gone = world.records("webhook_delivery").await;
        let of_nobody = gone.iter().filter(|one| one.key.contains(&leaves.id)).count();
        assert_eq!(of_nobody, 3);

        // The rest of what was taken, the dead letter, and the older two of what would be told to an endpoint that is deleted.
        assert_eq!(world.forget(START + 90 * DAY + 2 * HOUR).await, 4);
        assert_eq!((state(&takes).await, state(&dead).await), ([0; 3], [0; 3]));
        assert_eq!(state(&waits).await, [3, 0, 0], "as long as there is whom to tell");
        assert!(world.records("webhook_dead").await.is_empty());
        world.billing().store().verify().await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_much_is_old_it_goes_in_parts() {
    everywhere("it_goes_in_parts", |world| async move {
        let endpoint = world.endpoint("takes.example").await;
        for n in 0..450 {
            let cx = world.keyed(START + n, &format!("key {n}"));
            world.billing().commit(&cx, Draft::new(), &json!({ "n": n })).await.unwrap();
        }
        for _ in 0..3 {
            let mut draft = Draft::new();
            let cx = world.at(START);
            for n in 0..100 {
                let told = json!({ "customer": format!("{}-{n}", cx.id) });
                draft.tell(&cx, EventKind::HoldPlaced, &told).unwrap();
            }
            world.billing().commit(&cx, draft, &()).await.unwrap();
        }
        world.webhook(START, &[(&endpoint, Some(Answer::Taken))]).await;
        for _ in 0..3 {
            for lane in world.billing().webhook_lanes(world.tenant, &endpoint.id, 200).await.unwrap() {
                let now = Timestamp::from_unix_ms(START + 1);
                let Some(letter) = world.billing().next_webhook(now, &lane.id).await.unwrap() else {
                    continue;
                };
                let (lane, event, at_ms) = (letter.lane, letter.event.id, now.unix_ms());
                let attempt =
                    Attempt { at_ms, duration_ms: 1, status: None, error: None, response: String::new() };
                let outcome = Outcome { lane, event, attempt, answer: Answer::Taken, jitter: 0 };
                world.billing().settle_webhook(now, world.at(at_ms).id, &outcome).await.unwrap();
            }
        }
        assert_eq!(world.records("webhook_delivery").await.len(), 301);
        assert_eq!(world.forget(START + 31 * DAY).await, 450 + 301);
        for table in ["idempotency", "webhook_delivery", "webhook_attempt"] {
            assert!(world.records(table).await.is_empty(), "{table}");
        }
        world.billing().store().verify().await.unwrap().unwrap();
    })
    .await;
}
