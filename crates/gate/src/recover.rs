//! Payments that are open: their outcome is not known, nobody serves them any more, or they are to be given back. They are looked
//! at before serving, and again until they are closed. A payment whose outcome is not known is never charged again and never
//! granted meanwhile; once settled it is a credit that the same credential redeems.
//!
//! Serving does not have to wait for it: a claim that is not resolved stays `Settling`, and its credential is answered 409
//! until it is. So what is asked before serving is bounded in time, and the rest is left to [`Gate::resolver`].
//!
//! Each payment has waits of its own: payments whose outcome can never be learned do not keep the others waiting, and one error
//! says nothing about the next payment. Any number of processes may do this over one store: every step names the state that
//! it starts from, and whoever comes second learns that it was taken.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimState, ClaimStep, Delivery, Listed, Page, ReservationFate, Resolution,
    StoreError, Verifier,
};
use futures_util::{StreamExt, stream};
use tokio::task::AbortHandle;

use crate::gate::{Gate, Inner};
use crate::observe::{GateEvent, Resolved, Undelivered};
use crate::waits::{Silent, Waits};

/// What became of the payments that were unresolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Deliveries that a crash had interrupted: credits again.
    pub released: usize,
    /// Payments that turned out to be settled: credits now.
    pub settled: usize,
    /// Payments that turned out to have failed.
    pub failed: usize,
    /// Reservations whose process has gone: nothing was charged.
    pub abandoned: usize,
    /// Payments that turned out to have been given back.
    pub refunded: usize,
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
    /// How long a payment that is to be given back is left for its payer to come for the call again, in milliseconds.
    pub refund_after_ms: u64,
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
            refund_after_ms: 60_000,
            keep_final_ms: 7 * 86_400_000,
        }
    }
}

/// Payments that are asked about at once.
const AT_ONCE: usize = 16;
/// Payments that are listed at a time.
const PAGE: usize = 1_000;
/// Final claims that are forgotten a round.
const PRUNED: usize = 1_000;

impl Gate {
    /// How long [`recover`](Self::recover) asks the rails: ten seconds.
    pub const RECOVER_MS: u64 = 10_000;

    /// Brings the store in order after a stop of any kind: gives leases back that nobody can hold any more, and asks the rails about every payment
    /// whose outcome is not known, for at most [`RECOVER_MS`](Self::RECOVER_MS). Runs before serving.
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
        inner.ask_epoch().await?;
        let released = inner.store.release_leases(now).await?;
        let mut round = Round::new(Waits::new(ResolverOptions::default()));
        let all = async {
            for listed in [Listed::Abandoned, Listed::Settling, Listed::Refunding] {
                inner.look_at(listed, now, &mut round).await?;
            }
            Ok(())
        };
        let asked = tokio::time::timeout(Duration::from_millis(limit_ms), all);
        match asked.await {
            Ok(asked) => asked?,
            Err(_) => tracing::warn!(
                "not every payment in flight was looked up in time; they are asked about later"
            ),
        }
        Ok(Recovered { released, ..round.sum() })
    }

    /// Asks the rails, again and again, about payments whose outcome has not been known for a while, gives up reservations of
    /// processes that have gone and makes credits of their deliveries, gives back what is to be given back, and forgets final claims that are old. Credits are kept for
    /// ever, and their answers with them: their payers have paid. Never returns: run it in a task of its own beside the server, and drop it to stop it.
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
            wait_ms = match inner.round(now, &mut round).await {
                Ok(()) => round.waits.pause_ms(),
                Err(error) => {
                    inner.observer.observe(GateEvent::StoreError { during: "list" });
                    tracing::error!(%error, "unresolved payments could not be listed");
                    wait_ms.saturating_mul(2).min(options.max_wait_ms).max(1)
                }
            };
            waits = round.waits;
            if let Err(error) = inner.store.prune(ago(keep_ms), PRUNED).await {
                inner.observer.observe(GateEvent::StoreError { during: "prune" });
                tracing::error!(%error, "old claims could not be forgotten");
            }
        }
    }
}

/// One look at every open payment. It may end before all of them were looked at.
struct Round {
    waits: Waits,
    /// Everything that is open.
    seen: HashSet<ClaimId>,
    silent: Silent,
    /// Payments whose outcome was not known.
    unknown: usize,
    sum: Recovered,
}

impl Round {
    fn new(waits: Waits) -> Self {
        let (seen, silent) = (HashSet::new(), Silent::default());
        Self { waits, seen, silent, unknown: 0, sum: Recovered::default() }
    }

    fn note(&mut self, id: ClaimId, fate: Fate) {
        match fate {
            Fate::Settled => self.sum.settled += 1,
            Fate::Failed => self.sum.failed += 1,
            Fate::Abandoned => self.sum.abandoned += 1,
            Fate::Refunded => self.sum.refunded += 1,
            Fate::Closed => {}
            Fate::Pending => return self.waits.lengthen(id),
            Fate::NotAsked => return,
        }
        self.waits.forget(&id);
    }

    const fn sum(&self) -> Recovered {
        let Recovered { settled, failed, .. } = self.sum;
        Recovered { pending: self.unknown.saturating_sub(settled + failed), ..self.sum }
    }
}

/// What became of one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Settled,
    Failed,
    /// Nothing was asked of its payer, and nothing will be.
    Abandoned,
    Refunded,
    /// Somebody else has seen to it, or there is nothing to be done.
    Closed,
    Pending,
    NotAsked,
}

impl Fate {
    const fn observed(self) -> Option<Resolved> {
        match self {
            Self::Settled => Some(Resolved::Settled),
            Self::Failed => Some(Resolved::Failed),
            Self::Pending => Some(Resolved::Pending),
            _ => None,
        }
    }
}

impl Inner {
    async fn round(&self, now: UnixMs, round: &mut Round) -> Result<(), StoreError> {
        let ResolverOptions { older_than_ms, refund_after_ms, .. } = round.waits.options;
        let ago = |ms: u64| UnixMs::from_ms(now.as_ms().saturating_sub(ms));
        self.ask_epoch().await?;
        for (listed, before) in [
            (Listed::Abandoned, now),
            // Twice its lease: one that was only cut off from the store has renewed it by then, or serves no more.
            (Listed::Interrupted, ago(self.lease_ms)),
            (Listed::Settling, ago(older_than_ms)),
            (Listed::Refunding, ago(older_than_ms)),
            (Listed::RefundDue, ago(refund_after_ms)),
        ] {
            self.look_at(listed, before, round).await?;
        }
        round.waits.keep(&round.seen);
        Ok(())
    }

    /// Looks at every payment of one kind that has not changed since `before` and whose wait is over.
    async fn look_at(&self, listed: Listed, before: UnixMs, round: &mut Round) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = Page { before, after: after.take(), limit: PAGE };
            let claims = self.store.list(listed, page).await?;
            let is_last = claims.len() < PAGE;
            after = claims.last().map(|claim| (claim.changed, claim.new.id.clone()));
            self.look_at_page(listed, claims, round).await;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn look_at_page(&self, listed: Listed, mut claims: Vec<Claim>, round: &mut Round) {
        if listed == Listed::Settling {
            round.unknown += claims.len();
        }
        round.seen.extend(claims.iter().map(|claim| claim.new.id.clone()));
        claims.retain(|claim| round.waits.get(&claim.new.id).left_ms == 0);
        // Stable: among those looked at equally often the oldest comes first.
        claims.sort_by_key(|claim| round.waits.get(&claim.new.id).times);
        let patience = Duration::from_millis(round.waits.options.ask_timeout_ms);
        let silent = std::mem::take(&mut round.silent);
        {
            let looked = stream::iter(claims).map(|claim| async {
                let fate = match listed {
                    Listed::Abandoned => self.give_up(&claim).await,
                    Listed::Interrupted => self.interrupted(&claim).await,
                    Listed::RefundDue => self.refund(&claim, patience).await,
                    Listed::Refunding => self.refunded(&claim, patience).await,
                    Listed::Settling => {
                        let fate = self.resolve(&claim, patience, &silent).await;
                        if let Some(fate) = fate.observed() {
                            self.observer.observe(GateEvent::Resolved { rail: &claim.new.plan.rail, fate });
                        }
                        fate
                    }
                    Listed::Credit | Listed::Delivered => Fate::NotAsked,
                };
                (claim.new.id, fate)
            });
            let mut looked = std::pin::pin!(looked.buffer_unordered(AT_ONCE));
            while let Some((id, fate)) = looked.next().await {
                round.note(id, fate);
            }
        }
        round.silent = silent;
    }

    /// Nobody serves it any more, and nothing was asked of its payer. In its holder's name: without one, the step would fail a
    /// payment that was claimed anew since, and is being settled.
    async fn give_up(&self, claim: &Claim) -> Fate {
        let ClaimState::Reserved { lease } = claim.state else { return Fate::Closed };
        let (why, holder) = ("abandoned".to_owned(), Some(lease.holder));
        let step = ClaimStep::Failed { why, reservation: ReservationFate::Released, holder };
        self.close(&claim.new.id, step, Fate::Abandoned).await
    }

    /// Whoever delivered it has gone. What this process is at work on is not, whatever its lease says.
    async fn interrupted(&self, claim: &Claim) -> Fate {
        let ClaimState::Delivering { lease, .. } = claim.state else { return Fate::Closed };
        let Some(_slot) = self.in_flight.enter(&claim.new.id) else { return Fate::NotAsked };
        let step = ClaimStep::Interrupted { holder: lease.holder };
        match self.store.advance(&claim.new.id, step, self.clock.now()).await {
            Ok(()) => {
                let (route, why) = (&*claim.new.scope, Undelivered::Gone);
                self.observer.observe(GateEvent::Credited { route, why });
                tracing::warn!(claim = %claim.new.id, route, "whoever delivered a paid call has gone: it is a credit again");
                Fate::Closed
            }
            Err(AdvanceError::Store(error)) => {
                self.observer.observe(GateEvent::StoreError { during: "advance" });
                tracing::error!(claim = %claim.new.id, %error, "a delivery that nobody makes could not be ended");
                Fate::Pending
            }
            Err(_) => Fate::Closed,
        }
    }

    /// Takes a step that closes a payment, or finds that somebody else has.
    pub(crate) async fn close(&self, id: &ClaimId, step: ClaimStep, fate: Fate) -> Fate {
        match self.store.advance(id, step, self.clock.now()).await {
            Ok(()) => fate,
            Err(AdvanceError::WrongState { .. } | AdvanceError::Unknown { .. }) => Fate::Closed,
            Err(error) => {
                self.observer.observe(GateEvent::StoreError { during: "advance" });
                tracing::error!(claim = %id, %error, "what became of a payment could not be recorded");
                Fate::Pending
            }
        }
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
                ClaimStep::Failed { why: shortened(why), reservation, holder: None }
            }
            Ok(Resolution::Pending) => return Fate::Pending,
            Err(error) => {
                tracing::warn!(claim = %id, rail = %plan.rail, %error, "a rail did not say what became of a payment");
                return Fate::Pending;
            }
        };
        let fate = if matches!(step, ClaimStep::Failed { .. }) { Fate::Failed } else { Fate::Settled };
        match self.close(id, step, fate).await {
            // Whoever was settling it has finished meanwhile: resolved as well.
            Fate::Closed => fate,
            other => other,
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
pub(crate) struct AbortOnDrop(pub(crate) AbortHandle);

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
pub(crate) fn shortened(mut why: String) -> String {
    const MOST: usize = 1_000;
    if why.len() > MOST {
        let end = (0..=MOST).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0);
        why.truncate(end);
    }
    why
}
