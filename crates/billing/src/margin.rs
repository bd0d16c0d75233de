//! [`Margin`]: what is left of a price after the cost; and [`PriceBook`]: what vendors quoted, so that a change is told
//! before the next call is authorised. It asks no vendor: callers bring the quotes of the 402s that they were given.

use std::collections::BTreeMap;

use farthing_ledger::{Net, Timestamp};
use farthing_money::Amount;

use crate::id::{CounterpartyId, OfferId};

/// A price and what it costs to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Margin {
    /// What the customer pays.
    pub price: Amount,
    /// What the vendors take.
    pub cost: Amount,
}

impl Margin {
    /// Price less cost, which may be below zero.
    #[must_use]
    pub fn net(&self) -> Net {
        Net::of(self.price, self.cost)
    }

    /// Millionths of the price that are left, rounded down, so that a margin is under a floor exactly when this is less than the
    /// floor. `None` for a price of nothing. Below `i64` it stays at the least that fits; amounts past 2^107 are divided by a
    /// million first, which costs their last digits.
    #[must_use]
    pub fn millionths(&self) -> Option<i64> {
        let (price, net) = match self.net() {
            Net::Plus(net) => (self.price.base(), net.base()),
            Net::Minus(loss) => (self.price.base(), loss.base()),
        };
        let scaled = |net: u128| net.checked_mul(1_000_000).map(|net| (net, price));
        if price == 0 {
            return None;
        }
        let (net, price) = scaled(net).unwrap_or((net, (price / 1_000_000).max(1)));
        let fits = |part: u128| i64::try_from(part).unwrap_or(i64::MAX);
        Some(match self.net() {
            Net::Plus(_) => fits(net / price),
            Net::Minus(_) => -fits(net.div_ceil(price)),
        })
    }

    /// Whether less than `floor` millionths of the price are left. A price of nothing has a margin under every floor when
    /// it costs something, and under none when it costs nothing.
    #[must_use]
    pub fn is_under(&self, floor: Floor) -> bool {
        // cost > price * (1 - floor), in parts that cannot overflow: whole millions of the price, then the rest.
        let keep = u128::from(1_000_000 - floor.millionths.min(1_000_000));
        let (millions, rest) = (self.price.base() / 1_000_000, self.price.base() % 1_000_000);
        let most = millions * keep + rest * keep / 1_000_000;
        self.cost.base() > most
    }
}

/// The least margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Floor {
    /// Millionths of the price, at most 1,000,000: 150,000 is 15 percent.
    pub millionths: u32,
}

/// Where a vendor asks for money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quoted {
    /// The vendor.
    pub vendor: CounterpartyId,
    /// What is offered, as the caller tells offers apart: a route and an asset.
    pub offer: OfferId,
}

/// A price that a vendor asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quote {
    /// How much.
    pub amount: Amount,
    /// When it was seen first.
    pub since: Timestamp,
    /// When it was seen last.
    pub seen: Timestamp,
}

/// What somebody should know before the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alert {
    /// The vendor asks for another price than before.
    PriceChanged {
        /// Which.
        of: Quoted,
        /// What it asked for.
        before: Amount,
        /// What it asks for now.
        after: Amount,
    },
    /// The call would leave less than the floor.
    MarginUnderFloor {
        /// Which.
        of: Quoted,
        /// What the customer pays and what the call costs.
        margin: Margin,
        /// The least.
        floor: Floor,
    },
}

/// Whether calls go on when an alert is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnAlert {
    /// They do: somebody is told.
    Tell,
    /// They do not, until somebody accepts the price ([`PriceBook::accept`]) or the margin is there again.
    Block,
}

/// What is asked before a call is authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question {
    /// Who asks for money, and what for.
    pub of: Quoted,
    /// How much.
    pub cost: Amount,
    /// What the customer will pay for it; `None` when that is not known before the call.
    pub price: Option<Amount>,
    /// When.
    pub now: Timestamp,
}

/// What follows from a quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What to tell, at most one of each kind.
    pub alerts: Vec<Alert>,
    /// Whether the call may be authorised.
    pub may_call: bool,
}

/// The rule about a vendor's prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MarginPolicy {
    /// The least margin.
    pub floor: Floor,
    /// When a price changes.
    pub on_change: OnAlert,
    /// When the margin is under the floor.
    pub on_floor: OnAlert,
}

/// What vendors asked for last, and what was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceBook {
    latest: BTreeMap<Quoted, Quote>,
    accepted: BTreeMap<Quoted, Amount>,
}

impl PriceBook {
    /// No quote yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A book with one offer in it, as a book knew it before: what it asked for last, and what was accepted.
    #[must_use]
    pub fn restore(of: Quoted, latest: Quote, accepted: Amount) -> Self {
        Self { latest: BTreeMap::from([(of, latest)]), accepted: BTreeMap::from([(of, accepted)]) }
    }

    /// What was asked for last.
    #[must_use]
    pub fn latest(&self, of: &Quoted) -> Option<&Quote> {
        self.latest.get(of)
    }

    /// What was accepted; the first price that was asked for, when nobody said anything.
    #[must_use]
    pub fn accepted(&self, of: &Quoted) -> Option<Amount> {
        self.accepted.get(of).copied()
    }

    /// Keeps a quote and says what follows from it. The first quote of an offer is accepted: there is nothing to compare. A
    /// change is told once; while changes block, calls wait until the price is accepted or the accepted one comes back. A
    /// margin under the floor is told every time: each such call loses.
    pub fn quote(&mut self, question: &Question, policy: &MarginPolicy) -> Verdict {
        let Question { of, cost, price, now } = *question;
        let before = self.latest.get(&of).copied();
        let since = before.filter(|quote| quote.amount == cost).map_or(now, |quote| quote.since);
        self.latest.insert(of, Quote { amount: cost, since, seen: now });
        let accepted = *self.accepted.entry(of).or_insert(cost);
        let mut verdict = Verdict { alerts: Vec::new(), may_call: true };
        if let Some(quote) = before.filter(|quote| quote.amount != cost) {
            verdict.alerts.push(Alert::PriceChanged { of, before: quote.amount, after: cost });
        }
        match policy.on_change {
            OnAlert::Block => verdict.may_call = accepted == cost,
            OnAlert::Tell => drop(self.accepted.insert(of, cost)),
        }
        if let Some(price) = price {
            let margin = Margin { price, cost };
            if margin.is_under(policy.floor) {
                verdict.alerts.push(Alert::MarginUnderFloor { of, margin, floor: policy.floor });
                verdict.may_call &= policy.on_floor == OnAlert::Tell;
            }
        }
        verdict
    }

    /// Somebody accepts what a vendor asks for.
    pub fn accept(&mut self, of: Quoted, amount: Amount) {
        self.accepted.insert(of, amount);
    }
}

#[cfg(test)]
mod tests;
