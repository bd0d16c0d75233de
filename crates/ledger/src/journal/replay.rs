//! [`Replay`]: adds a journal up, entry by entry, and believes nothing that the journal does not say.
//!
//! It is not the engine: it decides nothing, and shares no code with what wrote the journal beyond the sums themselves.

use std::collections::HashMap;

use farthing_money::{Amount, Asset, MoneyError};

use super::{Entry, Event, Movement, Posted, Released};
use crate::{
    Account, AccountId, AccountState, AssetId, Hold, HoldState, Limit, Net, NewAsset, NewHold, Remainder,
    TransferId,
};

/// Why an entry cannot follow those before it. A journal that an engine wrote never has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// It names an account, asset or hold that no entry before it made.
    #[error("it refers to a {what} that does not exist")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
    /// It makes something that an entry before it made.
    #[error("it repeats a {what}")]
    Repeated {
        /// What is repeated.
        what: &'static str,
    },
    /// It contradicts an entry before it.
    #[error("its {what} contradicts an earlier entry")]
    Contradiction {
        /// What does.
        what: &'static str,
    },
    /// Its amounts do not add up.
    #[error("its amounts do not add up: {0}")]
    Amount(#[from] MoneyError),
}

/// What a journal adds up to at one place in it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Every asset.
    pub assets: Vec<NewAsset>,
    /// Every account.
    pub accounts: Vec<Account>,
    /// Every hold that is open.
    pub holds: Vec<Hold>,
}

/// Accounts, assets and open holds, as the entries so far add up.
#[derive(Debug, Default)]
pub struct Replay {
    assets: HashMap<AssetId, Asset>,
    accounts: HashMap<AccountId, Account>,
    holds: HashMap<TransferId, Hold>,
}

impl Replay {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Continues where a checkpoint ends: it believes the checkpoint, and only the entries after it are added up.
    #[must_use]
    pub fn resume(checkpoint: Checkpoint) -> Self {
        Self {
            assets: checkpoint.assets.into_iter().map(|new| (new.id, new.asset)).collect(),
            accounts: checkpoint.accounts.into_iter().map(|account| (account.id, account)).collect(),
            holds: checkpoint.holds.into_iter().map(|hold| (hold.new.transfer.id, hold)).collect(),
        }
    }

    /// What the entries so far add up to, sorted by id.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let mut assets: Vec<NewAsset> =
            self.assets.iter().map(|(id, asset)| NewAsset { id: *id, asset: asset.clone() }).collect();
        assets.sort_unstable_by_key(|new| new.id);
        let mut accounts: Vec<Account> = self.accounts.values().copied().collect();
        accounts.sort_unstable_by_key(|account| account.id);
        let mut holds: Vec<Hold> = self.holds.values().copied().collect();
        holds.sort_unstable_by_key(|hold| hold.new.transfer.id);
        Checkpoint { assets, accounts, holds }
    }

    /// Adds one entry.
    ///
    /// # Errors
    /// [`Broken`] when it cannot follow those before it; nothing may be added after that.
    pub fn add(&mut self, entry: &Entry) -> Result<(), Broken> {
        match &entry.event {
            Event::AssetDefined(new) => match self.assets.insert(new.id, new.asset.clone()) {
                Some(_) => return Err(Broken::Repeated { what: "asset" }),
                None => return Ok(()),
            },
            Event::AccountOpened(new) => {
                if !self.assets.contains_key(&new.asset) {
                    return Err(Broken::Missing { what: "asset" });
                }
                return match self.accounts.insert(new.id, Account::open(*new)) {
                    Some(_) => Err(Broken::Repeated { what: "account" }),
                    None => Ok(()),
                };
            }
            Event::AccountClosed(id) => {
                self.account(*id)?.state = AccountState::Closed;
                return Ok(());
            }
            Event::Transferred(_) => {}
            Event::Held(new) => self.place(*new)?,
            Event::Posted(posted) => self.settle_hold(posted)?,
            Event::Voided { released, .. } | Event::Expired(released) => self.end_hold(released)?,
        }
        entry.event.movement().map_or(Ok(()), |movement| self.add_movement(&movement))
    }

    /// The account with its totals so far.
    #[must_use]
    pub fn get(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    /// Every account, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// Every hold that is still open, in no order.
    pub fn open_holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values()
    }

    /// The hold, while it is open.
    #[must_use]
    pub fn open_hold(&self, id: TransferId) -> Option<&Hold> {
        self.holds.get(&id)
    }

    /// The asset with this number.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<&Asset> {
        self.assets.get(&id)
    }

    /// Every asset, in no order.
    pub fn assets(&self) -> impl Iterator<Item = (AssetId, &Asset)> {
        self.assets.iter().map(|(id, asset)| (*id, asset))
    }

    fn account(&mut self, id: AccountId) -> Result<&mut Account, Broken> {
        self.accounts.get_mut(&id).ok_or(Broken::Missing { what: "account" })
    }

    fn place(&mut self, new: NewHold) -> Result<(), Broken> {
        let hold = Hold { new, left: new.transfer.amount, state: HoldState::Open };
        match self.holds.insert(new.transfer.id, hold) {
            Some(_) => Err(Broken::Repeated { what: "hold" }),
            None => Ok(()),
        }
    }

    fn held(&mut self, end: &Released) -> Result<&mut Hold, Broken> {
        let hold = self.holds.get_mut(&end.hold).ok_or(Broken::Missing { what: "hold" })?;
        let of = &hold.new.transfer;
        if (of.debit, of.credit, of.asset) != (end.debit, end.credit, end.asset) {
            return Err(Broken::Contradiction { what: "account" });
        }
        Ok(hold)
    }

    fn settle_hold(&mut self, posted: &Posted) -> Result<(), Broken> {
        let Posted { post, debit, credit, asset, settlement, left } = *posted;
        let end = Released { hold: post.hold, debit, credit, asset, amount: settlement.released };
        let hold = self.held(&end)?;
        let rest = hold.left.checked_sub(settlement.posted)?;
        let released = match post.remainder {
            Remainder::Keep => Amount::ZERO,
            Remainder::Release => rest,
        };
        if released != settlement.released {
            return Err(Broken::Contradiction { what: "released amount" });
        }
        hold.left = rest.checked_sub(released)?;
        if hold.left != left {
            return Err(Broken::Contradiction { what: "rest of the hold" });
        }
        if hold.left.is_zero() {
            self.holds.remove(&post.hold);
        }
        Ok(())
    }

    fn end_hold(&mut self, released: &Released) -> Result<(), Broken> {
        if self.held(released)?.left != released.amount {
            return Err(Broken::Contradiction { what: "released amount" });
        }
        self.holds.remove(&released.hold);
        Ok(())
    }

    fn add_movement(&mut self, movement: &Movement) -> Result<(), Broken> {
        let Movement { debit, credit, asset, change } = *movement;
        for id in [debit, credit] {
            let account = self.account(id)?;
            if account.asset != asset {
                return Err(Broken::Contradiction { what: "asset" });
            }
            if account.state == AccountState::Closed {
                return Err(Broken::Contradiction { what: "closed account" });
            }
        }
        let account = self.account(debit)?;
        account.totals.debits = change.apply(account.totals.debits)?;
        within_limit(account)?;
        let account = self.account(credit)?;
        account.totals.credits = change.apply(account.totals.credits)?;
        within_limit(account)
    }
}

fn within_limit(account: &Account) -> Result<(), Broken> {
    let overdrawn = matches!(account.balances().available, Net::Minus(_));
    if account.limit != Limit::None && overdrawn {
        return Err(Broken::Contradiction { what: "limit" });
    }
    Ok(())
}
