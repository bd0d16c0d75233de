//! A double-entry ledger as a pure engine: accounts, transfers, holds, and a journal that proves itself.
//!
//! Money is a count of base units of one asset. It never appears or disappears: every [`Transfer`] debits one account and
//! credits another with the same amount. A [`Hold`] is a transfer that waits: it sets money aside until it is posted,
//! wholly, partly or in increments, or voided, or until it expires. An [`Account`] shows three balances: *settled*,
//! *held*, and *available*, which is settled less held, and [`Limit`]s make sure that it never promises what it has not.
//!
//! Callers choose every id. The same id with the same content answers [`Outcome::Exists`] and changes nothing, with other
//! content it is refused, so that anything may be asked again after a lost answer. Every rule has one stable code, and
//! all rules are checked in one order: see [`rejection`].
//!
//! The [`Engine`] decides in memory and gives journal entries; [`journal::Chain`] seals them with a hash chain; a
//! [`store::LedgerStore`] makes them durable; [`verify::Verifier`] proves all of it from the journal alone.
//!
//! What this crate is not: it does no IO, reads no clock and draws no randomness. It knows no customer, no price and no
//! budget, and it does not know what paid for what.
//!
//! # Example
//!
//! Two accounts, a hold, a part of it captured, the rest given back:
//!
//! ```
//! use farthing_ledger::journal::{Chain, Head, Sealed};
//! use farthing_ledger::verify::Verifier;
//! use farthing_ledger::{
//!     AccountId, AssetId, Command, Decision, Engine, Expiry, Limit, NewAccount, NewAsset, NewHold, Outcome, PostAmount,
//!     PostHold, Remainder, Step, Tag, Timestamp, Transfer, TransferId, VoidHold,
//! };
//! use farthing_money::{Amount, Asset, AssetKind};
//!
//! let usd = AssetId::from_u32(1);
//! let (bank, wallet, vendor) = (AccountId::from_u128(1), AccountId::from_u128(2), AccountId::from_u128(3));
//! let open = |id, limit| Command::OpenAccount(NewAccount { id, asset: usd, limit });
//! let transfer = |id, debit, credit, cents| Transfer {
//!     id: TransferId::from_u128(id),
//!     debit,
//!     credit,
//!     asset: usd,
//!     amount: Amount::from_base(cents),
//!     code: 1,
//!     tag: Tag::default(),
//! };
//! let now = Timestamp::from_unix_ms(1_700_000_000_000);
//! let hold = TransferId::from_u128(11);
//! let steps: Vec<Step> = [
//!     Command::DefineAsset(NewAsset { id: usd, asset: Asset::new("USD", 2, AssetKind::Fiat)? }),
//!     open(bank, Limit::None),
//!     open(wallet, Limit::DebitsMustNotExceedCredits),
//!     open(vendor, Limit::None),
//!     Command::Transfer(transfer(10, bank, wallet, 500)),
//!     Command::Hold(NewHold {
//!         transfer: transfer(11, wallet, vendor, 300),
//!         expiry: Expiry::At(Timestamp::from_unix_ms(1_700_000_300_000)),
//!     }),
//!     Command::Post(PostHold {
//!         id: TransferId::from_u128(12),
//!         hold,
//!         amount: PostAmount::Exact(Amount::from_base(120)),
//!         remainder: Remainder::Keep,
//!         reference: 0,
//!     }),
//!     Command::Void(VoidHold { id: TransferId::from_u128(13), hold, reference: 0 }),
//! ]
//! .map(Step::single)
//! .into();
//!
//! let (mut engine, mut decision) = (Engine::new(0x5eed, 0, Timestamp::EPOCH), Decision::default());
//! engine.decide(now, &steps, &mut decision);
//! assert!(decision.outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
//! let balances = engine.account(wallet).expect("it was opened").balances();
//! assert_eq!((balances.available.or_zero().base(), balances.held.base()), (380, 0));
//!
//! // Whoever owns the engine writes the entries, and commits once they are on disk.
//! let (mut chain, mut verifier) = (Chain::after(Head::genesis()), Verifier::new());
//! for entry in decision.entries.drain(..) {
//!     let hash = chain.seal(&entry).1;
//!     verifier.add(&Sealed { entry, hash })?;
//! }
//! engine.commit();
//! verifier.accounts_are(engine.accounts())?;
//! assert_eq!(verifier.finish()?.entries, 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod account;
mod asset;
mod command;
pub mod engine;
mod hold;
mod id;
pub mod journal;
pub mod record;
pub mod rejection;
pub mod store;
pub mod testkit;
mod time;
mod totals;
mod transfer;
pub mod verify;

pub use account::{Account, AccountState, Limit, NewAccount};
pub use asset::NewAsset;
pub use command::{Command, Link, Outcome, ReadSet, Step};
pub use engine::{Decision, Engine, Known, Memory};
pub use hold::{Hold, HoldState, NewHold, PostAmount, PostHold, Remainder, VoidHold};
pub use id::{AccountId, AssetId, TransferId};
pub use rejection::Rejection;
pub use time::{Expiry, Timestamp};
pub use totals::{Balances, Net, Settlement, Sums, Totals};
pub use transfer::{Tag, Transfer};
