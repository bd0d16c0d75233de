//! What can go wrong with a keystore: one variant, and one stable code, a rule.

use super::KeyName;

/// Why a keystore did not do what was asked. Never repeats a password or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// Not a name that a key can have.
    #[error(
        "{input:?} cannot name a key: use 1 to 128 letters, digits, `-`, `_` and `.`, beginning with a letter or a digit"
    )]
    BadName {
        /// What was given, shortened.
        input: String,
    },
    /// Not a private key.
    #[error(
        "that is not a private key: write 64 hexadecimal digits, with or without 0x, of a number in the curve's range"
    )]
    BadKey,
    /// A password without a character.
    #[error("a key needs a password: an empty one protects nothing")]
    EmptyPassword,
    /// There is a key of that name.
    #[error("there is a key named {name} already; it was left as it is")]
    Exists {
        /// The name.
        name: KeyName,
    },
    /// There is no key of that name.
    #[error("there is no key named {name} in {directory}")]
    Missing {
        /// The name.
        name: KeyName,
        /// Where it was looked for.
        directory: String,
    },
    /// The password is not the key's; or its file was altered where only the password can tell.
    #[error("the password does not open the key {name}")]
    WrongPassword {
        /// The name.
        name: KeyName,
    },
    /// The file is not a key file, or not one any more.
    #[error("the file of the key {name} is damaged: {why}. Restore it from a backup")]
    Damaged {
        /// The name.
        name: KeyName,
        /// What is wrong.
        why: String,
    },
    /// A key file of a kind that is not read.
    #[error("the file of the key {name} uses {what}, which is not supported")]
    Unsupported {
        /// The name.
        name: KeyName,
        /// What it uses.
        what: String,
    },
    /// The file does not tell the address.
    #[error("the file of the key {name} does not tell its address: unlock the key to see it")]
    NoAddress {
        /// The name.
        name: KeyName,
    },
    /// A file could not be read or written.
    #[error("{path} cannot be used: {why}")]
    Storage {
        /// Where.
        path: String,
        /// What went wrong.
        why: String,
    },
    /// The directory could not be read.
    #[error("the keys in {path} cannot be listed: {why}")]
    Unlistable {
        /// Where.
        path: String,
        /// What went wrong.
        why: String,
    },
}

impl KeystoreError {
    /// The stable code of the broken rule.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadName { .. } => "key_bad_name",
            Self::BadKey => "key_malformed",
            Self::EmptyPassword => "key_empty_password",
            Self::Exists { .. } => "key_exists",
            Self::Missing { .. } => "key_missing",
            Self::WrongPassword { .. } => "key_wrong_password",
            Self::Damaged { .. } => "key_damaged",
            Self::Unsupported { .. } => "key_unsupported",
            Self::NoAddress { .. } => "key_without_address",
            Self::Storage { .. } => "keystore_failed",
            Self::Unlistable { .. } => "keystore_unlistable",
        }
    }

    pub(super) fn damaged(name: &KeyName, why: impl Into<String>) -> Self {
        Self::Damaged { name: name.clone(), why: why.into() }
    }
}
