//! [`Billing::refund_usage`]: what was charged for an event goes back to where it came from, and out of the margin of everything that
//! the event counts for. The revenue stays: what was sold and what was given back are both to be seen.
//!
//! A refund counts on the day on which it is made, as in any books: the figures of a day or a month that has ended, which somebody
//! may have exported or invoiced, stay what they were. In all, the two meet.

use std::collections::{BTreeMap, BTreeSet};

use farthing_ledger::record::{MAX_CHANGES, Order};
use farthing_ledger::{AccountId, Command, Known, Net, Step, Timestamp};
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::counters::Sums;
use super::index::{UsageByHold, hold_key};
use super::{UsageDoc, UsageId};
use crate::Reason;
use crate::budget::{MAX_DRAWS, Path, Refund};
use crate::grant::{Grant as Drawn, GrantError, Purpose, Taken, refund_draws};
use crate::id::{GrantId, GroupId, SubjectId, group};
use crate::service::asset::AssetDoc;
use crate::service::document::{record_key, stored};
use crate::service::event::EventKind;
use crate::service::figures::Signed;
use crate::service::grant::{Grant, grant_key};
use crate::service::hold::{Hold, NewRefund, Part, again, drawn_from, stale_or};
use crate::service::vendor::vendor_id;
use crate::service::{
    ATTEMPTS, Billing, Cx, Draft, Fate, Named as _, PageQuery, ServiceError, Stored, input,
};
use crate::usage::rollup::GivenBack;
use crate::usage::{Rated, UsageEvent, VendorCost};

/// The most events of which one refund of a hold gives back.
const MAX_EVENTS: usize = 100;

/// A refund of a usage event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageRefund {
    /// How much was given back by it.
    pub amount: Amount,
    /// What it refers to outside.
    pub reference: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// The event as it is afterwards.
    #[serde(flatten)]
    pub usage: UsageDoc,
}

/// An event, and how much of it is given back.
#[derive(Debug)]
pub(in crate::service) struct Back {
    was: Stored<UsageDoc>,
    amount: Amount,
}

impl Back {
    /// The event afterwards.
    fn after(&self) -> Result<UsageDoc, ServiceError> {
        let mut usage = self.was.doc.clone();
        usage.refunded = usage.refunded.checked_add(self.amount)?;
        let less = usage.refunded.checked_add(usage.cost)?;
        usage.margin = Signed(Net::of(usage.price, less));
        Ok(usage)
    }

    /// What is told of it.
    fn told(&self, refund: &NewRefund) -> Result<UsageRefund, ServiceError> {
        let NewRefund { reference, reason, .. } = refund.clone();
        Ok(UsageRefund { amount: self.amount, reference, reason, usage: self.after()? })
    }
}

impl UsageDoc {
    /// What of its price can still be given back.
    fn refundable(&self) -> Result<Amount, ServiceError> {
        Ok(self.price.checked_sub(self.refunded)?)
    }

    /// As the pure half knows it.
    fn rated(&self) -> Result<Rated, ServiceError> {
        let cost = |cost: &super::CostForm| {
            Ok::<_, ServiceError>(VendorCost { vendor: vendor_id(&cost.vendor)?, amount: cost.amount })
        };
        let event = UsageEvent {
            id: GroupId::from_u128(self.id.bits()),
            customer: self.customer,
            subject: self.subject.unwrap_or(SubjectId::from_u128(0)),
            product: self.product,
            event_type: self.event_type.clone(),
            dimensions: self.dimensions.clone(),
            quantity: self.quantity,
            costs: self.costs.iter().map(cost).collect::<Result<_, _>>()?,
            occurred_at: Timestamp::from_unix_ms(self.occurred_ms),
        };
        Ok(Rated { event, version: self.version, price: self.price, cost: self.cost })
    }
}

impl Billing {
    /// Gives back what was charged for an event, or a part of it: to the wallet, its grants and its budgets; of a sale, to the outside.
    /// What vendors took stays.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`], [`ServiceError::Grant`] for more than was charged, and the store's.
    pub async fn refund_usage(
        &self,
        cx: &Cx,
        id: UsageId,
        refund: &NewRefund,
    ) -> Result<UsageRefund, ServiceError> {
        refund.check()?;
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.get::<UsageDoc>(cx, &id.text()).await?;
            let refundable = was.doc.refundable()?;
            let amount = refund.amount.unwrap_or(refundable);
            input::some("amount", amount)?;
            if amount > refundable {
                return Err(GrantError::ExceedsSpent { refundable, required: amount }.into());
            }
            let mut draft = match was.doc.hold {
                Some(hold) => {
                    let hold = self.hold_doc(cx, hold).await?;
                    self.draft_refund(cx, &hold, (amount, refund)).await?.1
                }
                None => self.draft_refund_of(cx, &was.doc, (amount, refund)).await?,
            };
            let back = Back { was, amount };
            let done = back.told(refund)?;
            self.give_back(cx, &mut draft, (&[back], refund)).await?;
            match self.commit(cx, draft, &done).await? {
                Fate::Applied { .. } => return Ok(done),
                Fate::Refused { outcomes } => stale_or(&outcomes)?,
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    /// Writes events of which something is given back, counts it, and tells it. The money is the caller's to put into the draft.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] when it goes over more counters than one commit can change, and the store's.
    pub(in crate::service) async fn give_back(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        (backs, refund): (&[Back], &NewRefund),
    ) -> Result<(), ServiceError> {
        let Some(first) = backs.first() else { return Ok(()) };
        // Events of one hold are all in its asset.
        let asset = self.asset(cx, &first.was.doc.asset).await?;
        let mut sums = Sums::default();
        // Events of one hold are mostly of one subject: what is above it is read once.
        let subjects: BTreeSet<SubjectId> = backs.iter().filter_map(|back| back.was.doc.subject).collect();
        let mut above = BTreeMap::new();
        for subject in subjects {
            above.insert(subject, self.ancestors(cx, subject).await?);
        }
        for back in backs {
            let Back { was, amount } = back;
            let part = GivenBack { before: was.doc.refunded, amount: *amount, at: cx.now };
            let counts = was.doc.rated()?.counts_back(asset.chart().money, &part)?;
            let ancestors = was.doc.subject.and_then(|subject| above.get(&subject));
            sums.add(asset.code(), counts, ancestors.map_or(&[], Vec::as_slice))?;
            let told = back.told(refund)?;
            let usage = &told.usage;
            draft.replace(cx, was, usage)?;
            if let Some(hold) = usage.hold.filter(|_| usage.refunded == usage.price) {
                draft.forget::<UsageByHold>(cx, &hold_key(hold, usage.id));
            }
            draft.tell(cx, EventKind::UsageRefunded, &told)?;
        }
        sums.write(cx, draft)?;
        // The answer may be kept too.
        if draft.records.len() >= MAX_CHANGES {
            return Err(too_many());
        }
        Ok(())
    }

    /// Of which events `amount` is given back when it goes back to a hold: the latest first. What no event was captured for comes last,
    /// and is no event's.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for more than 100 events, and the store's.
    pub(in crate::service) async fn backs_of_hold(
        &self,
        cx: &Cx,
        hold: &Hold,
        amount: Amount,
    ) -> Result<Vec<Back>, ServiceError> {
        let page = PageQuery { after: None, limit: MAX_EVENTS, order: Order::Descending };
        let found = self.list::<UsageByHold>(cx, &format!("{}/", hold.id), &page).await?;
        let mut ids: BTreeSet<UsageId> = found.data.into_iter().map(|at| at.doc.into()).collect();
        // Events that were captured before there was an index are named by the hold's receipts.
        let named =
            hold.receipts.iter().filter_map(|receipt| UsageId::read(receipt.reference.as_ref()?).ok());
        ids.extend(named);
        let key = |id: &UsageId| record_key::<UsageDoc>(cx.tenant, &id.text());
        let records = self.store().records(&ids.iter().rev().map(key).collect::<Vec<_>>()).await?;
        let (mut rest, mut backs) = (amount, Vec::new());
        for record in records.iter().flatten() {
            let was: Stored<UsageDoc> = stored(cx.tenant, record)?;
            let amount = rest.min(was.doc.refundable()?);
            if was.doc.hold != Some(hold.id) || amount.is_zero() {
                continue;
            }
            rest = rest.checked_sub(amount)?;
            backs.push(Back { was, amount });
        }
        let more = found.next.is_some() && !rest.is_zero();
        if more || backs.len() > MAX_EVENTS {
            return Err(too_many());
        }
        Ok(backs)
    }

    /// What gives back `amount` of an event that was paid at once: to where the ledger has it from, last drawn first returned. Earlier
    /// refunds went the same way, so what was given back says how far they came.
    async fn draft_refund_of(
        &self,
        cx: &Cx,
        usage: &UsageDoc,
        (amount, refund): (Amount, &NewRefund),
    ) -> Result<Draft, ServiceError> {
        let asset = self.asset(cx, &usage.asset).await?;
        let (parts, mut taken) = self.taken(cx, usage, &asset).await?;
        if !usage.refunded.is_zero() {
            let before = refund_draws(&taken, usage.refunded)?;
            for taken in &mut taken {
                taken.refunded = drawn_from(&before, taken.grant.account)?;
            }
        }
        let draws = refund_draws(&taken, amount)?;
        let wish = Refund {
            group: group("usage refund", &[usage.id.bits(), usage.refunded.base()]),
            from: asset.outside().revenue,
            amount,
            reference: refund.reference(cx),
        };
        let plan = Path::wallet(asset.root(usage.customer)).refund_drawn(&wish, &draws)?;
        let mut draft = Draft::new();
        let mut commands: Vec<Command> = plan.steps.into_iter().map(|step| step.command).collect();
        for part in &parts {
            let back = drawn_from(&draws, part.drawn.account)?;
            commands.extend(again(cx, &mut draft, &asset, (part, back))?);
        }
        draft.steps(Step::group(commands));
        Ok(draft)
    }

    /// From where an event was paid, as the ledger has it.
    async fn taken(
        &self,
        cx: &Cx,
        usage: &UsageDoc,
        asset: &AssetDoc,
    ) -> Result<(Vec<Part>, Vec<Taken>), ServiceError> {
        let legs = GroupId::from_u128(usage.id.bits());
        let (mut parts, mut taken) = (Vec::new(), Vec::new());
        for n in (0..=u8::MAX).take(MAX_DRAWS) {
            match self.store().known(legs.leg(n)).await? {
                Some(Known::Transfer(leg)) if leg.code == Reason::Spend.code() => {
                    let part = self.part(cx, usage, asset, leg.debit).await?;
                    taken.push(Taken { grant: part.drawn, spent: leg.amount, refunded: Amount::ZERO });
                    parts.push(part);
                }
                _ => break,
            }
        }
        Ok((parts, taken))
    }

    /// What an account is from which an event was paid: the outside, of a sale; the wallet's own; or a grant of it, which may be gone.
    async fn part(
        &self,
        cx: &Cx,
        usage: &UsageDoc,
        asset: &AssetDoc,
        account: AccountId,
    ) -> Result<Part, ServiceError> {
        let names = asset.wallet(usage.customer);
        let own = [names.paid(), names.overdraft()].into_iter().find(|own| own.account == account);
        if let Some(drawn) = own {
            return Ok(Part { drawn, grant: None });
        }
        if account == asset.outside().bank {
            let outside = Drawn::new(GrantId::from_u128(account.as_u128()), Purpose::Paid, Timestamp::EPOCH);
            return Ok(Part { drawn: Drawn { account, ..outside }, grant: None });
        }
        let wallet = self.load_wallet(cx, usage.customer, asset.code()).await?;
        let live = wallet.grants().into_iter().find(|grant| grant.account == account);
        let id = match live {
            Some(grant) => Some(grant.id),
            None => {
                let all = self.all_grants(cx, &wallet).await?;
                all.iter()
                    .map(|entry| entry.grant())
                    .find(|grant| grant.account == account)
                    .map(|grant| grant.id)
            }
        };
        let gone = || ServiceError::NotFound { what: "grant", id: account.to_string() };
        let stored =
            self.get::<Grant>(cx, &grant_key(usage.customer, asset.code(), id.ok_or_else(gone)?)).await?;
        Ok(Part { drawn: stored.doc.drawn(), grant: Some(stored) })
    }
}

fn too_many() -> ServiceError {
    let why = format!("it goes over more than {MAX_EVENTS} events or their counters: give back less at once");
    ServiceError::invalid("amount", why)
}
