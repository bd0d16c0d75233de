//! [`TopUp`]: keeps one account above a threshold, with one attempt at a time, as a state machine without IO.
//!
//! The caller owns a durable row and a funding source. For every [`Event`] it calls [`TopUp::handle`], *writes the state
//! first*, then does what the [`Action`]s say. After a crash it reads the row and handles [`Event::Recovered`]. That is all
//! that is needed for these promises:
//!
//! - never two attempts in flight for one account: a new one starts from [`State::Idle`] only;
//! - what was charged is credited exactly once: the credit's name in the ledger is the attempt's;
//! - an outcome that is not known is asked for until it is, and never charged under another name. The source has to
//!   take the attempt's id as its idempotency key;
//! - one attempt closes the gap, and a day's attempts stay under the cap, those included whose outcome is not known;
//! - a soft decline backs off, longer each time; a hard one pauses the rule, tells, and only a person resumes it.
//!
//! It moves no money and knows no source; how long to wait before asking again about an unknown outcome is the caller's choice. An old balance cannot start an attempt after a credit: balances carry the place
//! in the journal at which they were read.

mod keep;

use farthing_ledger::{Net, Timestamp};
use farthing_money::{Amount, Rounding};
use serde::{Deserialize, Serialize};

use crate::Period;
use crate::id::GroupId;

/// How much one attempt is for. In JSON `{"steps":"500"}` or `{"target":"2000"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// As many times this much as it takes to be at the threshold again.
    Steps(Amount),
    /// What is missing to this much.
    Target(Amount),
}

/// A rule of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopUpRule {
    threshold: Amount,
    size: Size,
    cap_per_day: Amount,
    back_off: BackOff,
    unit: Amount,
}

/// How long to wait after soft declines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackOff {
    /// After the first, in milliseconds; twice as long after each further one.
    pub first_ms: u64,
    /// Never longer, in milliseconds.
    pub longest_ms: u64,
    /// So many in a row pause the rule.
    pub most: u32,
}

/// Why a rule is none. The variants stand in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Nothing would be charged, or the target is under the threshold.
    #[error("a top-up has to bring the balance to the threshold at least")]
    BadSize,
    /// The cap does not allow one attempt.
    #[error("the cap a day is less than one top-up")]
    BadCap,
    /// The source cannot be charged such an amount.
    #[error(
        "the size of a top-up and the cap a day have to be whole units of what the source can be charged"
    )]
    BadUnit,
    /// Waiting for nothing, or no attempt at all.
    #[error("a back-off waits at least a millisecond, and allows at least one decline")]
    BadBackOff,
}

impl RuleError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadSize => "topup_bad_size",
            Self::BadCap => "topup_bad_cap",
            Self::BadUnit => "topup_bad_unit",
            Self::BadBackOff => "topup_bad_back_off",
        }
    }
}

/// One attempt to charge the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Its name: the source's idempotency key, and the credit's name in the ledger.
    pub id: GroupId,
    /// How much.
    pub amount: Amount,
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing is under way.
    Idle,
    /// The source was asked, or is about to be.
    Charging(Attempt),
    /// The source took the money; the account has not got it yet, or that is not known.
    Crediting(Attempt),
    /// A soft decline: nothing before this instant.
    BackingOff {
        /// Until when.
        until: Timestamp,
    },
    /// Nothing until a person resumes it.
    Paused,
}

/// Why the source did not take the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decline {
    /// It may later: no funds, try again.
    Soft,
    /// It never will: stolen, expired, closed, not permitted.
    Hard,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The account was read.
    Balance {
        /// What is available.
        available: Net,
        /// The journal's last entry when it was read.
        as_of: u64,
        /// The name of the attempt, should one begin.
        new: GroupId,
    },
    /// The source says that it took the money.
    Charged(GroupId),
    /// The source says that it did not, and will not under this name.
    Declined(GroupId, Decline),
    /// The source has never heard of the attempt.
    NotFound(GroupId),
    /// The source did not answer, or does not know yet.
    Unknown(GroupId),
    /// The ledger has the credit.
    Credited {
        /// The attempt.
        id: GroupId,
        /// The credit's entry, or a later one.
        as_of: u64,
    },
    /// The process starts, or somebody looks after what takes long.
    Recovered,
    /// A person resumes a paused rule.
    Resumed,
}

/// What to do, once the state is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Charge the source under the attempt's name.
    Charge(Attempt),
    /// Ask the source what became of the attempt.
    Reconcile(Attempt),
    /// Credit the account under the attempt's name.
    Credit(Attempt),
    /// Tell the customer.
    Tell(Notice),
}

/// What a customer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notice {
    /// The account was topped up.
    ToppedUp(Attempt),
    /// A hard decline, or too many soft ones: the rule is paused.
    Paused(Decline),
    /// The cap of the day is reached. Told once a day.
    CapReached,
}

/// A rule and where it stands: what the caller keeps in its row. It is written as JSON, and checked when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "keep::Kept", into = "keep::Kept")]
pub struct TopUp {
    rule: TopUpRule,
    state: State,
    day: Day,
    declines: u32,
    credited_as_of: u64,
}

/// What was attempted on one day and not declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Day {
    start: Timestamp,
    attempted: Amount,
    cap_told: bool,
}

impl TopUpRule {
    /// A rule that keeps `threshold`.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn new(
        threshold: Amount,
        size: Size,
        cap_per_day: Amount,
        back_off: BackOff,
    ) -> Result<Self, RuleError> {
        let (fits, least) = match size {
            Size::Steps(step) => (!step.is_zero(), step),
            Size::Target(target) => (target >= threshold && !target.is_zero(), Amount::from_base(1)),
        };
        if !fits {
            return Err(RuleError::BadSize);
        }
        if cap_per_day < least {
            return Err(RuleError::BadCap);
        }
        if back_off.first_ms == 0 || back_off.longest_ms < back_off.first_ms || back_off.most == 0 {
            return Err(RuleError::BadBackOff);
        }
        Ok(Self { threshold, size, cap_per_day, back_off, unit: Amount::from_base(1) })
    }

    /// The same rule for a source that takes whole multiples of `unit` only, such as a card that pays whole cents.
    ///
    /// # Errors
    /// [`RuleError::BadUnit`] when steps or cap are no multiples of it.
    pub fn in_units_of(self, unit: Amount) -> Result<Self, RuleError> {
        let whole = |amount: Amount| !unit.is_zero() && amount.base().is_multiple_of(unit.base());
        let size = match self.size {
            Size::Steps(amount) | Size::Target(amount) => amount,
        };
        if !whole(size) || !whole(self.cap_per_day) {
            return Err(RuleError::BadUnit);
        }
        Ok(Self { unit, ..self })
    }

    /// It is kept that this much is available.
    #[must_use]
    pub const fn threshold(&self) -> Amount {
        self.threshold
    }

    /// How much one attempt is for.
    #[must_use]
    pub const fn sized(&self) -> Size {
        self.size
    }

    /// The most of a day (UTC).
    #[must_use]
    pub const fn cap_per_day(&self) -> Amount {
        self.cap_per_day
    }

    /// How long to wait after soft declines.
    #[must_use]
    pub const fn back_off(&self) -> BackOff {
        self.back_off
    }

    /// What one attempt has to be for, when `left` may be charged today; nothing when nothing is missing or allowed.
    fn size(&self, available: Net, left: Amount) -> Amount {
        let (has, owes) = match available {
            Net::Plus(has) => (has, Amount::ZERO),
            Net::Minus(owes) => (Amount::ZERO, owes),
        };
        let missing = |to: Amount| match to.checked_sub(has) {
            Ok(gap) => gap.checked_add(owes).unwrap_or(Amount::MAX),
            Err(_) => Amount::ZERO,
        };
        if missing(self.threshold).is_zero() {
            return Amount::ZERO;
        }
        match self.size {
            // What is missing, up to the next whole unit; or as many of them as the cap allows.
            Size::Target(target) => {
                self.whole(missing(target), Rounding::Up).min(self.whole(left, Rounding::Down))
            }
            // Whole steps: as many as it takes, or as many as the cap allows.
            Size::Steps(step) => {
                let steps = |amount: Amount, rounding| amount.checked_div(step.base(), rounding);
                let wanted = steps(missing(self.threshold), Rounding::Up).unwrap_or(Amount::ZERO);
                let allowed = steps(left, Rounding::Down).unwrap_or(Amount::ZERO);
                step.checked_mul(wanted.min(allowed).base()).unwrap_or(Amount::ZERO)
            }
        }
    }

    fn whole(&self, amount: Amount, rounding: Rounding) -> Amount {
        let units = amount.checked_div(self.unit.base(), rounding).unwrap_or(Amount::ZERO);
        units.checked_mul(self.unit.base()).unwrap_or(Amount::ZERO)
    }

    fn wait_ms(&self, declines: u32) -> u64 {
        let doubled = 1_u64.checked_shl(declines.saturating_sub(1)).unwrap_or(u64::MAX);
        self.back_off.first_ms.saturating_mul(doubled).min(self.back_off.longest_ms)
    }
}

impl TopUp {
    /// A rule at rest.
    #[must_use]
    pub fn new(rule: TopUpRule) -> Self {
        Self { rule, state: State::Idle, day: Day::default(), declines: 0, credited_as_of: 0 }
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The rule.
    #[must_use]
    pub const fn rule(&self) -> TopUpRule {
        self.rule
    }

    /// The attempt that is under way.
    #[must_use]
    pub const fn attempt(&self) -> Option<Attempt> {
        match self.state {
            State::Charging(attempt) | State::Crediting(attempt) => Some(attempt),
            State::Idle | State::BackingOff { .. } | State::Paused => None,
        }
    }

    /// What was attempted on the day of the last attempt, and not declined; and when that day began.
    #[must_use]
    pub const fn attempted(&self) -> (Timestamp, Amount) {
        (self.day.start, self.day.attempted)
    }

    /// Another rule, which counts from the next attempt on. What is under way, and what was attempted today, stays.
    #[must_use]
    pub fn with_rule(self, rule: TopUpRule) -> Self {
        // A new cap may not be reached: then it is told again.
        let day =
            Day { cap_told: self.day.cap_told && rule.cap_per_day <= self.rule.cap_per_day, ..self.day };
        Self { rule, day, ..self }
    }

    /// Takes in what happened. Write the new state, then do what is answered; nothing is answered to what is old news.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Action> {
        match (self.state, event) {
            (State::Idle, Event::Balance { available, as_of, new }) => {
                self.look((available, as_of), new, now)
            }
            (State::BackingOff { until }, Event::Balance { available, as_of, new }) if until <= now => {
                self.look((available, as_of), new, now)
            }
            (State::Charging(attempt), Event::Charged(id)) if id == attempt.id => {
                self.state = State::Crediting(attempt);
                self.declines = 0;
                vec![Action::Credit(attempt)]
            }
            (State::Charging(attempt), Event::Declined(id, decline)) if id == attempt.id => {
                self.declined(attempt, decline, now)
            }
            // The same name: whether the first request arrives after all or not, one charge is made.
            (State::Charging(attempt), Event::NotFound(id)) if id == attempt.id => {
                vec![Action::Charge(attempt)]
            }
            (State::Charging(attempt), Event::Recovered) => vec![Action::Reconcile(attempt)],
            (State::Charging(attempt), Event::Unknown(id)) if id == attempt.id => {
                vec![Action::Reconcile(attempt)]
            }
            (State::Crediting(attempt), Event::Recovered) => vec![Action::Credit(attempt)],
            (State::Crediting(attempt), Event::Credited { id, as_of }) if id == attempt.id => {
                self.state = State::Idle;
                self.credited_as_of = self.credited_as_of.max(as_of);
                vec![Action::Tell(Notice::ToppedUp(attempt))]
            }
            (State::Paused, Event::Resumed) => {
                self.state = State::Idle;
                self.declines = 0;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn look(&mut self, (available, as_of): (Net, u64), new: GroupId, now: Timestamp) -> Vec<Action> {
        if as_of < self.credited_as_of {
            return Vec::new();
        }
        let start = Period::Day.window(now).start;
        // A clock that goes back does not open a day anew.
        if start > self.day.start {
            self.day = Day { start, ..Day::default() };
        }
        let left = self.rule.cap_per_day.checked_sub(self.day.attempted).unwrap_or(Amount::ZERO);
        let amount = self.rule.size(available, left);
        if amount.is_zero() {
            let wanted = !self.rule.size(available, Amount::MAX).is_zero();
            let tell = wanted && !self.day.cap_told;
            self.day.cap_told |= wanted;
            return if tell { vec![Action::Tell(Notice::CapReached)] } else { Vec::new() };
        }
        self.day.attempted = self.day.attempted.checked_add(amount).unwrap_or(Amount::MAX);
        let attempt = Attempt { id: new, amount };
        self.state = State::Charging(attempt);
        vec![Action::Charge(attempt)]
    }

    fn declined(&mut self, attempt: Attempt, decline: Decline, now: Timestamp) -> Vec<Action> {
        // Nothing was taken, so the cap has it back. The day is still the attempt's: only an attempt begins a new one.
        self.day.attempted = self.day.attempted.checked_sub(attempt.amount).unwrap_or(Amount::ZERO);
        self.declines = self.declines.saturating_add(1);
        if decline == Decline::Hard || self.declines >= self.rule.back_off.most {
            self.state = State::Paused;
            return vec![Action::Tell(Notice::Paused(decline))];
        }
        let until = now.unix_ms().saturating_add(self.rule.wait_ms(self.declines));
        self.state = State::BackingOff { until: Timestamp::from_unix_ms(until) };
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
