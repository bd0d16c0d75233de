//! `farthing billing serve` itself, killed at random instants under a mixed load over HTTP: holds, captures, refunds, usage and
//! credits with idempotency keys, top-ups from a card processor that declines and forgets to answer, deposits from a chain that
//! changes its mind.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use farthing_billing::service::topup::AttemptState;
use farthing_billing::service::{Billing, Cx, PageQuery};
use farthing_billing::topup::BackOff;
use farthing_ledger::Timestamp;
use serde_json::{Value, json};

use crate::Findings;
use crate::audit::{self, Outside};
use crate::card::Card;
use crate::chain::{CHAIN_ID, Chain, NETWORK};
use crate::clock::{self, fresh_id, now_ms};
use crate::job::Habits;
use crate::kills::{CUSTOMERS, MONEY, Plan, under_load};
use crate::place::{self, Place};
use crate::pool::{Pool, Program};
use crate::served::{self, Settings};
use crate::worker::top_up;
use crate::world::{ASSET, TOKEN, World, cx};

/// Of a seed that everybody knows.
const XPUB: &str = "xpub6DSwDWBPjdopcHjga5am3iJpVY4Doi7xqydtQWimdyWcM7s7op1GcgCKoy5AVZKn5knFtREQjZmP46Rz48nVB21fg4y8gnqj7yUdvHE7AuE";

/// The longest pause between two kills, in microseconds: what is started takes longer than a worker, and is to come to work.
pub const PAUSE_US: u64 = 500_000;

/// How long the service has to credit what stands on the chain when nobody kills it any more.
const DEPOSITS: Duration = Duration::from_secs(60);

/// What is tortured.
pub struct Service<'a> {
    /// The program.
    pub binary: &'a Path,
    /// How long it has, when nobody kills it any more, to end by itself all that is open; what it has not ended then is ended
    /// here, at a later time.
    pub settle: Duration,
}

/// Runs it.
///
/// # Errors
/// A sentence, when it does not work at all.
pub async fn run(
    place: &Arc<Place>,
    service: Service<'_>,
    plan: Plan,
    findings: &mut Findings,
) -> Result<(), String> {
    clock::go_slowly();
    let store = place.name();
    let mut world = World::make(&store, NETWORK, (CUSTOMERS, MONEY)).await?;
    world.keep_topped_up(&store, BackOff { first_ms: 100, longest_ms: 400, most: 1_000 }).await?;
    let settings = Settings {
        binary: service.binary.to_owned(),
        config: place.folder().join("billing.toml"),
        home: place.folder().join("home"),
        key: world.make_key(&store).await?,
    };
    let (card, chain) = (Card::default(), Chain::start(&settings).await?);
    configure(&settings, place, (&card.listen().await?, &chain.url))?;
    let pool = Arc::new(Pool::start(place, Program::Served(settings.clone())).await?);
    for index in 0..world.customers.len() {
        let path = format!("/v1/customers/{}/wallets/{TOKEN}/deposit_addresses", world.customer(index));
        let made = pool.fetch(&path, Some(&json!({}))).await?;
        world.addresses.push(made["address"].as_str().ok_or("no address")?.to_owned());
    }
    let (world, chain) = (Arc::new(world), Arc::new(chain));
    let stop = Arc::new(AtomicBool::new(false));
    let living = tokio::spawn({
        let (chain, world, stop) = (Arc::clone(&chain), Arc::clone(&world), Arc::clone(&stop));
        async move { chain.live(plan.seed, &world.addresses, &stop).await }
    });
    let resuming = tokio::spawn(resume(Arc::clone(&pool), Arc::clone(&world), Arc::clone(&stop)));
    let habits = Habits { leave_ms: 1_000, tell_deposits: false };
    let all = under_load((place, &pool, &world), habits, plan).await;
    stop.store(true, Ordering::SeqCst);
    let happened = living.await.map_err(|error| error.to_string())??;
    let resumed = resuming.await.map_err(|error| error.to_string())??;
    let all = all?;
    let deposited = until_deposited(&pool, &world, &chain).await?;
    let open = until_settled(&pool, &world, service.settle).await?;
    let again = pool.again();
    drop(pool);
    finish(&store, &world, &card).await?;
    let outside = Outside { payments: card.payments(), deposited, is_fanned_out: true };
    let told = audit::run(place, (&world, MONEY), (&all, outside), findings).await?;
    let (is_sound, said) = served::finish(&settings, &["ledger", "verify", "--store", &store]).await?;
    findings.expect(is_sound, || format!("farthing ledger verify: {said}"));
    println!(
        "farthing billing serve: seed {}, {} kills of a process and {} of the database; {told}, {} declined for good \
         and {resumed} rules resumed, {} deposits and {} reorganisations; {again} calls were asked again; {open}",
        plan.seed,
        plan.times,
        plan.database_times,
        card.declined_for_good(),
        happened.sent,
        happened.reorganised
    );
    Ok(())
}

fn configure(settings: &Settings, place: &Place, (card, chain): (&str, &str)) -> Result<(), String> {
    let (key, xpub) = (place.folder().join("card.key"), place.folder().join("deposits.xpub"));
    write_private(&key, "rk_test_torture")?;
    write_private(&xpub, XPUB)?;
    let text = format!(
        "[billing]\nstore = {store:?}\n\
         [limits]\nrequests_per_second = 1000000\nburst = 1000000\n\
         [stripe]\nurl = {card:?}\nsecret_key_file = {key:?}\ntimeout_ms = 5000\n\
         [chain]\nchain_id = {CHAIN_ID}\nrpc_url = {chain:?}\n\
         [deposits]\nxpub_file = {xpub:?}\nconfirmations = 2\n\
         [[deposits.tokens]]\ntoken = \"PathUSD\"\n",
        store = place.name(),
        key = key.display().to_string(),
        xpub = xpub.display().to_string(),
    );
    std::fs::create_dir_all(&settings.home).map_err(|error| error.to_string())?;
    write_private(&settings.config, &text)
}

fn write_private(path: &Path, text: &str) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)))
        .map_err(|error| error.to_string())
}

/// The person who has a rule go on after its card was declined for good. How often.
async fn resume(pool: Arc<Pool>, world: Arc<World>, stop: Arc<AtomicBool>) -> Result<usize, String> {
    let mut resumed = 0;
    while !stop.load(Ordering::SeqCst) {
        for index in 0..world.customers.len() {
            let rule = format!("/v1/customers/{}/wallets/{ASSET}/topup_rule", world.customer(index));
            if pool.fetch(&rule, None).await?["state"] == "paused" {
                pool.fetch(&format!("{rule}/resume"), Some(&json!({}))).await?;
                resumed += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(resumed)
}

/// Waits until every wallet has what stands on the chain: as much as that is.
async fn until_deposited(pool: &Pool, world: &World, chain: &Chain) -> Result<Vec<u128>, String> {
    let mut expected = Vec::new();
    for address in &world.addresses {
        expected.push(chain.balance(address).await?);
    }
    let begun = Instant::now();
    for (index, amount) in expected.iter().enumerate() {
        let path = format!("/v1/customers/{}/wallets/{TOKEN}", world.customer(index));
        // What does not come is found by the audit.
        while pool.fetch(&path, None).await?["settled"] != amount.to_string().as_str()
            && begun.elapsed() < DEPOSITS
        {
            // What is gone is taken back some blocks later.
            chain.mine(1).await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(expected)
}

/// Waits until the service has ended by itself what is open. What it had not, in a sentence.
async fn until_settled(pool: &Pool, world: &World, most: Duration) -> Result<String, String> {
    let begun = Instant::now();
    loop {
        let holds = pool.fetch("/v1/holds?state=open&limit=500", None).await?;
        let holds = holds["data"].as_array().map_or(0, Vec::len);
        let mut rules = 0;
        for index in 0..world.customers.len() {
            let path = format!("/v1/customers/{}/wallets/{ASSET}/topups?limit=1", world.customer(index));
            let newest: Value = pool.fetch(&path, None).await?;
            rules += usize::from(
                ["charging", "crediting"].contains(&newest["data"][0]["state"].as_str().unwrap_or("")),
            );
        }
        if holds + rules == 0 || begun.elapsed() >= most {
            let waited = begun.elapsed().as_secs();
            return Ok(format!("after {waited} s of peace {holds} holds and {rules} top-ups were open"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Ends what is open, at a later time: holds that run out, and top-ups of which nobody knows what became.
async fn finish(store: &str, world: &World, card: &Card) -> Result<(), String> {
    const LATER_MS: u64 = 60 * 86_400_000;
    let billing = Billing::new(place::open(store).await?);
    let at = |later_ms: u64| Cx {
        now: Timestamp::from_unix_ms(now_ms() + later_ms),
        id: fresh_id(),
        ..cx(world.tenant)
    };
    let failed = |error: farthing_billing::service::ServiceError| error.to_string();
    for customer in &world.customers {
        for hours in 1..=40 {
            let page = PageQuery { limit: 1, ..PageQuery::default() };
            let newest = billing.list_topups(&at(0), (*customer, ASSET), &page).await.map_err(failed)?;
            let is_open = |state| matches!(state, AttemptState::Charging | AttemptState::Crediting);
            if !newest.data.first().is_some_and(|attempt| is_open(attempt.state)) {
                break;
            }
            top_up((&billing, card), &at(hours * 7_200_000), *customer).await.map_err(failed)?;
        }
    }
    while billing.expire_due(&at(LATER_MS), 256).await.map_err(failed)? > 0 {}
    Ok(())
}
