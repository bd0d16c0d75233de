//! The memo of a refund: 32 bytes that say which claim is given back.
//!
//! Layout: tag `0ab758d7` (the first bytes of the Keccak hash of `farthing/refund`), version `01`, 27 bytes of the claim id's
//! hash. It is no attribution memo, so nobody takes a refund for a payment of a challenge.

use alloy_primitives::{B256, keccak256};
use farthing_protocol::ports::ClaimId;

const TAG: [u8; 4] = [0x0a, 0xb7, 0x58, 0xd7];
const VERSION: u8 = 1;

/// The memo of a claim's refund. The same for the same claim, for ever: it is what finds a refund again.
#[must_use]
pub fn encode(claim: &ClaimId) -> B256 {
    let mut memo = [0_u8; 32];
    memo[..4].copy_from_slice(&TAG);
    memo[4] = VERSION;
    memo[5..].copy_from_slice(&keccak256(&claim.0)[..27]);
    memo.into()
}

/// Whether a transfer with this memo is a refund.
#[must_use]
pub fn is_refund(memo: &B256) -> bool {
    memo[..4] == TAG
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;
    use farthing_protocol::ports::ClaimId;

    use super::{TAG, encode, is_refund};
    use crate::tempo::memo::{self, Attribution, Named};

    #[test]
    fn a_refund_names_its_claim_and_no_challenge() {
        assert_eq!(keccak256("farthing/refund")[..4], TAG);
        let claims = ["a", "b", "", "challenge-123"].map(|id| ClaimId(id.to_owned()));
        for (i, claim) in claims.iter().enumerate() {
            let named = Named { realm: "api.example.com", challenge_id: &claim.0 };
            let refund = encode(claim);
            assert_eq!(refund, encode(claim));
            assert!(is_refund(&refund) && !memo::is_attribution(&refund));
            assert_eq!(memo::attribution(&refund, named), Attribution::None);
            assert!(!is_refund(&memo::encode(named, None)));
            assert!(claims.iter().skip(i + 1).all(|other| encode(other) != refund));
        }
    }
}
