//! The rules, one straight line a command, in the order of the table in [`crate::rejection`]. Nothing here changes anything.

use farthing_money::Amount;

use super::books::{Books, Sides};
use super::{Group, Known};
use crate::rejection::Field;
use crate::{
    Account, AccountId, AccountState, Hold, HoldState, Limit, NewAccount, NewAsset, NewHold, PostAmount,
    PostHold, Rejection, Remainder, Settlement, Timestamp, Transfer, TransferId, VoidHold,
};

/// What the rules say to a command that they accept.
pub(super) enum Verdict<T> {
    /// The same thing is there already.
    Exists,
    /// It may happen, and this is what it comes to.
    Accept(T),
}

/// An open hold, where it is, and how it changes.
pub(super) struct HoldChange {
    pub(super) slot: usize,
    pub(super) of: Transfer,
    pub(super) settlement: Settlement,
    pub(super) left: Amount,
    pub(super) state: HoldState,
    pub(super) sides: Sides,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Post,
    Hold,
}

pub(super) fn define(books: &Books, new: &NewAsset) -> Result<Verdict<()>, Rejection> {
    if new.id.is_reserved() {
        return Err(Rejection::IdReserved);
    }
    if !new.fits() {
        return Err(Rejection::AssetTooLong);
    }
    match books.asset(new.id) {
        Some(first) if *first == new.asset => Ok(Verdict::Exists),
        Some(_) => Err(Rejection::ExistsWithDifferent(Field::Asset)),
        None => Ok(Verdict::Accept(())),
    }
}

pub(super) fn open(books: &Books, new: &NewAccount) -> Result<Verdict<()>, Rejection> {
    if new.id.is_reserved() {
        return Err(Rejection::IdReserved);
    }
    if let Some(first) = books.account(new.id) {
        if first.asset != new.asset {
            return Err(Rejection::ExistsWithDifferent(Field::Asset));
        }
        if first.limit != new.limit {
            return Err(Rejection::ExistsWithDifferent(Field::Limit));
        }
        return Ok(Verdict::Exists);
    }
    if books.asset(new.asset).is_none() {
        return Err(Rejection::AssetNotFound);
    }
    Ok(Verdict::Accept(()))
}

pub(super) fn close(books: &Books, id: AccountId) -> Result<Verdict<usize>, Rejection> {
    let slot = books.slot(id).ok_or(Rejection::AccountNotFound)?;
    let account = books.at(slot);
    if account.state == AccountState::Closed {
        return Ok(Verdict::Exists);
    }
    if account.has_pending() {
        return Err(Rejection::AccountHasHolds);
    }
    Ok(Verdict::Accept(slot))
}

pub(super) fn transfer(
    books: &Books,
    new: &Transfer,
    group: &mut Group,
) -> Result<Verdict<Sides>, Rejection> {
    well_formed(new)?;
    if let Some(record) = books.records.get(new.id) {
        record.known.must_equal_transfer(new)?;
        group.meets_existing()?;
        return Ok(Verdict::Exists);
    }
    group.meets_new()?;
    movement(books, new, Stage::Post).map(Verdict::Accept)
}

pub(super) fn hold(
    books: &Books,
    new: &NewHold,
    now: Timestamp,
    group: &mut Group,
) -> Result<Verdict<Sides>, Rejection> {
    well_formed(&new.transfer)?;
    if let Some(record) = books.records.get(new.transfer.id) {
        record.known.must_equal_hold(new)?;
        group.meets_existing()?;
        return Ok(Verdict::Exists);
    }
    group.meets_new()?;
    if new.expiry.is_due(now) {
        return Err(Rejection::ExpiryNotInFuture);
    }
    movement(books, &new.transfer, Stage::Hold).map(Verdict::Accept)
}

pub(super) fn post(
    books: &Books,
    new: &PostHold,
    now: Timestamp,
    group: &mut Group,
) -> Result<Verdict<HoldChange>, Rejection> {
    if new.id.is_reserved() {
        return Err(Rejection::IdReserved);
    }
    if let Some(record) = books.records.get(new.id) {
        record.known.must_equal_post(new)?;
        group.meets_existing()?;
        return Ok(Verdict::Exists);
    }
    group.meets_new()?;
    let (slot, hold) = find_hold(books, new.hold)?;
    still_open(hold)?;
    if hold.new.expiry.is_due(now) {
        return Err(Rejection::HoldExpired);
    }
    let posted = match new.amount {
        PostAmount::Exact(amount) => amount,
        PostAmount::Rest => hold.left,
    };
    let rest = hold
        .left
        .checked_sub(posted)
        .map_err(|_| Rejection::ExceedsHold { left: hold.left, required: posted })?;
    let (released, left) = match new.remainder {
        Remainder::Keep => (Amount::ZERO, rest),
        Remainder::Release => (rest, Amount::ZERO),
    };
    let state = if left.is_zero() { HoldState::Posted } else { HoldState::Open };
    Ok(Verdict::Accept(change(books, slot, Settlement { posted, released }, (left, state))))
}

pub(super) fn void(
    books: &Books,
    new: &VoidHold,
    group: &mut Group,
) -> Result<Verdict<HoldChange>, Rejection> {
    if new.id.is_reserved() {
        return Err(Rejection::IdReserved);
    }
    if let Some(record) = books.records.get(new.id) {
        record.known.must_equal_void(new)?;
        group.meets_existing()?;
        return Ok(Verdict::Exists);
    }
    group.meets_new()?;
    let (slot, hold) = find_hold(books, new.hold)?;
    still_open(hold)?;
    Ok(Verdict::Accept(release(books, slot, hold.left, HoldState::Voided)))
}

pub(super) fn expire(
    books: &Books,
    id: TransferId,
    now: Timestamp,
) -> Result<Verdict<HoldChange>, Rejection> {
    let (slot, hold) = find_hold(books, id)?;
    if hold.state == HoldState::Expired {
        return Ok(Verdict::Exists);
    }
    still_open(hold)?;
    if !hold.new.expiry.is_due(now) {
        return Err(Rejection::HoldNotDue);
    }
    Ok(Verdict::Accept(release(books, slot, hold.left, HoldState::Expired)))
}

fn well_formed(new: &Transfer) -> Result<(), Rejection> {
    if new.id.is_reserved() {
        return Err(Rejection::IdReserved);
    }
    if new.debit == new.credit {
        return Err(Rejection::AccountsSame);
    }
    if new.amount.is_zero() {
        return Err(Rejection::AmountZero);
    }
    Ok(())
}

fn movement(books: &Books, new: &Transfer, stage: Stage) -> Result<Sides, Rejection> {
    let debit = books.slot(new.debit).ok_or(Rejection::DebitAccountNotFound)?;
    let credit = books.slot(new.credit).ok_or(Rejection::CreditAccountNotFound)?;
    let (from, to) = (books.at(debit), books.at(credit));
    if from.asset != new.asset || to.asset != new.asset {
        return Err(Rejection::AssetMismatch);
    }
    if from.state == AccountState::Closed {
        return Err(Rejection::DebitAccountClosed);
    }
    if to.state == AccountState::Closed {
        return Err(Rejection::CreditAccountClosed);
    }
    let (debits, credits) = match stage {
        Stage::Post => (from.totals.debits.post(new.amount), to.totals.credits.post(new.amount)),
        Stage::Hold => (from.totals.debits.hold(new.amount), to.totals.credits.hold(new.amount)),
    };
    let debits = debits.map_err(|_| Rejection::DebitsOverflow)?;
    let credits = credits.map_err(|_| Rejection::CreditsOverflow)?;
    let available = |account: &Account| account.balances().available.or_zero();
    if from.limit == Limit::DebitsMustNotExceedCredits && new.amount > available(from) {
        return Err(Rejection::ExceedsCredits { available: available(from), required: new.amount });
    }
    if to.limit == Limit::CreditsMustNotExceedDebits && new.amount > available(to) {
        return Err(Rejection::ExceedsDebits { available: available(to), required: new.amount });
    }
    Ok(Sides { debit, debits, credit, credits })
}

fn find_hold(books: &Books, id: TransferId) -> Result<(usize, &Hold), Rejection> {
    let slot = books.records.slot(id).ok_or(Rejection::HoldNotFound)?;
    match books.records.at(slot).map(|record| &record.known) {
        Some(Known::Hold(hold)) => Ok((slot, hold)),
        Some(_) => Err(Rejection::NotAHold),
        None => Err(Rejection::HoldNotFound),
    }
}

fn still_open(hold: &Hold) -> Result<(), Rejection> {
    match hold.state {
        HoldState::Open => Ok(()),
        HoldState::Posted => Err(Rejection::HoldPosted),
        HoldState::Voided => Err(Rejection::HoldVoided),
        HoldState::Expired => Err(Rejection::HoldExpired),
    }
}

fn release(books: &Books, slot: usize, left: Amount, state: HoldState) -> HoldChange {
    change(books, slot, Settlement { posted: Amount::ZERO, released: left }, (Amount::ZERO, state))
}

/// What a settlement does to the hold in `slot` and to its accounts. No limit can break here: what is posted was counted
/// as pending, so that what is available does not become less.
fn change(
    books: &Books,
    slot: usize,
    settlement: Settlement,
    (left, state): (Amount, HoldState),
) -> HoldChange {
    let record = books.records.at(slot).expect("the hold was found there");
    let Known::Hold(hold) = &record.known else { panic!("the hold was found there") };
    let (debit, credit) = (record.debit, record.credit);
    let settle =
        |sums: crate::Sums| sums.settle(settlement).expect("what is left of an open hold is pending");
    let sides = Sides {
        debit,
        debits: settle(books.at(debit).totals.debits),
        credit,
        credits: settle(books.at(credit).totals.credits),
    };
    HoldChange { slot, of: hold.new.transfer, settlement, left, state, sides }
}
