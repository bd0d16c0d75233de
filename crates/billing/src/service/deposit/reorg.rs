//! The chain changed its mind: a block is gone, and transfers that were in it may be in another block, or in none. A deposit
//! whose transfer is in none is `missing` for a while, credited all the same, and then taken back.

use farthing_ledger::record::Order;

use super::kept::{Deposit, DepositState, InBlock, IsMissing, Move};
use crate::service::event::EventKind;
use crate::service::wallet::{MovementKind, Wish, stale_or};
use crate::service::{ATTEMPTS, Billing, Cx, Draft, Fate, PageQuery, ServiceError, Stored, refused};

/// Where a transfer is on the chain now, as far as the watcher can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// In this block.
    In {
        /// Its number.
        block: u64,
        /// Its hash.
        block_hash: String,
    },
    /// In none, and the newest block has this number.
    Nowhere {
        /// The newest block.
        head: u64,
    },
}

impl Billing {
    /// Deposits in blocks after `block`, in the order of blocks, at most `limit` after the cursor; and the next cursor.
    ///
    /// # Errors
    /// The store's.
    pub async fn deposits_after_block(
        &self,
        cx: &Cx,
        (network, block): (&str, u64),
        (after, limit): (Option<String>, usize),
    ) -> Result<(Vec<Deposit>, Option<String>), ServiceError> {
        let cx = &cx.operator();
        // A key that begins with a block's number and a slash sorts before the transfers of the next block.
        let after = after.unwrap_or_else(|| format!("{network}/{block:016x}0"));
        let page = PageQuery { after: Some(after), limit, order: Order::Ascending };
        let found = self.list::<InBlock>(cx, &format!("{network}/"), &page).await?;
        let mut deposits = Vec::with_capacity(found.data.len());
        for entry in &found.data {
            deposits.extend(self.deposit_of(cx, &entry.doc.transfer).await?.map(|(_, deposit)| deposit.doc));
        }
        Ok((deposits, found.next))
    }

    /// Deposits that are missing, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub async fn missing_deposits(
        &self,
        cx: &Cx,
        network: &str,
        limit: usize,
    ) -> Result<Vec<Deposit>, ServiceError> {
        let cx = &cx.operator();
        let page = PageQuery { after: None, limit, order: Order::Ascending };
        let found = self.list::<IsMissing>(cx, &format!("{network}/"), &page).await?;
        let mut deposits = Vec::with_capacity(found.data.len());
        for entry in &found.data {
            deposits.extend(self.deposit_of(cx, &entry.doc.transfer).await?.map(|(_, deposit)| deposit.doc));
        }
        Ok(deposits)
    }

    /// Takes in where a deposit's transfer is now. Missing for `patience` blocks, it is taken back.
    ///
    /// # Errors
    /// The store's, and [`ServiceError::Ledger`].
    pub async fn deposit_placed(
        &self,
        cx: &Cx,
        deposit: &Deposit,
        (placed, patience): (&Placed, u64),
    ) -> Result<Deposit, ServiceError> {
        let cx = &cx.operator();
        for _ in 0..ATTEMPTS {
            let Some((owner, before)) = self.deposit_of(cx, &deposit.transfer()).await? else {
                return Ok(deposit.clone());
            };
            let mut after = Deposit { updated_ms: cx.now.unix_ms(), ..before.doc.clone() };
            match (before.doc.state, placed) {
                (DepositState::Reversed | DepositState::Gone, _) => return Ok(before.doc),
                (state, Placed::In { block, block_hash }) => {
                    if state != DepositState::Missing && before.doc.block_hash == *block_hash {
                        return Ok(before.doc);
                    }
                    (after.block, after.block_hash) = (*block, block_hash.clone());
                    after.missing_since = None;
                    if state == DepositState::Missing {
                        after.state = DepositState::Credited;
                    }
                }
                (DepositState::Exception, Placed::Nowhere { .. }) => after.state = DepositState::Gone,
                (DepositState::Credited, Placed::Nowhere { head }) => {
                    after.state = DepositState::Missing;
                    after.missing_since = Some(*head);
                }
                (DepositState::Missing, Placed::Nowhere { head }) => {
                    let since = before.doc.missing_since.unwrap_or(*head);
                    if head.saturating_sub(since) < patience {
                        return Ok(before.doc);
                    }
                    after.state = DepositState::Reversed;
                    after.missing_since = None;
                }
            }
            if self.write_placed(cx, (&owner, &before), &after).await? {
                return Ok(after);
            }
        }
        Err(ServiceError::Contention)
    }

    async fn write_placed(
        &self,
        cx: &Cx,
        (owner, before): (&Cx, &Stored<Deposit>),
        after: &Deposit,
    ) -> Result<bool, ServiceError> {
        let mut draft = Draft::new();
        self.move_deposit(cx, &mut draft, (owner, before), after).await?;
        let mut wish = None;
        if after.state == DepositState::Reversed
            && let (Some(customer), Some(asset)) = (after.customer, after.asset.as_deref())
        {
            let wallet = self.ensure_wallet(owner, customer, asset).await?;
            let back = Wish {
                group: after.group(Move::Reversal(after.credits)),
                kind: MovementKind::Chargeback,
                amount: after.amount,
                reference: Some(after.tx_hash.clone()),
                reason: Some(after.id.clone()),
            };
            self.draft_movement(owner, &mut draft, &wallet, &back).await?;
            wish = Some(back);
            draft.tell(owner, EventKind::DepositReversed, after)?;
        }
        match self.commit(cx, draft, &()).await? {
            Fate::Applied { .. } => Ok(true),
            Fate::Again => Ok(false),
            Fate::Refused { outcomes } => match wish {
                Some(wish) => stale_or(&outcomes, &wish).map(|()| false),
                None => Err(refused(&outcomes)),
            },
        }
    }

    /// The deposit that a transfer is, and whose.
    pub(super) async fn deposit_of(
        &self,
        cx: &Cx,
        transfer: &str,
    ) -> Result<Option<(Cx, Stored<Deposit>)>, ServiceError> {
        let Some(by) = self.by_transfer(cx, transfer).await? else { return Ok(None) };
        let owner = cx.of(by.doc.tenant);
        let found = self.find::<Deposit>(&owner, &by.doc.id).await?;
        Ok(found.map(|deposit| (owner, deposit)))
    }
}
