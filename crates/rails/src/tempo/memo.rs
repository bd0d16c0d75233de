//! The attribution memo: 32 bytes on a transfer that say which challenge of which seller it pays (WIRE.md, "Tempo charge").
//!
//! Layout: tag `ef1ed712`, version `01`, 10 bytes of the realm's hash, 10 of the client's (or zeros), 7 of the challenge
//! id's. It is not a signature: whoever knows realm and challenge id can write it.

use alloy_primitives::{B256, keccak256};

const TAG: [u8; 4] = [0xef, 0x1e, 0xd7, 0x12];
const VERSION: u8 = 1;

/// The challenge that a memo names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// The seller's realm.
    pub realm: &'a str,
    /// The challenge's id.
    pub challenge_id: &'a str,
}

/// What a memo says about a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribution {
    /// It names this challenge of this realm.
    Ours,
    /// It names another challenge, or another realm, or uses a version that we do not know.
    Another,
    /// It is not an attribution memo.
    None,
}

/// The memo that attributes a transfer to a challenge.
#[must_use]
pub fn encode(named: Named<'_>, client_id: Option<&str>) -> B256 {
    let mut memo = [0_u8; 32];
    memo[..4].copy_from_slice(&TAG);
    memo[4] = VERSION;
    memo[5..15].copy_from_slice(&keccak256(named.realm)[..10]);
    if let Some(client) = client_id.filter(|id| !id.is_empty()) {
        memo[15..25].copy_from_slice(&keccak256(client)[..10]);
    }
    memo[25..].copy_from_slice(&keccak256(named.challenge_id)[..7]);
    memo.into()
}

/// Whether `memo` carries the tag of attribution memos.
#[must_use]
pub fn is_attribution(memo: &B256) -> bool {
    memo[..4] == TAG
}

/// What `memo` says about the challenge. The client's part may be anything.
#[must_use]
pub fn attribution(memo: &B256, named: Named<'_>) -> Attribution {
    if !is_attribution(memo) {
        return Attribution::None;
    }
    let expected = encode(named, None);
    if memo[..15] == expected[..15] && memo[25..] == expected[25..] {
        Attribution::Ours
    } else {
        Attribution::Another
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, b256, keccak256};

    use super::{Attribution, Named, TAG, attribution, encode};

    const NAMED: Named<'static> = Named { realm: "api.example.com", challenge_id: "challenge-123" };
    /// From the public conformance vectors of the Payment scheme (tempo-transaction-verification).
    const VECTOR: B256 = b256!("ef1ed712011ece072f76bd8b82350e00000000000000000000eb18f2d4402269");

    #[test]
    fn the_public_vector_holds() {
        assert_eq!(encode(NAMED, None), VECTOR);
        assert_eq!(keccak256("mpp")[..4], TAG);
        assert_eq!(encode(NAMED, Some("")), VECTOR, "an empty client is an anonymous one");
        // Computed with mppx 0.11.0.
        let client = b256!("ef1ed712011ece072f76bd8b82350e13f85972c34310403135eb18f2d4402269");
        assert_eq!(encode(NAMED, Some("my-agent")), client);
    }

    #[test]
    fn a_memo_names_one_challenge_of_one_realm() {
        let with = |realm, challenge_id| encode(Named { realm, challenge_id }, None);
        let mut version_2 = VECTOR;
        version_2.0[4] = 2;
        let cases = [
            (VECTOR, Attribution::Ours),
            (encode(NAMED, Some("some client")), Attribution::Ours),
            (with("api.example.com", "challenge-124"), Attribution::Another),
            (with("other.example.com", "challenge-123"), Attribution::Another),
            (version_2, Attribution::Another),
            (B256::repeat_byte(0xab), Attribution::None),
            (B256::ZERO, Attribution::None),
        ];
        for (memo, expected) in cases {
            assert_eq!(attribution(&memo, NAMED), expected, "{memo}");
        }
    }
}
