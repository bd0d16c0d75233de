//! Gateways (and, where there is one, the database) killed at random instants under load: no double charge, no lost payment, no
//! free grant.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::books::{Findings, balance};
use crate::buyer::{Buyer, Call, Reply};
use crate::process::Process;
use crate::world::{Kind, World};

/// Calls that are under way at any time.
const WORKERS: usize = 24;
/// How long a call may stay open once nothing is killed any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long before or after a kill an answer may have been received whose delivery the kill kept from being recorded.
const BLINK: Duration = Duration::from_secs(2);

/// Something besides the gateways that is killed, and comes back.
pub trait Victim: Send {
    /// SIGKILL, and started again.
    ///
    /// # Errors
    /// A sentence, when it does not come back.
    fn kill_and_restart(&mut self) -> Result<(), String>;
}

/// What is killed, how often.
pub struct Plan {
    /// Where the randomness begins: the same seed makes the same choices.
    pub seed: u64,
    /// Kills of a gateway.
    pub gateways: usize,
    /// Kills of the other.
    pub others: usize,
    /// The other.
    pub victim: Option<Box<dyn Victim>>,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// What the workers count.
#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    kills: Mutex<Vec<Instant>>,
    executed_again: AtomicUsize,
}

impl Tally {
    fn note_kill(&self) {
        self.kills.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    }

    /// Whether something was killed at about that time.
    fn killed_around(&self, at: Instant) -> bool {
        let kills = self.kills.lock().unwrap_or_else(PoisonError::into_inner);
        kills.iter().any(|kill| kill.max(&at).duration_since(*kill.min(&at)) <= BLINK)
    }
}

/// Runs it.
///
/// # Errors
/// A sentence, when the world does not work at all.
pub async fn run(world: &Arc<World>, plan: Plan, findings: &mut Findings) -> Result<(), String> {
    let before = world.earned().await?;
    let tally = Arc::new(Tally::default());
    let killing = {
        let (world, tally) = (Arc::clone(world), Arc::clone(&tally));
        tokio::task::spawn_blocking(move || {
            let result = kill(&world, plan, &tally);
            tally.stop.store(true, Ordering::SeqCst);
            result
        })
    };
    let workers: Vec<_> = (0..WORKERS)
        .map(|index| {
            let (world, tally) = (Arc::clone(world), Arc::clone(&tally));
            tokio::spawn(async move { work(&world, index, &tally).await })
        })
        .collect();
    let (mut served, mut again) = (Vec::new(), Vec::new());
    for worker in workers {
        let done = worker.await.map_err(|error| error.to_string())??;
        served.extend(done.served);
        done.findings.into_iter().for_each(|what| findings.broken(what));
        again.extend(done.again);
    }
    let (gateways, kills) = killing.await.map_err(|error| error.to_string())??;
    balance(world, before, &served, findings).await?;
    for (call, at) in &again {
        findings.expect(tally.killed_around(*at), || {
            format!("{call} was served twice, and nothing was killed then")
        });
    }
    println!(
        "kills: {kills} kills, {} calls paid once and served; {} executions of the API were cut off by a kill and repeated; {} calls were \
         served once more because a kill hid that they had been",
        served.len(),
        tally.executed_again.load(Ordering::Relaxed),
        again.len()
    );
    drop(gateways);
    Ok(())
}

/// Kills and restarts until the plan is carried out. The gateways that live in the end.
fn kill(world: &World, mut plan: Plan, tally: &Tally) -> Result<(Vec<Process>, usize), String> {
    let mut dice = StdRng::seed_from_u64(plan.seed);
    let mut gateways =
        (0..world.gateways()).map(|index| world.serve(index)).collect::<Result<Vec<_>, _>>()?;
    let (mut left, mut others) = (plan.gateways, plan.others);
    while left + others > 0 {
        // Some at once after a start, most within the traffic.
        std::thread::sleep(Duration::from_micros(dice.random_range(0..400_000)));
        let other = dice.random_range(0..left + others) < others;
        tally.note_kill();
        if other {
            others -= 1;
            if let Some(victim) = &mut plan.victim {
                victim.kill_and_restart()?;
            }
        } else {
            left -= 1;
            let index = dice.random_range(0..gateways.len());
            gateways[index].kill();
            gateways[index] = restart(world, index)?;
        }
    }
    Ok((gateways, plan.gateways + plan.others))
}

/// Starts a gateway again; its database may still be coming up.
fn restart(world: &World, index: usize) -> Result<Process, String> {
    let mut last = String::new();
    for _ in 0..50 {
        match world.serve(index) {
            Ok(process) => return Ok(process),
            Err(error) => last = error,
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(last)
}

#[derive(Default)]
struct Done {
    served: Vec<Kind>,
    findings: Vec<String>,
    /// Served once more, and when they had been served first.
    again: Vec<(String, Instant)>,
}

async fn work(world: &World, index: usize, tally: &Tally) -> Result<Done, String> {
    let buyer = Buyer::new(world, index)?;
    let mut done = Done::default();
    let mut nth = index;
    while !tally.stop.load(Ordering::SeqCst) {
        let kind = world.kinds[nth % world.kinds.len()];
        nth += 1;
        let call = Call::new(world, kind, "&wait=5");
        let credential = match buyer.credential(world, &call).await {
            Ok(credential) => credential,
            Err(why) => {
                done.findings.push(format!("{kind:?} could not be paid: {why}"));
                continue;
            }
        };
        let reply = buyer.insist(world, &call, &credential, PATIENCE).await;
        let replied = Instant::now();
        match reply {
            Reply::Served => done.served.push(kind),
            other => done.findings.push(format!("{kind:?} {}: {other:?}", call.id)),
        }
        let executions = world.upstream.executions(&call.id);
        if executions == 0 {
            done.findings.push(format!("{kind:?} {}: served without a call of the API", call.id));
        }
        let again = usize::try_from(executions.saturating_sub(1)).unwrap_or(0);
        tally.executed_again.fetch_add(again, Ordering::Relaxed);
        // A quarter of the calls are shown once more: used is used.
        if nth.is_multiple_of(4) {
            match buyer.insist(world, &call, &credential, PATIENCE).await {
                Reply::Used => {}
                // The gateway died after the last byte and before the record of it: a payer is rather served twice by a crash than
                // never (ADR 6). Without a crash it is a free grant.
                Reply::Served => done.again.push((format!("{kind:?} {}", call.id), replied)),
                other => done.findings.push(format!("{kind:?} {} again: {other:?}", call.id)),
            }
        }
    }
    Ok(done)
}
