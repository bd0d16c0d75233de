//! The store's operations on a connection inside a transaction. Whoever calls begins and commits it.

use std::collections::BTreeSet;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimOutcome, ClaimState, ClaimStep, NewClaim, ReservationFate, Settled,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::budget::Budgets;
use super::row::{SqlError, Stored, keys_json, ms, read, reservation_json};
use super::sql;
use crate::limits::{Limits, json, settled_json};
use crate::transition::{Transition, transition};

/// Claims the id, all keys and the reservation, or none.
pub(super) fn claim(
    db: &Connection,
    budgets: &mut Budgets,
    new: &NewClaim,
    now: UnixMs,
) -> Result<ClaimOutcome, SqlError> {
    let old = find(db, &new.id)?;
    if let Some(old) = old.as_ref().filter(|old| !matches!(old.claim.state, ClaimState::Failed { .. })) {
        let (held, asked): (BTreeSet<_>, BTreeSet<_>) =
            (old.claim.new.keys.iter().collect(), new.keys.iter().collect());
        return Ok(if held == asked {
            ClaimOutcome::Existing(Box::new(old.claim.clone()))
        } else {
            ClaimOutcome::Taken { what: new.id.0.clone() }
        });
    }
    for key in &new.keys {
        if db.prepare_cached(sql::KEY_HOLDER)?.exists([&key.0])? {
            return Ok(ClaimOutcome::Taken { what: key.0.clone() });
        }
    }
    if let Some(reservation) = &new.reservation
        && !budgets.reserve(db, &new.id, reservation, now)?
    {
        return Ok(ClaimOutcome::OverBudget { budget: reservation.budget.clone() });
    }
    write(db, new, old.map(|old| old.seq), now)?;
    Ok(ClaimOutcome::New)
}

fn write(db: &Connection, new: &NewClaim, renew: Option<i64>, now: UnixMs) -> Result<(), SqlError> {
    let reservation = new.reservation.as_ref().map(reservation_json).transpose()?;
    let (keys, plan) = (keys_json(&new.keys)?, json(&new.plan)?);
    let (expires, now) = (ms(new.expires), ms(now));
    let row = params![new.id.0, keys, new.scope, new.payer, plan, reservation, expires, now];
    let statement = if renew.is_some() { sql::RENEW } else { sql::INSERT };
    db.prepare_cached(statement)?.execute(row)?;
    let seq = renew.unwrap_or_else(|| db.last_insert_rowid());
    let mut insert_key = db.prepare_cached(sql::INSERT_KEY)?;
    for key in new.keys.iter().collect::<BTreeSet<_>>() {
        insert_key.execute(params![key.0, seq])?;
    }
    Ok(())
}

/// Takes one step of a claim's life.
pub(super) fn advance(
    db: &Connection,
    budgets: &mut Budgets,
    id: &ClaimId,
    step: ClaimStep,
    now: UnixMs,
) -> Result<Result<(), AdvanceError>, SqlError> {
    let Some(Stored { claim, seq }) = find(db, id)? else {
        return Ok(Err(AdvanceError::Unknown { id: id.clone() }));
    };
    let fate = match &step {
        ClaimStep::Failed { reservation, .. } => *reservation,
        _ => ReservationFate::Released,
    };
    let next = match transition(&claim.state, step, now) {
        Transition::To(next) => next,
        Transition::Already => return Ok(Ok(())),
        Transition::Wrong => return Ok(Err(AdvanceError::WrongState { state: claim.state.name() })),
    };
    let (settled, lease_until, why): (Option<&Settled>, Option<i64>, Option<&str>) = match &next {
        ClaimState::Settling => (None, None, None),
        ClaimState::Credit(settled) | ClaimState::Delivered(settled) => (Some(settled), None, None),
        ClaimState::Delivering { settled, lease_until } => (Some(settled), Some(ms(*lease_until)), None),
        ClaimState::Failed { why } => (None, None, Some(why)),
    };
    let settled = settled.map(settled_json).transpose()?;
    db.prepare_cached(sql::STEP)?.execute(params![seq, next.name(), settled, lease_until, why, ms(now)])?;
    if matches!(next, ClaimState::Failed { .. }) {
        db.prepare_cached(sql::FREE_KEYS)?.execute([seq])?;
        if claim.new.reservation.is_some() {
            match fate {
                ReservationFate::Released => budgets.free(db, id)?,
                ReservationFate::Spent => budgets.spend(db, id)?,
            }
        }
    }
    Ok(Ok(()))
}

/// The claim with this id.
pub(super) fn get(db: &Connection, id: &ClaimId) -> Result<Option<Claim>, SqlError> {
    Ok(find(db, id)?.map(|stored| stored.claim))
}

/// Claims in `Settling` that have not changed since `before`, oldest first.
pub(super) fn unresolved(db: &Connection, before: UnixMs, limit: usize) -> Result<Vec<Claim>, SqlError> {
    let mut statement = db.prepare_cached(sql::UNRESOLVED)?;
    let before = ms(UnixMs::from_ms(before.as_ms().min(Limits::LAST_MS)));
    let rows = statement.query_and_then(params![before, page(limit)], read)?;
    rows.map(|stored| stored.map(|stored| stored.claim)).collect()
}

/// Gives every lease back.
pub(super) fn release(db: &Connection, now: UnixMs) -> Result<usize, SqlError> {
    Ok(db.prepare_cached(sql::RELEASE)?.execute([ms(now)])?)
}

/// Forgets final claims whose challenge expired before `expired_before`, and reservations whose window ended before it.
pub(super) fn prune(
    db: &Connection,
    budgets: &mut Budgets,
    expired_before: UnixMs,
    limit: usize,
) -> Result<usize, SqlError> {
    let before = ms(expired_before);
    let mut select = db.prepare_cached(sql::FINAL)?;
    let doomed: Vec<i64> = select
        .query_map(params![before, page(limit)], |row| row.get(0))?
        .collect::<Result<_, rusqlite::Error>>()?;
    for seq in &doomed {
        db.prepare_cached(sql::FREE_KEYS)?.execute([seq])?;
        db.prepare_cached(sql::FORGET)?.execute([seq])?;
    }
    let reserved = db.prepare_cached(sql::FORGET_RESERVED)?.execute([before])?;
    let spent = db.prepare_cached(sql::FORGET_SPENT)?.execute([before])?;
    if reserved + spent > 0 {
        budgets.clear();
    }
    Ok(doomed.len())
}

fn find(db: &Connection, id: &ClaimId) -> Result<Option<Stored>, SqlError> {
    let mut statement = db.prepare_cached(sql::GET)?;
    statement.query_row([&id.0], |row| Ok(read(row))).optional()?.transpose()
}

fn page(limit: usize) -> i64 {
    i64::try_from(limit.min(Limits::PAGE)).unwrap_or(i64::MAX)
}
