//! [`Figures`]: what a counter shows, as reports have it; [`Signed`]: an amount that may be below zero. They add nothing up.

use crate::usage::rollup::Tally;
use farthing_ledger::Net;
use farthing_money::Amount;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Revenue, cost and what is left.
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
    /// What vendors took.
    pub cost: Amount,
    /// Revenue less cost, which may be below zero.
    pub margin: Signed,
    /// The margin in millionths of the revenue, rounded down; null without revenue.
    pub margin_millionths: Option<i64>,
}

impl From<Tally> for Figures {
    fn from(tally: Tally) -> Self {
        let Tally { events, quantity, revenue, cost } = tally;
        let margin = tally.margin();
        let (margin, margin_millionths) = (Signed(margin.net()), margin.millionths());
        Self { events, quantity, revenue, cost, margin, margin_millionths }
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
        let tally =
            |revenue, cost| Tally { events: 2, quantity: 7, revenue: amount(revenue), cost: amount(cost) };
        for (revenue, cost, rest) in [
            (10, 4, r#""revenue":"10","cost":"4","margin":"6","margin_millionths":600000"#),
            (3, 4, r#""revenue":"3","cost":"4","margin":"-1","margin_millionths":-333334"#),
            (0, 4, r#""revenue":"0","cost":"4","margin":"-4","margin_millionths":null"#),
        ] {
            let figures = Figures::from(tally(revenue, cost));
            let json = serde_json::to_string(&figures).unwrap();
            assert_eq!(json, format!(r#"{{"events":2,"quantity":"7",{rest}}}"#));
            assert_eq!(serde_json::from_str::<Figures>(&json).unwrap(), figures);
        }
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
