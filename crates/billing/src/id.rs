//! The names of things that billing keeps, and how names of ledger accounts and transfers follow from them.
//!
//! Nothing here makes an id up: what a caller did not choose is a hash of what it is for, so that every process that asks
//! comes to the same name without asking anybody.

use farthing_ledger::{AccountId, AssetId, TransferId};
use farthing_money::{Id, id_128};
use sha2::{Digest, Sha256};

id_128! {
    /// The name of a customer.
    CustomerId
}
id_128! {
    /// The name of a budget.
    BudgetId
}
id_128! {
    /// The name of a delegation: of the token, never the token's secret.
    DelegationId
}
id_128! {
    /// Somebody who is paid, as the caller tells them apart: a host, a recipient, a vendor.
    CounterpartyId
}
id_128! {
    /// The unit of work that a customer recognises.
    SubjectId
}
id_128! {
    /// The name of a grant.
    GrantId
}

id_128! {
    /// The name of something that is sold.
    ProductId
}
id_128! {
    /// Something that a vendor offers, as the caller tells offers apart.
    OfferId
}

impl CounterpartyId {
    /// The ledger account with what a vendor took, in one asset. Its balance is what was bought from the vendor.
    #[must_use]
    pub fn payable(self, asset: AssetId) -> AccountId {
        account("vendor", &[self.0, u128::from(asset.as_u32())])
    }
}

/// The name of a linked group, with room for 256 legs: leg `n` has it with `n` in the last byte.
///
/// All legs of one spend are found from this one id, with nothing remembered beside the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(u128);

impl GroupId {
    /// The group that `bits` name, whatever their last byte says.
    #[must_use]
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits & !0xff)
    }

    /// The group to which a leg belongs.
    #[must_use]
    pub const fn of(leg: TransferId) -> Self {
        Self::from_u128(leg.as_u128())
    }

    /// The 128 bits, the last byte zero: those of leg 0.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The id of leg `n`.
    #[must_use]
    pub fn leg(self, n: u8) -> TransferId {
        TransferId::from_u128(self.0 | u128::from(n))
    }
}

impl From<Id> for GroupId {
    fn from(id: Id) -> Self {
        Self::from_u128(id.as_u128())
    }
}

/// 128 bits that follow from `what` and `parts`. SHA-256 is cut in half: to hit a given name still takes 2^128 tries.
fn derived(what: &str, parts: &[u128]) -> u128 {
    of_text(what, parts, "")
}

/// As [`derived`], from a text too. No two lists of parts and texts are the same bytes, as long as each `what` comes with one
/// number of parts.
pub(crate) fn of_text(what: &str, parts: &[u128], text: &str) -> u128 {
    let mut hash = Sha256::new();
    hash.update((what.len() as u64).to_be_bytes());
    hash.update(what.as_bytes());
    for part in parts {
        hash.update(part.to_be_bytes());
    }
    hash.update(text.as_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    hash.iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

pub(crate) fn account(what: &str, parts: &[u128]) -> AccountId {
    AccountId::from_u128(derived(what, parts))
}

pub(crate) fn group(what: &str, parts: &[u128]) -> GroupId {
    GroupId::from_u128(derived(what, parts))
}

#[cfg(test)]
mod tests {
    use super::{GroupId, account};

    #[test]
    fn legs_are_found_from_the_group_and_the_group_from_a_leg() {
        let group = GroupId::from_u128(0x1234_56ab);
        assert_eq!(group.leg(0).as_u128(), 0x1234_5600);
        assert_eq!(group.leg(0xfe).as_u128(), 0x1234_56fe);
        assert_eq!(GroupId::of(group.leg(7)), group);
    }

    #[test]
    fn derived_names_differ_in_purpose_and_parts() {
        let names = [account("a", &[1, 2]), account("a", &[2, 1]), account("a", &[1]), account("b", &[1, 2])];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[at + 1..].contains(name), "{name} twice");
        }
    }
}
