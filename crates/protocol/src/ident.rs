//! Names of payment methods and intents, checked once.

use std::fmt;
use std::sync::Arc;

use crate::ParseError;

/// A payment method identifier: `[a-z][a-z0-9:_-]*`, such as `tempo`.
///
/// The draft (core, section 6.1) allows lower-case letters only; every SDK accepts the wider form, and so do we.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MethodId(Arc<str>);

impl MethodId {
    /// Checks and keeps a method identifier.
    ///
    /// # Errors
    /// [`ParseError::BadMethod`] for any other spelling.
    pub fn new(text: &str) -> Result<Self, ParseError> {
        if Self::is_valid(text) { Ok(Self(text.into())) } else { Err(ParseError::BadMethod) }
    }

    /// Whether `text` is a method identifier (C13).
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        let tail = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b':' | b'_' | b'-');
        text.as_bytes()
            .split_first()
            .is_some_and(|(h, t)| h.is_ascii_lowercase() && t.iter().all(|b| tail(*b)))
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MethodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A payment intent: `[A-Za-z0-9_-]+`, such as `charge`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Intent(Arc<str>);

impl Intent {
    /// Checks and keeps an intent.
    ///
    /// # Errors
    /// [`ParseError::BadIntent`] for any other spelling.
    pub fn new(text: &str) -> Result<Self, ParseError> {
        if Self::is_valid(text) { Ok(Self(text.into())) } else { Err(ParseError::BadIntent) }
    }

    /// Whether `text` is an intent.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    }

    /// The intent `charge`: one payment for one call.
    #[must_use]
    pub fn charge() -> Self {
        Self("charge".into())
    }

    /// The intent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
