//! A transfer was seen in a confirmed block: it is credited, or it becomes an exception. Said again, nothing happens.

use super::address::Slot;
use super::kept::{
    ByTransfer, Deposit, DepositState, InBlock, IsMissing, Move, Reason, Sighting, transfer_key,
};
use crate::service::event::EventKind;
use crate::service::wallet::{MovementKind, Wish, stale_or};
use crate::service::{ATTEMPTS, Billing, Class, Cx, Draft, Fate, ServiceError, Stored, id_text, refused};

/// What became of a sighting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The wallet has it now.
    Credited(Deposit),
    /// It is kept, and nobody was credited.
    Exception(Deposit),
    /// It was known; perhaps in another block.
    Known(Deposit),
}

impl Billing {
    /// Takes in a transfer. `cx` may be any tenant's.
    ///
    /// # Errors
    /// The store's.
    pub async fn deposit_seen(&self, cx: &Cx, it: &Sighting) -> Result<Seen, ServiceError> {
        let cx = &cx.operator();
        for _ in 0..ATTEMPTS {
            let seen = match self.by_transfer(cx, &transfer_key(&it.network, &it.tx_hash, it.log)).await? {
                Some(was) => self.seen_again(cx, it, &was).await?,
                None => self.seen_first(cx, it).await?,
            };
            if let Some(seen) = seen {
                return Ok(seen);
            }
        }
        Err(ServiceError::Contention)
    }

    async fn seen_first(&self, cx: &Cx, it: &Sighting) -> Result<Option<Seen>, ServiceError> {
        let slot = self.slot_of(cx, &it.to).await?;
        let verdict = verdict(it, slot.as_ref());
        let deposit = new_deposit(cx, it, slot.as_ref(), verdict);
        if let Some(written) = self.write_first(cx, &deposit, slot.as_ref()).await? {
            let credited = deposit.state == DepositState::Credited;
            return Ok(written.then_some(if credited {
                Seen::Credited(deposit)
            } else {
                Seen::Exception(deposit)
            }));
        }
        // Never lost: what cannot be credited waits for a person.
        let (state, reason, credits) = (DepositState::Exception, Some(Reason::Refused), 0);
        let deposit = Deposit { state, reason, credits, ..deposit };
        let written = self.write_first(cx, &deposit, slot.as_ref()).await?;
        Ok(written.unwrap_or(false).then_some(Seen::Exception(deposit)))
    }

    /// Whether it was written, or others were faster; nothing when it cannot be credited, whoever tries.
    async fn write_first(
        &self,
        cx: &Cx,
        deposit: &Deposit,
        slot: Option<&Slot>,
    ) -> Result<Option<bool>, ServiceError> {
        let owner = &slot.map_or_else(|| cx.clone(), |slot| cx.of(slot.tenant));
        let mut draft = Draft::new();
        let transfer = deposit.transfer();
        draft.create(cx, &transfer, &ByTransfer { tenant: owner.tenant, id: deposit.id.clone() })?;
        draft.create(cx, &deposit.in_block(), &InBlock { transfer })?;
        draft.create(owner, &deposit.id, deposit)?;
        let wish = if deposit.state == DepositState::Credited {
            match self.credit_deposit(owner, &mut draft, deposit).await {
                Ok(wish) => Some(wish),
                Err(error) if may_pass(&error) => return Err(error),
                Err(_) => return Ok(None),
            }
        } else {
            draft.tell(owner, EventKind::DepositException, deposit)?;
            None
        };
        Ok(match (self.commit(cx, draft, &()).await?, wish) {
            (Fate::Applied { .. }, _) => Some(true),
            (Fate::Refused { outcomes }, Some(wish)) if stale_or(&outcomes, &wish).is_err() => None,
            (Fate::Refused { .. } | Fate::Again, _) => Some(false),
        })
    }

    /// Credit number `deposit.credits`, and what is told of it. It has to be the first of the draft's steps.
    pub(super) async fn credit_deposit(
        &self,
        owner: &Cx,
        draft: &mut Draft,
        deposit: &Deposit,
    ) -> Result<Wish, ServiceError> {
        let (Some(customer), Some(asset)) = (deposit.customer, deposit.asset.as_deref()) else {
            return Err(ServiceError::invalid("customer", "a deposit is credited to somebody"));
        };
        let wallet = self.ensure_wallet(owner, customer, asset).await?;
        let wish = Wish {
            group: deposit.group(Move::Credit(deposit.credits)),
            kind: MovementKind::Deposit,
            amount: deposit.amount,
            reference: Some(deposit.tx_hash.clone()),
            reason: Some(deposit.id.clone()),
        };
        self.draft_movement(owner, draft, &wallet, &wish).await?;
        draft.tell(owner, EventKind::DepositCredited, deposit)?;
        Ok(wish)
    }

    async fn seen_again(
        &self,
        cx: &Cx,
        it: &Sighting,
        was: &Stored<ByTransfer>,
    ) -> Result<Option<Seen>, ServiceError> {
        let owner = &cx.of(was.doc.tenant);
        let before = self.get::<Deposit>(owner, &was.doc.id).await?;
        let there = (before.doc.block, before.doc.block_hash.as_str()) == (it.block, it.block_hash.as_str());
        let settled = matches!(before.doc.state, DepositState::Credited | DepositState::Exception);
        if there && settled {
            return Ok(Some(Seen::Known(before.doc)));
        }
        let (state, credits) = match before.doc.state {
            DepositState::Credited | DepositState::Missing => (DepositState::Credited, before.doc.credits),
            // It was taken back, and came back after all: a credit with a name of its own.
            DepositState::Reversed => (DepositState::Credited, before.doc.credits.saturating_add(1)),
            DepositState::Exception | DepositState::Gone => (DepositState::Exception, before.doc.credits),
        };
        let after = Deposit {
            state,
            credits,
            block: it.block,
            block_hash: it.block_hash.clone(),
            missing_since: None,
            updated_ms: cx.now.unix_ms(),
            ..before.doc.clone()
        };
        let mut draft = Draft::new();
        self.move_deposit(cx, &mut draft, (owner, &before), &after).await?;
        let anew = after.credits > before.doc.credits;
        let mut wish = None;
        if anew {
            wish = Some(self.credit_deposit(owner, &mut draft, &after).await?);
        } else if before.doc.state == DepositState::Gone {
            draft.tell(owner, EventKind::DepositException, &after)?;
        }
        match self.commit(cx, draft, &()).await? {
            Fate::Applied { .. } if anew => Ok(Some(Seen::Credited(after))),
            Fate::Applied { .. } => Ok(Some(Seen::Known(after))),
            Fate::Again => Ok(None),
            Fate::Refused { outcomes } => match wish {
                Some(wish) => stale_or(&outcomes, &wish).map(|()| None),
                None => Err(refused(&outcomes)),
            },
        }
    }

    /// Writes a deposit's new state, and moves it in the indexes by block.
    pub(super) async fn move_deposit(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        (owner, before): (&Cx, &Stored<Deposit>),
        after: &Deposit,
    ) -> Result<(), ServiceError> {
        draft.replace(owner, before, after)?;
        let gone = |deposit: &Deposit| matches!(deposit.state, DepositState::Reversed | DepositState::Gone);
        let place = |deposit: &Deposit| (!gone(deposit)).then(|| deposit.in_block());
        if place(&before.doc) != place(after) {
            if let Some(key) = place(&before.doc)
                && let Some(was) = self.find::<InBlock>(cx, &key).await?
            {
                draft.delete(cx, &was);
            }
            if let Some(key) = place(after) {
                draft.write(cx, &key, &InBlock { transfer: after.transfer() })?;
            }
        }
        match (before.doc.missing_since, after.missing_since) {
            (None, Some(_)) => {
                draft.write(cx, &after.missing(), &IsMissing { transfer: after.transfer() })?;
            }
            (Some(_), None) => {
                if let Some(was) = self.find::<IsMissing>(cx, &after.missing()).await? {
                    draft.delete(cx, &was);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) async fn by_transfer(
        &self,
        cx: &Cx,
        transfer: &str,
    ) -> Result<Option<Stored<ByTransfer>>, ServiceError> {
        self.find::<ByTransfer>(&cx.operator(), transfer).await
    }
}

/// Whether the same call may succeed when it is made again.
fn may_pass(error: &ServiceError) -> bool {
    matches!(error.class(), Class::Unavailable | Class::Internal)
}

/// Whether the transfer can be credited; why not, if not. The order is that in which it is checked.
fn verdict(it: &Sighting, slot: Option<&Slot>) -> Result<(), Reason> {
    let Some(slot) = slot else { return Err(Reason::UnknownAddress) };
    if (slot.network.as_str(), slot.token.as_str()) != (it.network.as_str(), it.token.as_str()) {
        return Err(Reason::OtherAsset);
    }
    if it.amount < it.minimum {
        return Err(Reason::Dust);
    }
    Ok(())
}

fn new_deposit(cx: &Cx, it: &Sighting, slot: Option<&Slot>, verdict: Result<(), Reason>) -> Deposit {
    let credited = verdict.is_ok();
    Deposit {
        id: id_text("dep", cx.id.as_u128()),
        customer: slot.map(|slot| slot.customer),
        asset: slot.filter(|_| credited || verdict == Err(Reason::Dust)).map(|slot| slot.asset.clone()),
        amount: it.amount,
        state: if credited { DepositState::Credited } else { DepositState::Exception },
        reason: verdict.err(),
        network: it.network.clone(),
        token: it.token.clone(),
        tx_hash: it.tx_hash.clone(),
        log: it.log,
        block: it.block,
        block_hash: it.block_hash.clone(),
        from: it.from.clone(),
        to: it.to.clone(),
        credits: u32::from(credited),
        missing_since: None,
        created_ms: cx.now.unix_ms(),
        updated_ms: cx.now.unix_ms(),
    }
}
