//! The names of accounts, transfers and assets. Callers choose them; nothing here makes an id up.

use std::fmt;

use farthing_money::Id;
use serde::{Serialize, Serializer};

macro_rules! id_128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The id with these 128 bits.
            #[must_use]
            pub const fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// Whether the id is one that nobody may use: all zeros or all ones, which is what forgotten
            /// initialisation looks like.
            #[must_use]
            pub const fn is_reserved(self) -> bool {
                self.0 == 0 || self.0 == u128::MAX
            }
        }

        impl From<Id> for $name {
            fn from(id: Id) -> Self {
                Self(id.as_u128())
            }
        }

        impl fmt::Display for $name {
            /// 32 hexadecimal digits.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

id_128! {
    /// The name of an account. Best time-ordered ([`Id`]), so that indexes append.
    AccountId
}

id_128! {
    /// The name of a transfer, a hold, a post or a void: they share one space, so that one id means one thing.
    ///
    /// Best time-ordered ([`Id`]): a store then knows most new ids to be new without looking them up.
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
