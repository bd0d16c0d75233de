//! Money as types that cannot be wrong: integer base units, the asset they count, and named rounding.
//!
//! This crate does no IO, reads no clock and draws no randomness: [`Id::from_parts`] takes both from its caller. It
//! knows nothing of protocols, chains or accounts.
//!
//! ```
//! use farthing_money::{Amount, Asset, AssetKind, Money};
//!
//! let usd = Asset::new("PathUSD", 6, AssetKind::Token { network: "eip155:1337".into(), address: "0x20c0".into() })?;
//! let price = Money::new(Amount::from_decimal("0.01", usd.scale())?, usd);
//! assert_eq!(price.to_string(), "0.01 PathUSD");
//! assert_eq!(price.amount().base(), 10_000);
//! # Ok::<(), farthing_money::MoneyError>(())
//! ```

mod amount;
mod asset;
mod error;
mod id;
mod money;
mod rounding;
#[cfg(feature = "schema")]
mod schema;

pub use amount::Amount;
pub use asset::{Asset, AssetKind};
pub use error::MoneyError;
pub use id::Id;
pub use money::Money;
pub use rounding::Rounding;

// For what `id_128!` expands to.
#[doc(hidden)]
pub use serde::{Serialize as __Serialize, Serializer as __Serializer};
