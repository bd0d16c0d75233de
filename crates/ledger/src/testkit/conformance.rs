//! What every [`LedgerStore`] has to do. Each case starts with an empty ledger; the suite panics at the first difference.
//!
//! ```
//! # use farthing_ledger::testkit::{Fixture, MemoryLedger, conformance};
//! struct Memory;
//! #[async_trait::async_trait]
//! impl Fixture for Memory {
//!     type Store = MemoryLedger;
//!     async fn fresh(&self) -> MemoryLedger {
//!         MemoryLedger::new()
//!     }
//!     async fn reopen(&self, store: MemoryLedger) -> MemoryLedger {
//!         store
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::run(&Memory).await;
//! # }
//! ```

use async_trait::async_trait;
use farthing_money::{Amount, Asset, AssetKind};

use super::{MemoryLedger, Workload};
use crate::store::{HistoryQuery, LedgerStore, MAX_STEPS};
use crate::{
    Account, AccountId, AssetId, Command, Expiry, HoldState, Known, Limit, NewAccount, NewAsset, NewHold,
    Outcome, PostAmount, PostHold, Remainder, Step, Tag, Timestamp, Transfer, TransferId, VoidHold,
};

/// How the suite gets at the store that it tests.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The store.
    type Store: LedgerStore;

    /// An empty ledger.
    async fn fresh(&self) -> Self::Store;

    /// Closes the store and opens the same ledger again. What forgets when it is closed gives back what it was given.
    async fn reopen(&self, store: Self::Store) -> Self::Store;
}

/// The asset that the cases use.
pub const UNIT: AssetId = AssetId::from_u32(1);
/// The account that money comes from.
pub const WORLD: AccountId = AccountId::from_u128(1);
/// An account that cannot be overdrawn.
pub const WALLET: AccountId = AccountId::from_u128(2);
/// The account that money goes to.
pub const VENDOR: AccountId = AccountId::from_u128(3);

/// Runs every case.
///
/// # Panics
/// At the first thing that the store does otherwise than promised.
pub async fn run<F: Fixture>(fixture: &F) {
    holds_move_money(fixture).await;
    retries_answer_exists(fixture).await;
    groups_are_whole(fixture).await;
    histories_are_paged(fixture).await;
    the_past_can_be_asked(fixture).await;
    overdue_holds_are_found(fixture).await;
    limits_are_enforced(fixture).await;
    everything_survives_reopening(fixture).await;
    for seed in 1..=6 {
        random_histories_equal_the_model(fixture, seed).await;
    }
}

/// What opens [`WORLD`], [`WALLET`] and [`VENDOR`] and funds the wallet with `amount`.
///
/// # Panics
/// Never: the asset's code is well formed.
#[must_use]
pub fn opening(amount: u128) -> Vec<Step> {
    let asset = Asset::new("UNIT", 2, AssetKind::Custom).expect("a short code");
    let open = |id, limit| Command::OpenAccount(NewAccount { id, asset: UNIT, limit });
    let mut commands = vec![
        Command::DefineAsset(NewAsset { id: UNIT, asset }),
        open(WORLD, Limit::None),
        open(WALLET, Limit::DebitsMustNotExceedCredits),
        open(VENDOR, Limit::None),
    ];
    if amount > 0 {
        commands.push(Command::Transfer(transfer(1_000, (WORLD, WALLET), amount)));
    }
    commands.into_iter().map(Step::single).collect()
}

/// A plain transfer.
#[must_use]
pub fn transfer(id: u128, (debit, credit): (AccountId, AccountId), amount: u128) -> Transfer {
    Transfer {
        id: TransferId::from_u128(id),
        debit,
        credit,
        asset: UNIT,
        amount: Amount::from_base(amount),
        code: 1,
        tag: Tag { subject: 7, reference: 8 },
    }
}

/// A hold from the wallet for the vendor that ends at `until`.
#[must_use]
pub fn hold(id: u128, amount: u128, until: u64) -> Command {
    let transfer = transfer(id, (WALLET, VENDOR), amount);
    Command::Hold(NewHold { transfer, expiry: Expiry::At(Timestamp::from_unix_ms(until)) })
}

/// A post of `amount`.
#[must_use]
pub fn post(id: u128, hold: u128, amount: u128, remainder: Remainder) -> Command {
    let (id, hold) = (TransferId::from_u128(id), TransferId::from_u128(hold));
    Command::Post(PostHold {
        id,
        hold,
        amount: PostAmount::Exact(Amount::from_base(amount)),
        remainder,
        reference: 9,
    })
}

/// A void.
#[must_use]
pub fn void(id: u128, hold: u128) -> Command {
    let (id, hold) = (TransferId::from_u128(id), TransferId::from_u128(hold));
    Command::Void(VoidHold { id, hold, reference: 0 })
}

async fn opened<F: Fixture>(fixture: &F, amount: u128) -> F::Store {
    let store = fixture.fresh().await;
    let outcomes = submit(&store, 1, opening(amount)).await;
    assert!(outcomes.iter().all(|code| *code == "applied"), "opening: {outcomes:?}");
    store
}

async fn submit(store: &impl LedgerStore, now: u64, steps: Vec<Step>) -> Vec<&'static str> {
    let outcomes = store.transact(Timestamp::from_unix_ms(now), steps).await.expect("the store answers");
    outcomes.iter().map(Outcome::code).collect()
}

async fn one(store: &impl LedgerStore, now: u64, command: Command) -> &'static str {
    submit(store, now, vec![Step::single(command)]).await.first().copied().expect("one outcome a step")
}

async fn account(store: &impl LedgerStore, id: AccountId) -> Account {
    let accounts = store.accounts(&[id]).await.expect("the store answers");
    accounts.into_iter().next().flatten().expect("the account exists")
}

/// Settled, held and available of the wallet; settled of the vendor.
async fn balances(store: &impl LedgerStore) -> (u128, u128, u128, u128) {
    let wallet = account(store, WALLET).await.balances();
    let vendor = account(store, VENDOR).await.balances();
    let base = |net: crate::Net| net.or_zero().base();
    (base(wallet.settled), wallet.held.base(), base(wallet.available), base(vendor.settled))
}

async fn must_verify(store: &impl LedgerStore) {
    let report = store.verify().await.expect("the store answers").expect("the ledger is sound");
    let head = store.head().await.expect("the store answers");
    assert_eq!(
        (report.entries, report.hash),
        (head.seq, head.hash.to_string()),
        "verify sees the whole journal"
    );
}

async fn holds_move_money(fixture: &impl Fixture) {
    let store = opened(fixture, 1_000).await;
    let table = [
        (hold(1, 600, 100), "applied", (1_000, 600, 400, 0)),
        (hold(2, 401, 100), "exceeds_credits", (1_000, 600, 400, 0)),
        (post(3, 1, 100, Remainder::Keep), "applied", (900, 500, 400, 100)),
        (post(4, 1, 501, Remainder::Keep), "exceeds_hold", (900, 500, 400, 100)),
        (post(5, 1, 0, Remainder::Keep), "applied", (900, 500, 400, 100)),
        (post(6, 1, 200, Remainder::Release), "applied", (700, 0, 700, 300)),
        (post(7, 1, 0, Remainder::Release), "hold_posted", (700, 0, 700, 300)),
        (hold(8, 700, 100), "applied", (700, 700, 0, 300)),
        (void(9, 8), "applied", (700, 0, 700, 300)),
        (void(10, 8), "hold_voided", (700, 0, 700, 300)),
        (void(11, 12), "hold_not_found", (700, 0, 700, 300)),
        (void(13, 1_000), "not_a_hold", (700, 0, 700, 300)),
    ];
    for (command, code, expected) in table {
        assert_eq!(one(&store, 10, command.clone()).await, code, "{command:?}");
        assert_eq!(balances(&store).await, expected, "{command:?}");
    }
    must_verify(&store).await;
}

async fn retries_answer_exists(fixture: &impl Fixture) {
    let store = opened(fixture, 1_000).await;
    let commands = [hold(1, 600, 100), post(2, 1, 100, Remainder::Keep), void(3, 1)];
    for command in &commands {
        assert_eq!(one(&store, 10, command.clone()).await, "applied", "{command:?}");
    }
    let head = store.head().await.expect("the store answers");
    // Later than the hold's expiry: what happened, happened.
    for command in commands.iter().chain([&Command::Transfer(transfer(1_000, (WORLD, WALLET), 1_000))]) {
        assert_eq!(one(&store, 200, command.clone()).await, "exists", "{command:?}");
    }
    let table = [
        (hold(2, 600, 100), "exists_with_different_kind"),
        (hold(1, 601, 101), "exists_with_different_amount"),
        (hold(1, 600, 101), "exists_with_different_expiry"),
        (post(2, 3, 101, Remainder::Keep), "exists_with_different_hold"),
        (post(2, 1, 101, Remainder::Release), "exists_with_different_amount"),
        (post(2, 1, 100, Remainder::Release), "exists_with_different_remainder"),
        (void(3, 2), "exists_with_different_hold"),
        (Command::Transfer(transfer(1_000, (VENDOR, WALLET), 1)), "exists_with_different_debit_account"),
    ];
    for (command, code) in table {
        assert_eq!(one(&store, 200, command.clone()).await, code, "{command:?}");
    }
    assert_eq!(store.head().await.expect("the store answers"), head, "retries write nothing");
    must_verify(&store).await;
}

async fn groups_are_whole(fixture: &impl Fixture) {
    let store = opened(fixture, 1_000).await;
    let leg = |id, amount| Command::Transfer(transfer(id, (WALLET, VENDOR), amount));
    let whole = Step::group([leg(1, 100), leg(2, 200), leg(3, 300)]);
    let torn = Step::group([leg(4, 100), leg(5, 301), leg(6, 1)]);
    let mixed = Step::group([leg(1, 100), leg(7, 1)]);
    let mut open = Step::group([leg(8, 1), leg(9, 1)]);
    open.iter_mut().for_each(|step| step.link = crate::Link::WithNext);
    let table = [
        (whole.clone(), vec!["applied"; 3]),
        (whole, vec!["exists"; 3]),
        (torn, vec!["linked_group_failed", "exceeds_credits", "linked_group_failed"]),
        (mixed, vec!["linked_group_failed", "linked_group_partly_exists"]),
        (open, vec!["linked_group_failed", "linked_group_open"]),
        (vec![Step::single(leg(4, 100))], vec!["applied"]),
    ];
    for (steps, codes) in table {
        assert_eq!(submit(&store, 10, steps.clone()).await, codes, "{steps:?}");
    }
    assert_eq!(balances(&store).await, (300, 0, 300, 700));
    let long = vec![Step::single(leg(10, 1)); MAX_STEPS + 1];
    let error = store.transact(Timestamp::from_unix_ms(10), long).await.expect_err("too long");
    assert_eq!(error.code(), "batch_too_long");
    assert_eq!(submit(&store, 10, Vec::new()).await, Vec::<&str>::new());
    must_verify(&store).await;
}

async fn histories_are_paged(fixture: &impl Fixture) {
    let store = opened(fixture, 1_000).await;
    for id in 0..10 {
        assert_eq!(one(&store, 10, hold(10 + id, 10, 100)).await, "applied");
        assert_eq!(one(&store, 10, post(50 + id, 10 + id, 10, Remainder::Keep)).await, "applied");
    }
    for (account, expected) in [(WORLD, 1), (WALLET, 21), (VENDOR, 20), (AccountId::from_u128(99), 0)] {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page =
                store.history(HistoryQuery { account, before, limit: 3 }).await.expect("the store answers");
            assert!(page.entries.len() <= 3, "a page keeps its limit");
            seen.extend(page.entries.iter().map(|sealed| sealed.entry.seq));
            before = page.before;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), expected, "{account}: {seen:?}");
        assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "the newest first: {seen:?}");
    }
    let tail = store.journal(20, 3).await.expect("the store answers");
    assert_eq!(tail.iter().map(|sealed| sealed.entry.seq).collect::<Vec<_>>(), [21, 22, 23]);
}

async fn the_past_can_be_asked(fixture: &impl Fixture) {
    let store = opened(fixture, 1_000).await;
    assert_eq!(one(&store, 10, hold(1, 600, 100)).await, "applied");
    assert_eq!(one(&store, 20, post(2, 1, 100, Remainder::Release)).await, "applied");
    // A clock that goes back does not take the journal with it.
    assert_eq!(one(&store, 15, hold(3, 50, 100)).await, "applied");
    for (at, settled, held) in
        [(1, 1_000, 0), (9, 1_000, 0), (10, 1_000, 600), (19, 1_000, 600), (20, 900, 50)]
    {
        let then = store.account_at(WALLET, Timestamp::from_unix_ms(at)).await.expect("the store answers");
        let balances = then.expect("it exists").balances();
        assert_eq!((balances.settled.or_zero().base(), balances.held.base()), (settled, held), "at {at}");
    }
    assert_eq!(store.account_at(WALLET, Timestamp::EPOCH).await.expect("the store answers"), None);
}

async fn overdue_holds_are_found(fixture: &impl Fixture) {
    let store = opened(fixture, 1_000).await;
    let never = NewHold { transfer: transfer(4, (WALLET, VENDOR), 10), expiry: Expiry::Never };
    for command in [hold(1, 10, 300), hold(2, 10, 100), hold(3, 10, 200), Command::Hold(never)] {
        assert_eq!(one(&store, 10, command).await, "applied");
    }
    let due = |now, limit| store.due(Timestamp::from_unix_ms(now), limit);
    for (now, limit, expected) in
        [(99, 9, vec![]), (100, 9, vec![2]), (300, 9, vec![2, 3, 1]), (300, 2, vec![2, 3])]
    {
        let ids: Vec<u128> =
            due(now, limit).await.expect("the store answers").iter().map(|id| id.as_u128()).collect();
        assert_eq!(ids, expected, "at {now}");
    }
    let expire = |id| Command::Expire(TransferId::from_u128(id));
    let table = [
        (99, expire(2), "hold_not_due"),
        (100, post(10, 2, 1, Remainder::Keep), "hold_expired"),
        (100, void(11, 2), "applied"),
        (200, expire(3), "applied"),
        (200, expire(3), "exists"),
        (200, post(12, 3, 1, Remainder::Keep), "hold_expired"),
        (200, expire(2), "hold_voided"),
        (900, expire(4), "hold_not_due"),
        (900, post(13, 4, 1, Remainder::Release), "applied"),
    ];
    for (now, command, code) in table {
        assert_eq!(one(&store, now, command.clone()).await, code, "{command:?} at {now}");
    }
    assert_eq!(balances(&store).await, (999, 10, 989, 1));
    must_verify(&store).await;
}

async fn limits_are_enforced(fixture: &impl Fixture) {
    let store = opened(fixture, 0).await;
    let max = u128::MAX;
    let table = [
        (Command::Transfer(transfer(1, (WALLET, VENDOR), 1)), "exceeds_credits"),
        (Command::Transfer(transfer(2, (WORLD, VENDOR), max)), "applied"),
        (Command::Transfer(transfer(3, (WORLD, WALLET), 1)), "debits_overflow"),
        (Command::Transfer(transfer(4, (WALLET, VENDOR), 1)), "credits_overflow"),
        (Command::CloseAccount(WALLET), "applied"),
        (Command::CloseAccount(WALLET), "exists"),
        (Command::Transfer(transfer(5, (VENDOR, WALLET), 1)), "credit_account_closed"),
        (Command::CloseAccount(AccountId::from_u128(99)), "account_not_found"),
    ];
    for (command, code) in table {
        assert_eq!(one(&store, 10, command.clone()).await, code, "{command:?}");
    }
    must_verify(&store).await;
}

async fn everything_survives_reopening(fixture: &impl Fixture) {
    let store = opened(fixture, 1_000).await;
    for command in [hold(1, 600, 100), post(2, 1, 100, Remainder::Keep), hold(3, 50, 90), void(4, 3)] {
        assert_eq!(one(&store, 10, command).await, "applied");
    }
    let (head, shown) = (store.head().await.expect("the store answers"), balances(&store).await);
    let store = fixture.reopen(store).await;
    assert_eq!(store.head().await.expect("the store answers"), head);
    assert_eq!(balances(&store).await, shown);
    assert!(store.asset(UNIT).await.expect("the store answers").is_some());
    let known = store.known(TransferId::from_u128(3)).await.expect("the store answers");
    assert!(matches!(known, Some(Known::Hold(hold)) if hold.state == HoldState::Voided), "{known:?}");
    let table = [
        (hold(1, 600, 100), "exists"),
        (post(2, 1, 100, Remainder::Keep), "exists"),
        (void(4, 1), "exists_with_different_hold"),
        (post(5, 3, 1, Remainder::Keep), "hold_voided"),
        (post(6, 1, 500, Remainder::Keep), "applied"),
    ];
    for (command, code) in table {
        assert_eq!(one(&store, 10, command.clone()).await, code, "{command:?}");
    }
    must_verify(&store).await;
}

/// One caller, one batch at a time: every store writes the very same journal as the model, byte for byte.
async fn random_histories_equal_the_model(fixture: &impl Fixture, seed: u64) {
    let (mut store, model) = (fixture.fresh().await, MemoryLedger::new());
    let mut workload = Workload::new(seed);
    for round in 0..60 {
        let (now, steps) = workload.batch();
        let expected = model.decide(now, &steps);
        let got = store.transact(now, steps.clone()).await.expect("the store answers");
        assert_eq!(got, expected, "seed {seed}, round {round}: {steps:?}");
        workload.learn(&steps, &got);
        if round % 20 == 19 {
            store = fixture.reopen(store).await;
        }
    }
    let accounts = workload.accounts();
    let shown = store.accounts(&accounts).await.expect("the store answers");
    assert_eq!(shown, model.accounts(&accounts).await.expect("the model answers"), "seed {seed}");
    let head = store.head().await.expect("the store answers");
    assert_eq!(head, model.scan().head(), "seed {seed}");
    must_verify(&store).await;
}
