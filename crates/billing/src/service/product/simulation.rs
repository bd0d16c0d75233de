//! What a price would have done to past usage, before it is published. It writes nothing.

use farthing_ledger::record::Order;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::PriceForm;
use crate::id::ProductId;
use crate::pricing::{Measure, Price, ProductError, Simulation, simulate_after};
use crate::service::usage::UsageByProduct;
use crate::service::{Billing, Cx, PageQuery, ServiceError};

/// The most events that one simulation prices.
pub const MAX_SIMULATED: usize = 20_000;

/// Which price is tried on which usage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SimulationQuery {
    /// The price.
    pub price: PriceForm,
    /// Usage that occurred from here on, in milliseconds since the Unix epoch.
    pub from_ms: u64,
    /// And before this instant.
    pub to_ms: u64,
}

/// What the price would have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SimulationResult {
    /// How many events were priced.
    pub events: u64,
    /// What was charged for them.
    pub charged: Amount,
    /// What they would cost by the price that counts now.
    pub before: Amount,
    /// What they would cost by the new price.
    pub after: Amount,
    /// Events that would cost more than by the price now.
    pub dearer: u64,
    /// Events that would cost less.
    pub cheaper: u64,
    /// Events that would cost less than the vendors took.
    pub under_cost: u64,
    /// Where a new volume price falls: quantities after which one unit more makes all of them cheaper.
    pub drops: Vec<u64>,
    /// Whether these were all. Otherwise the window has more than [`MAX_SIMULATED`], and only the oldest were priced.
    pub complete: bool,
}

/// Past usage, as it was measured.
#[derive(Default)]
struct Past {
    parts: Vec<(u64, Measure)>,
    charged: Amount,
}

impl Billing {
    /// Prices the past usage of a product with a price that is not published.
    ///
    /// When tiers count over a month, each event keeps its place among the month's units.
    ///
    /// # Errors
    /// [`ServiceError::Price`] for the new price, [`ServiceError::NotFound`], [`ServiceError::Product`] when the product has no
    /// price now, [`ServiceError::Money`], [`ServiceError::Store`].
    pub async fn simulate_price(
        &self,
        cx: &Cx,
        product: ProductId,
        query: &SimulationQuery,
    ) -> Result<SimulationResult, ServiceError> {
        let new = Price::try_from(&query.price)?;
        let drops = new.drops()?;
        self.stored_product(cx, product).await?;
        let now = self.price_at(cx, product, cx.now).await?.ok_or(ProductError::NoPrice)?;
        let now = now.version()?.price;
        let (past, complete) = self.past_usage(cx, product, (query.from_ms, query.to_ms)).await?;
        let Simulation { events, before, after, dearer, cheaper, under_cost } =
            simulate_after(&now, &new, past.parts)?;
        let charged = past.charged;
        Ok(SimulationResult { events, charged, before, after, dearer, cheaper, under_cost, drops, complete })
    }

    async fn past_usage(
        &self,
        cx: &Cx,
        product: ProductId,
        (from_ms, to_ms): (u64, u64),
    ) -> Result<(Past, bool), ServiceError> {
        let key = |at: u64| format!("{product}/{at:012x}");
        // Keys go on after the time, so that those of the first instant are behind it.
        let mut page = PageQuery { after: Some(key(from_ms)), limit: 999, order: Order::Ascending };
        let (mut past, end) = (Past::default(), key(to_ms));
        loop {
            let found = self.list::<UsageByProduct>(cx, &format!("{product}/"), &page).await?;
            for event in found.data {
                if event.key >= end {
                    return Ok((past, true));
                }
                if past.parts.len() >= MAX_SIMULATED {
                    return Ok((past, false));
                }
                let UsageByProduct { quantity, before, cost, price } = event.doc;
                past.parts.push((before, Measure { quantity, cost }));
                past.charged = past.charged.checked_add(price)?;
            }
            match found.next {
                Some(next) => page.after = Some(next),
                None => return Ok((past, true)),
            }
        }
    }
}
