//! The database server is killed at random moments under load, twenty times: no step that was answered is lost, and none is
//! taken twice. `FARTHING_CRASH_SEED` repeats a run.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; a seed may come from the environment"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, ClaimId, ClaimOutcome, ClaimState, ClaimStep, ClaimStore, Delivery, LeaseHolder,
};
use farthing_store::testkit::postgres::Cluster;
use farthing_store::testkit::{failed, lease_of, new_claim, reservation, settled};
use farthing_store::{PgClaims, PgUrl};

const ROUNDS: u32 = 20;
const LANES: u64 = 32;
const NOW: UnixMs = UnixMs::from_ms(1_000);

/// What was answered, by claim: the furthest state, and what was not answered.
#[derive(Debug, Default)]
struct Answered {
    states: Mutex<HashMap<String, &'static str>>,
    answers: AtomicU64,
    unknown: AtomicU64,
    taken_twice: AtomicU64,
}

impl Answered {
    fn note(&self, id: &str, state: &'static str) {
        self.states.lock().unwrap().insert(id.to_owned(), state);
        self.answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// One lane: payment after payment, until it is told to stop.
async fn lane(store: Arc<PgClaims>, answered: Arc<Answered>, stop: Arc<AtomicBool>, prefix: String) {
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        payment(&store, &answered, &format!("{prefix}-{n}"), n).await;
    }
}

/// Steps are sent again until somebody answers. Each carries a holder of its own, so that one which was taken is recognised, and
/// one which was not would be refused.
async fn payment(store: &PgClaims, answered: &Answered, id: &str, n: u64) {
    let (claim, holder) = (ClaimId(id.to_owned()), LeaseHolder(u128::from(n) + 1));
    let mut new = new_claim(id, &[&format!("{id} k1"), &format!("{id} k2")]);
    new.reservation = Some(reservation("fees", 1, u128::MAX, 1_000_000));
    let mut first = true;
    loop {
        match store.claim(new.clone(), NOW).await {
            Ok(ClaimOutcome::New) => break answered.note(id, "settling"),
            // It was taken, and its answer was lost.
            Ok(ClaimOutcome::Existing(old)) if !first && old.state == ClaimState::Settling => {
                break answered.note(id, "settling");
            }
            Ok(other) => panic!("{id}: {other:?}"),
            Err(_) => answered.unknown.fetch_add(1, Ordering::Relaxed),
        };
        first = false;
    }
    if n % 5 == 4 {
        return step(store, answered, &claim, failed("no"), "failed").await;
    }
    let delivery = Delivery::Begin(lease_of(holder, NOW.plus_ms(10)));
    step(store, answered, &claim, ClaimStep::Settled { settled: settled(id), delivery }, "delivering").await;
    // Another one wants to take the delivery over, at the instant when the lease ends: its own step counts once too.
    let other = LeaseHolder(u128::from(n) + (1 << 64));
    let begin = ClaimStep::BeginDelivery(lease_of(other, NOW.plus_ms(20)));
    advance(store, answered, &claim, begin, 10).await;
    step(store, answered, &claim, ClaimStep::Delivered { holder: other, answer: None }, "delivered").await;
    let deliveries = loop {
        match store.get(&claim).await {
            Ok(found) => break found.map_or(0, |found| found.deliveries),
            Err(_) => answered.unknown.fetch_add(1, Ordering::Relaxed),
        };
    };
    if deliveries != 2 {
        answered.taken_twice.fetch_add(1, Ordering::Relaxed);
    }
}

async fn step(store: &PgClaims, answered: &Answered, id: &ClaimId, step: ClaimStep, state: &'static str) {
    advance(store, answered, id, step, 0).await;
    answered.note(&id.0, state);
}

async fn advance(store: &PgClaims, answered: &Answered, id: &ClaimId, step: ClaimStep, later: u64) {
    loop {
        match store.advance(id, step.clone(), NOW.plus_ms(later)).await {
            Ok(()) => return,
            Err(AdvanceError::Store(_)) => answered.unknown.fetch_add(1, Ordering::Relaxed),
            Err(error) => panic!("{id}: {step:?}: {error}"),
        };
    }
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_the_server() {
    let Some(bin) = Cluster::find() else {
        return eprintln!("SKIPPED what_was_answered_survives_the_server: no PostgreSQL here");
    };
    let cluster = Arc::new(Cluster::start(&bin).unwrap());
    let url = cluster.database();
    let store = Arc::new(PgClaims::open(PgUrl::parse(&url).unwrap()).await.unwrap());
    let first = store.epoch().await.unwrap();
    let seed = std::env::var("FARTHING_CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut random: u64 = seed.unwrap_or(0x9e37_79b9_7f4a_7c15);
    println!("seed {random}");
    let (answered, stop) = (Arc::new(Answered::default()), Arc::new(AtomicBool::new(false)));
    let lanes: Vec<_> = (0..LANES)
        .map(|n| {
            tokio::spawn(lane(Arc::clone(&store), Arc::clone(&answered), Arc::clone(&stop), n.to_string()))
        })
        .collect();
    for round in 0..ROUNDS {
        // Some steps have to go well in between; then a random moment within a batch or two.
        let until = answered.answers.load(Ordering::Relaxed) + 30 + next(&mut random) % 200;
        while answered.answers.load(Ordering::Relaxed) < until {
            assert!(lanes.iter().all(|lane| !lane.is_finished()), "a lane ended in round {round}");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        tokio::time::sleep(Duration::from_micros(next(&mut random) % 4_000)).await;
        let (cluster, immediate) = (Arc::clone(&cluster), next(&mut random).is_multiple_of(2));
        let stopped = tokio::task::spawn_blocking(move || {
            if immediate {
                cluster.stop_now()
            } else {
                cluster.kill()
            }
            cluster.resume()
        });
        stopped.await.unwrap().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for lane in lanes {
        lane.await.unwrap();
    }
    assert_eq!(answered.taken_twice.load(Ordering::Relaxed), 0, "a delivery was begun twice by one step");
    let states = answered.states.lock().unwrap().clone();
    for (id, state) in &states {
        let claim = store.get(&ClaimId(id.clone())).await.unwrap().unwrap_or_else(|| panic!("{id} is lost"));
        assert_eq!(claim.state.name(), *state, "{id}");
    }
    let report = store.check().await.unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(
        report.claims.values().sum::<u64>(),
        states.len() as u64,
        "nothing is there that nobody asked for"
    );
    assert_eq!(store.epoch().await, Ok(first), "a crash loses no history");
    // Each claim that has not failed has reserved once.
    let name = url.rsplit('/').next().unwrap();
    let reserved = cluster.sql(name, "SELECT total FROM farthing.budget");
    let live = states.values().filter(|state| **state != "failed").count();
    assert_eq!(reserved, live.to_string());
    println!(
        "{} claims, {} answers, {} unknown",
        states.len(),
        answered.answers.load(Ordering::Relaxed),
        answered.unknown.load(Ordering::Relaxed)
    );
    assert!(
        answered.unknown.load(Ordering::Relaxed) > 0,
        "no answer was ever lost: the server was killed too gently"
    );
}
