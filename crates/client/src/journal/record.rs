//! [`PaymentRecord`]: the entries of one payment, folded together.

use farthing_money::{Amount, Money};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::Quote;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Agreed, DecidedBy, JournalEntry, PaymentId, Step, StoredCredential, Target};

/// Where a payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PaymentState {
    /// About to be paid.
    Intended,
    /// About to be broadcast by the rail, or broadcast.
    Sending,
    /// Paid or signed; nothing was sent to the seller.
    Made,
    /// Sent to the seller.
    Sent,
    /// Paid and served.
    Served,
    /// Sent, and not served.
    Refused,
    /// Certainly not paid.
    NotPaid,
    /// It is not known whether it was taken.
    Unknown,
    /// The money has moved, and the call is still to be served.
    Paid,
    /// The money has moved, and the seller will not serve the call for it.
    Forfeited,
    /// No answer came, and it counts as charged by somebody's word: nobody else can say.
    Charged,
}

impl PaymentState {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::Intended,
        Self::Sending,
        Self::Made,
        Self::Sent,
        Self::Unknown,
        Self::Refused,
        Self::Paid,
        Self::Served,
        Self::NotPaid,
        Self::Forfeited,
        Self::Charged,
    ];

    /// Whether nothing can change any more. Any other payment is open.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Served | Self::NotPaid | Self::Forfeited | Self::Charged)
    }

    /// Whether it is known if the money has moved.
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.is_final() || matches!(self, Self::Paid)
    }

    /// Its name in the journal and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Sending => "sending",
            Self::Made => "made",
            Self::Sent => "sent",
            Self::Served => "served",
            Self::Refused => "refused",
            Self::NotPaid => "not_paid",
            Self::Unknown => "unknown",
            Self::Paid => "paid",
            Self::Forfeited => "forfeited",
            Self::Charged => "charged",
        }
    }
}

/// A payment, as its entries tell it.
#[derive(Debug, Clone)]
pub struct PaymentRecord {
    /// Which payment.
    pub id: PaymentId,
    /// When it began.
    pub began: UnixMs,
    /// When it last changed.
    pub changed: UnixMs,
    /// Where it is.
    pub state: PaymentState,
    /// Whether a process is at work on it; told of open payments only.
    pub in_flight: bool,
    /// What it is for.
    pub target: Target,
    /// What was agreed to.
    pub agreed: Agreed,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// The receipt's reference, or what to look for on the rail.
    pub reference: Option<String>,
    /// When the seller settled: RFC 3339, as the receipt has it.
    pub settled_at: Option<String>,
    /// The receipt, whole.
    pub receipt: Option<Value>,
    /// The code of a payment that was not made.
    pub code: Option<String>,
    /// Why it is not served.
    pub why: Option<String>,
    /// What a metered call cost of what was held, in base units, once that is known or decided.
    pub cost_base: Option<Amount>,
    /// Whose word the outcome is, where no rail and no answer told it.
    pub decided_by: Option<DecidedBy>,
    /// What can be presented again instead of paying again.
    pub credential: Option<StoredCredential>,
}

impl JournalEntry {
    /// Adds the entry to the record that it belongs to. An entry without a beginning is passed over.
    pub(super) fn fold_into(&self, records: &mut Vec<PaymentRecord>) {
        if let Some(record) = self.begins() {
            records.push(record);
            return;
        }
        // Open payments are young: look from the end.
        if let Some(record) = records.iter_mut().rev().find(|record| record.id == self.payment) {
            record.take(self);
        }
    }

    /// The record that the entry begins, if it begins one.
    pub(super) fn begins(&self) -> Option<PaymentRecord> {
        let Step::Intended { target, agreed } = &self.step else { return None };
        let at = UnixMs::from_ms(self.at_ms);
        Some(PaymentRecord {
            id: self.payment.clone(),
            began: at,
            changed: at,
            state: PaymentState::Intended,
            in_flight: false,
            target: target.clone(),
            agreed: (**agreed).clone(),
            status: None,
            reference: None,
            settled_at: None,
            receipt: None,
            code: None,
            why: None,
            cost_base: None,
            decided_by: None,
            credential: None,
        })
    }
}

impl PaymentRecord {
    /// What was agreed to, as the rail quoted it; none where an entry was edited into nonsense.
    #[must_use]
    pub fn quote(&self) -> Option<Quote> {
        self.agreed.quote().ok()
    }

    /// What it cost: what was agreed to, or the part of it that a metered call took.
    #[must_use]
    pub fn cost(&self) -> Amount {
        self.cost_base.unwrap_or(self.agreed.amount_base)
    }

    /// What a metered call took of what was held, where that is known.
    pub(crate) fn part(&self) -> Option<Money> {
        Some(Money::new(self.cost_base?, self.quote()?.money.asset().clone()))
    }

    pub(super) fn take(&mut self, entry: &JournalEntry) {
        self.changed = UnixMs::from_ms(entry.at_ms);
        let after = state_after(&entry.step).unwrap_or(self.state);
        // What the rail has said stays true, whatever a seller answers to the same credential later.
        if self.state != PaymentState::Paid || after.is_final() {
            self.state = after;
        }
        if let Some(credential) = entry.step.credential() {
            self.credential = Some(credential.clone());
        }
        match &entry.step {
            Step::Served { status, reference, settled_at, receipt, cost_base } => {
                self.status = Some(*status);
                self.reference.clone_from(reference);
                self.settled_at.clone_from(settled_at);
                self.receipt.clone_from(receipt);
                self.cost_base = *cost_base;
                self.why = None;
            }
            Step::Refused { status, why, .. } => {
                self.status = Some(*status);
                self.why = Some(why.clone());
            }
            Step::NotPaid { code, why, decided_by } => {
                self.code = Some(code.clone());
                self.why = Some(why.clone());
                self.decided_by = *decided_by;
            }
            Step::Charged { cost_base, decided_by, why } => {
                self.cost_base = Some(*cost_base);
                self.decided_by = Some(*decided_by);
                self.why = Some(why.clone());
            }
            Step::Unknown { why, reference, .. } => {
                self.why = Some(why.clone());
                if reference.is_some() {
                    self.reference.clone_from(reference);
                }
            }
            Step::Paid { reference } => self.reference = Some(reference.clone()),
            Step::Forfeited { why } => self.why = Some(why.clone()),
            Step::Intended { .. } | Step::Sending { .. } | Step::Made { .. } | Step::Sent { .. } => {}
        }
        if self.state.is_final() {
            self.credential = None;
        }
    }
}

/// Where a step leads; a payment begins once only.
const fn state_after(step: &Step) -> Option<PaymentState> {
    Some(match step {
        Step::Intended { .. } => return None,
        Step::Sending { .. } => PaymentState::Sending,
        Step::Made { .. } => PaymentState::Made,
        Step::Sent { .. } => PaymentState::Sent,
        Step::Served { .. } => PaymentState::Served,
        Step::Refused { .. } => PaymentState::Refused,
        Step::NotPaid { .. } => PaymentState::NotPaid,
        Step::Unknown { .. } => PaymentState::Unknown,
        Step::Paid { .. } => PaymentState::Paid,
        Step::Forfeited { .. } => PaymentState::Forfeited,
        Step::Charged { .. } => PaymentState::Charged,
    })
}
