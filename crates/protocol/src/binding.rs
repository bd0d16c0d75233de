//! Binding: a challenge's id is an HMAC over what it says, so that no store is needed to know our own (core, section 5.1.3).

use std::fmt;

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{Echo, UnixMs};

/// Characters of an id: 32 bytes as base64url without padding.
pub(crate) const ID_LEN: usize = 43;

/// A binding secret of at least 32 bytes. Never shown, wiped on drop (C20).
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// A secret of fewer than 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a binding secret has at least 32 bytes, not {bytes}")]
pub struct SecretTooShort {
    /// How many it has.
    pub bytes: usize,
}

/// In constant time.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Secret {}

impl Secret {
    /// The fewest bytes.
    pub const MIN_BYTES: usize = 32;

    /// Keeps a secret.
    ///
    /// # Errors
    /// [`SecretTooShort`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, SecretTooShort> {
        if bytes.len() < Self::MIN_BYTES {
            return Err(SecretTooShort { bytes: bytes.len() });
        }
        Ok(Self(Zeroizing::new(bytes)))
    }
}

/// The slots that an id binds, in order: `realm|method|intent|request|expires|digest|[header|]opaque`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slots<'a> {
    /// The realm.
    pub realm: &'a str,
    /// The method.
    pub method: &'a str,
    /// The intent.
    pub intent: &'a str,
    /// The encoded request.
    pub request: &'a str,
    /// RFC 3339, or empty.
    pub expires: &'a str,
    /// Digest of the body, or empty.
    pub digest: &'a str,
    /// Present, with the header's name, only when it is not `Authorization`.
    pub header: Option<&'a str>,
    /// The encoded opaque data, or empty.
    pub opaque: &'a str,
}

/// The challenge's id does not bind what the credential echoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the challenge was not issued here, or was altered")]
pub struct NotOurs;

impl<'a> Slots<'a> {
    /// What a credential echoes, as it was bound.
    #[must_use]
    pub fn of_echo(echo: &'a Echo<'_>) -> Self {
        Self {
            realm: &echo.realm,
            method: &echo.method,
            intent: &echo.intent,
            request: &echo.request,
            expires: echo.expires.as_deref().unwrap_or_default(),
            digest: echo.digest.as_deref().unwrap_or_default(),
            header: echo.header.bound(),
            opaque: echo.opaque.as_deref().unwrap_or_default(),
        }
    }

    /// What the slots say, in 32 bytes that need no secret: two challenges with one digest and one id are the same. None where a slot
    /// has a separator in it, which no slot that we bind has.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; 32]> {
        if self.has_separator() {
            return None;
        }
        let header = self.header.unwrap_or_default();
        let slots = [
            self.realm,
            self.method,
            self.intent,
            self.request,
            self.expires,
            self.digest,
            header,
            self.opaque,
        ];
        let mut hash = Sha256::new();
        for slot in slots {
            hash.update(slot.as_bytes());
            hash.update(b"|");
        }
        Some(hash.finalize().into())
    }

    fn has_separator(&self) -> bool {
        [self.realm, self.method, self.intent, self.request, self.expires, self.digest, self.opaque]
            .iter()
            .any(|slot| slot.as_bytes().contains(&b'|'))
    }
}

/// HMAC-SHA256 with its key worked in: two blocks of hashing that need not be repeated for every challenge.
#[derive(Clone)]
struct Key(Hmac<Sha256>);

impl Key {
    fn new(secret: &Secret) -> Self {
        Self(Hmac::new_from_slice(&secret.0).expect("HMAC takes a key of any length"))
    }

    fn id(&self, slots: &Slots<'_>) -> [u8; ID_LEN] {
        let before = [slots.realm, slots.method, slots.intent, slots.request, slots.expires, slots.digest];
        let length = before.iter().map(|slot| slot.len() + 1).sum::<usize>() + 24 + slots.opaque.len();
        // One long update is faster than a dozen short ones by more than the copy costs.
        let mut joined = Vec::with_capacity(length);
        for slot in before.into_iter().chain(slots.header) {
            joined.extend_from_slice(slot.as_bytes());
            joined.push(b'|');
        }
        joined.extend_from_slice(slots.opaque.as_bytes());
        self.begin(&joined).id(&[])
    }

    fn begin(&self, prefix: &[u8]) -> Begun {
        let mut mac = self.0.clone();
        mac.update(prefix);
        Begun(mac)
    }
}

/// A key with the first slots of an offer worked in: they need not be hashed again for every challenge.
#[derive(Clone)]
pub(crate) struct Begun(Hmac<Sha256>);

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Begun(redacted)")
    }
}

impl Begun {
    /// The id that binds the first slots, then these.
    pub(crate) fn id(&self, rest: &[&[u8]]) -> [u8; ID_LEN] {
        let mut mac = self.0.clone();
        for part in rest {
            mac.update(part);
        }
        encode(&mac.finalize().into_bytes().into())
    }
}

fn encode(tag: &[u8; 32]) -> [u8; ID_LEN] {
    let mut id = [0; ID_LEN];
    let _ = URL_SAFE_NO_PAD.encode(tag, id.as_mut_slice().as_out());
    id
}

/// An id as text.
pub(crate) fn id_str(id: &[u8; ID_LEN]) -> &str {
    std::str::from_utf8(id).expect("base64url is ASCII")
}

/// A secret that binds no new challenges, and is good for those that it has bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The secret.
    pub secret: Secret,
    /// The latest expiry of what it has bound, where that is known: a challenge that claims a later one was made by somebody else
    /// who has the secret.
    pub expires_until: Option<UnixMs>,
}

impl From<Secret> for PreviousSecret {
    fn from(secret: Secret) -> Self {
        Self { secret, expires_until: None }
    }
}

#[derive(Clone)]
struct Previous {
    key: Key,
    expires_until: Option<UnixMs>,
}

impl Previous {
    /// Whether it can have bound something with this expiry.
    fn reaches(&self, expires: &str) -> bool {
        self.expires_until.is_none_or(|until| UnixMs::parse(expires).is_ok_and(|expires| expires <= until))
    }
}

/// Makes ids with one secret, and checks them with it and with those before it.
#[derive(Clone)]
pub struct Binder {
    current: Key,
    previous: Vec<Previous>,
}

impl fmt::Debug for Binder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binder").finish_non_exhaustive()
    }
}

impl Binder {
    /// Issues with `current`; recognises what `previous` ones issued, too. Each of them costs one hash more for a credential that none
    /// has bound.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a secret is handed over, so that no copy of it is left behind"
    )]
    pub fn new(current: Secret, previous: impl IntoIterator<Item = PreviousSecret>) -> Self {
        let previous = previous.into_iter().map(|previous| {
            let PreviousSecret { secret, expires_until } = previous;
            Previous { key: Key::new(&secret), expires_until }
        });
        Self { current: Key::new(&current), previous: previous.collect() }
    }

    /// The id that binds `slots`.
    #[must_use]
    pub fn id(&self, slots: &Slots<'_>) -> String {
        id_str(&self.current.id(slots)).to_owned()
    }

    /// What begins with these slots, joined.
    pub(crate) fn begin(&self, prefix: &[u8]) -> Begun {
        self.current.begin(prefix)
    }

    /// Checks in constant time that the echoed id binds what is echoed with it (C6).
    ///
    /// # Errors
    /// [`NotOurs`].
    pub fn check(&self, echo: &Echo<'_>) -> Result<(), NotOurs> {
        let slots = Slots::of_echo(echo);
        // No slot that we bind has a separator in it; one that has would let two slots trade places.
        if slots.has_separator() {
            return Err(NotOurs);
        }
        let binds = |key: &Key| bool::from(key.id(&slots).ct_eq(echo.id.as_bytes()));
        let bound_before = |previous: &Previous| previous.reaches(slots.expires) && binds(&previous.key);
        if binds(&self.current) || self.previous.iter().any(bound_before) { Ok(()) } else { Err(NotOurs) }
    }
}

#[cfg(test)]
mod tests;
