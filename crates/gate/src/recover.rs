//! Payments whose outcome is not known: asked about before serving, and again until it is known. Such a payment is never
//! charged again and never granted meanwhile; once settled it is a credit that the same credential redeems.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{AdvanceError, Claim, ClaimStep, Delivery, Resolution, StoreError, Verifier};
use futures_util::{StreamExt, stream};

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
    /// Payments whose outcome is still not known.
    pub pending: usize,
}

/// How [`Gate::resolver`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolverOptions {
    /// How long a settlement may take before the rail is asked about it, in milliseconds.
    pub older_than_ms: u64,
    /// The shortest wait between two rounds, in milliseconds.
    pub min_wait_ms: u64,
    /// The longest wait, reached by doubling while nothing gets resolved, in milliseconds.
    pub max_wait_ms: u64,
    /// How long a final claim is kept after its challenge has expired, in milliseconds: so long a replay is told apart from
    /// an expired challenge.
    pub keep_final_ms: u64,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self { older_than_ms: 30_000, min_wait_ms: 1_000, max_wait_ms: 60_000, keep_final_ms: 7 * 86_400_000 }
    }
}

/// Payments that are asked about at once.
const AT_ONCE: usize = 8;
/// How many payments one look into the store lists.
const PAGE: usize = 256;
/// Final claims that are forgotten a round.
const PRUNED: usize = 1_000;
/// How long a rail may take to say what became of one payment.
const PATIENCE: Duration = Duration::from_secs(30);

impl Gate {
    /// Brings the store in order after a stop of any kind: gives every lease back, and asks the rails about every payment
    /// whose outcome is not known. Runs before serving, by the one process that owns the store.
    ///
    /// # Errors
    /// [`StoreError`]. A rail that does not answer is no error: its payments stay pending, and the resolver asks again.
    pub async fn recover(&self) -> Result<Recovered, StoreError> {
        let inner = self.inner();
        let now = inner.clock.now();
        let released = inner.store.release_leases(now).await?;
        let resolved = inner.resolve_before(now).await?;
        Ok(Recovered { released, ..resolved })
    }

    /// Asks the rails, again and again, about payments whose outcome has not been known for a while, and forgets final
    /// claims that are old. Never returns: run it in a task of its own beside the server, and drop it to stop it.
    pub async fn resolver(&self, options: ResolverOptions) {
        let inner = self.inner();
        let mut wait_ms = options.min_wait_ms;
        loop {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let now = inner.clock.now();
            let ago = |ms: u64| UnixMs::from_ms(now.as_ms().saturating_sub(ms));
            let slower = wait_ms.saturating_mul(2).min(options.max_wait_ms);
            wait_ms = match inner.resolve_before(ago(options.older_than_ms)).await {
                Ok(Recovered { settled: 0, failed: 0, pending, .. }) if pending > 0 => slower,
                Ok(_) => options.min_wait_ms,
                Err(error) => {
                    tracing::error!(%error, "unresolved payments could not be listed");
                    slower
                }
            };
            if let Err(error) = inner.store.prune(ago(options.keep_final_ms), PRUNED).await {
                tracing::error!(%error, "old claims could not be forgotten");
            }
        }
    }
}

/// Rails that have not answered in this round.
#[derive(Default)]
struct Silent(Mutex<HashMap<String, u32>>);

impl Silent {
    /// So many failures in a row, and a rail is left alone for the rest of the round: a rail that is down must not keep a
    /// gate from serving for as long as there are payments to ask about.
    const PATIENCE: u32 = 16;

    fn is_down(&self, rail: &str) -> bool {
        let rails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rails.get(rail).is_some_and(|failures| *failures >= Self::PATIENCE)
    }

    fn note(&self, rail: &str, answered: bool) {
        let mut rails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = rails.entry(rail.to_owned()).or_default();
        *failures = if answered { 0 } else { failures.saturating_add(1) };
    }
}

/// What became of one payment.
enum Fate {
    Settled,
    Failed,
    Pending,
}

impl Inner {
    /// Asks about every payment that has not changed since `before`.
    async fn resolve_before(&self, before: UnixMs) -> Result<Recovered, StoreError> {
        let mut sum = Recovered::default();
        let silent = Silent::default();
        loop {
            // Those that stay pending are the oldest and are listed again: look past them.
            let limit = sum.pending + PAGE;
            let claims = self.store.unresolved(before, limit).await?;
            let (listed, skipped) = (claims.len(), sum.pending);
            let fates: Vec<Fate> = stream::iter(claims.into_iter().skip(skipped))
                .map(|claim| self.resolve(claim, &silent))
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            let asked = fates.len();
            for fate in fates {
                match fate {
                    Fate::Settled => sum.settled += 1,
                    Fate::Failed => sum.failed += 1,
                    Fate::Pending => sum.pending += 1,
                }
            }
            if listed < limit || asked == 0 {
                return Ok(sum);
            }
        }
    }

    async fn resolve(&self, claim: Claim, silent: &Silent) -> Fate {
        let (id, plan) = (&claim.new.id, &claim.new.plan);
        let Some(rail) = self.rails.get(&plan.rail) else {
            tracing::error!(claim = %id, rail = %plan.rail, "no rail of that name is configured: a payment stays unresolved");
            return Fate::Pending;
        };
        if silent.is_down(&plan.rail) {
            return Fate::Pending;
        }
        let answer = ask(rail, &claim, self.clock.now()).await;
        silent.note(&plan.rail, answer.is_ok());
        let step = match answer {
            Ok(Resolution::Settled(settled)) => ClaimStep::Settled { settled, delivery: Delivery::Later },
            Ok(Resolution::Failed { why }) => ClaimStep::Failed { why: shortened(why) },
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

/// Asks in a task of its own, so that a rail that panics or hangs over one payment does not keep the others waiting.
async fn ask(rail: &Arc<dyn Verifier>, claim: &Claim, now: UnixMs) -> Result<Resolution, String> {
    let (rail, plan) = (Arc::clone(rail), claim.new.plan.clone());
    let task = tokio::spawn(async move { rail.resolve(&plan, now).await });
    let abort = task.abort_handle();
    match tokio::time::timeout(PATIENCE, task).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err("the rail panicked".into()),
        Err(_) => {
            abort.abort();
            Err("the rail took too long".into())
        }
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
