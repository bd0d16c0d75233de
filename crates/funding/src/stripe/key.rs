//! [`StripeKey`]: the platform's secret key. Wiped on drop, and never shown.

use std::fmt;

use zeroize::Zeroizing;

/// A secret or restricted key of a Stripe account.
#[derive(Clone)]
pub struct StripeKey(Zeroizing<String>);

/// A text is no secret key. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a Stripe secret key begins with sk_ or rk_ and has letters, digits and underscores only")]
#[non_exhaustive]
pub struct BadStripeKey;

impl BadStripeKey {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "stripe_bad_key"
    }
}

impl StripeKey {
    /// The key that `text` is.
    ///
    /// # Errors
    /// [`BadStripeKey`]: a publishable key is one of the things that it is not.
    pub fn new(text: &str) -> Result<Self, BadStripeKey> {
        let text = text.trim();
        let rest = text.strip_prefix("sk_").or_else(|| text.strip_prefix("rk_"));
        let fits = |rest: &str| {
            (3..=250).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if !rest.is_some_and(fits) {
            return Err(BadStripeKey);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StripeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StripeKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::StripeKey;

    #[test]
    fn a_key_is_checked_and_never_shown() {
        for bad in ["", "sk_", "pk_test_123", "sk_test_1 2", "sk_\n", "whsec_123"] {
            assert_eq!(StripeKey::new(bad).unwrap_err().code(), "stripe_bad_key", "{bad:?}");
        }
        let key = StripeKey::new("sk_test_s3cr3t\n").unwrap();
        assert_eq!(key.expose(), "sk_test_s3cr3t");
        assert!(!format!("{key:?}").contains("s3cr3t"));
    }
}
