//! [`TopUps`]: the loop that keeps every account with a rule above its threshold. It looks where the ledger moved, where it is
//! told to ([`Nudge`]), and once in a while everywhere; it asks the sources, and tells billing what they said. All decisions are
//! billing's. It holds nothing that a crash could lose, and any number of them work on one store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use farthing_billing::service::topup::Source;
use farthing_billing::service::topup::run::{Ask, Next, RuleName};
use farthing_billing::service::{Billing, Class, Cx, ServiceError, TenantId};
use farthing_ledger::record::Version;
use farthing_ledger::{AccountId, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::source::{Charge, Charged, Found, FundingSource};

/// Makes what a call is told: whose it is, the time, and a fresh id.
pub type MakeCx = Arc<dyn Fn(TenantId) -> Cx + Send + Sync>;

/// Entries of the journal in one reading.
const PAGE: usize = 1_000;
/// Behind by more than this, everything is looked at instead of what moved.
const FAR_BEHIND: u64 = 20_000;
/// What is done for one rule at one time.
const STEPS: usize = 8;
/// Nudges that wait.
const NUDGES: usize = 1_024;
/// How long to wait after the store or a source failed, in milliseconds.
const RETRY_MS: u64 = 5_000;

/// Who pays.
#[derive(Clone, Default)]
pub struct Sources {
    /// Cards.
    pub card: Option<Arc<dyn FundingSource>>,
    /// An account on a chain.
    pub chain: Option<Arc<dyn FundingSource>>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("card", &self.card.is_some())
            .field("chain", &self.chain.is_some())
            .finish()
    }
}

impl Sources {
    fn of(&self, source: &Source) -> Option<&Arc<dyn FundingSource>> {
        match source {
            Source::Card { .. } => self.card.as_ref(),
            Source::Chain => self.chain.as_ref(),
        }
    }
}

/// How the loop behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopUpSettings {
    /// Every rule is looked at so often, whatever moved.
    pub sweep: Duration,
    /// Rules that are worked on at one time.
    pub at_once: usize,
}

impl Default for TopUpSettings {
    fn default() -> Self {
        Self { sweep: Duration::from_secs(30), at_once: 8 }
    }
}

/// Tells the loop that a rule is worth a look: it was changed, or a hold was placed.
#[derive(Debug, Clone)]
pub struct Nudge(mpsc::Sender<RuleName>);

impl Nudge {
    /// Has the rule looked at soon. It never waits: what does not fit is found by the next sweep.
    pub fn look(&self, rule: RuleName) {
        if self.0.try_send(rule).is_err() {
            tracing::debug!("a nudge did not fit: the sweep finds what it was for");
        }
    }
}

/// The loop.
#[derive(Clone)]
pub struct TopUps {
    billing: Billing,
    sources: Sources,
    make_cx: MakeCx,
    settings: TopUpSettings,
}

impl std::fmt::Debug for TopUps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopUps").field("sources", &self.sources).finish_non_exhaustive()
    }
}

/// Which rules are waiting for what.
#[derive(Default)]
struct Agenda {
    /// To be looked at now.
    ready: BTreeSet<RuleName>,
    /// Being looked at.
    busy: BTreeSet<RuleName>,
    /// To be looked at again when they are done.
    again: BTreeSet<RuleName>,
    /// To be looked at then, in milliseconds.
    later: BTreeMap<RuleName, u64>,
    /// Whose money an account is.
    watched: HashMap<AccountId, RuleName>,
    version: Version,
    seq: u64,
}

/// What came of one rule.
struct Done {
    rule: RuleName,
    accounts: Vec<AccountId>,
    again_at: Option<Timestamp>,
}

impl TopUps {
    /// A loop over `billing`.
    #[must_use]
    pub fn new(billing: Billing, sources: Sources, make_cx: MakeCx, settings: TopUpSettings) -> Self {
        Self { billing, sources, make_cx, settings }
    }

    /// Starts the loop; it ends when the task is aborted, or when `stop` is done, after what is under way has been told.
    pub fn start(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> (Nudge, tokio::task::JoinHandle<()>) {
        let (nudge, nudged) = mpsc::channel(NUDGES);
        (Nudge(nudge), tokio::spawn(async move { self.run(nudged, stop).await }))
    }

    async fn run(self, mut nudged: mpsc::Receiver<RuleName>, stop: impl Future<Output = ()> + Send) {
        let mut agenda = Agenda::default();
        let mut working: JoinSet<Done> = JoinSet::new();
        let mut sweeps = tokio::time::interval(self.settings.sweep.max(Duration::from_millis(10)));
        sweeps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            while working.len() < self.settings.at_once.max(1)
                && let Some(rule) = agenda.take()
            {
                let driver = self.clone();
                working.spawn(async move { driver.work(rule).await });
            }
            let wait = agenda.wait(self.now());
            tokio::select! {
                () = &mut stop => break,
                _ = sweeps.tick() => self.sweep(&mut agenda).await,
                Some(rule) = nudged.recv() => agenda.want(rule),
                Some(done) = working.join_next() => agenda.done(done, self.now()),
                moved = self.moved(agenda.version, agenda.seq) => self.follow(&mut agenda, moved).await,
                () = tokio::time::sleep(wait) => agenda.due(self.now()),
            }
        }
        while working.join_next().await.is_some() {}
    }

    fn now(&self) -> Timestamp {
        (self.make_cx)(TenantId::from_u128(0)).now
    }

    /// Everything is looked at.
    async fn sweep(&self, agenda: &mut Agenda) {
        let mut after = None;
        loop {
            match self.billing.topup_rules(after.take(), PAGE).await {
                Ok((rules, next)) => {
                    rules.into_iter().for_each(|rule| agenda.want(rule));
                    match next {
                        Some(next) => after = Some(next),
                        None => return,
                    }
                }
                Err(error) => {
                    return tracing::warn!(code = error.code(), %error, "top-up rules cannot be read");
                }
            }
        }
    }

    /// Waits until the ledger has moved past `seq`.
    async fn moved(&self, version: Version, seq: u64) -> Result<(Version, u64), ServiceError> {
        let store = self.billing.store();
        let version = match store.changed(version).await {
            Ok(version) => version,
            Err(error) => {
                // Not at once again: the store may be away for a while.
                tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
                return Err(error.into());
            }
        };
        let head = store.head().await?.seq;
        Ok((version, head.max(seq)))
    }

    /// Reads what moved, and wants the rules whose accounts it was.
    async fn follow(&self, agenda: &mut Agenda, moved: Result<(Version, u64), ServiceError>) {
        let (version, head) = match moved {
            Ok(moved) => moved,
            Err(error) => return tracing::warn!(code = error.code(), %error, "the ledger cannot be followed"),
        };
        if agenda.version == Version::default() || head.saturating_sub(agenda.seq) > FAR_BEHIND {
            self.sweep(agenda).await;
            agenda.seq = head;
        }
        // Where no account is watched, nothing that moved is worth reading.
        if agenda.watched.is_empty() {
            agenda.seq = head;
        }
        while agenda.seq < head {
            let entries = match self.billing.store().journal(agenda.seq, PAGE).await {
                Ok(entries) => entries,
                Err(error) => {
                    return tracing::warn!(code = error.code(), %error, "the journal cannot be read");
                }
            };
            let Some(last) = entries.last() else { break };
            agenda.seq = last.entry.seq;
            for movement in entries.iter().filter_map(|sealed| sealed.entry.event.movement()) {
                if let Some(rule) = agenda.watched.get(&movement.debit).cloned() {
                    agenda.want(rule);
                }
            }
        }
        agenda.version = version;
    }

    /// Does what is to be done for one rule, until there is nothing, or it is not its time.
    async fn work(&self, rule: RuleName) -> Done {
        let tenant = rule.tenant;
        let cx = || (self.make_cx)(tenant);
        let accounts = match self.billing.topup_watched(&cx(), &rule).await {
            Ok(watched) => watched.accounts,
            Err(error) => return self.failed(rule, Vec::new(), &error),
        };
        let mut next = self.billing.topup_next(&cx(), &rule).await;
        for _ in 0..STEPS {
            let (ask, outcome) = match next {
                Ok(Next::Nothing) => return Done { rule, accounts, again_at: None },
                Ok(Next::At(at)) => return Done { rule, accounts, again_at: Some(at) },
                Ok(Next::Charge(ask)) => {
                    let outcome = self.charge(&ask).await;
                    (ask, outcome.into())
                }
                Ok(Next::Lookup(ask)) => {
                    let outcome = self.lookup(&ask).await;
                    (ask, outcome.into())
                }
                Err(error) => return self.failed(rule, accounts, &error),
            };
            next = self.billing.topup_told(&cx(), (&rule, &ask.attempt.id), &outcome).await;
        }
        Done { rule, accounts, again_at: Some(cx().now) }
    }

    fn failed(&self, rule: RuleName, accounts: Vec<AccountId>, error: &ServiceError) -> Done {
        tracing::warn!(code = error.code(), %error, customer = %rule.customer, asset = rule.asset, "a top-up has to wait");
        let now = self.now().unix_ms();
        let again = matches!(error.class(), Class::Unavailable);
        let again_at = again.then(|| Timestamp::from_unix_ms(now.saturating_add(RETRY_MS)));
        Done { rule, accounts, again_at }
    }

    async fn charge(&self, ask: &Ask) -> Charged {
        match self.sources.of(&ask.attempt.source) {
            Some(source) => source.charge(&self.question(ask)).await,
            // An operator took the source away, perhaps only for now: nothing was charged, and nothing is decided.
            None => Charged::Unknown { why: "no such source is set up".to_owned() },
        }
    }

    async fn lookup(&self, ask: &Ask) -> Found {
        match self.sources.of(&ask.attempt.source) {
            Some(source) => source.lookup(&self.question(ask)).await,
            None => Found::Attempt(Charged::Unknown { why: "no such source is set up".to_owned() }),
        }
    }

    fn question(&self, ask: &Ask) -> Charge {
        Charge {
            attempt: ask.attempt.id.clone(),
            amount: ask.attempt.amount,
            asset: ask.asset.clone(),
            from: ask.attempt.source.clone(),
            began: Timestamp::from_unix_ms(ask.attempt.created_ms),
            now: self.now(),
        }
    }
}

impl Agenda {
    fn want(&mut self, rule: RuleName) {
        if self.busy.contains(&rule) {
            self.again.insert(rule);
        } else {
            self.ready.insert(rule);
        }
    }

    fn take(&mut self) -> Option<RuleName> {
        let rule = self.ready.pop_first()?;
        self.later.remove(&rule);
        self.busy.insert(rule.clone());
        Some(rule)
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>, now: Timestamp) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                // Which rule it was is not known any more: all that are busy are looked at again.
                tracing::error!(%error, "a top-up ended before it was done");
                let busy = std::mem::take(&mut self.busy);
                return self
                    .later
                    .extend(busy.into_iter().map(|rule| (rule, now.unix_ms().saturating_add(RETRY_MS))));
            }
        };
        self.busy.remove(&done.rule);
        let mut is_new = false;
        for account in done.accounts {
            is_new |= self.watched.insert(account, done.rule.clone()).is_none();
        }
        if let Some(at) = done.again_at {
            self.later.insert(done.rule.clone(), at.unix_ms());
        }
        // What moved between the look and now was not watched yet.
        if self.again.remove(&done.rule) || is_new {
            self.ready.insert(done.rule);
        }
    }

    fn due(&mut self, now: Timestamp) {
        let due: Vec<RuleName> =
            self.later.iter().filter(|(_, at)| **at <= now.unix_ms()).map(|(rule, _)| rule.clone()).collect();
        for rule in due {
            self.later.remove(&rule);
            self.want(rule);
        }
    }

    /// How long until something is due.
    fn wait(&self, now: Timestamp) -> Duration {
        let next = self.later.values().min().map_or(3_600_000, |at| at.saturating_sub(now.unix_ms()));
        Duration::from_millis(next.max(1))
    }
}
