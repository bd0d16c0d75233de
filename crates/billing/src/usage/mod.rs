//! [`UsageEvent`]: what happened, and how it becomes one linked group that charges the customer and books the vendors' cost.
//!
//! All names follow from the event's id, so that the same event told twice is charged once. An event is priced by the
//! version that counted when it occurred, however late it is told within the grace period. This module keeps no totals: see
//! [`rollup`] for those, which are counted from what is applied here.

pub mod rollup;

use std::collections::BTreeMap;

use farthing_ledger::{AccountId, AssetId, Command, Step, Tag, Timestamp, Transfer};
use farthing_money::{Amount, MoneyError};

use crate::Reason;
use crate::budget::{Draw, MAX_DRAWS};
use crate::id::{CounterpartyId, CustomerId, GroupId, ProductId, SubjectId};
use crate::margin::Margin;
use crate::pricing::{Lateness, Measure, Product, ProductError};

/// What a vendor took for one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VendorCost {
    /// The vendor.
    pub vendor: CounterpartyId,
    /// How much.
    pub amount: Amount,
}

/// Something that a customer used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEvent {
    /// Its name: the same id is the same event.
    pub id: GroupId,
    /// Who used it.
    pub customer: CustomerId,
    /// Under which unit of work it rolls up.
    pub subject: SubjectId,
    /// What is sold.
    pub product: ProductId,
    /// What kind of thing happened, such as `search`.
    pub event_type: String,
    /// What else is known of it: names and values.
    pub dimensions: BTreeMap<String, String>,
    /// How many units were used.
    pub quantity: u64,
    /// What the vendors took.
    pub costs: Vec<VendorCost>,
    /// When.
    pub occurred_at: Timestamp,
}

/// The most vendors of one event.
pub const MAX_COSTS: usize = 16;
/// The most dimensions of one event.
pub const MAX_DIMENSIONS: usize = 32;
/// The longest event type, dimension or value, in bytes.
pub const MAX_TEXT: usize = 256;

/// Why usage is not charged. The variants stand in the order in which they are checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// The event type is empty, too long or has control characters.
    #[error("an event type has 1 to {MAX_TEXT} bytes and no control characters")]
    BadType,
    /// Too many dimensions, or one that is too long.
    #[error("an event has at most {MAX_DIMENSIONS} dimensions of at most {MAX_TEXT} bytes")]
    BadDimensions,
    /// Too many vendors, or one twice.
    #[error("an event has at most {MAX_COSTS} vendors, each once")]
    BadCosts,
    /// No version of the product prices it.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// The amounts do not fit.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// What is drawn from the wallet is not the price.
    #[error("what is drawn from the wallet does not make up the price")]
    DrawMismatch,
}

impl UsageError {
    /// The stable code, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadType => "usage_bad_type",
            Self::BadDimensions => "usage_bad_dimensions",
            Self::BadCosts => "usage_bad_costs",
            Self::Product(error) => error.code(),
            Self::Money(error) => error.code(),
            Self::DrawMismatch => "usage_draw_mismatch",
        }
    }
}

/// An event with its price. It follows from the event and the product alone, whenever it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rated {
    /// The event.
    pub event: UsageEvent,
    /// The version that priced it.
    pub version: u32,
    /// What the customer pays.
    pub price: Amount,
    /// What the vendors took.
    pub cost: Amount,
}

/// The ledger accounts between which usage moves money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Books {
    /// The asset of price and cost.
    pub asset: AssetId,
    /// What customers paid.
    pub revenue: AccountId,
    /// What calls cost.
    pub cost: AccountId,
}

impl UsageEvent {
    /// Whether it is well formed.
    ///
    /// # Errors
    /// [`UsageError::BadType`], [`UsageError::BadDimensions`], [`UsageError::BadCosts`].
    pub fn check(&self) -> Result<(), UsageError> {
        let fits = |text: &str| text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
        if self.event_type.is_empty() || !fits(&self.event_type) {
            return Err(UsageError::BadType);
        }
        let all_fit =
            self.dimensions.iter().all(|(name, value)| !name.is_empty() && fits(name) && fits(value));
        if self.dimensions.len() > MAX_DIMENSIONS || !all_fit {
            return Err(UsageError::BadDimensions);
        }
        let once = |(at, cost): (usize, &VendorCost)| {
            self.costs.iter().skip(at + 1).all(|other| other.vendor != cost.vendor)
        };
        if self.costs.len() > MAX_COSTS || !self.costs.iter().enumerate().all(once) {
            return Err(UsageError::BadCosts);
        }
        Ok(())
    }

    /// Prices it by the version that counted when it occurred.
    ///
    /// # Errors
    /// [`UsageError`], but for [`UsageError::DrawMismatch`].
    pub fn rate(self, product: &Product, now: Timestamp, lateness: Lateness) -> Result<Rated, UsageError> {
        self.rate_after(0, product, now, lateness)
    }

    /// As [`UsageEvent::rate`], when `before` units of the period are charged already and the tiers count over it
    /// ([`crate::pricing::Price::after`]). Read `before` in the transaction that charges.
    ///
    /// # Errors
    /// As [`UsageEvent::rate`].
    pub fn rate_after(
        self,
        before: u64,
        product: &Product,
        now: Timestamp,
        lateness: Lateness,
    ) -> Result<Rated, UsageError> {
        self.check()?;
        let version = product.version(self.occurred_at, now, lateness)?;
        let cost = Amount::sum(self.costs.iter().map(|cost| cost.amount))?;
        let price = version.price.after(before, Measure { quantity: self.quantity, cost })?;
        Ok(Rated { version: version.number, price, cost, event: self })
    }
}

impl Rated {
    /// What is left of the price after the cost.
    #[must_use]
    pub const fn margin(&self) -> Margin {
        Margin { price: self.price, cost: self.cost }
    }

    /// One linked group that charges the price to the accounts from which it is drawn ([`crate::wallet::draw`]) and books the
    /// cost. Nothing when both are zero. Told again, it has to be told with the same draws: ask the ledger for the first leg
    /// before drawing anew.
    ///
    /// # Errors
    /// [`UsageError::DrawMismatch`].
    pub fn charge(&self, books: &Books, draws: &[Draw]) -> Result<Vec<Step>, UsageError> {
        let sum = Amount::sum(draws.iter().map(|draw| draw.amount));
        if sum != Ok(self.price) || draws.len() > MAX_DRAWS {
            return Err(UsageError::DrawMismatch);
        }
        let charges = draws.iter().map(|draw| (draw.account, books.revenue, draw.amount, Reason::Spend));
        Ok(self.group(books, charges.collect()))
    }

    /// As [`Rated::charge`], for a call whose hold stands: `capture` pays the price from it
    /// ([`crate::budget::Placed::capture`], with a group of its own, not the event's), and the cost is booked in the same
    /// linked group.
    #[must_use]
    pub fn capture(&self, books: &Books, capture: Vec<Step>) -> Vec<Step> {
        let cost = self.group(books, Vec::new());
        Step::group(capture.into_iter().chain(cost).map(|step| step.command))
    }

    fn group(&self, books: &Books, charges: Vec<(AccountId, AccountId, Amount, Reason)>) -> Vec<Step> {
        let costs = self.event.costs.iter();
        let costs =
            costs.map(|cost| (books.cost, cost.vendor.payable(books.asset), cost.amount, Reason::Cost));
        let moved = charges.into_iter().chain(costs).filter(|(_, _, amount, _)| !amount.is_zero());
        let tag = Tag { subject: self.event.subject.as_u128(), reference: self.event.id.as_u128() };
        Step::group((0..=u8::MAX).zip(moved).map(|(at, (debit, credit, amount, reason))| {
            let (id, code) = (self.event.id.leg(at), reason.code());
            Command::Transfer(Transfer { id, debit, credit, asset: books.asset, amount, code, tag })
        }))
    }
}

#[cfg(test)]
mod tests;
