//! [`MeteredVendor`]: a vendor that asks for no payments. It is called with an API key of its own, and what a call costs follows from a
//! rule; the policy, the journal and the wallet take part as in any paid call.
//!
//! The most that a call may cost is held before it is sent. An answer that is no success costs nothing. When there is no answer,
//! nobody knows what the vendor has counted: the money stays held, and the payment stays open in the journal, until somebody says
//! what became of it or the time passes that the vendor's rule gives ([`crate::verdict`]).

mod answer;
mod call;

pub(crate) use call::execute;

use std::num::NonZeroU64;
use std::time::Duration;

use farthing_money::{Amount, Money, MoneyError, Rounding};
use http::header::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::driver::Core;
use crate::outgoing::Outgoing;
use crate::policy::HostPattern;

/// The method's name in policies and in the journal.
pub const METHOD: &str = "metered";

/// The longest answer that is read to find out what a call cost, in bytes.
pub const MAX_ANSWER: usize = 8 << 20;

/// How long a call whose outcome nobody knows stays open, unless a vendor's rule says otherwise: a day, in which a person can look
/// at what the vendor has counted.
pub const CHARGE_AFTER: Duration = Duration::from_hours(24);

/// What a call costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CostRule {
    /// The most, always.
    PerCall,
    /// What the answer's JSON says was used; the most, where it does not say it readably.
    Counted(Vec<Counted>),
}

/// A number in the answer, and what so many cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Where the number is: a JSON pointer (RFC 6901), such as `/usage/total_tokens`.
    pub pointer: String,
    /// So many cost …
    pub per: NonZeroU64,
    /// … so much, in base units. A part of a base unit costs a whole one.
    pub price: Amount,
}

impl CostRule {
    /// What an answer with this body cost: never more than `most`, which is all that was held.
    #[must_use]
    pub fn cost(&self, most: &Money, body: &Value) -> Money {
        let Self::Counted(counted) = self else { return most.clone() };
        let sum = counted.iter().try_fold(Amount::ZERO, |sum, counted| {
            let number =
                body.pointer(&counted.pointer).and_then(Value::as_u64).ok_or(MoneyError::Overflow)?;
            let part = counted.price.checked_mul(u128::from(number))?;
            sum.checked_add(part.checked_div(u128::from(counted.per.get()), Rounding::Up)?)
        });
        let sum = sum.unwrap_or_else(|_| most.amount());
        if sum > most.amount() {
            tracing::error!(cost = %sum, most = %most, "a metered call cost more than the most that its rule says: raise it");
        }
        Money::new(sum.min(most.amount()), most.asset().clone())
    }
}

/// A vendor with an API key.
#[derive(Clone)]
pub struct MeteredVendor {
    host: HostPattern,
    header: HeaderName,
    key: HeaderValue,
    most: Money,
    rule: CostRule,
    heeds_keys: bool,
    charge_after: Option<Duration>,
}

impl std::fmt::Debug for MeteredVendor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeteredVendor")
            .field("host", &self.host)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl MeteredVendor {
    /// The vendor at `host`, which is sent `key` in `header`; a call costs what `rule` says and at most `most`.
    #[must_use]
    pub fn new(
        host: HostPattern,
        (header, mut key): (HeaderName, HeaderValue),
        (most, rule): (Money, CostRule),
    ) -> Self {
        key.set_sensitive(true);
        Self { host, header, key, most, rule, heeds_keys: false, charge_after: Some(CHARGE_AFTER) }
    }

    /// The vendor heeds `Idempotency-Key`: a call whose answer is lost is sent again with the same key, and counted once.
    #[must_use]
    pub const fn that_heeds_keys(mut self) -> Self {
        self.heeds_keys = true;
        self
    }

    /// How long a call whose outcome nobody knows stays open before it counts as charged in full; with none, until somebody says
    /// what became of it. [`CHARGE_AFTER`], where this is not called.
    #[must_use]
    pub const fn charge_after(mut self, time: Option<Duration>) -> Self {
        self.charge_after = time;
        self
    }
}

/// The vendor that a request goes to, where it is one of these.
pub(crate) fn find<'a>(core: &'a Core, request: &Outgoing) -> Option<&'a MeteredVendor> {
    core.vendors.iter().find(|vendor| vendor.host.matches(request.site()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::num::NonZeroU64;

    use farthing_money::{Amount, Asset, AssetKind, Money};
    use serde_json::json;

    use super::{CostRule, Counted};

    #[test]
    fn a_call_costs_what_was_used_and_never_more_than_was_held() {
        let counted = |pointer: &str, per, price| Counted {
            pointer: pointer.to_owned(),
            per: NonZeroU64::new(per).unwrap(),
            price: Amount::from_base(price),
        };
        let rule = CostRule::Counted(vec![counted("/usage/in", 1_000, 3), counted("/usage/out", 1_000, 15)]);
        let most = Money::new(Amount::from_base(100), Asset::new("USD", 6, AssetKind::Fiat).unwrap());
        for (body, cost) in [
            (json!({ "usage": { "in": 1_000, "out": 2_000 } }), 33),
            // A part of a base unit costs a whole one.
            (json!({ "usage": { "in": 1, "out": 1 } }), 2),
            (json!({ "usage": { "in": 0, "out": 0 } }), 0),
            (json!({ "usage": { "in": 1_000_000, "out": 0 } }), 100),
            // What does not say it readably costs the most.
            (json!({ "usage": { "in": 1 } }), 100),
            (json!({ "usage": { "in": -1, "out": 0 } }), 100),
            (json!({ "usage": { "in": "7", "out": 0 } }), 100),
            (json!({ "usage": { "in": u64::MAX, "out": u64::MAX } }), 100),
        ] {
            assert_eq!(rule.cost(&most, &body).amount().base(), cost, "{body}");
        }
        assert_eq!(CostRule::PerCall.cost(&most, &json!(null)), most);
    }
}
