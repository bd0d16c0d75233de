//! [`KeyName`]: what a key is called, which is also the name of its file: never a path.

use std::fmt;
use std::str::FromStr;

use super::KeystoreError;

/// 1 to 128 letters, digits, `-`, `_` and `.`, beginning with a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Checks and keeps a name.
    ///
    /// # Errors
    /// [`KeystoreError::BadName`].
    pub fn new(text: &str) -> Result<Self, KeystoreError> {
        let bytes = text.as_bytes();
        let welcome = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let good = bytes.len() <= Self::MAX_BYTES
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            // Some file systems drop a final dot, and two names would be one file.
            && !text.ends_with('.')
            && bytes.iter().all(welcome);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeystoreError::BadName { input: text.chars().take(40).collect() })
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeystoreError;

    fn from_str(text: &str) -> Result<Self, KeystoreError> {
        Self::new(text)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
