//! What is kept of top-ups: a record a rule, and one an attempt. It decides nothing.

use farthing_ledger::Timestamp;
use farthing_ledger::record::Table;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::{RuleState, Source, TopUpRule};
use crate::id::CustomerId;
use crate::service::names::{self, Named as _};
use crate::service::{Document, id_text};
use crate::topup::{Attempt as Asked, Decline, State, TopUp};

/// A rule and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    #[serde(with = "names::text")]
    pub(super) customer: CustomerId,
    pub(super) asset: String,
    pub(super) source: Source,
    /// Whether a person lets it work.
    pub(super) enabled: bool,
    pub(super) topup: TopUp,
    /// From when on somebody has to look after the attempt that is under way. Whoever moves it on, looks.
    pub(super) look_at_ms: u64,
    pub(super) paused_because: Option<DeclinedBecause>,
    pub(super) created_ms: u64,
    pub(super) updated_ms: u64,
}

impl Document for Rule {
    const TABLE: Table = Table::new("topup_rule");
    const NAME: &'static str = "top-up rule";
}

/// Why a source did not take the money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeclinedBecause {
    /// `soft`: it may later. `hard`: it never will.
    pub class: DeclineClass,
    /// The source's code, such as `insufficient_funds`, or `authentication_required` when the customer has to act.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// Whether a source may take the money later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeclineClass {
    /// It may.
    Soft,
    /// It never will.
    Hard,
}

impl From<Decline> for DeclineClass {
    fn from(decline: Decline) -> Self {
        match decline {
            Decline::Soft => Self::Soft,
            Decline::Hard => Self::Hard,
        }
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// The source was asked, or is about to be; what it did is not known yet.
    Charging,
    /// The source took the money, and the ledger refuses to credit it: an operator has to look.
    Crediting,
    /// The wallet has the money.
    Succeeded,
    /// The source did not take the money.
    Declined,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attempt {
    /// Its name: `top_…`. The source's idempotency key.
    pub id: String,
    /// Whose account.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// Of which asset, by its code.
    pub asset: String,
    /// How much.
    pub amount: Amount,
    /// Who was asked.
    pub source: Source,
    /// What became of it.
    pub state: AttemptState,
    /// The source's name for the payment.
    pub reference: Option<String>,
    /// Why it was declined.
    pub declined: Option<DeclinedBecause>,
    /// While it is not known: what stood in the way last.
    pub note: Option<String>,
    /// How often the source was asked.
    pub asked: u32,
    /// When it began.
    pub created_ms: u64,
    /// When it was known.
    pub ended_ms: Option<u64>,
}

impl Document for Attempt {
    const TABLE: Table = Table::new("topup");
    const NAME: &'static str = "top-up";
}

/// The key of a rule.
pub(super) fn rule_key(customer: CustomerId, asset: &str) -> String {
    format!("{}/{asset}", customer.text())
}

/// The name of an attempt outside.
pub(super) fn attempt_id(asked: Asked) -> String {
    id_text("top", asked.id.as_u128())
}

impl Rule {
    pub(super) fn new(
        customer: CustomerId,
        asset: &str,
        topup: TopUp,
        (source, now): (Source, Timestamp),
    ) -> Self {
        Self {
            customer,
            asset: asset.to_owned(),
            source,
            enabled: true,
            topup,
            look_at_ms: 0,
            paused_because: None,
            created_ms: now.unix_ms(),
            updated_ms: now.unix_ms(),
        }
    }

    /// The key of one of its attempts.
    pub(super) fn attempt_key(&self, asked: Asked) -> String {
        format!("{}/{}", rule_key(self.customer, &self.asset), attempt_id(asked))
    }

    /// As the API shows it.
    pub(super) fn view(&self) -> TopUpRule {
        let (terms, now_at) = (self.topup.rule(), self.topup.state());
        let (state, until_ms) = match now_at {
            State::Charging(_) => (RuleState::Charging, None),
            State::Crediting(_) => (RuleState::Crediting, None),
            State::Paused => (RuleState::Paused, None),
            _ if !self.enabled => (RuleState::Paused, None),
            State::BackingOff { until } => (RuleState::BackingOff, Some(until.unix_ms())),
            State::Idle => (RuleState::Active, None),
        };
        TopUpRule {
            customer: self.customer,
            asset: self.asset.clone(),
            threshold: terms.threshold(),
            size: terms.sized(),
            cap_per_day: terms.cap_per_day(),
            back_off: terms.back_off(),
            source: self.source.clone(),
            state,
            until_ms,
            attempt: self.topup.attempt().map(attempt_id),
            paused_because: self.paused_because.clone(),
            created_ms: self.created_ms,
            updated_ms: self.updated_ms,
        }
    }
}
