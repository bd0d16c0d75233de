//! [`Secret`]: what a webhook is signed with, written `whsec_` and base64, as Standard Webhooks do.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

const PREFIX: &str = "whsec_";

/// The bytes of a secret: at least, and at most.
const SHORTEST: usize = 24;
const LONGEST: usize = 64;

/// A secret that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is `whsec_` and the base64 of {SHORTEST} to {LONGEST} bytes")]
pub struct BadSecret;

/// A signing secret. It shows itself to nobody who does not ask for it by name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Secret(String);

impl Secret {
    /// The secret made of these bytes, which have to be random.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", base64_simd::STANDARD.encode_to_string(bytes)))
    }

    /// Reads what somebody chose.
    ///
    /// # Errors
    /// [`BadSecret`].
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let secret = Self(text.to_owned());
        let length = text.strip_prefix(PREFIX).and_then(decode).map(|bytes| bytes.len());
        length.filter(|length| (SHORTEST..=LONGEST).contains(length)).map(|_| secret).ok_or(BadSecret)
    }

    /// As its owner writes it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The bytes that sign.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        self.0.strip_prefix(PREFIX).and_then(decode).expect("it was parsed when it was made")
    }
}

fn decode(base64: &str) -> Option<Vec<u8>> {
    base64_simd::STANDARD.decode_to_vec(base64).ok()
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl TryFrom<String> for Secret {
    type Error = BadSecret;

    fn try_from(text: String) -> Result<Self, BadSecret> {
        Self::parse(&text)
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_what_standard_webhooks_call_one_and_shows_itself_to_nobody() {
        let made = Secret::from_bytes([0xab; 32]);
        assert_eq!(Secret::parse(made.reveal()).map(|s| s.key()), Ok(vec![0xab; 32]));
        assert_eq!(format!("{made:?}"), "Secret(..)");
        for bad in [
            "",
            "whsec_",
            "whsec_AAAA",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_!!!!MfKQ9r8GKYqrTwjUPD8ILPZI",
        ] {
            assert!(Secret::parse(bad).is_err(), "{bad}");
        }
        assert!(Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
    }
}
