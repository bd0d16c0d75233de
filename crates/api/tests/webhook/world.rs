//! A store, a clock that can be moved, and what tests ask of the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farthing_api::World;
use farthing_api::webhook::{Dispatcher, Load, Network, Reach, Sender};
use farthing_billing::service::event::EventKind;
use farthing_billing::service::webhook::{Attempt, Delivery, DeliveryState, Endpoint, NewEndpoint, Secret};
use farthing_billing::service::{Billing, Cx, Draft, Fate, TenantId};
use farthing_ledger::Timestamp;
use farthing_ledger::testkit::MemoryStore;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const TENANT: TenantId = TenantId::from_u128(7);

/// The clock, with what was added to it; and numbers that are not random at all.
#[derive(Debug, Default)]
pub struct Clock {
    ahead_ms: AtomicU64,
    drawn: AtomicU64,
}

impl World for Clock {
    fn now(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        Timestamp::from_unix_ms(u64::try_from(now).unwrap() + self.ahead_ms.load(Ordering::SeqCst))
    }

    fn random(&self) -> [u8; 32] {
        let n = self.drawn.fetch_add(1, Ordering::SeqCst);
        let mut bytes = [0x80; 32];
        // Beyond the ten bits that the place of a change takes.
        bytes[8..16].copy_from_slice(&(n << 10).to_be_bytes());
        bytes
    }
}

pub struct Bench {
    pub billing: Billing,
    pub clock: Arc<Clock>,
}

/// A dispatcher that can be let end, or cut off.
pub struct Running {
    stop: oneshot::Sender<()>,
    pub task: JoinHandle<()>,
}

impl Running {
    pub async fn stop(self) {
        self.stop.send(()).ok();
        self.task.await.unwrap();
    }
}

/// To loopback, as an operator may allow it.
pub fn loopback() -> Reach {
    let loopback = ["127.0.0.0/8", "::1"].iter().map(|network| Network::parse(network).unwrap());
    Reach { allowed: loopback.collect(), plain_http: true }
}

pub fn sender(reach: Reach) -> Sender {
    Sender::new(reach, Duration::from_secs(2)).unwrap()
}

impl Bench {
    pub fn new() -> Self {
        Self { billing: Billing::new(Arc::new(MemoryStore::new())), clock: Arc::default() }
    }

    pub fn cx(&self) -> Cx {
        Cx { tenant: TENANT, now: self.clock.now(), id: self.clock.id(), idempotency: None }
    }

    pub async fn endpoint(&self, url: &str) -> Endpoint {
        let new = NewEndpoint {
            url: url.to_owned(),
            kinds: Vec::new(),
            description: "a test".to_owned(),
            secret: Secret::from_bytes([5; 32]),
        };
        self.billing.create_webhook(&self.cx(), &new).await.unwrap()
    }

    /// Something happens to a customer; the event says `n`.
    pub async fn tell(&self, customer: &str, n: u64) {
        let cx = self.cx();
        let mut draft = Draft::new();
        draft.tell(&cx, EventKind::HoldPlaced, &json!({ "customer": customer, "n": n })).unwrap();
        assert!(matches!(self.billing.commit(&cx, draft, &()).await.unwrap(), Fate::Applied { .. }));
    }

    pub fn dispatch(&self, reach: Reach) -> Running {
        self.dispatch_with(sender(reach), Load::default())
    }

    pub fn dispatch_with(&self, sender: Sender, load: Load) -> Running {
        let clock: Arc<dyn World> = Arc::clone(&self.clock) as Arc<dyn World>;
        let dispatcher = Dispatcher::new(self.billing.clone(), sender, clock, load);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(dispatcher.run(async move {
            // A sender that is gone never stops it.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Running { stop, task }
    }

    /// Moves the clock, and wakes whoever waits for the store.
    pub async fn pass(&self, ms: u64) {
        self.clock.ahead_ms.fetch_add(ms, Ordering::SeqCst);
        self.tell("cus_time", 0).await;
    }

    /// The deliveries that have reached `state`, once there are `count` of them.
    pub async fn until(&self, endpoint: &Endpoint, state: DeliveryState, count: usize) -> Vec<Delivery> {
        let mut version = farthing_ledger::record::Version(0);
        let waiting = async {
            loop {
                let page = farthing_billing::service::PageQuery { limit: 900, ..Default::default() };
                let all =
                    self.billing.webhook_deliveries(&self.cx(), &endpoint.id, &page).await.unwrap().data;
                let there: Vec<Delivery> = all.into_iter().filter(|one| one.state == state).collect();
                if there.len() >= count {
                    return there;
                }
                version = self.billing.store().changed(version).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it happens")
    }

    /// The attempts of a delivery, once there are `count` of them.
    pub async fn attempts(&self, delivery: &Delivery, count: usize) -> Vec<Attempt> {
        let mut version = farthing_ledger::record::Version(0);
        let waiting = async {
            loop {
                let (_, attempts) = self
                    .billing
                    .webhook_delivery(&self.cx(), &delivery.endpoint, &delivery.event)
                    .await
                    .unwrap();
                if attempts.len() >= count {
                    return attempts;
                }
                version = self.billing.store().changed(version).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it happens")
    }
}
