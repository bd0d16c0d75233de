//! [`Billing::record_usage`]: one event is priced, charged, costed, counted and told, as one, and once.

use farthing_ledger::Timestamp;
use farthing_money::Amount;

use super::charge::{self, Paid};
use super::counters::Sums;
use super::index::{self, Units, month_key};
use super::{NewUsage, Recorded, RecordedAs, UsageDoc, UsageId};
use crate::id::{GroupId, SubjectId};
use crate::pricing::Product;
use crate::service::asset::AssetDoc;
use crate::service::event::EventKind;
use crate::service::figures::Signed;
use crate::service::product::{ProductDoc, TiersOver};
use crate::service::vendor::vendor_id;
use crate::service::{ATTEMPTS, Billing, Cx, Draft, Fate, Named as _, Page, PageQuery, ServiceError, Stored};
use crate::usage::{Rated, UsageEvent, VendorCost};

impl Billing {
    /// Prices an event by the version that counted when it occurred, charges it to the wallet or to its hold, books what the
    /// vendors took, counts it, and tells it. All of that happens, once, or nothing does.
    ///
    /// An event that was told before with the same content answers [`RecordedAs::Exists`]. When it says nothing of when it
    /// occurred, that is not compared.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`] for customer, product or hold; [`ServiceError::AlreadyExists`] when
    /// the id was used for an event with other content; [`ServiceError::Usage`] when it is not well formed, too late, too early,
    /// or has no price; [`ServiceError::Grant`] when the wallet has not enough; [`ServiceError::Placed`] when the hold has not;
    /// [`ServiceError::Contention`], [`ServiceError::Store`].
    pub async fn record_usage(&self, cx: &Cx, new: &NewUsage) -> Result<Recorded, ServiceError> {
        new.check()?;
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            if let Some(usage) = self.told_before(cx, new).await? {
                return Ok(Recorded { status: RecordedAs::Exists, usage });
            }
            let product = self.stored_product(cx, new.product).await?;
            // Parts of one whole are priced, and one hold is captured, one after the other: calls of this process do not have to
            // find that out in the store.
            if turn.is_none() {
                turn = match (product.doc.tiers_over, new.hold) {
                    (TiersOver::Month, _) => self.turns().take(&(cx.tenant, new.product, new.customer)).await,
                    (TiersOver::Event, Some(hold)) => self.turns().take(&(cx.tenant, hold)).await,
                    (TiersOver::Event, None) => None,
                };
            }
            let (draft, recorded, paid) = self.draft_usage(cx, new, &product).await?;
            match self.commit(cx, draft, &recorded).await? {
                Fate::Applied { .. } => return Ok(recorded),
                // Balances are not what they were: draw anew, or say what is missing.
                Fate::Refused { outcomes } => charge::stale_or(&outcomes, paid)?,
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    async fn draft_usage(
        &self,
        cx: &Cx,
        new: &NewUsage,
        product: &Stored<ProductDoc>,
    ) -> Result<(Draft, Recorded, Paid), ServiceError> {
        let wallet = self.ensure_wallet(cx, new.customer, &product.doc.asset).await?;
        let event = event(cx, new)?;
        let occurred = event.occurred_at;
        let mut draft = Draft::new();
        // A price that is published now has to find this event priced, or this event has to find it.
        draft.check(cx, product);
        let before = self.units_before(cx, &mut draft, (&product.doc, new), occurred).await?;
        let versions = self.price_at(cx, new.product, occurred).await?;
        let versions = versions.iter().map(|found| found.version()).collect::<Result<_, _>>()?;
        let lateness = product.doc.lateness();
        let rated = event.rate_after(before.unwrap_or(0), &Product::of(versions), cx.now, lateness)?;
        let paid = self.charge(cx, &mut draft, (&wallet, new, &rated)).await?;
        let usage = doc(cx, new, (&wallet.asset, &rated), before);
        index::write(cx, &mut draft, &usage)?;
        self.count(cx, &mut draft, (new, &rated, &wallet.asset)).await?;
        let vendors = new.costs.iter().map(|cost| &*cost.vendor).collect();
        self.introduce_vendors(cx, &mut draft, &vendors).await?;
        draft.tell(cx, EventKind::UsageRecorded, &usage)?;
        Ok((draft, Recorded { status: RecordedAs::Recorded, usage }, paid))
    }

    /// The units of the month so far, when tiers count over it; the commit depends on them and writes them with this event's.
    async fn units_before(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        (product, new): (&ProductDoc, &NewUsage),
        occurred: Timestamp,
    ) -> Result<Option<u64>, ServiceError> {
        if product.tiers_over == TiersOver::Event {
            return Ok(None);
        }
        let key = month_key((new.product, new.customer), occurred);
        let was = self.find::<Units>(cx, &key).await?;
        let before = was.as_ref().map_or(0, |was| was.doc.units);
        let all = before.checked_add(new.quantity).ok_or(farthing_money::MoneyError::Overflow)?;
        match &was {
            Some(was) => draft.replace(cx, was, &Units { units: all })?,
            None => draft.create(cx, &key, &Units { units: all })?,
        };
        Ok(Some(before))
    }

    /// Adds an event to its counters, those of what is above its subject too; a subject that was not heard of before is written down.
    pub(super) async fn count(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        (new, rated, asset): (&NewUsage, &Rated, &AssetDoc),
    ) -> Result<(), ServiceError> {
        let ancestors = match new.subject_called() {
            Some(called) => self.introduce_subject(cx, draft, called).await?.ancestors,
            None => Vec::new(),
        };
        let mut sums = Sums::default();
        sums.add(asset.code(), rated.counts(asset.chart().money)?, &ancestors)?;
        sums.write(cx, draft)
    }

    /// The event.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn usage(&self, cx: &Cx, id: UsageId) -> Result<UsageDoc, ServiceError> {
        Ok(self.get::<UsageDoc>(cx, &id.text()).await?.doc)
    }

    /// A page of the tenant's events, by the time at which they were told.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn list_usage(&self, cx: &Cx, page: &PageQuery) -> Result<Page<UsageDoc>, ServiceError> {
        Ok(self.list(cx, "", page).await?.docs())
    }
}

/// As the pure half knows it. Its name in the ledger is the call's: time-ordered, and the caller's id makes sure that it
/// happens once.
pub(super) fn event(cx: &Cx, new: &NewUsage) -> Result<UsageEvent, ServiceError> {
    let cost = |cost: &super::CostForm| {
        Ok::<_, ServiceError>(VendorCost { vendor: vendor_id(&cost.vendor)?, amount: cost.amount })
    };
    Ok(UsageEvent {
        id: GroupId::from(cx.id),
        customer: new.customer,
        subject: new.subject_id().unwrap_or(SubjectId::from_u128(0)),
        product: new.product,
        event_type: new.event_type.clone(),
        dimensions: new.dimensions.clone(),
        quantity: new.quantity,
        costs: new.costs.iter().map(cost).collect::<Result<_, _>>()?,
        occurred_at: new.occurred_ms.map_or(cx.now, Timestamp::from_unix_ms),
    })
}

pub(super) fn doc(
    cx: &Cx,
    new: &NewUsage,
    (asset, rated): (&AssetDoc, &Rated),
    units_before: Option<u64>,
) -> UsageDoc {
    UsageDoc {
        id: UsageId::from_u128(rated.event.id.as_u128()),
        event_id: new.event_id.clone(),
        customer: new.customer,
        subject: new.subject_id(),
        product: new.product,
        version: rated.version,
        event_type: new.event_type.clone(),
        dimensions: new.dimensions.clone(),
        quantity: new.quantity,
        units_before,
        asset: asset.code().to_owned(),
        price: rated.price,
        cost: rated.cost,
        refunded: Amount::ZERO,
        margin: Signed(rated.margin().net()),
        costs: new.costs.clone(),
        hold: new.hold,
        occurred_ms: rated.event.occurred_at.unix_ms(),
        recorded_ms: cx.now.unix_ms(),
    }
}
