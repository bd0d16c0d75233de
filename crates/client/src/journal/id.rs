//! [`PaymentId`]: names one payment in the journal and in the spend book.

use std::fmt;
use std::sync::Arc;

use farthing_money::Id;
use farthing_protocol::UnixMs;
use serde::{Deserialize, Serialize};

/// Names one payment; ids sort by the time the payment began.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct PaymentId(Arc<str>);

impl PaymentId {
    /// A fresh id for a payment that begins `now`.
    #[must_use]
    pub fn fresh(now: UnixMs) -> Self {
        Self(Id::from_parts(now.as_ms(), rand::random()).to_string().into())
    }

    /// The id that somebody wrote down: 1 to 64 letters, digits and hyphens, so that it can name a file.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let welcome = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        ((1..=64).contains(&text.len()) && text.bytes().all(welcome)).then(|| Self(text.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PaymentId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a payment's id is 1 to 64 letters, digits and hyphens")
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
