//! What one call read is changed by another right before it commits, every time: it reads again, and both have happened.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use farthing_billing::budget::Funding;
use farthing_billing::service::Authority::Owner;
use farthing_billing::service::Billing;
use farthing_billing::service::budget::{BudgetChange, NewBudget};
use farthing_billing::service::grant::{GrantPurpose, NewGrant};
use farthing_billing::service::hold::{Hold, HoldState, NewCapture, NewHold, NewRefund};
use farthing_billing::service::wallet::{Chargeback, Credit};
use farthing_ledger::journal::{Head, Sealed};
use farthing_ledger::record::{Committed, Record, RecordKey, RecordStore, Scan, Version, Work};
use farthing_ledger::store::{HistoryQuery, LedgerStore, Page, StoreError};
use farthing_ledger::testkit::MemoryStore;
use farthing_ledger::verify::{Fault, Report};
use farthing_ledger::{Account, AccountId, AssetId, Known, Outcome, Step, Timestamp, TransferId};
use farthing_money::Asset;

use crate::budgets::{make, shared, under};
use crate::world::{HOUR, World, base};

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A store that lets something else happen right before the next commit.
struct Meddler {
    inner: Arc<MemoryStore>,
    before: Mutex<Option<Job>>,
}

#[async_trait]
impl RecordStore for Meddler {
    async fn commit(&self, work: Work) -> Result<Committed, StoreError> {
        let job = self.before.lock().unwrap().take();
        if let Some(job) = job {
            job.await;
        }
        self.inner.commit(work).await
    }

    async fn records(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>, StoreError> {
        self.inner.records(keys).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Record>, StoreError> {
        self.inner.scan(scan).await
    }

    async fn changed(&self, version: Version) -> Result<Version, StoreError> {
        self.inner.changed(version).await
    }
}

#[async_trait]
impl LedgerStore for Meddler {
    async fn transact(&self, now: Timestamp, steps: Vec<Step>) -> Result<Vec<Outcome>, StoreError> {
        self.inner.transact(now, steps).await
    }

    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError> {
        self.inner.accounts(ids).await
    }

    async fn account_at(&self, id: AccountId, at: Timestamp) -> Result<Option<Account>, StoreError> {
        self.inner.account_at(id, at).await
    }

    async fn asset(&self, id: AssetId) -> Result<Option<Asset>, StoreError> {
        self.inner.asset(id).await
    }

    async fn known(&self, id: TransferId) -> Result<Option<Known>, StoreError> {
        self.inner.known(id).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<TransferId>, StoreError> {
        self.inner.due(now, limit).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<Page, StoreError> {
        self.inner.history(query).await
    }

    async fn journal(&self, seq: u64, limit: usize) -> Result<Vec<Sealed>, StoreError> {
        self.inner.journal(seq, limit).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.inner.head().await
    }

    async fn verify(&self) -> Result<Result<Report, Fault>, StoreError> {
        self.inner.verify().await
    }
}

/// The world, another billing over the same store that nobody meddles with, and the meddler.
async fn worlds() -> (Arc<World>, Arc<Meddler>) {
    let inner = Arc::new(MemoryStore::new());
    let meddler = Arc::new(Meddler { inner: Arc::clone(&inner), before: Mutex::new(None) });
    let world = World::over(Billing::new(Arc::clone(&meddler) as Arc<dyn RecordStore>)).await;
    (Arc::new(world), meddler)
}

impl Meddler {
    /// What happens right before the next commit.
    fn arm<F: Future<Output = ()> + Send + 'static>(&self, job: impl FnOnce(Billing) -> F) {
        let plain = Billing::new(Arc::clone(&self.inner) as Arc<dyn RecordStore>);
        *self.before.lock().unwrap() = Some(Box::pin(job(plain)));
    }

    fn is_spent(&self) -> bool {
        self.before.lock().unwrap().is_none()
    }
}

fn call(world: &World, amount: u128) -> NewHold {
    NewHold {
        customer: Some(world.customer),
        asset: Some("USD".to_owned()),
        amount: base(amount),
        ..NewHold::default()
    }
}

fn grant(amount: u128, expires_ms: Option<u64>) -> NewGrant {
    NewGrant {
        purpose: GrantPurpose::Promotional,
        amount: base(amount),
        priority: 1,
        expires_ms,
        reason: None,
    }
}

async fn place(world: &World, new: &NewHold) -> Hold {
    world.billing.place_hold(&world.cx(), &Owner, new).await.unwrap()
}

fn some(amount: u128) -> NewCapture {
    NewCapture { amount: Some(base(amount)), last: false, reference: None }
}

#[tokio::test]
async fn a_grant_that_others_drew_from_is_drawn_no_more() {
    let (world, meddler) = worlds().await;
    world.credit(100).await;
    world.billing.create_grant(&world.cx(), (world.customer, "USD"), &grant(50, None)).await.unwrap();
    let (cx, other) = (world.cx(), call(&world, 30));
    meddler.arm(|plain| async move {
        plain.place_hold(&cx, &Owner, &other).await.unwrap();
    });
    let hold = place(&world, &call(&world, 40)).await;
    assert!(meddler.is_spent());
    assert_eq!(hold.draws.iter().map(|draw| draw.amount.base()).collect::<Vec<_>>(), [20, 20]);
    assert_eq!(world.balances().await, (80, 70, 150));
}

#[tokio::test]
async fn captures_and_refunds_of_one_hold_all_count() {
    let (world, meddler) = worlds().await;
    world.credit(100).await;
    let id = place(&world, &call(&world, 60)).await.id;
    let cx = world.cx();
    meddler.arm(move |plain| async move {
        plain.capture_hold(&cx, &Owner, id, &some(10)).await.unwrap();
    });
    let hold = world.billing.capture_hold(&world.cx(), &Owner, id, &some(20)).await.unwrap();
    assert_eq!((hold.captured.base(), hold.held.base(), hold.receipts.len()), (30, 30, 2));
    let (cx, back) = (world.cx(), NewRefund { amount: Some(base(5)), ..NewRefund::default() });
    let same = back.clone();
    meddler.arm(move |plain| async move {
        plain.refund_hold(&cx, id, &same).await.unwrap();
    });
    let hold = world.billing.refund_hold(&world.cx(), id, &back).await.unwrap();
    assert!(meddler.is_spent());
    assert_eq!((hold.refunded.base(), hold.held.base()), (10, 30));
    assert_eq!(world.balances().await, (50, 30, 80));
}

#[tokio::test]
async fn what_is_owed_is_paid_once_by_credits_at_once() {
    let (world, meddler) = worlds().await;
    let wallet = (world.customer, "USD");
    world.credit(1).await;
    let chargeback = Chargeback { amount: base(31), reference: "dispute".into(), reason: None };
    world.billing.chargeback(&world.cx(), wallet, &chargeback).await.unwrap();
    let (cx, customer) = (world.cx(), world.customer);
    let credit = |amount| Credit { amount: base(amount), reference: None, reason: None };
    meddler.arm(move |plain| async move {
        plain.credit(&cx, (customer, "USD"), &credit(20)).await.unwrap();
    });
    world.billing.credit(&world.cx(), wallet, &credit(40)).await.unwrap();
    let now = world.wallet().await;
    assert_eq!((now.debt.base(), now.spendable.base()), (0, 30));
}

#[tokio::test]
async fn grants_given_at_once_are_both_in_the_wallet() {
    let (world, meddler) = worlds().await;
    let wallet = (world.customer, "USD");
    world.credit(1).await;
    let (cx, customer) = (world.cx(), world.customer);
    meddler.arm(move |plain| async move {
        plain.create_grant(&cx, (customer, "USD"), &grant(5, None)).await.unwrap();
    });
    world.billing.create_grant(&world.cx(), wallet, &grant(7, None)).await.unwrap();
    assert_eq!(world.balances().await, (13, 0, 13));
}

#[tokio::test]
async fn a_hold_that_ends_while_its_grant_is_swept_is_swept_with_it() {
    let (world, meddler) = worlds().await;
    let wallet = (world.customer, "USD");
    let given = grant(50, Some(world.now() + HOUR));
    let given = world.billing.create_grant(&world.cx(), wallet, &given).await.unwrap();
    let id = place(&world, &call(&world, 30)).await.id;
    world.pass(HOUR);
    let cx = world.cx();
    meddler.arm(move |plain| async move {
        plain.void_hold(&cx, &Owner, id, &Default::default()).await.unwrap();
    });
    world.billing.sweep_expired(&world.cx(), 10).await.unwrap();
    world.pass(HOUR);
    world.billing.sweep_expired(&world.cx(), 10).await.unwrap();
    let gone = world.billing.grant(&world.cx(), wallet, given.id).await.unwrap();
    assert_eq!((gone.expired_amount.base(), world.wallet().await.grants.len()), (50, 0));
    assert_eq!(world.balances().await, (0, 0, 0));
}

#[tokio::test]
async fn a_budget_that_is_closed_gives_back_what_is_left_then() {
    let (world, meddler) = worlds().await;
    world.credit(1_000).await;
    let carved = NewBudget { funding: Funding::Carved { amount: base(500) }, ..under(&world, None) };
    let id = make(&world, &carved).await.budget.id;
    let (one, two) = (world.cx(), world.cx());
    let new = NewHold { budget: Some(id), amount: base(200), ..NewHold::default() };
    meddler.arm(move |plain| async move {
        let hold = plain.place_hold(&one, &Owner, &new).await.unwrap();
        plain.capture_hold(&two, &Owner, hold.id, &NewCapture::default()).await.unwrap();
    });
    world.billing.close_budget(&world.cx(), &Owner, id).await.unwrap();
    assert!(meddler.is_spent());
    assert_eq!(world.balances().await, (800, 0, 800));
    let late = NewHold { budget: Some(id), amount: base(1), ..NewHold::default() };
    let again = world.billing.place_hold(&world.cx(), &Owner, &late).await;
    assert_eq!(again.unwrap_err().code(), "budget_closed");
}

#[tokio::test]
async fn limits_changed_at_once_are_those_of_the_last_and_the_account_agrees() {
    let (world, meddler) = worlds().await;
    world.credit(1_000).await;
    let new = NewBudget { funding: shared(Some(500)), ..under(&world, None) };
    let id = make(&world, &new).await.budget.id;
    let total = |total: u128| BudgetChange { total: Some(Some(base(total))), ..BudgetChange::default() };
    let (cx, first) = (world.cx(), total(100));
    meddler.arm(move |plain| async move {
        plain.amend_budget(&cx, &Owner, id, &first).await.unwrap();
    });
    let view = world.billing.amend_budget(&world.cx(), &Owner, id, &total(700)).await.unwrap();
    assert_eq!((view.budget.funding, view.available), (shared(Some(700)), Some(base(700))));
}

#[tokio::test]
async fn a_hold_that_runs_out_while_it_is_paid_is_paid_once_or_not_at_all() {
    let (world, meddler) = worlds().await;
    world.credit(100).await;
    let new = NewHold { expires_ms: Some(world.now() + HOUR), ..call(&world, 60) };
    let id = place(&world, &new).await.id;
    let before = world.cx();
    world.pass(HOUR);
    let after = world.cx();
    meddler.arm(move |plain| async move {
        plain.expire_due(&after, 10).await.unwrap();
    });
    let late = world.billing.capture_hold(&before, &Owner, id, &some(10)).await.unwrap_err();
    assert_eq!(late.code(), "wrong_state");
    let hold = world.billing.hold(&world.cx(), &Owner, id).await.unwrap();
    assert_eq!((hold.state, hold.captured.base()), (HoldState::Expired, 0));
    assert_eq!(world.balances().await, (100, 0, 100));
}
