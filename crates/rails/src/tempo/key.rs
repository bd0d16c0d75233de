//! [`PrivateKey`]: a secp256k1 key that signs for an account, and recovery of signers. It is not a keystore: nothing here
//! reads or writes a file.

use std::fmt;

use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};
use zeroize::Zeroizing;

/// Half of the curve's order: a signature's `s` past it is the mirror image of a valid one.
const HALF_ORDER: U256 = U256::from_limbs([
    0xdfe9_2f46_681b_20a0,
    0x5d57_6e73_57a4_501d,
    0xffff_ffff_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
]);

/// Why bytes are not a key, or a signature not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not 32 bytes of hexadecimal digits.
    #[error("a private key is 64 hexadecimal digits, with or without 0x")]
    NotHex,
    /// Zero, or past the order of the curve.
    #[error("the number is not a private key of the curve secp256k1")]
    OutOfRange,
    /// A signature with a high `s`: the chain refuses it, and it is a second spelling of another.
    #[error("the signature is not in its canonical, low-s form")]
    HighS,
    /// A signature that no key can have made.
    #[error("the signature is not a signature of the curve secp256k1")]
    BadSignature,
}

impl KeyError {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotHex => "key_not_hex",
            Self::OutOfRange => "key_out_of_range",
            Self::HighS => "signature_high_s",
            Self::BadSignature => "signature_invalid",
        }
    }
}

/// A private key. Wiped on drop; `Debug` shows the address only.
#[derive(Clone)]
pub struct PrivateKey {
    secret: Zeroizing<[u8; 32]>,
    address: Address,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, redacted)", self.address)
    }
}

impl PrivateKey {
    /// The key with these bytes.
    ///
    /// # Errors
    /// [`KeyError::OutOfRange`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let mut secret = SecretKey::from_byte_array(*bytes).map_err(|_| KeyError::OutOfRange)?;
        let public = PublicKey::from_secret_key(SECP256K1, &secret);
        secret.non_secure_erase();
        Ok(Self { secret: Zeroizing::new(*bytes), address: address_of(&public) })
    }

    /// The key that `text` spells: 64 hexadecimal digits, with or without `0x`.
    ///
    /// # Errors
    /// [`KeyError::NotHex`], [`KeyError::OutOfRange`]. Never repeats the text.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        let digits = text.strip_prefix("0x").unwrap_or(text);
        hex::decode_to_slice(digits, bytes.as_mut_slice()).map_err(|_| KeyError::NotHex)?;
        Self::from_bytes(&bytes)
    }

    /// A new key from `rng`.
    #[must_use]
    pub fn random(rng: &mut impl rand::CryptoRng) -> Self {
        loop {
            let mut bytes = Zeroizing::new([0_u8; 32]);
            rng.fill_bytes(bytes.as_mut_slice());
            if let Ok(key) = Self::from_bytes(&bytes) {
                return key;
            }
        }
    }

    /// The account that the key signs for.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The key itself, for a keystore. Wiped on drop.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.secret.clone()
    }

    /// Signs a 32-byte digest. Deterministic (RFC 6979), low `s`.
    #[must_use]
    pub fn sign(&self, digest: B256) -> Signature {
        let mut secret =
            SecretKey::from_byte_array(*self.secret).expect("a key that was constructed is in range");
        let signed = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &secret);
        secret.non_secure_erase();
        let (id, bytes) = signed.serialize_compact();
        Signature::from_bytes_and_parity(&bytes, i32::from(id) & 1 == 1)
    }
}

/// The account that signed `digest`.
///
/// # Errors
/// [`KeyError::HighS`], [`KeyError::BadSignature`].
pub fn recover(digest: B256, signature: &Signature) -> Result<Address, KeyError> {
    if signature.s() > HALF_ORDER {
        return Err(KeyError::HighS);
    }
    let mut bytes = [0_u8; 64];
    bytes[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
    bytes[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
    let id = if signature.v() { RecoveryId::One } else { RecoveryId::Zero };
    RecoverableSignature::from_compact(&bytes, id)
        .and_then(|signature| SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature))
        .map(|public| address_of(&public))
        .map_err(|_| KeyError::BadSignature)
}

fn address_of(public: &PublicKey) -> Address {
    let bytes = public.serialize_uncompressed();
    Address::from_slice(&keccak256(&bytes[1..])[12..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use alloy_primitives::{B256, Signature, U256, address, uint};

    use super::{HALF_ORDER, KeyError, PrivateKey, recover};

    const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
    const DEV: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn a_known_key_has_its_known_address() {
        let key = PrivateKey::from_hex(DEV).unwrap();
        assert_eq!(key.address(), address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(HALF_ORDER, ORDER >> 1);
    }

    #[test]
    fn bad_keys_are_named_and_never_repeated() {
        let zero = "0".repeat(64);
        let order = format!("{ORDER:064x}");
        let cases = [
            ("", "key_not_hex"),
            ("0x12", "key_not_hex"),
            ("zz0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80", "key_not_hex"),
            (zero.as_str(), "key_out_of_range"),
            (order.as_str(), "key_out_of_range"),
        ];
        for (text, code) in cases {
            assert_eq!(PrivateKey::from_hex(text).unwrap_err().code(), code, "{text}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", PrivateKey::from_hex(DEV).unwrap());
        assert!(!shown.to_lowercase().contains("ac0974"), "{shown}");
    }

    #[test]
    fn signatures_recover_and_high_s_is_refused() {
        let key = PrivateKey::from_hex(DEV).unwrap();
        let digest = B256::repeat_byte(7);
        let signature = key.sign(digest);
        assert_eq!(recover(digest, &signature), Ok(key.address()));
        assert_ne!(recover(B256::repeat_byte(8), &signature), Ok(key.address()));
        let mirrored = Signature::new(signature.r(), ORDER - signature.s(), !signature.v());
        assert_eq!(recover(digest, &mirrored), Err(KeyError::HighS));
        assert_eq!(
            recover(digest, &Signature::new(U256::ZERO, U256::ZERO, false)),
            Err(KeyError::BadSignature)
        );
    }
}
