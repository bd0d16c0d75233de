//! The methods that this crate knows, one line each. It is not a factory: rails are built from configuration by `app`,
//! or by whoever embeds the crates.

/// A method and the intents that its rail implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodEntry {
    /// The method's identifier on the wire.
    pub method: &'static str,
    /// The intents that both halves implement.
    pub intents: &'static [&'static str],
    /// What it is, for people.
    pub about: &'static str,
}

/// Every method, in the order in which documentation lists them.
pub const METHODS: &[MethodEntry] = &[
    MethodEntry { method: crate::tempo::METHOD, intents: &["charge"], about: "TIP-20 stablecoins on Tempo" },
    MethodEntry {
        method: crate::prepaid::METHOD,
        intents: &["charge"],
        about: "A balance with the issuer, in any asset of its ledger",
    },
    MethodEntry {
        method: crate::example::METHOD,
        intents: &["charge"],
        about: "A minimal method to copy from",
    },
];

/// The entry of `method`, when this crate has a rail for it.
#[must_use]
pub fn find(method: &str) -> Option<&'static MethodEntry> {
    METHODS.iter().find(|entry| entry.method == method)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use farthing_protocol::MethodId;

    use super::{METHODS, find};

    #[test]
    fn every_method_has_a_valid_unique_name() {
        for (i, entry) in METHODS.iter().enumerate() {
            assert!(MethodId::is_valid(entry.method), "{} (C13)", entry.method);
            assert!(METHODS.iter().skip(i + 1).all(|other| other.method != entry.method), "{}", entry.method);
            assert_eq!(find(entry.method).unwrap(), entry);
        }
        assert_eq!(find("stripe"), None);
    }
}
