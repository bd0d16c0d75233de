//! The same pairs without HTTP: through the billing service in this process, and through the ledger alone.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farthing_billing::service::hold::{NewCapture, NewHold};
use farthing_billing::service::{Authority, Billing, Cx, Idempotency};
use farthing_ledger::store::LedgerStore as _;
use farthing_ledger::{
    AccountId, AssetId, Command, Expiry, Limit, NewAccount, NewAsset, NewHold as LedgerHold, PostAmount,
    PostHold, Remainder, Step, Tag, Timestamp, Transfer, TransferId,
};
use farthing_money::{Amount, Asset, AssetKind};
use farthing_store::ledger::SqliteLedger;
use tokio::task::JoinSet;

use super::load::{Both, Side};
use super::place::{ASSET, Shop, cx, open};
use super::{CONNECTIONS, Measured};
use crate::Failure;
use crate::clock::now_ms;
use crate::load::closed::Until;
use crate::process::own_cpu_ns;

/// The service in this process.
pub(super) struct Service {
    billing: Billing,
    shop: Rc<Shop>,
}

impl Service {
    pub(super) async fn open(store: &str) -> Result<Self, Failure> {
        let billing = Billing::new(open(store).await?);
        let shop = Rc::new(Shop::fill(&billing).await?);
        Ok(Self { billing, shop })
    }

    pub(super) async fn run(&self, until: Until) -> Result<Measured, Failure> {
        let (billing, shop) = (self.billing.clone(), Rc::clone(&self.shop));
        in_flight(until, move || {
            let (billing, shop) = (billing.clone(), Rc::clone(&shop));
            async move { pair(&billing, &shop).await }
        })
        .await
    }
}

async fn pair(billing: &Billing, shop: &Shop) -> Result<[Duration; 2], Failure> {
    let named = |fingerprint: &str| {
        let key = format!("{:032x}", rand::random::<u128>());
        Cx { idempotency: Some(Idempotency { key, fingerprint: fingerprint.to_owned() }), ..cx(shop.tenant) }
    };
    let new = NewHold {
        customer: Some(shop.customers[rand::random_range(0..shop.customers.len())]),
        asset: Some(ASSET.to_owned()),
        amount: Amount::from_base(1_000),
        counterparty: Some("search.example".to_owned()),
        subject: Some("task-47".to_owned()),
        ..NewHold::default()
    };
    let asked = Instant::now();
    let hold = billing.place_hold(&named("hold"), &Authority::Owner, &new).await?;
    let (placed, asked) = (asked.elapsed(), Instant::now());
    let capture = NewCapture { amount: Some(Amount::from_base(700)), ..NewCapture::default() };
    billing.capture_hold(&named("capture"), &Authority::Owner, hold.id, &capture).await?;
    Ok([placed, asked.elapsed()])
}

/// The ledger alone: no documents, no counters, no events.
pub(super) struct Ledger(Arc<SqliteLedger>);

const UNIT: AssetId = AssetId::from_u32(1);
const WALLETS: u64 = 1_000;
const FIRST_WALLET: u64 = 1_000;

fn account(number: u64) -> AccountId {
    AccountId::from_u128(u128::from(number))
}

fn fresh() -> TransferId {
    farthing_money::Id::from_parts(now_ms(), rand::random()).into()
}

impl Ledger {
    pub(super) async fn open(path: &Path) -> Result<Self, Failure> {
        let ledger = SqliteLedger::open(path, rand::random())?;
        let asset = Asset::new("UNIT", 6, AssetKind::Custom)?;
        let open = |id, limit| Command::OpenAccount(NewAccount { id, asset: UNIT, limit });
        let mut commands = vec![
            Command::DefineAsset(NewAsset { id: UNIT, asset }),
            open(account(1), Limit::None),
            open(account(2), Limit::None),
        ];
        for wallet in 0..WALLETS {
            let credit = account(FIRST_WALLET + wallet);
            commands.push(open(credit, Limit::DebitsMustNotExceedCredits));
            commands.push(Command::Transfer(transfer((account(1), credit), 1 << 80)));
        }
        let steps = commands.into_iter().map(Step::single).collect();
        ledger.transact(Timestamp::from_unix_ms(now_ms()), steps).await?;
        Ok(Self(Arc::new(ledger)))
    }

    pub(super) async fn run(&self, until: Until) -> Result<Measured, Failure> {
        let ledger = Arc::clone(&self.0);
        in_flight(until, move || {
            let ledger = Arc::clone(&ledger);
            async move {
                let wallet = account(FIRST_WALLET + rand::random_range(0..WALLETS));
                let transfer = transfer((wallet, account(2)), 1_000);
                let expiry = Expiry::At(Timestamp::from_unix_ms(now_ms() + 300_000));
                let hold = Command::Hold(LedgerHold { transfer, expiry });
                let amount = PostAmount::Exact(Amount::from_base(700));
                let post = PostHold {
                    id: fresh(),
                    hold: transfer.id,
                    amount,
                    remainder: Remainder::Release,
                    reference: 0,
                };
                let now = Timestamp::from_unix_ms(now_ms());
                let asked = Instant::now();
                ledger.transact(now, vec![Step::single(hold)]).await?;
                let (placed, asked) = (asked.elapsed(), Instant::now());
                ledger.transact(now, vec![Step::single(Command::Post(post))]).await?;
                Ok([placed, asked.elapsed()])
            }
        })
        .await
    }
}

fn transfer((debit, credit): (AccountId, AccountId), amount: u128) -> Transfer {
    let (amount, tag) = (Amount::from_base(amount), Tag::default());
    Transfer { id: fresh(), debit, credit, asset: UNIT, amount, code: 1, tag }
}

/// As many callers as there are connections otherwise, each with one pair after the other.
async fn in_flight<F>(until: Until, pair: impl Fn() -> F + Clone + 'static) -> Result<Measured, Failure>
where
    F: Future<Output = Result<[Duration; 2], Failure>> + 'static,
{
    let both = Rc::new(RefCell::new(Both::new()));
    let (started, cpu) = (Instant::now(), own_cpu_ns());
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (both, pair) = (Rc::clone(&both), pair.clone());
        tasks.spawn_local(async move {
            while until.goes_on(started, both.borrow().pairs()) {
                let latencies = pair().await.map_err(|error| error.to_string())?;
                for (half, latency) in latencies.into_iter().enumerate() {
                    both.borrow_mut().record(half, latency);
                }
            }
            Ok::<_, String>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let (wall, cpu_ns) = (started.elapsed(), own_cpu_ns() - cpu);
    let Side { holds, captures } = both.replace(Both::new()).side(wall);
    Ok(Measured { holds, captures, cpu_ns, database_ns: 0 })
}
