//! Which request a payment, a key or a kept answer belongs to: digests, with every part's length before it, so that no two
//! requests have one.

use crate::digest::{Sha256Digest, Sha256Hasher};
use crate::ports::{Claim, ClaimId, IdempotencyKey, StoredAnswer};

use super::terms::Requested;

/// The name under which a kept answer says whose it is. No header's name has a colon.
const MARK: &str = ":request";

fn digest(parts: &[&[u8]]) -> Sha256Digest {
    let mut hasher = Sha256Hasher::default();
    for part in parts {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part);
    }
    hasher.finish()
}

impl Requested<'_> {
    /// The key as stores keep it: of this route and this payer alone; where nobody knows who pays, of this challenge alone.
    pub(super) fn key(&self, scope: &str, payer: Option<&str>, id: &ClaimId) -> Option<String> {
        let key = self.key?.as_bytes();
        let (kind, who) = payer.map_or((&b"challenge"[..], id.0.as_str()), |payer| (b"payer", payer));
        let digest = digest(&[b"farthing key", scope.as_bytes(), kind, who.as_bytes(), key]);
        Some(digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Names method, target and body.
    pub(super) fn whole(&self, body: &Sha256Digest) -> [u8; 32] {
        let (method, target) = (self.method.as_bytes(), self.target.as_bytes());
        *digest(&[b"farthing request", method, target, body.as_bytes()]).as_bytes()
    }

    /// Names method and target.
    #[must_use]
    pub fn target_digest(&self) -> [u8; 32] {
        *digest(&[b"farthing target", self.method.as_bytes(), self.target.as_bytes()]).as_bytes()
    }
}

/// Writes into an answer which request it answers: a credit serves it to that one only.
pub fn mark(answer: &mut StoredAnswer, target: &[u8; 32]) {
    answer.headers.retain(|(name, _)| name != MARK);
    answer.headers.insert(0, (MARK.to_owned(), target.to_vec()));
}

/// Takes the mark out, and says whether the answer is for this request. One without a mark is for any.
pub(super) fn is_for(answer: &mut StoredAnswer, target: &[u8; 32]) -> bool {
    let fits = answer.headers.iter().all(|(name, value)| name != MARK || value == target);
    answer.headers.retain(|(name, _)| name != MARK);
    fits
}

/// How the key of a request goes with the claim that was found for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyFit {
    /// The request has no key.
    None,
    /// The same key for the same request.
    Same,
    /// The same key for another request.
    OtherRequest,
    /// Another key than the claim's, or one where the claim has none.
    OtherKey,
}

impl KeyFit {
    pub(super) fn of(claim: &Claim, key: Option<&IdempotencyKey>) -> Self {
        match (key, &claim.new.idempotency) {
            (None, _) => Self::None,
            (Some(asked), Some(had)) if asked.key == had.key && asked.request == had.request => Self::Same,
            (Some(asked), Some(had)) if asked.key == had.key => Self::OtherRequest,
            (Some(_), _) => Self::OtherKey,
        }
    }
}
