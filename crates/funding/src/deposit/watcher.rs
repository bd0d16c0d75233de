//! [`DepositWatcher`]: reads transfers to our addresses, block by block, and tells billing. It keeps its place in billing's store,
//! so that it goes on where any watcher before it stopped; what it tells twice happens once.
//!
//! A pass:
//!
//! 1. The newest block that was looked at must still be there. If not, the chain was reorganised: every deposit after the last
//!    block that *is* still there is looked for, and the place goes back.
//! 2. Deposits that are missing are looked for; after as many blocks as a transfer has to wait for they are taken back.
//! 3. The next blocks that have enough confirmations are read. Deposits that billing has for these blocks and that were not
//!    seen now are looked for: a watcher that ended before it wrote its place may have credited them.
//! 4. If the blocks are still the same, the place moves on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use farthing_billing::service::deposit::{Addresses, Deposit, Mark, Place, Placed, Seen, Sighting, Slot};
use farthing_billing::service::{Billing, Cx, ServiceError, Stored, TenantId};
use farthing_money::Amount;
use farthing_rails::tempo::{RpcError, TempoRpc, network, tokens};

use super::chain::{ChainView, Moved, Wanted, Whereabouts};
use super::keys::DepositKeys;
use crate::topup::MakeCx;

/// Addresses after the last one that was given out which are watched all the same: what comes to them is an exception.
pub(crate) const LOOK_AHEAD: u32 = 20;
/// Addresses in one reading, and deposits.
const PAGE: usize = 500;

/// A token of which deposits are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchedToken {
    /// Its address. Nothing else of a token counts: names can be had by anybody.
    pub token: Address,
    /// Less than this in one transfer is dust: it is kept as an exception and not credited.
    pub minimum: Amount,
}

/// What is watched, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSettings {
    /// The chain.
    pub chain_id: u64,
    /// The tokens.
    pub tokens: Vec<WatchedToken>,
    /// Blocks in which a transfer has to be: 1 is its own block alone.
    pub confirmations: u64,
    /// Where to begin when there is no place yet; none for the newest block that is confirmed.
    pub start_block: Option<u64>,
    /// The most blocks in one pass.
    pub blocks_per_pass: u64,
    /// How long to wait when there was nothing to read.
    pub every: Duration,
}

impl WatchSettings {
    /// The usual: 2 confirmations, 500 blocks a pass, a look every second.
    #[must_use]
    pub const fn new(chain_id: u64, tokens: Vec<WatchedToken>) -> Self {
        Self {
            chain_id,
            tokens,
            confirmations: 2,
            start_block: None,
            blocks_per_pass: 500,
            every: Duration::from_secs(1),
        }
    }
}

/// Why a pass did not get to its end. What it had told billing stays, and the next pass begins where this one did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The node.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// Billing.
    #[error(transparent)]
    Billing(#[from] ServiceError),
    /// The blocks changed while they were read.
    #[error("the chain changed while it was read")]
    Moving,
    /// None of the blocks that are remembered is there any more.
    #[error(
        "the node's chain has none of the blocks that were seen before: is it another chain, or was it set up anew?"
    )]
    AnotherChain,
    /// The addresses that were given out are not those of the key.
    #[error(
        "address number {index} was given out and is not an address of the deposit key: was the key changed?"
    )]
    AnotherKey {
        /// The index.
        index: u32,
    },
}

impl WatchError {
    /// The stable code, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rpc(error) => error.code(),
            Self::Billing(error) => error.code(),
            Self::Moving => "deposit_chain_moving",
            Self::AnotherChain => "deposit_chain_replaced",
            Self::AnotherKey { .. } => "deposit_key_changed",
        }
    }
}

/// What a pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pass {
    /// Blocks that were read.
    pub blocks: u64,
    /// Deposits that were credited.
    pub credited: usize,
    /// Deposits that were kept and not credited.
    pub exceptions: usize,
    /// Deposits that were taken back.
    pub reversed: usize,
    /// Whether the chain had changed its mind.
    pub reorganised: bool,
    /// Whether more blocks are ready to be read.
    pub more: bool,
}

/// The addresses that are watched.
#[derive(Debug, Clone, Default)]
struct Book {
    /// Those that were given out, by index.
    given: Vec<Address>,
    /// Those and the next ones.
    watched: Vec<Address>,
}

/// The addresses of a key, for the tokens that are watched: what hands out deposit addresses.
#[derive(Debug, Clone)]
pub struct DepositBook {
    keys: DepositKeys,
    network: String,
    tokens: Vec<Address>,
}

impl DepositBook {
    /// The addresses of `keys` on the chain of `settings`.
    #[must_use]
    pub fn new(keys: DepositKeys, settings: &WatchSettings) -> Self {
        let tokens = settings.tokens.iter().map(|token| token.token).collect();
        Self { keys, network: network(settings.chain_id), tokens }
    }
}

impl Addresses for DepositBook {
    fn address(&self, index: u32) -> String {
        tokens::lower(self.keys.address(index))
    }

    fn takes(&self, network: &str, token: &str) -> bool {
        network == self.network && self.tokens.iter().any(|watched| tokens::lower(*watched) == token)
    }
}

/// The watcher of one chain. Several may run: what one has written, the others see, and nothing happens twice.
#[derive(Clone)]
pub struct DepositWatcher {
    billing: Billing,
    chain: ChainView,
    keys: DepositKeys,
    settings: Arc<WatchSettings>,
    make_cx: MakeCx,
    book: Book,
}

impl std::fmt::Debug for DepositWatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DepositWatcher").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl DepositWatcher {
    /// A watcher of the addresses of `keys`.
    #[must_use]
    pub fn new(
        billing: Billing,
        (rpc, keys): (TempoRpc, DepositKeys),
        settings: WatchSettings,
        make_cx: MakeCx,
    ) -> Self {
        let settings = Arc::new(settings);
        Self { billing, chain: ChainView::new(rpc), keys, settings, make_cx, book: Book::default() }
    }

    /// Starts the watcher; it ends when the task is aborted, or when `stop` is done, between two passes.
    pub fn start(self, stop: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move { self.run(stop).await })
    }

    async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        let mut failures = 0_u32;
        loop {
            let wait = match self.pass().await {
                Ok(pass) => {
                    failures = 0;
                    if pass.more { Duration::ZERO } else { self.settings.every }
                }
                Err(WatchError::Moving) => self.settings.every,
                Err(error) => {
                    tracing::warn!(code = error.code(), %error, chain = self.settings.chain_id, "deposits have to wait");
                    failures = failures.saturating_add(1);
                    let doubled = self.settings.every.saturating_mul(1_u32 << failures.min(6));
                    doubled.min(Duration::from_secs(60))
                }
            };
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn cx(&self) -> Cx {
        (self.make_cx)(TenantId::from_u128(0))
    }

    fn network(&self) -> String {
        network(self.settings.chain_id)
    }

    /// One pass.
    ///
    /// # Errors
    /// [`WatchError`]; the same pass may be made again.
    pub async fn pass(&mut self) -> Result<Pass, WatchError> {
        self.chain.expect_chain(self.settings.chain_id).await?;
        let head = self.chain.head().await?;
        let confirmed = head.saturating_add(1).saturating_sub(self.settings.confirmations.max(1));
        // After the head: an address that is given out later than this cannot have been paid in a block that is read now.
        self.read_book().await?;
        let stored = self.billing.deposit_place(&self.cx(), &self.network()).await?;
        let mut pass = Pass::default();
        let Some(stored) = stored else {
            let start = self.settings.start_block.unwrap_or(confirmed);
            let mut place = Place::beginning(start);
            if let Some(before) = start.checked_sub(1)
                && let Some(block) = self.chain.block(before).await?
            {
                place = place.after(Mark { block: before, hash: hex(block.hash) });
            }
            self.billing.move_deposit_place(&self.cx(), &self.network(), (None, &place)).await?;
            return Ok(Pass { more: start <= confirmed, ..pass });
        };
        if let Some(ancestor) = self.ancestor(&stored.doc, head).await? {
            tracing::warn!(chain = self.settings.chain_id, ancestor, "the chain was reorganised");
            pass.reorganised = true;
            self.look_for_after(&mut pass, ancestor, (u64::MAX, &BTreeSet::new()), head).await?;
            let place = stored.doc.clone().back_to(ancestor);
            self.billing.move_deposit_place(&self.cx(), &self.network(), (Some(&stored), &place)).await?;
            return Ok(Pass { more: true, ..pass });
        }
        for missing in self.billing.missing_deposits(&self.cx(), &self.network(), PAGE).await? {
            self.look_for(&mut pass, &missing, head).await?;
        }
        self.read_blocks(&mut pass, &stored, (confirmed, head)).await?;
        Ok(pass)
    }

    /// The last block that was looked at and is still there, when the newest one is not.
    async fn ancestor(&self, place: &Place, head: u64) -> Result<Option<u64>, WatchError> {
        let Some(last) = place.marks.last() else { return Ok(None) };
        let mut replaced = false;
        for mark in place.marks.iter().rev().filter(|mark| mark.block <= head) {
            match (self.stands(mark).await?, replaced) {
                (false, _) => replaced = true,
                (true, true) => return Ok(Some(mark.block)),
                // What is above may only not have arrived at this node: the chain has to grow before it is called gone.
                (true, false) if last.block > head => return Err(WatchError::Moving),
                (true, false) => return Ok(None),
            }
        }
        Err(WatchError::AnotherChain)
    }

    async fn stands(&self, mark: &Mark) -> Result<bool, WatchError> {
        let block = self.chain.block(mark.block).await?.ok_or(WatchError::Moving)?;
        Ok(hex(block.hash) == mark.hash)
    }

    /// Reads the next blocks and tells what is in them.
    async fn read_blocks(
        &self,
        pass: &mut Pass,
        stored: &Stored<Place>,
        (confirmed, head): (u64, u64),
    ) -> Result<(), WatchError> {
        let from = stored.doc.next;
        let most = from.saturating_add(self.settings.blocks_per_pass.max(1) - 1);
        let to = confirmed.min(most);
        if to < from {
            return Ok(());
        }
        let last = self.chain.block(to).await?.ok_or(WatchError::Moving)?;
        let tokens: Vec<Address> = self.settings.tokens.iter().map(|token| token.token).collect();
        let wanted = Wanted { tokens: &tokens, to: &self.book.watched };
        let moved = self.chain.transfers(wanted, from..=to).await?;
        // The blocks that were read must be those that follow what was read before.
        let same = self.chain.block(to).await?.is_some_and(|block| block.hash == last.hash);
        let follows = match stored.doc.marks.last() {
            Some(mark) => self.stands(mark).await?,
            None => true,
        };
        if !same || !follows {
            return Err(WatchError::Moving);
        }
        let mut seen = BTreeSet::new();
        for moved in &moved {
            seen.insert((hex(moved.tx_hash), moved.log));
            match self.billing.deposit_seen(&self.cx(), &self.sighting(moved)).await? {
                Seen::Credited(deposit) => {
                    pass.credited += 1;
                    tracing::info!(deposit = deposit.id, amount = %deposit.amount, hash = deposit.tx_hash, "a deposit");
                }
                Seen::Exception(deposit) => {
                    pass.exceptions += 1;
                    tracing::warn!(deposit = deposit.id, reason = ?deposit.reason, hash = deposit.tx_hash, "a deposit that nobody is credited for");
                }
                Seen::Known(_) => {}
            }
        }
        if let Some(before) = from.checked_sub(1) {
            self.look_for_after(pass, before, (to, &seen), head).await?;
        }
        let place = stored.doc.clone().after(Mark { block: to, hash: hex(last.hash) });
        self.billing.move_deposit_place(&self.cx(), &self.network(), (Some(stored), &place)).await?;
        pass.blocks = to - from + 1;
        pass.more = to < confirmed;
        Ok(())
    }

    /// Looks for the deposits in blocks after `block`, up to `to`, that were not seen.
    async fn look_for_after(
        &self,
        pass: &mut Pass,
        block: u64,
        (to, seen): (u64, &BTreeSet<(String, u32)>),
        head: u64,
    ) -> Result<(), WatchError> {
        let (network, mut after) = (self.network(), None);
        loop {
            let page = (after.take(), PAGE);
            let found = self.billing.deposits_after_block(&self.cx(), (&network, block), page).await?;
            for deposit in &found.0 {
                if deposit.block > to {
                    return Ok(());
                }
                if !seen.contains(&(deposit.tx_hash.clone(), deposit.log)) {
                    self.look_for(pass, deposit, head).await?;
                }
            }
            match found.1 {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn look_for(&self, pass: &mut Pass, deposit: &Deposit, head: u64) -> Result<(), WatchError> {
        let parsed = (
            deposit.tx_hash.parse::<B256>(),
            deposit.token.parse::<Address>(),
            deposit.to.parse::<Address>(),
        );
        let (Ok(hash), Ok(token), Ok(to)) = parsed else {
            tracing::error!(deposit = deposit.id, "a deposit's record names no transaction");
            return Ok(());
        };
        let placed = match self.chain.find((hash, deposit.log), (token, to)).await? {
            Whereabouts::In { block, hash } => Placed::In { block, block_hash: hex(hash) },
            Whereabouts::Nowhere => Placed::Nowhere { head },
        };
        let patience = self.settings.confirmations.max(1);
        let before = deposit.state;
        let after = self.billing.deposit_placed(&self.cx(), deposit, (&placed, patience)).await?;
        if after.state != before {
            tracing::warn!(deposit = after.id, state = ?after.state, hash = after.tx_hash, "a deposit's block is gone, or back");
        }
        let reversed = farthing_billing::service::deposit::DepositState::Reversed;
        pass.reversed += usize::from(after.state == reversed && before != reversed);
        Ok(())
    }

    /// Learns of the addresses that were given out since the last pass.
    async fn read_book(&mut self) -> Result<(), WatchError> {
        loop {
            let first = u32::try_from(self.book.given.len()).unwrap_or(u32::MAX);
            let slots = self.billing.deposit_slots(&self.cx(), first, PAGE).await?;
            for slot in &slots {
                self.learn(slot)?;
            }
            if slots.len() < PAGE {
                break;
            }
        }
        let given = u32::try_from(self.book.given.len()).unwrap_or(u32::MAX);
        if self.book.watched.len() != self.book.given.len() + LOOK_AHEAD as usize {
            let ahead = (given..given.saturating_add(LOOK_AHEAD)).map(|index| self.keys.address(index));
            self.book.watched = self.book.given.iter().copied().chain(ahead).collect();
        }
        Ok(())
    }

    /// Deriving takes longer than reading, so that not every address is derived again: a key that was changed shows anyway.
    fn learn(&mut self, slot: &Slot) -> Result<(), WatchError> {
        let another_key = WatchError::AnotherKey { index: slot.index };
        let derived = slot.index < 16 || slot.index.is_multiple_of(1_024);
        if derived && tokens::lower(self.keys.address(slot.index)) != slot.address {
            return Err(another_key);
        }
        self.book.given.push(slot.address.parse().map_err(|_| another_key)?);
        Ok(())
    }

    fn sighting(&self, moved: &Moved) -> Sighting {
        let watched = self.settings.tokens.iter().find(|token| token.token == moved.token);
        Sighting {
            network: self.network(),
            token: tokens::lower(moved.token),
            tx_hash: hex(moved.tx_hash),
            log: moved.log,
            block: moved.block,
            block_hash: hex(moved.block_hash),
            from: tokens::lower(moved.from),
            to: tokens::lower(moved.to),
            // No token has so many base units; what a wallet cannot count becomes an exception.
            amount: Amount::from_base(moved.amount.saturating_to::<u128>()),
            minimum: watched.map_or(Amount::ZERO, |token| token.minimum),
        }
    }
}

fn hex(hash: B256) -> String {
    format!("{hash:#x}")
}
