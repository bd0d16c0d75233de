//! Capturing and voiding: the ledger's legs and the hold's record in one commit.

use farthing_ledger::{Outcome, Rejection, Remainder, Step};
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::doc::HoldDoc;
use super::{Hold, HoldState, MAX_RECEIPTS, Receipt, Spent, list};
use crate::budget::delegation::Wish;
use crate::budget::{Capture, PlacedError};
use crate::id::{CounterpartyId, GroupId, SubjectId};
use crate::service::event::EventKind;
use crate::service::names::{self, Named as _};
use crate::service::{
    ATTEMPTS, Authority, Billing, Cx, Draft, Fate, HoldId, ServiceError, Stored, input, refused,
};

/// A capture: what a call cost, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewCapture {
    /// How much; left out for all that is set aside.
    #[serde(default)]
    pub amount: Option<Amount>,
    /// Whether the rest is given back. Otherwise it stays aside for more.
    #[serde(default = "yes", rename = "final")]
    pub last: bool,
    /// What proves the payment outside, such as the hash of a transaction.
    #[serde(default)]
    pub reference: Option<String>,
}

const fn yes() -> bool {
    true
}

impl Default for NewCapture {
    fn default() -> Self {
        Self { amount: None, last: true, reference: None }
    }
}

/// A void.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewVoid {
    /// Why, for people.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A hold as it is after something that was asked of it, and the ledger steps that make it so.
#[derive(Debug, Clone)]
pub(in crate::service) struct Ended {
    /// One linked group.
    pub(in crate::service) steps: Vec<Step>,
    /// As it is afterwards.
    pub(in crate::service) doc: HoldDoc,
    /// What is paid for good by it.
    pub(super) paid: Amount,
}

impl HoldDoc {
    /// That something is set aside.
    pub(in crate::service) fn open(&self) -> Result<(), ServiceError> {
        match self.hold.state {
            HoldState::Open => Ok(()),
            ended => Err(ServiceError::WrongState {
                what: "hold",
                state: ended.text(),
                why: "nothing is set aside any more",
            }),
        }
    }

    /// What a capture makes of the hold.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::WrongState`], [`ServiceError::Placed`].
    pub(in crate::service) fn capture(&self, cx: &Cx, capture: &NewCapture) -> Result<Ended, ServiceError> {
        input::maybe("reference", capture.reference.as_ref(), 200)?;
        self.open()?;
        if self.hold.expires_ms.is_some_and(|at| at <= cx.now.unix_ms()) {
            return Err(run_out());
        }
        let amount = capture.amount.unwrap_or(self.hold.held);
        if amount.is_zero() && !capture.last {
            return Err(ServiceError::invalid("amount", "more than nothing, unless it is the last"));
        }
        let wish = Capture {
            group: GroupId::from(cx.id),
            amount,
            remainder: if capture.last { Remainder::Release } else { Remainder::Keep },
            receipt: capture.reference.as_ref().map_or(0, |text| names::reference(text)),
        };
        let steps = self.placed()?.capture(&wish)?;
        let mut doc = self.clone();
        doc.settle(&steps)?;
        if doc.hold.held.is_zero() {
            doc.hold.state = HoldState::Captured;
        }
        doc.hold.receipts.push(Receipt {
            amount,
            reference: capture.reference.clone(),
            at_ms: cx.now.unix_ms(),
        });
        let over = doc.hold.receipts.len().saturating_sub(MAX_RECEIPTS);
        doc.hold.receipts.drain(..over);
        doc.hold.updated_ms = cx.now.unix_ms();
        Ok(Ended { steps, doc, paid: amount })
    }

    /// What a void makes of the hold.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::WrongState`].
    pub(in crate::service) fn void(&self, cx: &Cx, void: &NewVoid) -> Result<Ended, ServiceError> {
        input::maybe("reason", void.reason.as_ref(), 500)?;
        self.open()?;
        let reference = void.reason.as_ref().map_or(0, |text| names::reference(text));
        let steps = self.placed()?.void(GroupId::from(cx.id), reference);
        let mut doc = self.clone();
        doc.settle(&steps)?;
        doc.hold.state = HoldState::Voided;
        doc.hold.updated_ms = cx.now.unix_ms();
        Ok(Ended { steps, doc, paid: Amount::ZERO })
    }
}

impl Ended {
    /// Writes what changed beside the ledger, and tells it. The steps are the caller's to put into the draft.
    ///
    /// # Errors
    /// [`ServiceError::Unreadable`].
    pub(in crate::service) fn write(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        was: &Stored<HoldDoc>,
        kind: EventKind,
    ) -> Result<(), ServiceError> {
        let Self { steps: _, doc, paid } = self;
        draft.replace(cx, was, doc)?;
        if doc.hold.state != HoldState::Open {
            list::ended(cx, draft, doc);
        }
        if !paid.is_zero() {
            let first = i128::from(was.doc.hold.captured.is_zero());
            spent(cx, draft, doc, [as_number(*paid)?, 0, first]);
        }
        draft.tell(cx, kind, &doc.hold)?;
        Ok(())
    }
}

impl Billing {
    /// Pays from a hold.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`], [`ServiceError::WrongState`] when it ended or has run out,
    /// [`ServiceError::Placed`] for more than is set aside, [`ServiceError::Delegation`] for what the token does not allow; and the
    /// store's.
    pub async fn capture_hold(
        &self,
        cx: &Cx,
        by: &Authority,
        id: HoldId,
        capture: &NewCapture,
    ) -> Result<Hold, ServiceError> {
        self.end_hold(cx, by, id, EventKind::HoldCaptured, |doc| doc.capture(cx, capture)).await
    }

    /// Gives back what a hold still sets aside.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`], [`ServiceError::WrongState`] when it ended,
    /// [`ServiceError::Delegation`] for what the token does not allow; and the store's.
    pub async fn void_hold(
        &self,
        cx: &Cx,
        by: &Authority,
        id: HoldId,
        void: &NewVoid,
    ) -> Result<Hold, ServiceError> {
        self.end_hold(cx, by, id, EventKind::HoldVoided, |doc| doc.void(cx, void)).await
    }

    async fn end_hold(
        &self,
        cx: &Cx,
        by: &Authority,
        id: HoldId,
        kind: EventKind,
        end: impl Fn(&HoldDoc) -> Result<Ended, ServiceError>,
    ) -> Result<Hold, ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.hold_doc(cx, id).await?;
            self.may_spend(cx, by, &was.doc).await?;
            let ended = end(&was.doc)?;
            let mut draft = Draft::new();
            draft.steps(ended.steps.iter().cloned());
            ended.write(cx, &mut draft, &was, kind)?;
            match self.commit(cx, draft, &ended.doc.hold).await? {
                Fate::Applied { .. } => return Ok(ended.doc.hold),
                Fate::Refused { outcomes } => return Err(why_refused(&outcomes)),
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    /// That whoever asks may spend what the hold sets aside.
    pub(in crate::service) async fn may_spend(
        &self,
        cx: &Cx,
        by: &Authority,
        doc: &HoldDoc,
    ) -> Result<(), ServiceError> {
        let (Authority::Token(_), Some(budget)) = (by, doc.hold.budget) else {
            return if doc.hold.budget.is_none() { by.owner() } else { Ok(()) };
        };
        let counterparty = CounterpartyId::named(doc.hold.counterparty.as_deref().unwrap_or_default());
        let path = self.load_budget(cx, budget).await?.path;
        by.check(&path, &Wish::Spend { amount: doc.hold.amount, counterparty }, cx.now)
    }
}

/// Why the ledger refused to end a hold whose record said that it could.
pub(in crate::service) fn why_refused(outcomes: &[Outcome]) -> ServiceError {
    match refused(outcomes) {
        ServiceError::Ledger(Rejection::HoldExpired) => run_out(),
        ServiceError::Ledger(Rejection::ExceedsHold { left, required }) => {
            PlacedError::ExceedsSpend { left, required }.into()
        }
        other => other,
    }
}

fn run_out() -> ServiceError {
    ServiceError::WrongState { what: "hold", state: "expired", why: "nothing is paid from it any more" }
}

/// Counts what a hold's budget spent for its unit of work.
pub(super) fn spent(cx: &Cx, draft: &mut Draft, doc: &HoldDoc, numbers: [i128; 3]) {
    draft.add::<Spent>(cx, &spent_key(doc), numbers.into());
}

pub(super) fn as_number(amount: Amount) -> Result<i128, ServiceError> {
    Ok(i128::try_from(amount.base()).map_err(|_| farthing_money::MoneyError::Overflow)?)
}

fn spent_key(doc: &HoldDoc) -> String {
    let Hold { customer, asset, budget, .. } = &doc.hold;
    let whose = budget.map_or_else(|| format!("{}/{asset}", customer.text()), |budget| budget.text());
    format!("{whose}/{}", doc.subject().unwrap_or(SubjectId::from_u128(0)).text())
}
