//! [`Signed`]: an amount that may be below zero, as JSON shows it: `"-12"`. It adds nothing up.

use farthing_ledger::Net;
use farthing_money::Amount;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Amount, Net, Signed};

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
