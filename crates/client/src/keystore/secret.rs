//! [`SecretHex`]: a private key as people and programs hand it over. Never shown by accident, wiped on drop.

use std::fmt;
use std::str::FromStr;

use secp256k1::SecretKey;
use zeroize::Zeroizing;

use super::KeystoreError;

/// A private key that was checked to be one.
#[derive(Clone)]
pub struct SecretHex(Zeroizing<[u8; 32]>);

impl SecretHex {
    /// Reads 64 hexadecimal digits, with or without `0x`; space around them is ignored.
    ///
    /// # Errors
    /// [`KeystoreError::BadKey`].
    pub fn parse(text: &str) -> Result<Self, KeystoreError> {
        let trimmed = text.trim();
        let digits = trimmed.strip_prefix("0x").or_else(|| trimmed.strip_prefix("0X")).unwrap_or(trimmed);
        let mut bytes = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(digits, bytes.as_mut()).map_err(|_| KeystoreError::BadKey)?;
        let mut key = SecretKey::from_byte_array(*bytes).map_err(|_| KeystoreError::BadKey)?;
        key.non_secure_erase();
        Ok(Self(bytes))
    }

    pub(super) const fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The key. Secret.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key with `0x` before it. Secret.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let digits = Zeroizing::new(hex::encode(self.0.as_ref()));
        Zeroizing::new(format!("0x{}", *digits))
    }
}

impl FromStr for SecretHex {
    type Err = KeystoreError;

    fn from_str(text: &str) -> Result<Self, KeystoreError> {
        Self::parse(text)
    }
}

impl fmt::Debug for SecretHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHex(redacted)")
    }
}
