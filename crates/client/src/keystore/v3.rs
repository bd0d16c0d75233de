//! [`KeyFile`]: one file of the Web3 Secret Storage format, version 3: a key under AES-128-CTR, whose key a password yields
//! through scrypt or PBKDF2, and a Keccak-256 that tells a wrong password. Every length is checked before it is used: a
//! damaged file is an error, never a panic, and never asks for more than 1 GiB.

use std::io;

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use farthing_protocol::UnixMs;
use pbkdf2::pbkdf2_hmac;
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use sha3::{Digest, Keccak256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Address, KeyName, KeystoreError};

/// What guessing a password costs, and unlocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KdfCost {
    /// `n = 262144`: the format's standard, as geth writes; 256 MiB and about a second.
    #[default]
    Standard,
    /// `n = 8192`: as Foundry writes; 8 MiB and about 30 ms.
    Light,
}

impl KdfCost {
    const R: u32 = 8;
    const P: u32 = 1;

    const fn log_n(self) -> u8 {
        match self {
            Self::Standard => 18,
            Self::Light => 13,
        }
    }
}

/// The most memory that a file may ask scrypt for.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;
/// The most work that a file may ask scrypt for: its memory times its parallelism.
const MAX_SCRYPT_WORK: u64 = 1 << 32;
/// The most rounds that a file may ask PBKDF2 for.
const MAX_PBKDF2_ROUNDS: u32 = 50_000_000;
/// Bytes that a password yields: half for the cipher, half for the check.
const DERIVED_BYTES: usize = 32;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeyFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    // Old files spell it with a capital.
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    #[serde(default)]
    id: String,
    version: u32,
    #[serde(default, rename = "x-created-ms", skip_serializing_if = "Option::is_none")]
    created_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    kdf: String,
    kdfparams: serde_json::Value,
    mac: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct ScryptParams {
    dklen: u32,
    n: u64,
    p: u32,
    r: u32,
    salt: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pbkdf2Params {
    c: u32,
    dklen: u32,
    prf: String,
    salt: String,
}

impl KeyFile {
    /// The longest file that is read.
    pub(super) const MAX_BYTES: u64 = 64 * 1024;

    pub(super) fn parse(name: &KeyName, json: &[u8]) -> Result<Self, KeystoreError> {
        // Without serde's words, which may repeat the content.
        let file: Self = serde_json::from_slice(json).map_err(|error| {
            KeystoreError::damaged(
                name,
                format!(
                    "it is not the JSON of a key file (line {}, column {})",
                    error.line(),
                    error.column()
                ),
            )
        })?;
        if file.version == 3 {
            return Ok(file);
        }
        Err(KeystoreError::Unsupported { name: name.clone(), what: format!("version {}", file.version) })
    }

    pub(super) fn to_json(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    pub(super) fn address(&self, name: &KeyName) -> Result<Option<Address>, KeystoreError> {
        let Some(text) = self.address.as_deref() else { return Ok(None) };
        Address::from_hex(text)
            .map(Some)
            .ok_or_else(|| KeystoreError::damaged(name, "its `address` is not an address"))
    }

    pub(super) fn created(&self) -> Option<UnixMs> {
        self.created_ms.map(UnixMs::from_ms)
    }

    /// Encrypts `key`, which is one.
    pub(super) fn seal(key: &[u8; 32], password: &str, cost: KdfCost, created: UnixMs) -> io::Result<Self> {
        let (salt, iv, id) = (random::<32>()?, random::<16>()?, random::<16>()?);
        let params = scrypt::Params::new(cost.log_n(), KdfCost::R, KdfCost::P).map_err(io::Error::other)?;
        let mut derived = Zeroizing::new([0_u8; DERIVED_BYTES]);
        scrypt::scrypt(password.as_bytes(), &salt, &params, derived.as_mut()).map_err(io::Error::other)?;
        let mut ciphertext = Zeroizing::new(*key);
        apply_cipher(&derived, &iv, &mut ciphertext);
        let kdfparams = ScryptParams {
            dklen: 32,
            n: 1 << cost.log_n(),
            p: KdfCost::P,
            r: KdfCost::R,
            salt: hex::encode(salt),
        };
        let address = Address::of_key(key).map_err(io::Error::other)?;
        Ok(Self {
            address: Some(address.to_plain_hex()),
            crypto: Crypto {
                cipher: "aes-128-ctr".to_owned(),
                cipherparams: CipherParams { iv: hex::encode(iv) },
                ciphertext: hex::encode(ciphertext.as_ref()),
                kdf: "scrypt".to_owned(),
                kdfparams: serde_json::to_value(kdfparams)?,
                mac: hex::encode(mac(&derived, ciphertext.as_ref())),
            },
            id: uuid_v4(id),
            version: 3,
            created_ms: Some(created.as_ms()),
        })
    }

    /// Decrypts the key.
    pub(super) fn open(&self, name: &KeyName, password: &str) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        if self.crypto.cipher != "aes-128-ctr" {
            let what = format!("the cipher {:?}", shorten(&self.crypto.cipher));
            return Err(KeystoreError::Unsupported { name: name.clone(), what });
        }
        let iv: [u8; 16] = fixed(name, "cipherparams.iv", &self.crypto.cipherparams.iv)?;
        let told: [u8; 32] = fixed(name, "mac", &self.crypto.mac)?;
        let mut key = Zeroizing::new(fixed::<32>(name, "ciphertext", &self.crypto.ciphertext)?);
        let derived = self.derive(name, password)?;
        if !bool::from(mac(&derived, key.as_ref()).ct_eq(&told)) {
            return Err(KeystoreError::WrongPassword { name: name.clone() });
        }
        apply_cipher(&derived, &iv, &mut key);
        Ok(key)
    }

    fn derive(
        &self,
        name: &KeyName,
        password: &str,
    ) -> Result<Zeroizing<[u8; DERIVED_BYTES]>, KeystoreError> {
        let unsupported = |what: String| KeystoreError::Unsupported { name: name.clone(), what };
        let params = &self.crypto.kdfparams;
        let mut derived = Zeroizing::new([0_u8; DERIVED_BYTES]);
        match self.crypto.kdf.as_str() {
            "scrypt" => {
                let ScryptParams { dklen, n, p, r, salt } = fields(name, params)?;
                let salt = hex_field(name, "kdfparams.salt", &salt)?;
                if dklen != 32 {
                    return Err(unsupported(format!("a derived key of {dklen} bytes")));
                }
                let params = scrypt_params(n, r, p)
                    .ok_or_else(|| unsupported(format!("scrypt with n = {n}, r = {r}, p = {p}")))?;
                scrypt::scrypt(password.as_bytes(), &salt, &params, derived.as_mut())
                    .map_err(|error| KeystoreError::damaged(name, error.to_string()))?;
            }
            "pbkdf2" => {
                let Pbkdf2Params { c, dklen, prf, salt } = fields(name, params)?;
                let salt = hex_field(name, "kdfparams.salt", &salt)?;
                if dklen != 32 || prf != "hmac-sha256" || c == 0 || c > MAX_PBKDF2_ROUNDS {
                    let prf = shorten(&prf);
                    return Err(unsupported(format!("PBKDF2 with {prf:?}, c = {c}, dklen = {dklen}")));
                }
                pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, c, derived.as_mut());
            }
            other => return Err(unsupported(format!("the key derivation {:?}", shorten(other)))),
        }
        Ok(derived)
    }
}

/// Parameters that are sound and within what a file may ask for.
fn scrypt_params(n: u64, r: u32, p: u32) -> Option<scrypt::Params> {
    let memory = n.checked_mul(u64::from(r))?.checked_mul(128)?;
    let work = memory.checked_mul(u64::from(p))?;
    if n < 2 || !n.is_power_of_two() || memory > MAX_SCRYPT_BYTES || work > MAX_SCRYPT_WORK {
        return None;
    }
    scrypt::Params::new(u8::try_from(n.trailing_zeros()).ok()?, r, p).ok()
}

fn apply_cipher(derived: &[u8; DERIVED_BYTES], iv: &[u8; 16], data: &mut [u8; 32]) {
    let mut key = Zeroizing::new([0_u8; 16]);
    key.copy_from_slice(&derived[..16]);
    Ctr128BE::<Aes128>::new((&*key).into(), iv.into()).apply_keystream(data);
}

fn mac(derived: &[u8; DERIVED_BYTES], ciphertext: &[u8]) -> [u8; 32] {
    Keccak256::new().chain_update(&derived[16..]).chain_update(ciphertext).finalize().into()
}

fn fields<'a, T: Deserialize<'a>>(name: &KeyName, params: &'a serde_json::Value) -> Result<T, KeystoreError> {
    T::deserialize(params)
        .map_err(|_| KeystoreError::damaged(name, "its `kdfparams` are not those of its `kdf`"))
}

fn hex_field(name: &KeyName, field: &str, text: &str) -> Result<Vec<u8>, KeystoreError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode(digits).map_err(|_| KeystoreError::damaged(name, format!("its `{field}` is not hexadecimal")))
}

fn fixed<const N: usize>(name: &KeyName, field: &str, text: &str) -> Result<[u8; N], KeystoreError> {
    hex_field(name, field, text)?
        .try_into()
        .map_err(|_| KeystoreError::damaged(name, format!("its `{field}` is not {N} bytes long")))
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// RFC 9562, section 5.4.
fn uuid_v4(mut random: [u8; 16]) -> String {
    random[6] = (random[6] & 0x0f) | 0x40;
    random[8] = (random[8] & 0x3f) | 0x80;
    let digits = hex::encode(random);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}
