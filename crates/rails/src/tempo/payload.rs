//! [`Payload`]: what a credential pays with: a signed transaction, a transaction's hash, or a proof.

use std::fmt;

use alloy_primitives::B256;
use serde::Deserialize;

use super::did::parse_word;
use super::error::ChargeError;

/// A payload, decoded. It authorises money: its `Debug` shows the kind only.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// A signed transaction, 0x76 or the fee payer's envelope 0x78 (pull).
    Transaction(Vec<u8>),
    /// The hash of a transaction that the payer broadcast (push).
    Hash(B256),
    /// A signature over the proof's typed data, for a charge of zero.
    Proof(Vec<u8>),
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transaction(bytes) => write!(f, "Transaction({} bytes)", bytes.len()),
            Self::Hash(hash) => write!(f, "Hash({hash})"),
            Self::Proof(bytes) => write!(f, "Proof({} bytes)", bytes.len()),
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Wire {
    Transaction { signature: String },
    Hash { hash: String },
    Proof { signature: String },
}

impl Payload {
    /// Reads the payload's JSON.
    ///
    /// # Errors
    /// [`ChargeError::PayloadUnreadable`].
    pub fn parse(json: &str) -> Result<Self, ChargeError> {
        let unreadable = |why| ChargeError::PayloadUnreadable { why };
        let wire = serde_json::from_str(json).map_err(|_| {
            unreadable("it is an object with `type` transaction, hash or proof, and `signature` or `hash`")
        })?;
        match wire {
            Wire::Transaction { signature } => unhex(&signature)
                .map(Self::Transaction)
                .ok_or_else(|| unreadable("`signature` is not 0x and hexadecimal digits")),
            Wire::Hash { hash } => parse_word(&hash)
                .map(Self::Hash)
                .ok_or_else(|| unreadable("`hash` is not 0x and 64 hexadecimal digits")),
            Wire::Proof { signature } => unhex(&signature)
                .map(Self::Proof)
                .ok_or_else(|| unreadable("`signature` is not 0x and hexadecimal digits")),
        }
    }

    /// The payload as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::Transaction(bytes) => {
                format!(r#"{{"signature":"0x{}","type":"transaction"}}"#, hex::encode(bytes))
            }
            Self::Hash(hash) => format!(r#"{{"hash":"{hash}","type":"hash"}}"#),
            Self::Proof(bytes) => format!(r#"{{"signature":"0x{}","type":"proof"}}"#, hex::encode(bytes)),
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x")?).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Payload;

    #[test]
    fn payloads_read_in_every_case_and_write_in_one() {
        let hash = "ab".repeat(32);
        let cases = [
            (
                r#"{"type":"transaction","signature":"0x76AB"}"#.to_owned(),
                Some(Payload::Transaction(vec![0x76, 0xab])),
            ),
            (r#"{"type":"proof","signature":"0x01","later":1}"#.to_owned(), Some(Payload::Proof(vec![1]))),
            (
                format!(r#"{{"type":"hash","hash":"0x{}"}}"#, hash.to_uppercase()),
                Some(Payload::Hash([0xab; 32].into())),
            ),
            (format!(r#"{{"type":"hash","hash":"{hash}"}}"#), None),
            (r#"{"type":"hash","hash":"0x12"}"#.to_owned(), None),
            (r#"{"type":"hash","signature":"0x12"}"#.to_owned(), None),
            (r#"{"type":"transaction","signature":"0x"}"#.to_owned(), None),
            (r#"{"type":"transaction","signature":"0x1"}"#.to_owned(), None),
            (r#"{"type":"TRANSACTION","signature":"0x11"}"#.to_owned(), None),
            (r#"{"type":"voucher"}"#.to_owned(), None),
            ("[]".to_owned(), None),
            (String::new(), None),
        ];
        for (json, expected) in cases {
            let parsed = Payload::parse(&json).ok();
            assert_eq!(parsed, expected, "{json}");
            if let Some(payload) = parsed {
                assert_eq!(Payload::parse(&payload.to_json()).unwrap(), payload);
            }
        }
    }
}
