//! [`Figures`]: what a counter shows, as reports have it; [`Signed`]: an amount that may be below zero. They add nothing up.

use crate::usage::rollup::Tally;
use farthing_ledger::Net;
use farthing_money::Amount;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Revenue, what was given back of it, cost, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Figures {
    /// How many events.
    pub events: u64,
    /// How many units; a string of digits, because sums may be longer than a JSON number.
    #[serde(with = "digits")]
    pub quantity: u128,
    /// What customers paid.
    pub revenue: Amount,
    /// What was given back to customers in this time, also of what they had paid before it.
    #[serde(default)]
    pub refunded: Amount,
    /// What vendors took.
    pub cost: Amount,
    /// Revenue less what was given back and less cost, which may be below zero.
    pub margin: Signed,
    /// The margin in millionths of the revenue that was not given back, rounded down; null when nothing is left of it.
    pub margin_millionths: Option<i64>,
    /// What funding sources took back from a customer, who owes it since; it is no part of the margin. Nothing for all but
    /// customers.
    #[serde(default)]
    pub charged_back: Amount,
}

impl From<Tally> for Figures {
    fn from(tally: Tally) -> Self {
        let Tally { events, quantity, revenue, cost, refunded, charged_back } = tally;
        let (margin, margin_millionths) = (Signed(tally.net()), tally.millionths());
        Self { events, quantity, revenue, refunded, cost, margin, margin_millionths, charged_back }
    }
}

/// A number as a string of digits, for `#[serde(with = "digits")]`.
#[allow(non_camel_case_types, reason = "serde calls it as a module, a schema needs a type")]
enum digits {}

impl digits {
    fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Base units that may be below zero. In JSON a string of digits, with a minus before it when it is less than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signed(pub Net);

impl Serialize for Signed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Net::Plus(amount) => serializer.collect_str(&amount),
            Net::Minus(amount) => serializer.collect_str(&format_args!("-{amount}")),
        }
    }
}

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let read = |digits: &str| Amount::from_base_str(digits).map_err(serde::de::Error::custom);
        let net = match text.strip_prefix('-') {
            Some(digits) => Net::of(Amount::ZERO, read(digits)?),
            None => Net::Plus(read(&text)?),
        };
        Ok(Self(net))
    }
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{Signed, digits};

    impl JsonSchema for digits {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            "Digits".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "pattern": "^(0|[1-9][0-9]*)$" })
        }
    }

    impl JsonSchema for Signed {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            "SignedAmount".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "pattern": "^-?(0|[1-9][0-9]*)$" })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Amount, Figures, Net, Signed, Tally};

    #[test]
    fn figures_say_what_is_left() {
        let amount = Amount::from_base;
        let tally = |revenue, refunded, cost| Tally {
            events: 2,
            quantity: 7,
            revenue: amount(revenue),
            refunded: amount(refunded),
            cost: amount(cost),
            charged_back: amount(1),
        };
        for (revenue, refunded, cost, margin, millionths) in [
            (10, 0, 4, "6", "600000"),
            (3, 0, 4, "-1", "-333334"),
            (0, 0, 4, "-4", "null"),
            // Of what is left of the revenue: 8.
            (10, 2, 4, "4", "500000"),
            (10, 9, 4, "-3", "-3000000"),
            (10, 10, 4, "-4", "null"),
            (10, 12, 4, "-6", "null"),
        ] {
            let figures = Figures::from(tally(revenue, refunded, cost));
            let json = serde_json::to_string(&figures).unwrap();
            let money = format!(r#""revenue":"{revenue}","refunded":"{refunded}","cost":"{cost}""#);
            let rest = format!(r#""margin":"{margin}","margin_millionths":{millionths},"charged_back":"1""#);
            assert_eq!(json, format!(r#"{{"events":2,"quantity":"7",{money},{rest}}}"#));
            assert_eq!(serde_json::from_str::<Figures>(&json).unwrap(), figures);
        }
        // As it was kept before anything was given back.
        let before =
            r#"{"events":1,"quantity":"1","revenue":"3","cost":"1","margin":"2","margin_millionths":666666}"#;
        assert_eq!(serde_json::from_str::<Figures>(before).unwrap().refunded, Amount::ZERO);
    }

    #[test]
    fn a_sign_is_read_as_it_is_written() {
        for (net, json) in [
            (Net::Plus(Amount::from_base(12)), "\"12\""),
            (Net::Plus(Amount::ZERO), "\"0\""),
            (Net::Minus(Amount::from_base(12)), "\"-12\""),
        ] {
            assert_eq!(serde_json::to_string(&Signed(net)).unwrap(), json);
            assert_eq!(serde_json::from_str::<Signed>(json).unwrap(), Signed(net));
        }
        for bad in ["12", "\"--1\"", "\"+1\"", "\"\""] {
            serde_json::from_str::<Signed>(bad).unwrap_err();
        }
    }
}
