//! Giving back what a hold paid, to where it came from: the money that was paid for before gifts, and the totals of the budgets on
//! the way. Refund *n* of a hold has one name in the ledger, so that two at once cannot give back more than was paid.
//!
//! What was captured for usage events is given back of them, the latest first, in the same commit: so reports show it.

use farthing_ledger::{AccountId, Command, Outcome, Step};
use farthing_money::{Amount, MoneyError};
use serde::{Deserialize, Serialize};

use super::doc::HoldDoc;
use super::end::{as_number, spent};
use super::{DrawKind, Hold, HoldDraw};
use crate::budget::{Draw, Refund};
use crate::grant::{Grant as Drawn, Taken, refund_group};
use crate::id::of_text;
use crate::service::asset::AssetDoc;
use crate::service::budget::LoadedBudget;
use crate::service::event::EventKind;
use crate::service::grant::{Grant, GrantState, grant_key, take_away};
use crate::service::{ATTEMPTS, Billing, Cx, Draft, Fate, HoldId, ServiceError, Stored, input, refused};
use crate::wallet::refund_draws;

/// A refund.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRefund {
    /// How much; left out for all that was paid and is not given back.
    #[serde(default)]
    pub amount: Option<Amount>,
    /// What it refers to outside.
    #[serde(default)]
    pub reference: Option<String>,
    /// Why, for people.
    #[serde(default)]
    pub reason: Option<String>,
}

impl NewRefund {
    pub(in crate::service) fn check(&self) -> Result<(), ServiceError> {
        input::maybe("reference", self.reference.as_ref(), 200)?;
        input::maybe("reason", self.reason.as_ref(), 500)
    }

    /// In the ledger each refund has a reference of its own, so that another with the same name is not taken for it.
    pub(in crate::service) fn reference(&self, cx: &Cx) -> u128 {
        of_text("refund", &[cx.id.as_u128()], self.reference.as_deref().unwrap_or_default())
    }
}

/// A place that money came from, and the record of its grant when it is one's.
pub(in crate::service) struct Part {
    pub(in crate::service) drawn: Drawn,
    pub(in crate::service) grant: Option<Stored<Grant>>,
}

impl Billing {
    /// Gives back what a hold paid, or a part of it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`], [`ServiceError::Grant`] for more than was paid, and the store's.
    pub async fn refund_hold(&self, cx: &Cx, id: HoldId, refund: &NewRefund) -> Result<Hold, ServiceError> {
        refund.check()?;
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.hold_doc(cx, id).await?;
            let amount = match refund.amount {
                Some(amount) => amount,
                None => was.doc.hold.captured.checked_sub(was.doc.hold.refunded)?,
            };
            let (doc, mut draft) = self.draft_refund(cx, &was, (amount, refund)).await?;
            let backs = self.backs_of_hold(cx, &doc.hold, amount).await?;
            self.give_back(cx, &mut draft, (&backs, refund)).await?;
            match self.commit(cx, draft, &doc.hold).await? {
                Fate::Applied { .. } => return Ok(doc.hold),
                Fate::Refused { outcomes } => stale_or(&outcomes)?,
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    /// What gives back `amount` of what a hold paid, and the hold's record as it is afterwards.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::Grant`] for more than was paid, and the store's.
    pub(in crate::service) async fn draft_refund(
        &self,
        cx: &Cx,
        was: &Stored<HoldDoc>,
        (amount, refund): (Amount, &NewRefund),
    ) -> Result<(HoldDoc, Draft), ServiceError> {
        let hold = &was.doc.hold;
        input::some("amount", amount)?;
        let on = match hold.budget {
            Some(budget) => self.load_budget(cx, budget).await?,
            None => LoadedBudget::wallet(self.load_wallet(cx, hold.customer, &hold.asset).await?),
        };
        let parts = self.parts(cx, &was.doc, &on.wallet.asset).await?;
        let taken: Vec<Taken> = parts
            .iter()
            .zip(&hold.draws)
            .map(|(part, draw)| Taken { grant: part.drawn, spent: draw.captured, refunded: draw.refunded })
            .collect();
        let draws = refund_draws(&taken, amount)?;
        let wish = Refund {
            group: refund_group(hold.id.group(), was.doc.refunds),
            from: was.doc.paid,
            amount,
            reference: refund.reference(cx),
        };
        let plan = on.path.refund_drawn(&wish, &draws)?;
        let mut draft = Draft::new();
        let mut doc = was.doc.clone();
        let mut commands: Vec<Command> = plan.steps.into_iter().map(|step| step.command).collect();
        for (part, draw) in parts.iter().zip(&mut doc.hold.draws) {
            let back = drawn_from(&draws, part.drawn.account)?;
            draw.refunded = draw.refunded.checked_add(back)?;
            commands.extend(again(cx, &mut draft, &on.wallet.asset, (part, back))?);
        }
        doc.refunds = doc.refunds.saturating_add(1);
        doc.hold.refunded = doc.hold.refunded.checked_add(amount)?;
        doc.hold.updated_ms = cx.now.unix_ms();
        draft.steps(Step::group(commands)).replace(cx, was, &doc)?;
        spent(cx, &mut draft, &doc, [0, as_number(amount)?, 0]);
        draft.tell(cx, EventKind::HoldRefunded, &doc.hold)?;
        Ok((doc, draft))
    }

    /// Where each draw of a hold came from.
    async fn parts(&self, cx: &Cx, doc: &HoldDoc, asset: &AssetDoc) -> Result<Vec<Part>, ServiceError> {
        let wallet = doc.names();
        let mut parts = Vec::with_capacity(doc.hold.draws.len());
        for draw in &doc.hold.draws {
            let HoldDraw { kind, grant, .. } = draw;
            parts.push(match (kind, grant) {
                (DrawKind::Grant, Some(grant)) => {
                    let key = grant_key(doc.hold.customer, asset.code(), *grant);
                    let stored = self.get::<Grant>(cx, &key).await?;
                    Part { drawn: stored.doc.drawn(), grant: Some(stored) }
                }
                (DrawKind::Overdraft, _) => Part { drawn: wallet.overdraft(), grant: None },
                _ => Part { drawn: Drawn { account: doc.account(draw), ..wallet.paid() }, grant: None },
            });
        }
        Ok(parts)
    }
}

/// What of `draws` is an account's.
pub(in crate::service) fn drawn_from(draws: &[Draw], account: AccountId) -> Result<Amount, MoneyError> {
    Amount::sum(draws.iter().filter(|draw| draw.account == account).map(|draw| draw.amount))
}

/// What comes back to a grant that ran out and is gone, is taken away at once: nobody sweeps it any more.
pub(in crate::service) fn again(
    cx: &Cx,
    draft: &mut Draft,
    asset: &AssetDoc,
    (part, back): (&Part, Amount),
) -> Result<Option<Command>, ServiceError> {
    let Some(stored) = part.grant.as_ref().filter(|stored| stored.doc.state == GrantState::Expired) else {
        return Ok(None);
    };
    let Some(step) = take_away(asset, &part.drawn, (stored.doc.sweeps, back), cx.now) else {
        return Ok(None);
    };
    let mut doc = stored.doc.clone();
    doc.sweeps = doc.sweeps.saturating_add(1);
    doc.expired_amount = doc.expired_amount.checked_add(back)?;
    draft.replace(cx, stored, &doc)?;
    Ok(Some(step.command))
}

/// Whether the ledger refused a refund only because what was read has changed since: a budget on the way was closed, or a grant
/// swept; otherwise why.
pub(in crate::service) fn stale_or(outcomes: &[Outcome]) -> Result<(), ServiceError> {
    match refused(outcomes) {
        ServiceError::Ledger(rejection) if is_stale(rejection) => Ok(()),
        error => Err(error),
    }
}

const fn is_stale(rejection: farthing_ledger::Rejection) -> bool {
    use farthing_ledger::Rejection::{
        CreditAccountClosed, DebitAccountClosed, ExceedsCredits, ExistsWithDifferent,
    };
    matches!(
        rejection,
        CreditAccountClosed | DebitAccountClosed | ExceedsCredits { .. } | ExistsWithDifferent(_)
    )
}
