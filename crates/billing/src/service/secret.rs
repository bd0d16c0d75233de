//! [`Secret`]: 32 random bytes that whoever holds them is known by, as they are presented and as they are kept. Only hashes are
//! kept, and it draws no randomness: callers give the bytes.
//!
//! Presented, a secret is a prefix, an underscore, 64 hexadecimal digits, and 8 more that follow from them: so that scanners of
//! repositories and logs find it without asking anybody, and a slip of the pen is told from a secret that nobody has.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop};

/// A secret in the clear. It is shown once, to whom it is given.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// The secret of these bytes, which must be random.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is presented: `fk_…`.
    #[must_use]
    pub fn present(&self, prefix: &str) -> String {
        let mut digits = hex(&self.0);
        let text = format!("{prefix}_{digits}{}", hex(&check(prefix, &self.0)));
        digits.zeroize();
        text
    }

    /// Reads what [`Secret::present`] wrote. `None` for anything else.
    #[must_use]
    pub fn read(prefix: &str, presented: &str) -> Option<Self> {
        let digits = presented.strip_prefix(prefix)?.strip_prefix('_')?.as_bytes();
        if digits.len() != 72 {
            return None;
        }
        let mut bytes = [0; 36];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().try_fold(0, |high: u8, digit| Some(high << 4 | nibble(*digit)?))?;
        }
        let mut secret = Self([0; 32]);
        secret.0.copy_from_slice(bytes.split_at(32).0);
        let sound = check(prefix, &secret.0) == *bytes.split_at(32).1;
        bytes.zeroize();
        sound.then_some(secret)
    }

    /// What is kept of it: 64 hexadecimal digits. The bytes are random, so that a hash without salt or stretching can be neither
    /// guessed nor found in a table.
    #[must_use]
    pub fn hash(&self) -> String {
        hex(&digest("kept", &self.0))
    }
}

/// Whether a kept hash is the one that is asked for, in a time that does not depend on where they differ.
pub(super) fn same_hash(kept: &str, asked: &str) -> bool {
    kept.as_bytes().ct_eq(asked.as_bytes()).into()
}

/// Whether `signature`, 64 hexadecimal digits, was made over `message` by whoever has the secret of this hash.
pub(super) fn signed_with(kept: &str, message: &str, signature: &str) -> bool {
    let mac = Hmac::<Sha256>::new_from_slice(kept.as_bytes()).expect("HMAC takes a key of any length");
    same_hash(&hex(&mac.chain_update(message).finalize().into_bytes()), signature)
}

fn digest(purpose: &str, bytes: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"farthing secret ")
        .chain_update(purpose)
        .chain_update(bytes)
        .finalize()
        .into()
}

fn check(prefix: &str, bytes: &[u8; 32]) -> [u8; 4] {
    let [a, b, c, d, ..] = digest(prefix, bytes);
    [a, b, c, d]
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes what is written");
        text
    })
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Secret, same_hash};

    #[test]
    fn a_secret_is_read_as_it_is_presented_and_no_other_way() {
        let secret = Secret::from_bytes([0x5a; 32]);
        let text = secret.present("fk");
        assert_eq!(text.len(), 75);
        assert_eq!(Secret::read("fk", &text).unwrap().hash(), secret.hash());
        let swapped = text.replacen("5a5a", "5aa5", 1);
        for other in [&text.replacen("fk_", "ft_", 1), &text.to_uppercase(), &text[..74], &swapped, ""] {
            assert!(Secret::read("fk", other).is_none(), "{other}");
        }
        // A token is no key, although the bytes are the same.
        assert!(Secret::read("fk", &secret.present("ft").replacen("ft_", "fk_", 1)).is_none());
    }

    #[test]
    fn nothing_shows_the_secret() {
        let secret = Secret::from_bytes([0x5a; 32]);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert!(!secret.hash().contains("5a5a"));
        assert!(same_hash(&secret.hash(), &secret.hash()));
        assert!(!same_hash(&secret.hash(), &Secret::from_bytes([0x5b; 32]).hash()));
    }
}
