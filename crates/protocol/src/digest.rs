//! Digests of request bodies (RFC 9530; core, section 5.1.4).

use base64_simd::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "sha-256=";

/// The SHA-256 digest of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Digests `body`.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// The digest itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `sha-256=<padded base64>`: the form that every SDK writes.
    #[must_use]
    pub fn to_header_value(&self) -> String {
        let mut out = String::with_capacity(ALGORITHM.len() + 44);
        out.push_str(ALGORITHM);
        STANDARD.encode_append(self.0, &mut out);
        out
    }

    /// Whether a `digest` parameter, in the SDKs' form or in RFC 9530's (`sha-256=:…:`), names this body (C9).
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let Some(value) = value.strip_prefix(ALGORITHM) else { return false };
        let encoded = value.strip_prefix(':').map_or(Some(value), |inner| inner.strip_suffix(':'));
        let Some(encoded) = encoded else { return false };
        // 32 bytes are 43 characters and one of padding, which some writers leave out.
        let bare = encoded.strip_suffix('=').unwrap_or(encoded);
        bare.len() == 43 && STANDARD_NO_PAD.decode_to_vec(bare).is_ok_and(|digest| digest == self.0)
    }
}

/// Digests a body that arrives in pieces and is not kept.
#[derive(Debug, Clone, Default)]
pub struct Sha256Hasher(Sha256);

impl Sha256Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces.
    #[must_use]
    pub fn finish(self) -> Sha256Digest {
        Sha256Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests;
