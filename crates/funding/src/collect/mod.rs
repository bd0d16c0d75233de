//! [`Collector`]: brings what lies at deposit addresses to one account of the operator's. It is the only part that is given the seed,
//! and it keeps it no longer than a call takes.
//!
//! It works from balances: what is there is what is sent, whoever sent something before and whatever became of that. Each
//! transfer is written down before it is sent, and while it may still be executed nobody who shares the record sends another
//! from that address; should two do so all the same, the second finds nothing to send. What was credited to customers is not its business:
//! it shows what was not ([`Owed`]), and changes nobody's balance.

mod owed;
mod plan;
mod run;

use alloy_primitives::Address;
use farthing_billing::CustomerId;
use farthing_billing::service::collection::Collection;
use farthing_billing::service::deposit::Slot;
use farthing_billing::service::{Billing, Cx, ServiceError, TenantId};
use farthing_money::Amount;
use farthing_rails::tempo::sweep::Sweeper;
use farthing_rails::tempo::{RpcError, TempoRpc, UnixMs, WalletError, network};

pub use self::owed::{Owed, Unread};
pub use self::plan::{Left, Lying, Owner, Plan, Verdict, decide};
pub use self::run::{Done, Ended};
use crate::deposit::chain::ChainView;
use crate::deposit::keys::{DepositKeyError, DepositKeys};
use crate::deposit::watcher::LOOK_AHEAD;
use crate::topup::MakeCx;

/// Deposit addresses against which the recipient is checked where fewer were given out.
const CHECKED: u32 = 100;
/// Addresses in one reading.
const PAGE: usize = 500;

/// What is collected, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectSettings {
    /// The chain.
    pub chain_id: u64,
    /// The tokens.
    pub tokens: Vec<Address>,
    /// Who receives; no deposit address.
    pub to: Address,
    /// Less than this is left where it is.
    pub minimum: Amount,
}

/// Why nothing was collected. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The node.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// An account or a token.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The books.
    #[error(transparent)]
    Billing(#[from] ServiceError),
    /// The seed, or the key of the addresses.
    #[error(transparent)]
    Key(#[from] DepositKeyError),
    /// What is collected would be credited to a customer once more.
    #[error(
        "{to} is deposit address number {index}: what came there would be credited again. Name an account that is no deposit address"
    )]
    ToDepositAddress {
        /// The recipient.
        to: Address,
        /// Its index.
        index: u32,
    },
    /// The addresses that were given out are not those of the key.
    #[error(
        "address number {index} was given out and is not an address of the deposit key: was the key changed?"
    )]
    AnotherKey {
        /// The index.
        index: u32,
    },
}

impl CollectError {
    /// The stable code, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rpc(error) => error.code(),
            Self::Wallet(error) => error.code(),
            Self::Billing(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::ToDepositAddress { .. } => "collect_to_deposit_address",
            Self::AnotherKey { .. } => "deposit_key_changed",
        }
    }
}

/// Collects on one chain.
pub struct Collector {
    books: Billing,
    chain: ChainView,
    rpc: TempoRpc,
    keys: DepositKeys,
    sweeper: Sweeper,
    settings: CollectSettings,
    make_cx: MakeCx,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Collector {
    /// A collector of what lies at the addresses of `keys`. Of `books`, which say whose they are, it only reads records.
    #[must_use]
    pub fn new(
        books: Billing,
        (rpc, keys): (TempoRpc, DepositKeys),
        sweeper: Sweeper,
        settings: CollectSettings,
        make_cx: MakeCx,
    ) -> Self {
        Self { books, chain: ChainView::new(rpc.clone()), rpc, keys, sweeper, settings, make_cx }
    }

    /// A call about `tenant`'s.
    fn cx_of(&self, tenant: TenantId) -> Cx {
        (self.make_cx)(tenant)
    }

    fn cx(&self) -> Cx {
        self.cx_of(TenantId::from_u128(0))
    }

    fn now(&self) -> UnixMs {
        UnixMs::from_ms(self.cx().now.unix_ms())
    }

    fn network(&self) -> String {
        network(self.settings.chain_id)
    }

    /// What was collected earlier and may still be on its way, as it was written down.
    ///
    /// # Errors
    /// The record's.
    pub async fn open(&self, record: &Billing) -> Result<Vec<Collection>, CollectError> {
        Ok(record.open_collections(&self.cx(), &self.network()).await?)
    }

    /// The addresses that were given out, and the next ones: what was sent to those by mistake is found too.
    async fn addresses(&self) -> Result<Vec<At>, CollectError> {
        let mut slots: Vec<Slot> = Vec::new();
        loop {
            let first = u32::try_from(slots.len()).unwrap_or(u32::MAX);
            let page = self.books.deposit_slots(&self.cx(), first, PAGE).await?;
            let last = page.len() < PAGE;
            slots.extend(page);
            if last {
                break;
            }
        }
        let given = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let mut addresses = Vec::with_capacity(slots.len() + LOOK_AHEAD as usize);
        for slot in slots {
            let another_key = CollectError::AnotherKey { index: slot.index };
            let address = slot.address.parse().map_err(|_| another_key)?;
            let owner = (slot.tenant, slot.customer, slot.asset);
            addresses.push(At { index: slot.index, address, owner: Some(owner) });
        }
        let ahead = given..given.saturating_add(LOOK_AHEAD);
        addresses.extend(ahead.map(|index| At { index, address: self.keys.address(index), owner: None }));
        self.check_recipient(&addresses)?;
        Ok(addresses)
    }

    fn check_recipient(&self, addresses: &[At]) -> Result<(), CollectError> {
        let to = self.settings.to;
        let known = addresses.iter().find(|at| at.address == to).map(|at| at.index);
        let near = || (0..CHECKED).find(|index| self.keys.address(*index) == to);
        known.or_else(near).map_or(Ok(()), |index| Err(CollectError::ToDepositAddress { to, index }))
    }
}

/// An address of ours.
#[derive(Debug, Clone)]
struct At {
    index: u32,
    address: Address,
    /// Tenant, customer and asset, where it was given out.
    owner: Option<(TenantId, CustomerId, String)>,
}
