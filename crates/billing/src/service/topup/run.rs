//! What a driver of top-ups does: [`Billing::topup_next`] says what is to be done for one rule and makes sure that nobody else
//! does it at the same time; [`Billing::topup_told`] takes in what the source said. Between the two nothing is held in memory: a
//! driver that ends anywhere is followed by any other.
//!
//! | the process ends | and then |
//! |---|---|
//! | before the attempt is written | nothing happened |
//! | after that, before the source was asked | the source has never heard of it, and is asked under the same name |
//! | after the source took the money, before it is credited | the source says so, and it is credited under the attempt's name |
//! | after the credit | the credit, the state and the event were one commit |

use farthing_ledger::record::{Order, Scan, Version};
use farthing_ledger::store::MAX_PAGE;
use farthing_ledger::{AccountId, Timestamp};
use farthing_money::Asset;

use super::kept::{self, Attempt, AttemptState, DeclinedBecause, Rule};
use super::{Outcome, RuleState};
use crate::id::{CustomerId, GroupId};
use crate::service::asset::AssetDoc;
use crate::service::event::EventKind;
use crate::service::names::Named as _;
use crate::service::wallet::{MovementKind, Wish, stale_or};
use crate::service::{ATTEMPTS, Billing, Cx, Document, Draft, Fate, ServiceError, Stored, TenantId, read_id};
use crate::topup::{Action, Attempt as Asked, Event, Notice, State};

/// How long a source has to answer before somebody else looks after an attempt, in milliseconds; twice as long each time.
const LOOK_FIRST_MS: u64 = 60_000;
/// Never longer.
const LOOK_LONGEST_MS: u64 = 3_600_000;

/// Whose rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName {
    /// The tenant.
    pub tenant: TenantId,
    /// The customer.
    pub customer: CustomerId,
    /// The asset's code.
    pub asset: String,
}

/// A rule that a driver watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Whose.
    pub rule: RuleName,
    /// Ledger accounts whose movement may take the balance under the threshold.
    pub accounts: Vec<AccountId>,
}

/// A source is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whose rule.
    pub rule: RuleName,
    /// The attempt, with its source, amount and beginning.
    pub attempt: Attempt,
    /// What is counted.
    pub asset: Asset,
}

/// What is to be done for a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until the balance changes.
    Nothing,
    /// Nothing before this instant.
    At(Timestamp),
    /// Charge the source, and tell what it said.
    Charge(Box<Ask>),
    /// Ask the source what became of the attempt, and tell what it said.
    Lookup(Box<Ask>),
}

/// A rule as it was read, and what it is about.
struct Read {
    was: Stored<Rule>,
    asset: AssetDoc,
}

impl RuleName {
    fn of_key(key: &str) -> Option<Self> {
        let mut parts = key.splitn(3, '/');
        let tenant = TenantId::from_u128(u128::from_str_radix(parts.next()?, 16).ok()?);
        let customer = CustomerId::read(parts.next()?).ok()?;
        Some(Self { tenant, customer, asset: parts.next()?.to_owned() })
    }

    fn key(&self) -> String {
        kept::rule_key(self.customer, &self.asset)
    }
}

impl Billing {
    /// Rules of all tenants, at most `limit`, after the one whose cursor is `after`; and the next cursor.
    ///
    /// # Errors
    /// The store's.
    pub async fn topup_rules(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<RuleName>, Option<String>), ServiceError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let (table, prefix, order) = (Rule::TABLE, String::new(), Order::Ascending);
        let records = self.store().scan(Scan { table, prefix, after, order, limit }).await?;
        let next = records.last().filter(|_| records.len() == limit).map(|last| last.key.clone());
        Ok((records.iter().filter_map(|record| RuleName::of_key(&record.key)).collect(), next))
    }

    /// What is to be done for a rule now. What it answers to do, nobody else is told at the same time, unless the caller takes
    /// longer than a minute; then the same name makes it harmless.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when a rule's asset is gone, and the store's.
    pub async fn topup_next(&self, cx: &Cx, rule: &RuleName) -> Result<Next, ServiceError> {
        for _ in 0..ATTEMPTS {
            let Some(read) = self.read_rule(cx, rule).await? else { return Ok(Next::Nothing) };
            let next = match read.was.doc.topup.state() {
                State::Charging(_) | State::Crediting(_) => self.look_after(cx, rule, &read).await?,
                State::Paused => Some(Next::Nothing),
                _ if !read.was.doc.enabled => Some(Next::Nothing),
                State::BackingOff { until } if cx.now < until => Some(Next::At(until)),
                State::Idle | State::BackingOff { .. } => self.look_at_balance(cx, rule, &read).await?,
            };
            if let Some(next) = next {
                return Ok(next);
            }
        }
        Err(ServiceError::Contention)
    }

    /// The ledger accounts from which a rule's customer spends.
    ///
    /// # Errors
    /// As [`Billing::topup_next`].
    pub async fn topup_watched(&self, cx: &Cx, rule: &RuleName) -> Result<Watched, ServiceError> {
        let wallet = self.ensure_wallet(cx, rule.customer, &rule.asset).await?;
        Ok(Watched { rule: rule.clone(), accounts: wallet.accounts() })
    }

    /// Takes in what the source said of an attempt. Old news change nothing.
    ///
    /// # Errors
    /// As [`Billing::topup_next`].
    pub async fn topup_told(
        &self,
        cx: &Cx,
        (rule, attempt): (&RuleName, &str),
        outcome: &Outcome,
    ) -> Result<Next, ServiceError> {
        let id = read_id("top", attempt).map(GroupId::from_u128);
        for _ in 0..ATTEMPTS {
            let Some(read) = self.read_rule(cx, rule).await? else { return Ok(Next::Nothing) };
            let Some(asked) = read.was.doc.topup.attempt().filter(|asked| Some(asked.id) == id) else {
                return Ok(Next::Nothing);
            };
            let next = match outcome {
                Outcome::Charged { reference } => self.charged(cx, &read, asked, reference).await?,
                Outcome::Declined { class, code, message } => {
                    let because = DeclinedBecause {
                        class: (*class).into(),
                        code: code.chars().take(100).collect(),
                        message: message.chars().take(500).collect(),
                    };
                    self.declined(cx, &read, (asked, *class), because).await?
                }
                Outcome::NotFound => self.not_found(cx, rule, &read, asked).await?,
                Outcome::Unknown { why } => self.unknown(cx, &read, asked, why).await?,
            };
            if let Some(next) = next {
                return Ok(next);
            }
        }
        Err(ServiceError::Contention)
    }

    async fn read_rule(&self, cx: &Cx, rule: &RuleName) -> Result<Option<Read>, ServiceError> {
        let Some(was) = self.find::<Rule>(cx, &rule.key()).await? else { return Ok(None) };
        Ok(Some(Read { was, asset: self.asset(cx, &rule.asset).await? }))
    }

    /// Begins an attempt when the balance is under the threshold. `None`: somebody else was faster.
    async fn look_at_balance(
        &self,
        cx: &Cx,
        rule: &RuleName,
        read: &Read,
    ) -> Result<Option<Next>, ServiceError> {
        // On a shared store, what another process committed may be seen late. The rule was written by the last credit at the
        // earliest, so a balance that is read once that commit is seen includes it.
        self.store().changed(Version(read.was.revision.0.saturating_sub(1))).await?;
        let as_of = self.store().head().await?.seq;
        let wallet = self.ensure_wallet(cx, rule.customer, &rule.asset).await?;
        let available = self.balances(cx, &wallet).await?.available;
        let mut doc = read.was.doc.clone();
        let new = GroupId::from(cx.id);
        let actions = doc.topup.handle(Event::Balance { available, as_of, new }, cx.now);
        let mut draft = Draft::new();
        let next = match actions.first() {
            Some(Action::Charge(asked)) => {
                doc.look_at_ms = cx.now.unix_ms().saturating_add(LOOK_FIRST_MS);
                let attempt = begun(&doc, *asked, cx.now);
                draft.create(cx, &doc.attempt_key(*asked), &attempt)?;
                let asset = read.asset.view().asset.clone();
                Next::Charge(Box::new(Ask { rule: rule.clone(), attempt, asset }))
            }
            Some(Action::Tell(Notice::CapReached)) => {
                draft.tell(cx, EventKind::TopUpCapReached, &doc.view())?;
                Next::Nothing
            }
            _ => return Ok(Some(Next::Nothing)),
        };
        doc.updated_ms = cx.now.unix_ms();
        draft.replace(cx, &read.was, &doc)?;
        let fate = self.commit(cx, draft, &()).await?;
        Ok(matches!(fate, Fate::Applied { .. }).then_some(next))
    }

    /// An attempt is under way: whoever moves the time on at which it is looked after, looks.
    async fn look_after(&self, cx: &Cx, rule: &RuleName, read: &Read) -> Result<Option<Next>, ServiceError> {
        let mut doc = read.was.doc.clone();
        if cx.now.unix_ms() < doc.look_at_ms {
            return Ok(Some(Next::At(Timestamp::from_unix_ms(doc.look_at_ms))));
        }
        let next = match doc.topup.handle(Event::Recovered, cx.now).first() {
            Some(Action::Reconcile(asked)) => {
                let attempt = self.attempt(cx, &doc, *asked).await?.doc;
                doc.look_at_ms = cx.now.unix_ms().saturating_add(wait_ms(attempt.asked));
                let asset = read.asset.view().asset.clone();
                Next::Lookup(Box::new(Ask { rule: rule.clone(), attempt, asset }))
            }
            Some(Action::Credit(asked)) => {
                let attempt = self.attempt(cx, &doc, *asked).await?;
                return self.credit_attempt(cx, read, attempt, doc).await;
            }
            _ => return Ok(Some(Next::Nothing)),
        };
        let mut draft = Draft::new();
        draft.replace(cx, &read.was, &doc)?;
        let fate = self.commit(cx, draft, &()).await?;
        Ok(matches!(fate, Fate::Applied { .. }).then_some(next))
    }

    async fn charged(
        &self,
        cx: &Cx,
        read: &Read,
        asked: Asked,
        reference: &str,
    ) -> Result<Option<Next>, ServiceError> {
        let mut doc = read.was.doc.clone();
        let mut attempt = self.attempt(cx, &doc, asked).await?;
        attempt.doc.reference = Some(reference.chars().take(255).collect());
        let _ = doc.topup.handle(Event::Charged(asked.id), cx.now);
        self.credit_attempt(cx, read, attempt, doc).await
    }

    /// The credit under the attempt's name, the rule at rest, the attempt's end and the events, as one.
    async fn credit_attempt(
        &self,
        cx: &Cx,
        read: &Read,
        mut attempt: Stored<Attempt>,
        mut doc: Rule,
    ) -> Result<Option<Next>, ServiceError> {
        let Some(asked) = doc.topup.attempt() else { return Ok(Some(Next::Nothing)) };
        let crediting = doc.clone();
        let as_of = self.store().head().await?.seq.saturating_add(1);
        let _ = doc.topup.handle(Event::Credited { id: asked.id, as_of }, cx.now);
        doc.updated_ms = cx.now.unix_ms();
        attempt.doc.state = AttemptState::Succeeded;
        attempt.doc.note = None;
        attempt.doc.ended_ms = Some(cx.now.unix_ms());
        let wish = Wish {
            group: asked.id,
            kind: MovementKind::TopUp,
            amount: asked.amount,
            reference: attempt.doc.reference.clone(),
            reason: Some(attempt.doc.id.clone()),
        };
        let wallet = self.ensure_wallet(cx, doc.customer, &doc.asset).await?;
        let mut draft = Draft::new();
        self.draft_movement(cx, &mut draft, &wallet, &wish).await?;
        draft.replace(cx, &read.was, &doc)?.replace(cx, &attempt, &attempt.doc)?;
        draft.tell(cx, EventKind::TopUpSucceeded, &attempt.doc)?;
        match self.commit(cx, draft, &()).await? {
            Fate::Applied { .. } => Ok(Some(Next::Nothing)),
            Fate::Again => Ok(None),
            Fate::Refused { outcomes } => match stale_or(&outcomes, &wish) {
                Ok(()) => Ok(None),
                Err(error) => self.credit_refused(cx, read, (attempt, crediting), &error).await,
            },
        }
    }

    /// The money was taken and the ledger does not credit it. It is kept that it was taken, and it is tried again.
    async fn credit_refused(
        &self,
        cx: &Cx,
        read: &Read,
        (mut attempt, mut doc): (Stored<Attempt>, Rule),
        error: &ServiceError,
    ) -> Result<Option<Next>, ServiceError> {
        attempt.doc.state = AttemptState::Crediting;
        attempt.doc.note = Some(format!("the money was taken, and the ledger does not credit it: {error}"));
        attempt.doc.ended_ms = None;
        attempt.doc.asked = attempt.doc.asked.saturating_add(1);
        doc.look_at_ms = cx.now.unix_ms().saturating_add(wait_ms(attempt.doc.asked));
        let at = Timestamp::from_unix_ms(doc.look_at_ms);
        self.write(cx, (read, &doc), &attempt, None).await.map(|done| done.then_some(Next::At(at)))
    }

    async fn declined(
        &self,
        cx: &Cx,
        read: &Read,
        (asked, class): (Asked, crate::topup::Decline),
        because: DeclinedBecause,
    ) -> Result<Option<Next>, ServiceError> {
        let mut doc = read.was.doc.clone();
        let mut attempt = self.attempt(cx, &doc, asked).await?;
        let _ = doc.topup.handle(Event::Declined(asked.id, class), cx.now);
        attempt.doc.state = AttemptState::Declined;
        attempt.doc.declined = Some(because.clone());
        attempt.doc.note = None;
        attempt.doc.ended_ms = Some(cx.now.unix_ms());
        let next = match doc.topup.state() {
            State::BackingOff { until } => Next::At(until),
            _ => Next::Nothing,
        };
        if doc.topup.state() == State::Paused {
            doc.paused_because = Some(because);
        }
        doc.updated_ms = cx.now.unix_ms();
        let tell = Some(EventKind::TopUpDeclined);
        self.write(cx, (read, &doc), &attempt, tell).await.map(|done| done.then_some(next))
    }

    async fn not_found(
        &self,
        cx: &Cx,
        rule: &RuleName,
        read: &Read,
        asked: Asked,
    ) -> Result<Option<Next>, ServiceError> {
        let mut doc = read.was.doc.clone();
        let Some(Action::Charge(asked)) =
            doc.topup.handle(Event::NotFound(asked.id), cx.now).first().copied()
        else {
            return Ok(Some(Next::Nothing));
        };
        let mut attempt = self.attempt(cx, &doc, asked).await?;
        attempt.doc.asked = attempt.doc.asked.saturating_add(1);
        doc.look_at_ms = cx.now.unix_ms().saturating_add(wait_ms(attempt.doc.asked));
        let asset = read.asset.view().asset.clone();
        let ask = Ask { rule: rule.clone(), attempt: attempt.doc.clone(), asset };
        let done = self.write(cx, (read, &doc), &attempt, None).await?;
        Ok(done.then(|| Next::Charge(Box::new(ask))))
    }

    async fn unknown(
        &self,
        cx: &Cx,
        read: &Read,
        asked: Asked,
        why: &str,
    ) -> Result<Option<Next>, ServiceError> {
        let mut doc = read.was.doc.clone();
        if doc.topup.handle(Event::Unknown(asked.id), cx.now).is_empty() {
            return Ok(Some(Next::Nothing));
        }
        let mut attempt = self.attempt(cx, &doc, asked).await?;
        attempt.doc.note = Some(why.chars().take(300).collect());
        attempt.doc.asked = attempt.doc.asked.saturating_add(1);
        doc.look_at_ms = cx.now.unix_ms().saturating_add(wait_ms(attempt.doc.asked));
        let at = Timestamp::from_unix_ms(doc.look_at_ms);
        self.write(cx, (read, &doc), &attempt, None).await.map(|done| done.then_some(Next::At(at)))
    }

    /// Writes the rule and the attempt as one, and what is told of it. Whether it was written.
    async fn write(
        &self,
        cx: &Cx,
        (read, doc): (&Read, &Rule),
        attempt: &Stored<Attempt>,
        tell: Option<EventKind>,
    ) -> Result<bool, ServiceError> {
        let mut draft = Draft::new();
        draft.replace(cx, &read.was, doc)?.replace(cx, attempt, &attempt.doc)?;
        if let Some(kind) = tell {
            draft.tell(cx, kind, &attempt.doc)?;
            let (before, after) = (read.was.doc.view().state, doc.view());
            if after.state == RuleState::Paused && before != RuleState::Paused {
                draft.tell(cx, EventKind::TopUpPaused, &after)?;
            }
        }
        Ok(matches!(self.commit(cx, draft, &()).await?, Fate::Applied { .. }))
    }

    async fn attempt(&self, cx: &Cx, doc: &Rule, asked: Asked) -> Result<Stored<Attempt>, ServiceError> {
        self.get::<Attempt>(cx, &doc.attempt_key(asked)).await
    }
}

fn begun(doc: &Rule, asked: Asked, now: Timestamp) -> Attempt {
    Attempt {
        id: kept::attempt_id(asked),
        customer: doc.customer,
        asset: doc.asset.clone(),
        amount: asked.amount,
        source: doc.source.clone(),
        state: AttemptState::Charging,
        reference: None,
        declined: None,
        note: None,
        asked: 1,
        created_ms: now.unix_ms(),
        ended_ms: None,
    }
}

/// How long to wait before somebody looks after an attempt that was asked for so often.
fn wait_ms(asked: u32) -> u64 {
    let doubled = 1_u64.checked_shl(asked.saturating_sub(1).min(16)).unwrap_or(u64::MAX);
    LOOK_FIRST_MS.saturating_mul(doubled).min(LOOK_LONGEST_MS)
}
