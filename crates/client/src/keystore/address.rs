//! [`Address`]: the account of a secp256k1 key on every chain of Ethereum's kind.

use std::fmt;

use secp256k1::{PublicKey, SecretKey};
use sha3::{Digest, Keccak256};

use super::KeystoreError;

/// The last 20 bytes of the Keccak-256 of a public key. Shown with its checksum (EIP-55).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address([u8; 20]);

impl Address {
    /// The address of a private key.
    ///
    /// # Errors
    /// [`KeystoreError::BadKey`] outside the curve's range.
    pub fn of_key(key: &[u8; 32]) -> Result<Self, KeystoreError> {
        let mut secret = SecretKey::from_byte_array(*key).map_err(|_| KeystoreError::BadKey)?;
        let public = PublicKey::from_secret_key_global(&secret).serialize_uncompressed();
        secret.non_secure_erase();
        // The first byte says "uncompressed" and is no part of the point.
        let hash = Keccak256::digest(&public[1..]);
        let mut address = [0_u8; 20];
        address.copy_from_slice(&hash[12..]);
        Ok(Self(address))
    }

    /// The 20 bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 20] {
        self.0
    }

    /// 40 hexadecimal digits, with or without `0x`, in any case: as key files write it.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mut address = [0_u8; 20];
        hex::decode_to_slice(digits, &mut address).ok()?;
        Some(Self(address))
    }

    /// Lower case, without `0x`: as geth writes it.
    pub(super) fn to_plain_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Address {
    /// `0x` and mixed-case digits: EIP-55.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = hex::encode(self.0);
        let hash = Keccak256::digest(digits.as_bytes());
        f.write_str("0x")?;
        for (index, digit) in digits.chars().enumerate() {
            let byte = hash[index / 2];
            let nibble = if index % 2 == 0 { byte >> 4 } else { byte & 0x0f };
            let shown = if nibble >= 8 { digit.to_ascii_uppercase() } else { digit };
            fmt::Write::write_char(f, shown)?;
        }
        Ok(())
    }
}
