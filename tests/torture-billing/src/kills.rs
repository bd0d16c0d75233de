//! Processes of the billing service killed at random instants under a mixed load: nothing that was answered is lost, nothing happens
//! twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farthing_billing::topup::BackOff;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::Findings;
use crate::audit::{self, Outside};
use crate::call::{Call, Reply};
use crate::clock::now_ms;
use crate::job::{Answers, Client, Habits};
use crate::place::Place;
use crate::pool::{Pool, Program};
use crate::source::Source;
use crate::world::{NETWORK, World};

/// Clients that ask at the same time.
const CLIENTS: usize = 24;
/// Wallets, few enough to be fought for.
pub const CUSTOMERS: usize = 6;
/// What each has at first.
pub const MONEY: u128 = 5_000;
/// The longest pause between two kills, in microseconds.
pub const PAUSE_US: u64 = 120_000;

/// What is killed, how often.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where the randomness begins.
    pub seed: u64,
    /// How many of a process.
    pub times: usize,
    /// How many of the database.
    pub database_times: usize,
    /// The longest pause between two, in microseconds.
    pub pause_us: u64,
}

/// Runs it.
///
/// # Errors
/// A sentence, when it does not work at all.
pub async fn run(place: &Arc<Place>, plan: Plan, findings: &mut Findings) -> Result<(), String> {
    let store = place.name();
    let world = Arc::new(World::make(&store, NETWORK, (CUSTOMERS, MONEY)).await?);
    world.keep_topped_up(&store, BackOff { first_ms: 5_000, longest_ms: 20_000, most: 1_000 }).await?;
    let pool = Arc::new(Pool::start(place, Program::worker(place, &world)).await?);
    let stop = Arc::new(AtomicBool::new(false));
    let expiring = tokio::spawn(drive(Arc::clone(&pool), Arc::clone(&world), Arc::clone(&stop)));
    let habits = Habits { leave_ms: 30_000, tell_deposits: true };
    let all = under_load((place, &pool, &world), habits, plan).await;
    stop.store(true, Ordering::SeqCst);
    expiring.await.map_err(|error| error.to_string())?;
    let all = all?;
    end_all(&pool, &world).await?;
    let again = pool.again();
    drop(pool);
    let outside = Outside {
        payments: Source::new(&place.source()).payments(),
        deposited: audit::deposited(&world, &all),
        is_fanned_out: false,
    };
    let told = audit::run(place, (&world, MONEY), (&all, outside), findings).await?;
    println!(
        "kills: seed {}, {} kills of a process and {} of the database; {told}; {again} calls were asked again",
        plan.seed, plan.times, plan.database_times
    );
    Ok(())
}

/// Has clients ask while what is asked is killed; what they were answered.
///
/// # Errors
/// A sentence: nobody answered, or what was killed did not come back.
pub async fn under_load(
    (place, pool, world): (&Arc<Place>, &Arc<Pool>, &Arc<World>),
    habits: Habits,
    plan: Plan,
) -> Result<Vec<Answers>, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|index| {
            let (pool, world, stop) = (Arc::clone(pool), Arc::clone(world), Arc::clone(&stop));
            tokio::spawn(async move { work(&pool, (&world, habits), (plan.seed, index), &stop).await })
        })
        .collect();
    let killed = kill(place, pool, plan).await;
    stop.store(true, Ordering::SeqCst);
    let mut all = Vec::new();
    for client in clients {
        all.push(client.await.map_err(|error| error.to_string())??);
    }
    killed.map(|()| all)
}

async fn work(
    pool: &Pool,
    (world, habits): (&World, Habits),
    (seed, index): (u64, usize),
    stop: &AtomicBool,
) -> Result<Answers, String> {
    let own = seed.wrapping_mul(1_000_003).wrapping_add(u64::try_from(index).unwrap_or(0));
    let dice = StdRng::seed_from_u64(own);
    let mut client = Client { pool, world, habits, dice, index, calls: 0, answers: Answers::default() };
    while !stop.load(Ordering::SeqCst) {
        client.job().await?;
    }
    Ok(client.answers)
}

/// Ends what ran out and tops up what is low, all the time, as workers of the service do. Two of them look after each wallet.
async fn drive(pool: Arc<Pool>, world: Arc<World>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        // Whatever it says: the next round finds what this one did not end.
        drop(pool.ask(None, &Call::Expire).await);
        for index in 0..world.customers.len() {
            let call = Call::TopUp { customer: world.customer(index) };
            let (one, two) = tokio::join!(pool.ask(None, &call), pool.ask(None, &call));
            drop((one, two));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn kill(place: &Arc<Place>, pool: &Pool, plan: Plan) -> Result<(), String> {
    let mut dice = StdRng::seed_from_u64(plan.seed);
    let (mut left, mut databases) = (plan.times, plan.database_times);
    while left + databases > 0 {
        // Some at once after a start, most within the traffic.
        tokio::time::sleep(Duration::from_micros(dice.random_range(0..plan.pause_us))).await;
        if dice.random_range(0..left + databases) < databases {
            databases -= 1;
            let place = Arc::clone(place);
            let killing = tokio::task::spawn_blocking(move || place.kill_database());
            killing.await.map_err(|error| error.to_string())??;
        } else {
            left -= 1;
            let index = dice.random_range(0..pool.processes());
            // Some die a second time while they start.
            let again = dice.random_range(0..6) == 0;
            let in_between = Duration::from_micros(dice.random_range(0..plan.pause_us));
            pool.kill(index, again.then_some(in_between)).await?;
        }
    }
    Ok(())
}

/// Two months later, everything has run out that was left alone, and every top-up has been looked after.
async fn end_all(pool: &Pool, world: &World) -> Result<(), String> {
    const LATER_MS: u64 = 60 * 86_400_000;
    for index in 0..world.customers.len() {
        for hours in 1..=40 {
            let call = Call::TopUp { customer: world.customer(index) };
            let told = pool.ask_at(|| now_ms() + LATER_MS + hours * 7_200_000, None, &call).await?;
            if !matches!(told, Reply::Done(_)) {
                return Err(format!("a top-up cannot be finished: {told:?}"));
            }
        }
    }
    loop {
        match pool.ask_at(|| now_ms() + 2 * LATER_MS, None, &Call::Expire).await? {
            Reply::Done(found) if found == 0 => return Ok(()),
            Reply::Done(_) => {}
            other => return Err(format!("holds cannot be ended: {other:?}")),
        }
    }
}
