//! Payments whose outcome is not known: asked about before serving, and again until it is known. Such a payment is never
//! charged again and never granted meanwhile; once settled it is a credit that the same credential redeems.
//!
//! Serving does not have to wait for it: a claim that is not resolved stays `Settling`, and its credential is answered 409
//! until it is. So what is asked before serving is bounded in time, and the rest is left to [`Gate::resolver`].
//!
//! Each payment has waits of its own, and those that were asked about least come first: payments whose outcome can never be
//! learned do not keep the others waiting, and one error says nothing about the next payment.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimStep, Delivery, Resolution, StoreError, Verifier,
};
use futures_util::{StreamExt, stream};
use tokio::task::AbortHandle;

use crate::gate::{Gate, Inner};

/// What became of the payments that were unresolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Deliveries that a crash had interrupted: credits again.
    pub released: usize,
    /// Payments that turned out to be settled: credits now.
    pub settled: usize,
    /// Payments that turned out to have failed.
    pub failed: usize,
    /// Payments whose outcome is still not known, asked about or not.
    pub pending: usize,
}

/// How [`Gate::resolver`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolverOptions {
    /// How long a settlement may take before the rail is asked about it, in milliseconds.
    pub older_than_ms: u64,
    /// The shortest wait between two rounds, and before one payment is asked about again, in milliseconds.
    pub min_wait_ms: u64,
    /// The longest wait before one payment is asked about again, reached by doubling, in milliseconds. Every payment has its
    /// own, and new ones are looked for meanwhile.
    pub max_wait_ms: u64,
    /// How long a rail may take to say what became of one payment, in milliseconds.
    pub ask_timeout_ms: u64,
    /// How long a final claim is kept after its challenge has expired, in milliseconds: so long a replay is told apart from
    /// an expired challenge. Never shorter than a rail still looks at payments after their challenge has expired.
    pub keep_final_ms: u64,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self {
            older_than_ms: 30_000,
            min_wait_ms: 1_000,
            max_wait_ms: 60_000,
            ask_timeout_ms: 30_000,
            keep_final_ms: 7 * 86_400_000,
        }
    }
}

/// Payments that are asked about at once.
const AT_ONCE: usize = 16;
/// Payments that are asked about in a round. What a store lists at most.
const LISTED: usize = 10_000;
/// Final claims that are forgotten a round.
const PRUNED: usize = 1_000;
/// How many of the shortest waits may lie between two rounds.
const LONGEST_PAUSE: u64 = 8;

impl Gate {
    /// How long [`recover`](Self::recover) asks the rails: ten seconds.
    pub const RECOVER_MS: u64 = 10_000;

    /// Brings the store in order after a stop of any kind: gives every lease back, and asks the rails about every payment
    /// whose outcome is not known, for at most [`RECOVER_MS`](Self::RECOVER_MS). Runs before serving, by the one process that
    /// owns the store.
    ///
    /// # Errors
    /// [`StoreError`]. A rail that does not answer is no error: its payments stay pending, which is safe to serve with, and
    /// [`resolver`](Self::resolver) asks again.
    pub async fn recover(&self) -> Result<Recovered, StoreError> {
        self.recover_within(Self::RECOVER_MS).await
    }

    /// The same, and the rails are asked for at most `limit_ms`. Giving the leases back is not bounded: a call that was paid
    /// for could be refused otherwise.
    ///
    /// # Errors
    /// As [`recover`](Self::recover).
    pub async fn recover_within(&self, limit_ms: u64) -> Result<Recovered, StoreError> {
        let inner = self.inner();
        let now = inner.clock.now();
        let released = inner.store.release_leases(now).await?;
        let mut round = Round::new(Waits::new(ResolverOptions::default()));
        let asked = tokio::time::timeout(Duration::from_millis(limit_ms), inner.ask_all(now, &mut round));
        match asked.await {
            Ok(asked) => asked?,
            Err(_) => tracing::warn!(
                "not every payment in flight was looked up in time; they are asked about later"
            ),
        }
        Ok(Recovered { released, ..round.sum() })
    }

    /// Asks the rails, again and again, about payments whose outcome has not been known for a while, and forgets final
    /// claims that are old. Never returns: run it in a task of its own beside the server, and drop it to stop it.
    pub async fn resolver(&self, options: ResolverOptions) {
        let inner = self.inner();
        let late_ms = inner.rails.values().map(|rail| rail.late_ms()).max().unwrap_or(0);
        let keep_ms = options.keep_final_ms.max(late_ms);
        let mut waits = Waits::new(options);
        let mut wait_ms = options.min_wait_ms;
        loop {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            waits.pass(wait_ms);
            let now = inner.clock.now();
            let ago = |ms: u64| UnixMs::from_ms(now.as_ms().saturating_sub(ms));
            let mut round = Round::new(waits);
            wait_ms = match inner.ask_all(ago(options.older_than_ms), &mut round).await {
                Ok(()) => round.waits.pause_ms(),
                Err(error) => {
                    tracing::error!(%error, "unresolved payments could not be listed");
                    wait_ms.saturating_mul(2).min(options.max_wait_ms).max(1)
                }
            };
            waits = round.waits;
            if let Err(error) = inner.store.prune(ago(keep_ms), PRUNED).await {
                tracing::error!(%error, "old claims could not be forgotten");
            }
        }
    }
}

/// How long each payment is left alone that was asked about in vain.
struct Waits {
    options: ResolverOptions,
    of: HashMap<ClaimId, Wait>,
}

#[derive(Default, Clone, Copy)]
struct Wait {
    /// Times that it was asked about in vain.
    times: u32,
    left_ms: u64,
}

impl Waits {
    fn new(options: ResolverOptions) -> Self {
        Self { options, of: HashMap::new() }
    }

    fn get(&self, id: &ClaimId) -> Wait {
        self.of.get(id).copied().unwrap_or_default()
    }

    /// This one was asked about in vain once more.
    fn lengthen(&mut self, id: ClaimId) {
        let ResolverOptions { min_wait_ms, max_wait_ms, .. } = self.options;
        let wait = self.of.entry(id).or_default();
        wait.left_ms = min_wait_ms.saturating_mul(1 << wait.times.min(32)).min(max_wait_ms);
        wait.times = wait.times.saturating_add(1);
    }

    fn pass(&mut self, ms: u64) {
        for wait in self.of.values_mut() {
            wait.left_ms = wait.left_ms.saturating_sub(ms);
        }
    }

    /// Until the next round: until a payment's wait is over, and not for long, as there may be new payments.
    fn pause_ms(&self) -> u64 {
        let shortest = self.options.min_wait_ms.max(1);
        let due = self.of.values().map(|wait| wait.left_ms).min().unwrap_or(shortest);
        due.clamp(shortest, shortest.saturating_mul(LONGEST_PAUSE))
    }
}

/// One look at every payment that is not resolved. It may end before all of them were asked about.
struct Round {
    waits: Waits,
    listed: usize,
    settled: usize,
    failed: usize,
}

impl Round {
    const fn new(waits: Waits) -> Self {
        Self { waits, listed: 0, settled: 0, failed: 0 }
    }

    fn note(&mut self, id: ClaimId, fate: Fate) {
        match fate {
            Fate::Settled => self.settled += 1,
            Fate::Failed => self.failed += 1,
            Fate::Pending => return self.waits.lengthen(id),
            Fate::NotAsked => return,
        }
        self.waits.of.remove(&id);
    }

    const fn sum(&self) -> Recovered {
        let Self { settled, failed, listed, .. } = *self;
        Recovered { released: 0, settled, failed, pending: listed.saturating_sub(settled + failed) }
    }
}

/// Rails that did not answer at all in this round. A rail's own error is an answer, about one payment.
#[derive(Default)]
struct Silent(Mutex<HashMap<String, u32>>);

impl Silent {
    /// So many payments in a row without an answer in time, and a rail is left alone for the rest of the round. The next one
    /// begins with those that were not asked about.
    const PATIENCE: u32 = 16;

    fn is_down(&self, rail: &str) -> bool {
        let rails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rails.get(rail).is_some_and(|silences| *silences >= Self::PATIENCE)
    }

    fn note(&self, rail: &str, answered: bool) {
        let mut rails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silences = rails.entry(rail.to_owned()).or_default();
        *silences = if answered { 0 } else { silences.saturating_add(1) };
    }
}

/// What became of one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Settled,
    Failed,
    Pending,
    NotAsked,
}

impl Inner {
    /// Asks about every payment that has not changed since `before` and whose wait is over.
    async fn ask_all(&self, before: UnixMs, round: &mut Round) -> Result<(), StoreError> {
        let mut claims = self.store.unresolved(before, LISTED).await?;
        round.listed = claims.len();
        let ids: HashSet<&ClaimId> = claims.iter().map(|claim| &claim.new.id).collect();
        // Others have resolved them.
        round.waits.of.retain(|id, _| ids.contains(id));
        claims.retain(|claim| round.waits.get(&claim.new.id).left_ms == 0);
        // Stable: among those asked about equally often the oldest comes first.
        claims.sort_by_key(|claim| round.waits.get(&claim.new.id).times);
        let silent = Silent::default();
        let patience = Duration::from_millis(round.waits.options.ask_timeout_ms);
        let asked = stream::iter(claims).map(|claim| async {
            let fate = self.resolve(&claim, patience, &silent).await;
            (claim.new.id, fate)
        });
        let mut asked = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
        while let Some((id, fate)) = asked.next().await {
            round.note(id, fate);
        }
        Ok(())
    }

    async fn resolve(&self, claim: &Claim, patience: Duration, silent: &Silent) -> Fate {
        let (id, plan) = (&claim.new.id, &claim.new.plan);
        let Some(rail) = self.rails.get(&plan.rail) else {
            tracing::error!(claim = %id, rail = %plan.rail, "no rail of that name is configured: a payment stays unresolved");
            return Fate::Pending;
        };
        if silent.is_down(&plan.rail) {
            return Fate::NotAsked;
        }
        let asked = ask(rail, claim, self.clock.now());
        let answer = tokio::time::timeout(patience, asked).await.unwrap_or(Err(NoAnswer::TimedOut));
        silent.note(&plan.rail, !matches!(answer, Err(NoAnswer::TimedOut)));
        let step = match answer {
            Ok(Resolution::Settled(settled)) => ClaimStep::Settled { settled, delivery: Delivery::Later },
            Ok(Resolution::Failed { why, reservation }) => {
                ClaimStep::Failed { why: shortened(why), reservation }
            }
            Ok(Resolution::Pending) => return Fate::Pending,
            Err(error) => {
                tracing::warn!(claim = %id, rail = %plan.rail, %error, "a rail did not say what became of a payment");
                return Fate::Pending;
            }
        };
        let fate = if matches!(step, ClaimStep::Failed { .. }) { Fate::Failed } else { Fate::Settled };
        match self.store.advance(id, step, self.clock.now()).await {
            // Whoever was settling it has finished meanwhile: resolved as well.
            Ok(()) | Err(AdvanceError::WrongState { .. } | AdvanceError::Unknown { .. }) => fate,
            Err(error) => {
                tracing::error!(claim = %id, %error, "what became of a payment could not be recorded");
                Fate::Pending
            }
        }
    }
}

/// Why a rail did not say what became of a payment.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{0}")]
    Error(String),
    #[error("the rail panicked")]
    Panicked,
    #[error("the rail took too long")]
    TimedOut,
}

/// Ends a task when nobody waits for it any more.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks in a task of its own, so that a rail that panics over one payment does not end the others.
async fn ask(rail: &Arc<dyn Verifier>, claim: &Claim, now: UnixMs) -> Result<Resolution, NoAnswer> {
    let (rail, plan) = (Arc::clone(rail), claim.new.plan.clone());
    let task = tokio::spawn(async move { rail.resolve(&plan, now).await });
    let _abort = AbortOnDrop(task.abort_handle());
    match task.await {
        Ok(answer) => answer.map_err(NoAnswer::Error),
        Err(_) => Err(NoAnswer::Panicked),
    }
}

/// A reason that fits the store.
fn shortened(mut why: String) -> String {
    const MOST: usize = 1_000;
    if why.len() > MOST {
        let end = (0..=MOST).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0);
        why.truncate(end);
    }
    why
}

#[cfg(test)]
mod tests;
