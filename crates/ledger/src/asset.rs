//! [`NewAsset`]: how a ledger learns what the numbers in its accounts count. It is not an exchange rate.

use farthing_money::{Asset, AssetKind};

use crate::AssetId;

/// A wish to give an asset a number in this ledger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NewAsset {
    /// The number by which accounts and transfers refer to it.
    pub id: AssetId,
    /// What it is.
    pub asset: Asset,
}

/// The longest network or address of a token, in bytes: an entry of the journal has room for no more.
pub(crate) const MAX_TEXT: usize = 512;

impl NewAsset {
    /// Whether the journal has room for its texts.
    pub(crate) fn fits(&self) -> bool {
        match self.asset.kind() {
            AssetKind::Token { network, address } => network.len() <= MAX_TEXT && address.len() <= MAX_TEXT,
            AssetKind::Fiat | AssetKind::Custom => true,
        }
    }
}
