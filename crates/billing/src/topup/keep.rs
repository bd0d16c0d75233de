//! How a [`TopUp`] is written in a record. Reading checks the rule again.

use farthing_ledger::Timestamp;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::{Attempt, BackOff, Day, RuleError, Size, State, TopUp, TopUpRule};
use crate::id::GroupId;

/// The form of a record.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    threshold: Amount,
    size: Size,
    cap_per_day: Amount,
    back_off: BackOff,
    unit: Amount,
    state: KeptState,
    day_start_ms: u64,
    day_attempted: Amount,
    cap_told: bool,
    declines: u32,
    credited_as_of: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
enum KeptState {
    Idle,
    Charging { attempt: String, amount: Amount },
    Crediting { attempt: String, amount: Amount },
    BackingOff { until_ms: u64 },
    Paused,
}

/// Why a record is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadRecord {
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error("an attempt's name is 32 hexadecimal digits")]
    Name,
}

fn name(attempt: Attempt) -> String {
    format!("{:032x}", attempt.id.as_u128())
}

fn attempt(name: &str, amount: Amount) -> Result<Attempt, BadRecord> {
    let bits = u128::from_str_radix(name, 16).map_err(|_| BadRecord::Name)?;
    let id = GroupId::from_u128(bits);
    if id.as_u128() != bits { Err(BadRecord::Name) } else { Ok(Attempt { id, amount }) }
}

impl From<TopUp> for Kept {
    fn from(topup: TopUp) -> Self {
        let TopUp { rule, state, day, declines, credited_as_of } = topup;
        let TopUpRule { threshold, size, cap_per_day, back_off, unit } = rule;
        let state = match state {
            State::Idle => KeptState::Idle,
            State::Charging(it) => KeptState::Charging { attempt: name(it), amount: it.amount },
            State::Crediting(it) => KeptState::Crediting { attempt: name(it), amount: it.amount },
            State::BackingOff { until } => KeptState::BackingOff { until_ms: until.unix_ms() },
            State::Paused => KeptState::Paused,
        };
        let Day { start, attempted, cap_told } = day;
        let (day_start_ms, day_attempted) = (start.unix_ms(), attempted);
        Self {
            threshold,
            size,
            cap_per_day,
            back_off,
            unit,
            state,
            day_start_ms,
            day_attempted,
            cap_told,
            declines,
            credited_as_of,
        }
    }
}

impl TryFrom<Kept> for TopUp {
    type Error = BadRecord;

    fn try_from(kept: Kept) -> Result<Self, BadRecord> {
        let rule = TopUpRule::new(kept.threshold, kept.size, kept.cap_per_day, kept.back_off)?;
        let state = match kept.state {
            KeptState::Idle => State::Idle,
            KeptState::Charging { attempt: name, amount } => State::Charging(attempt(&name, amount)?),
            KeptState::Crediting { attempt: name, amount } => State::Crediting(attempt(&name, amount)?),
            KeptState::BackingOff { until_ms } => {
                State::BackingOff { until: Timestamp::from_unix_ms(until_ms) }
            }
            KeptState::Paused => State::Paused,
        };
        let day = Day {
            start: Timestamp::from_unix_ms(kept.day_start_ms),
            attempted: kept.day_attempted,
            cap_told: kept.cap_told,
        };
        let (declines, credited_as_of) = (kept.declines, kept.credited_as_of);
        Ok(Self { rule: rule.in_units_of(kept.unit)?, state, day, declines, credited_as_of })
    }
}
