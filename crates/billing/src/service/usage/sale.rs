//! [`Billing::record_sale`]: a call that was paid over a rail, at a gateway of the tenant's. The money did not come out of a wallet
//! and the price was agreed on before: it is revenue as it is, costed, counted and told like any other usage.

use farthing_ledger::{Command, Limit, NewAccount, Step};
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::record::{doc, event};
use super::{NewUsage, Recorded, RecordedAs, UsageDoc, index};
use crate::budget::Draw;
use crate::service::event::EventKind;
use crate::service::{ATTEMPTS, Billing, Cx, Draft, Fate, ServiceError, refused};
use crate::usage::Rated;

/// A call that was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSale {
    /// What was sold, to whom, and what it cost. It names no hold.
    pub usage: NewUsage,
    /// What was paid, in the product's asset.
    pub paid: Amount,
}

impl Billing {
    /// Books a call that was paid over a rail: from the outside to revenue, and what the vendors took. Once for each event id.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`] for customer or product; [`ServiceError::AlreadyExists`] when the id
    /// was used for an event with other content; [`ServiceError::Usage`] when it is not well formed; and the store's.
    pub async fn record_sale(&self, cx: &Cx, new: &NewSale) -> Result<Recorded, ServiceError> {
        let NewSale { usage, paid } = new;
        usage.check()?;
        if usage.hold.is_some() {
            return Err(ServiceError::invalid("hold", "a sale was paid over a rail: leave the hold out"));
        }
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            if let Some(told) = self.told_before(cx, usage).await? {
                if told.price != *paid {
                    let id = usage.event_id.clone();
                    return Err(ServiceError::AlreadyExists { what: "usage event", id });
                }
                return Ok(Recorded { status: RecordedAs::Exists, usage: told });
            }
            let (draft, doc) = self.draft_sale(cx, new).await?;
            let recorded = Recorded { status: RecordedAs::Recorded, usage: doc };
            match self.commit(cx, draft, &recorded).await? {
                Fate::Applied { .. } => return Ok(recorded),
                Fate::Refused { outcomes } => return Err(refused(&outcomes)),
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    async fn draft_sale(&self, cx: &Cx, new: &NewSale) -> Result<(Draft, UsageDoc), ServiceError> {
        let NewSale { usage, paid } = new;
        let product = self.stored_product(cx, usage.product).await?;
        self.customer(cx, usage.customer).await?;
        let asset = self.asset(cx, &product.doc.asset).await?;
        let event = event(cx, usage)?;
        event.check()?;
        let cost = Amount::sum(event.costs.iter().map(|cost| cost.amount))?;
        // No version of a price counted: what was paid is the price.
        let rated = Rated { event, version: 0, price: *paid, cost };
        let books = asset.books();
        let open = |cost: &crate::usage::VendorCost| {
            let id = cost.vendor.payable(books.asset);
            Step::single(Command::OpenAccount(NewAccount { id, asset: books.asset, limit: Limit::None }))
        };
        let mut draft = Draft::new();
        draft.steps(rated.event.costs.iter().map(open));
        draft.steps(rated.charge(&books, &[Draw { account: asset.outside().bank, amount: *paid }])?);
        let doc = doc(cx, usage, (&asset, &rated), None);
        index::write(cx, &mut draft, &doc)?;
        self.count(cx, &mut draft, (usage, &rated, &asset)).await?;
        let vendors = usage.costs.iter().map(|cost| &*cost.vendor).collect();
        self.introduce_vendors(cx, &mut draft, &vendors).await?;
        draft.tell(cx, EventKind::UsageRecorded, &doc)?;
        Ok((draft, doc))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use farthing_money::Amount;

    use super::NewSale;
    use crate::service::Cx;
    use crate::service::product::TiersOver;
    use crate::service::shop::{Shop, usage};
    use crate::service::usage::{CostForm, NewUsage, RecordedAs};

    async fn books(shop: &Shop, cx: &Cx) -> [u128; 2] {
        let outside = shop.billing.asset(cx, "USD").await.unwrap().outside();
        [shop.settled(outside.revenue).await, shop.settled(outside.cost).await]
    }

    #[tokio::test]
    async fn a_paid_call_is_revenue_once_and_takes_nothing_from_the_wallet() {
        let shop = Shop::open().await;
        let price = r#"{"model":{"type":"per_unit","unit":"3"}}"#;
        let (customer, product) =
            (shop.customer("c", 50).await, shop.product(TiersOver::Event, price).await.id);
        let costs = vec![CostForm { vendor: "v.example".to_owned(), amount: Amount::from_base(4) }];
        let sale = NewSale {
            usage: NewUsage { costs, ..usage("claim-1", customer, product) },
            paid: Amount::from_base(20),
        };
        // However late it is told: it was paid.
        let told = shop.billing.record_sale(&shop.at(9_000), &sale).await.unwrap();
        assert_eq!((told.status, told.usage.version), (RecordedAs::Recorded, 0));
        let again = shop.billing.record_sale(&shop.at(9_001), &sale).await.unwrap();
        assert_eq!((again.status, again.usage.id), (RecordedAs::Exists, told.usage.id));
        assert_eq!(books(&shop, &shop.at(9_002)).await, [20, 4]);
        assert_eq!(shop.spendable(customer).await, 50);

        let dearer = NewSale { paid: Amount::from_base(21), ..sale.clone() };
        let error = shop.billing.record_sale(&shop.at(9_003), &dearer).await.unwrap_err();
        assert_eq!(error.code(), "already_exists");
        assert_eq!(
            shop.billing.record_sale(&shop.foreign(9_004), &sale).await.unwrap_err().code(),
            "not_found"
        );
        assert_eq!(books(&shop, &shop.at(9_005)).await, [20, 4]);
        let page =
            shop.billing.list_customer_usage(&shop.at(9_006), customer, &Default::default()).await.unwrap();
        assert_eq!(page.data.len(), 1);
    }
}
