//! [`DepositKeys`]: the addresses of one extended public key, and [`DepositSeed`]: the seed behind it.
//!
//! The path is BIP-44's for chains with Ethereum's addresses, `m/44'/60'/0'/0/index`, so that any wallet that is given the seed
//! finds the same accounts. The watcher and whoever hands out addresses need the account's *public* key (`m/44'/60'/0'`, an
//! `xpub`): the two levels below it are not hardened, so they can be derived without a secret. Only whoever collects what lies at the
//! addresses needs the seed ([`crate::collect`]), and no server does. Because the levels are not hardened, the private key of one address
//! together with the `xpub` gives all of them: keys of single addresses are never exported, and the `xpub` is no secret but is
//! nobody else's business either, because it links all customers' addresses.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, keccak256};
use bip32::{ChildNumber, DerivationPath, ExtendedPublicKey, Prefix, XPrv};
use pbkdf2::pbkdf2_hmac;
use sha2::Sha512;
use zeroize::Zeroizing;

/// The account's key: hardened, so that it needs the seed.
const ACCOUNT: &str = "m/44'/60'/0'";
/// The addresses that are given to others, below the account.
const EXTERNAL: u32 = 0;
/// The depth of an account's key.
const ACCOUNT_DEPTH: u8 = 3;

type Point = bip32::secp256k1::ecdsa::VerifyingKey;

/// Why there are no addresses. What was read is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DepositKeyError {
    /// Not an extended public key.
    #[error("the deposit key is not an extended public key (xpub…)")]
    NotAnXpub,
    /// An extended key that can sign.
    #[error(
        "the deposit key is an extended private key: give the public one (xpub…), and keep this one offline"
    )]
    Private,
    /// A key of another level.
    #[error(
        "the deposit key is not an account's: it has to be that of m/44'/60'/0', three levels below the seed"
    )]
    WrongDepth,
    /// Not a seed.
    #[error("a seed is 16, 32 or 64 bytes in hexadecimal digits, or a recovery phrase of 12 to 24 words")]
    BadSeed,
    /// Another seed than the one that the deposit key was made from.
    #[error(
        "the seed is not the one of the deposit key: its first address is {given}, and the first of the configured key is {expected}"
    )]
    AnotherSeed {
        /// The first address of the configured key.
        expected: Address,
        /// The first address of the seed.
        given: Address,
    },
}

impl DepositKeyError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAnXpub => "deposit_key_not_xpub",
            Self::Private => "deposit_key_private",
            Self::WrongDepth => "deposit_key_wrong_depth",
            Self::BadSeed => "deposit_seed_bad",
            Self::AnotherSeed { .. } => "deposit_seed_of_another_key",
        }
    }
}

/// The addresses of an account's public key.
#[derive(Clone)]
pub struct DepositKeys {
    external: ExtendedPublicKey<Point>,
}

impl fmt::Debug for DepositKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DepositKeys(first {})", self.address(0))
    }
}

impl DepositKeys {
    /// The addresses of `xpub`, the public key of `m/44'/60'/0'`.
    ///
    /// # Errors
    /// [`DepositKeyError`].
    pub fn from_xpub(xpub: &str) -> Result<Self, DepositKeyError> {
        let xpub = xpub.trim();
        if xpub.get(1..4) == Some("prv") {
            return Err(DepositKeyError::Private);
        }
        let account = ExtendedPublicKey::<Point>::from_str(xpub).map_err(|_| DepositKeyError::NotAnXpub)?;
        if account.attrs().depth != ACCOUNT_DEPTH {
            return Err(DepositKeyError::WrongDepth);
        }
        let number = ChildNumber::new(EXTERNAL, false).map_err(|_| DepositKeyError::NotAnXpub)?;
        let external = account.derive_child(number).map_err(|_| DepositKeyError::NotAnXpub)?;
        Ok(Self { external })
    }

    /// Checks that `seed` is the one behind these addresses.
    ///
    /// # Errors
    /// [`DepositKeyError::AnotherSeed`], [`DepositKeyError::BadSeed`].
    pub fn check_seed(&self, seed: &DepositSeed) -> Result<(), DepositKeyError> {
        let own = Self::from_xpub(&seed.xpub()?)?;
        if own.external == self.external {
            return Ok(());
        }
        Err(DepositKeyError::AnotherSeed { expected: self.address(0), given: own.address(0) })
    }

    /// The address with this index, below 2^31.
    ///
    /// One index in 2^127 has no address: it gets the one after it, which only somebody who has broken the curve will see.
    #[must_use]
    pub fn address(&self, index: u32) -> Address {
        let mut index = index & 0x7fff_ffff;
        loop {
            let child = ChildNumber::new(index, false).and_then(|number| self.external.derive_child(number));
            if let Ok(child) = child {
                return address_of(child.public_key());
            }
            index = (index + 1) & 0x7fff_ffff;
        }
    }
}

/// A seed, from which the keys of all addresses follow. Wiped on drop, and never shown.
#[derive(Clone)]
pub struct DepositSeed(Zeroizing<Vec<u8>>);

impl fmt::Debug for DepositSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DepositSeed(redacted)")
    }
}

impl DepositSeed {
    /// The seed that `bytes` are: BIP-39's 64, or 16 or 32 of any other origin.
    ///
    /// # Errors
    /// [`DepositKeyError::BadSeed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DepositKeyError> {
        if !matches!(bytes.len(), 16 | 32 | 64) {
            return Err(DepositKeyError::BadSeed);
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// The seed that a text spells: hexadecimal digits, with or without `0x`, or a recovery phrase (BIP-39, without a passphrase).
    /// Whether its words are those of a list is not looked at: a mistyped phrase is another seed, which
    /// [`DepositKeys::check_seed`] tells.
    ///
    /// # Errors
    /// [`DepositKeyError::BadSeed`]. Never repeats the text.
    pub fn from_text(text: &str) -> Result<Self, DepositKeyError> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        if let [digits] = words.as_slice() {
            let digits = digits.strip_prefix("0x").unwrap_or(digits);
            let bytes = alloy_primitives::hex::decode(digits).map(Zeroizing::new);
            return Self::from_bytes(&bytes.map_err(|_| DepositKeyError::BadSeed)?);
        }
        let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
        if !matches!(words.len(), 12 | 15 | 18 | 21 | 24) || !words.iter().all(is_word) {
            return Err(DepositKeyError::BadSeed);
        }
        let phrase = Zeroizing::new(words.join(" "));
        let mut seed = Zeroizing::new([0_u8; 64]);
        pbkdf2_hmac::<Sha512>(phrase.as_bytes(), b"mnemonic", 2_048, seed.as_mut_slice());
        Self::from_bytes(seed.as_slice())
    }

    /// The account's public key, to be given to watchers.
    ///
    /// # Errors
    /// [`DepositKeyError::BadSeed`], for one seed in 2^127.
    pub fn xpub(&self) -> Result<String, DepositKeyError> {
        Ok(self.account()?.public_key().to_string(Prefix::XPUB))
    }

    /// The private key of one address, for whoever collects from it: 32 bytes.
    ///
    /// # Errors
    /// As [`DepositSeed::xpub`].
    pub fn private_key(&self, index: u32) -> Result<Zeroizing<[u8; 32]>, DepositKeyError> {
        let below = |key: &XPrv, number: u32| {
            ChildNumber::new(number, false).and_then(|number| key.derive_child(number))
        };
        let external = below(&self.account()?, EXTERNAL).map_err(|_| DepositKeyError::BadSeed)?;
        let key = below(&external, index).map_err(|_| DepositKeyError::BadSeed)?;
        Ok(Zeroizing::new(key.to_bytes()))
    }

    fn account(&self) -> Result<XPrv, DepositKeyError> {
        let path = DerivationPath::from_str(ACCOUNT).map_err(|_| DepositKeyError::BadSeed)?;
        XPrv::derive_from_path(self.0.as_slice(), &path).map_err(|_| DepositKeyError::BadSeed)
    }
}

fn address_of(key: &Point) -> Address {
    let point = key.to_encoded_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use alloy_primitives::{Address, address};

    use super::{DepositKeys, DepositSeed};

    /// BIP-39's seed of the phrase "test test test test test test test test test test test junk": its accounts are those that
    /// every local chain funds.
    const JUNK: &str = "9dfc3c64c2f8bede1533b6a79f8570e5943e0b8fd1cf77107adf7b72cef42185d564a3aee24cab43f80e3c4538087d70fc824eabbad596a23c97b6ee8322ccc0";

    fn seed() -> DepositSeed {
        DepositSeed::from_bytes(&alloy_primitives::hex::decode(JUNK).unwrap()).unwrap()
    }

    #[test]
    fn the_accounts_are_those_that_other_wallets_find() {
        let keys = DepositKeys::from_xpub(&seed().xpub().unwrap()).unwrap();
        let known = [
            address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
            address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
            address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
            address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
        ];
        for (index, known) in (0..).zip(known) {
            assert_eq!(keys.address(index), known, "{index}");
        }
    }

    #[test]
    fn what_the_watcher_derives_the_seed_can_sign_for() {
        let (seed, keys) = (seed(), DepositKeys::from_xpub(&seed().xpub().unwrap()).unwrap());
        for index in [0, 1, 77, 0x7fff_ffff] {
            let key =
                farthing_rails::tempo::PrivateKey::from_bytes(&seed.private_key(index).unwrap()).unwrap();
            assert_eq!(key.address(), keys.address(index), "{index}");
        }
        assert_ne!(keys.address(5), Address::ZERO);
        let shown = format!("{seed:?} {keys:?}");
        assert!(!shown.contains("xpub") && !shown.contains("9dfc"), "{shown}");
    }

    #[test]
    fn a_seed_is_digits_or_a_phrase_and_known_by_its_key() {
        const PHRASE: &str = "test test test test test test test test test test test junk";
        let keys = DepositKeys::from_xpub(&seed().xpub().unwrap()).unwrap();
        let spaced = format!("  {}\n", PHRASE.replace(' ', "  "));
        for text in [JUNK, &format!("0x{JUNK}\n"), &JUNK.to_uppercase(), PHRASE, &spaced] {
            keys.check_seed(&DepositSeed::from_text(text).unwrap()).unwrap();
        }
        let another = PHRASE.replace("junk", "june");
        let others = [&JUNK[..64], &another];
        for text in others {
            let error = keys.check_seed(&DepositSeed::from_text(text).unwrap()).unwrap_err();
            assert_eq!(error.code(), "deposit_seed_of_another_key");
            assert!(!error.to_string().contains("june"), "{error}");
        }
        for text in [
            "",
            "0x",
            "12",
            "test test",
            &PHRASE.to_uppercase(),
            &JUNK[..127],
            &JUNK[..126],
            &format!("{JUNK}00"),
        ] {
            assert_eq!(DepositSeed::from_text(text).unwrap_err().code(), "deposit_seed_bad", "{text}");
        }
    }

    #[test]
    fn other_keys_are_refused_by_name() {
        // BIP-32, test vector 1: the master key, private and public.
        let private = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi";
        let master = "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8";
        for (text, code) in [
            ("", "deposit_key_not_xpub"),
            ("xpub123", "deposit_key_not_xpub"),
            (private, "deposit_key_private"),
            (master, "deposit_key_wrong_depth"),
        ] {
            assert_eq!(DepositKeys::from_xpub(text).unwrap_err().code(), code, "{text}");
        }
        assert_eq!(DepositSeed::from_bytes(&[7; 15]).unwrap_err().code(), "deposit_seed_bad");
    }
}
