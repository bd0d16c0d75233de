//! The names of accounts, transfers and assets. Callers choose them; nothing here makes an id up.

use std::fmt;

use farthing_money::id_128;
use serde::Serialize;

id_128! {
    /// The name of an account. Best time-ordered ([`farthing_money::Id`]), so that indexes append.
    AccountId
}

id_128! {
    /// The name of a transfer, a hold, a post or a void: they share one space, so that one id means one thing.
    ///
    /// Best time-ordered ([`farthing_money::Id`]): a store then knows most new ids to be new without looking them up.
    TransferId
}

/// The name of an asset inside one ledger: a small number, because every transfer carries and compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AssetId(u32);

impl AssetId {
    /// The asset with this number.
    #[must_use]
    pub const fn from_u32(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// Whether the number is one that nobody may use: zero or the largest.
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        self.0 == 0 || self.0 == u32::MAX
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
