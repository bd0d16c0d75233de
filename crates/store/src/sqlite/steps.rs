//! The store's operations on a connection inside a transaction. Whoever calls begins and commits it.

use std::collections::BTreeSet;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimOutcome, ClaimState, ClaimStep, First, Listed, NewClaim, Page,
    ReservationFate, StoredAnswer,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::budget::Budgets;
use super::row::{SqlError, Stored, read};
use super::sql;
use crate::limits::Limits;
use crate::row::{NewColumns, StateColumns, headers_json, ms, read_answer};
use crate::transition::{ABANDONED, Transition, answer_of, begins_delivery, fingerprint, transition};

/// Claims the id, all keys, the idempotency key and the reservation, or none.
pub(super) fn claim(
    db: &Connection,
    budgets: &mut Budgets,
    new: &NewClaim,
    now: UnixMs,
) -> Result<ClaimOutcome, SqlError> {
    let old = find(db, &new.id)?;
    let mut abandoned = false;
    if let Some(old) = old.as_ref().filter(|old| !matches!(old.claim.state, ClaimState::Failed { .. })) {
        if keys(&old.claim.new) != keys(new) {
            return Ok(ClaimOutcome::Taken { what: new.id.0.clone() });
        }
        abandoned = matches!(old.claim.state, ClaimState::Reserved { lease } if lease.until <= now);
        if !abandoned {
            return Ok(ClaimOutcome::Existing(Box::new(old.claim.clone())));
        }
    }
    let seq = old.as_ref().map(|old| old.seq);
    for key in &new.keys {
        let holder = db.prepare_cached(sql::KEY_HOLDER)?.query_row([&key.0], |row| row.get(0)).optional()?;
        if holder.is_some() && holder != seq {
            return Ok(ClaimOutcome::Taken { what: key.0.clone() });
        }
    }
    if let Some(idempotency) = &new.idempotency {
        let holder = one(db, sql::SAME_REQUEST, &idempotency.key)?;
        if let Some(holder) = holder.filter(|holder| Some(holder.seq) != seq) {
            return Ok(ClaimOutcome::SameRequest(Box::new(holder.claim)));
        }
    }
    if !reserve(db, budgets, new, old.as_ref().filter(|_| abandoned), now)? {
        let budget = new.reservation.as_ref().map(|wanted| wanted.budget.clone()).unwrap_or_default();
        return Ok(ClaimOutcome::OverBudget { budget });
    }
    if let Some(seq) = seq.filter(|_| abandoned) {
        db.prepare_cached(sql::FREE_KEYS)?.execute([seq])?;
    }
    write(db, new, seq, now)?;
    Ok(ClaimOutcome::New)
}

/// Reserves what the claim needs, in place of what an abandoned attempt of the same credential had reserved.
fn reserve(
    db: &Connection,
    budgets: &mut Budgets,
    new: &NewClaim,
    abandoned: Option<&Stored>,
    now: UnixMs,
) -> Result<bool, SqlError> {
    let Some(_) = abandoned.filter(|old| old.claim.new.reservation.is_some()) else {
        return new.reservation.as_ref().map_or(Ok(true), |wanted| budgets.reserve(db, &new.id, wanted, now));
    };
    // Rare, and the only thing that may have to be undone while the rest of the batch stays.
    db.execute_batch("SAVEPOINT reserve")?;
    budgets.free(db, &new.id)?;
    let fits = match &new.reservation {
        Some(wanted) => budgets.reserve(db, &new.id, wanted, now)?,
        None => true,
    };
    if !fits {
        db.execute_batch("ROLLBACK TO reserve")?;
        budgets.clear();
    }
    db.execute_batch("RELEASE reserve")?;
    Ok(fits)
}

fn write(db: &Connection, new: &NewClaim, renew: Option<i64>, now: UnixMs) -> Result<(), SqlError> {
    let state = match new.first {
        First::Settle => ClaimState::Settling,
        First::Serve(lease) => ClaimState::Reserved { lease },
    };
    let (state, columns) = (StateColumns::of(&state)?, NewColumns::of(new)?);
    let statement = if renew.is_some() { sql::RENEW } else { sql::INSERT };
    db.prepare_cached(statement)?.execute(params![
        columns.id,
        columns.keys,
        columns.scope,
        columns.payer,
        columns.paid,
        columns.plan,
        columns.reservation,
        columns.expires_ms,
        columns.idempotency_key,
        columns.idempotency_request,
        columns.first,
        state.state,
        state.lease_holder,
        state.lease_until_ms,
        ms(now),
        columns.bound,
    ])?;
    let seq = renew.unwrap_or_else(|| db.last_insert_rowid());
    let mut insert_key = db.prepare_cached(sql::INSERT_KEY)?;
    for key in keys(new) {
        insert_key.execute(params![key, seq])?;
    }
    Ok(())
}

/// Takes one step of a claim's life.
pub(super) fn advance(
    db: &Connection,
    budgets: &mut Budgets,
    id: &ClaimId,
    step: &ClaimStep,
    now: UnixMs,
) -> Result<Result<(), AdvanceError>, SqlError> {
    let Some(stored) = find(db, id)? else {
        return Ok(Err(AdvanceError::Unknown { id: id.clone() }));
    };
    let print = fingerprint(step)?;
    if stored.last_step.as_deref() == Some(&print) {
        return Ok(Ok(()));
    }
    let state = &stored.claim.state;
    let next = match transition(state, step, now) {
        Transition::To(next) if next != *state => next,
        Transition::To(_) | Transition::Already => return Ok(Ok(())),
        Transition::Wrong => return Ok(Err(AdvanceError::WrongState { state: state.name() })),
    };
    let fate = match step {
        ClaimStep::Failed { reservation, .. } => *reservation,
        _ => ReservationFate::Released,
    };
    if let Some(answer) = answer_of(step) {
        let headers = headers_json(answer)?;
        db.prepare_cached(sql::KEEP_ANSWER)?.execute(params![
            stored.seq,
            answer.status,
            headers,
            answer.body
        ])?;
    }
    let after = After {
        state: next,
        deliveries: stored.claim.deliveries.saturating_add(u32::from(begins_delivery(step))),
        answered: stored.claim.answered || answer_of(step).is_some(),
        last_step: Some(print),
    };
    go(db, budgets, &stored, &after, (fate, now))?;
    Ok(Ok(()))
}

/// What a claim becomes.
struct After {
    state: ClaimState,
    deliveries: u32,
    answered: bool,
    last_step: Option<[u8; 32]>,
}

/// Writes what a claim becomes; one that fails frees what it held.
fn go(
    db: &Connection,
    budgets: &mut Budgets,
    stored: &Stored,
    after: &After,
    (fate, now): (ReservationFate, UnixMs),
) -> Result<(), SqlError> {
    let fails = matches!(after.state, ClaimState::Failed { .. });
    let columns = StateColumns::of(&after.state)?;
    db.prepare_cached(sql::STEP)?.execute(params![
        stored.seq,
        columns.state,
        columns.settled,
        columns.lease_holder,
        columns.lease_until_ms,
        columns.why,
        columns.refund_plan,
        columns.refund,
        ms(now),
        after.deliveries,
        after.answered && !fails,
        after.last_step,
    ])?;
    if fails {
        db.prepare_cached(sql::FREE_KEYS)?.execute([stored.seq])?;
        db.prepare_cached(sql::FORGET_ANSWER)?.execute([stored.seq])?;
        if stored.claim.new.reservation.is_some() {
            match fate {
                ReservationFate::Released => budgets.free(db, &stored.claim.new.id)?,
                ReservationFate::Spent => budgets.spend(db, &stored.claim.new.id)?,
            }
        }
    }
    Ok(())
}

/// The claim with this id.
pub(super) fn get(db: &Connection, id: &ClaimId) -> Result<Option<Claim>, SqlError> {
    Ok(find(db, id)?.map(|stored| stored.claim))
}

/// The answer that is kept for this claim.
pub(super) fn answer(db: &Connection, id: &ClaimId) -> Result<Option<StoredAnswer>, SqlError> {
    let mut statement = db.prepare_cached(sql::ANSWER)?;
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?));
    let found: Option<(i64, String, Vec<u8>)> = statement.query_row([&id.0], row).optional()?;
    Ok(found.map(|(status, headers, body)| read_answer(id, status, &headers, body)).transpose()?)
}

/// One page of a list.
pub(super) fn list(db: &Connection, listed: Listed, wanted: &Page) -> Result<Vec<Claim>, SqlError> {
    let mut statement = db.prepare_cached(match listed {
        Listed::Settling => sql::LIST_SETTLING,
        Listed::Abandoned => sql::LIST_ABANDONED,
        Listed::Interrupted => sql::LIST_INTERRUPTED,
        Listed::RefundDue => sql::LIST_REFUND_DUE,
        Listed::Refunding => sql::LIST_REFUNDING,
        Listed::Credit => sql::LIST_CREDIT,
        Listed::Delivered => sql::LIST_DELIVERED,
    })?;
    let (after_ms, after_id) = match &wanted.after {
        Some((at, id)) => (ms(*at), id.0.as_str()),
        None => (-1, ""),
    };
    let rows =
        statement.query_and_then(params![ms(wanted.before), after_ms, after_id, page(wanted.limit)], read)?;
    rows.map(|stored| stored.map(|stored| stored.claim)).collect()
}

/// Gives every lease back: this process owns the store, and has only begun.
pub(super) fn release(db: &Connection, budgets: &mut Budgets, now: UnixMs) -> Result<usize, SqlError> {
    let delivering = db.prepare_cached(sql::RELEASE_DELIVERIES)?.execute([ms(now)])?;
    let reserved: Vec<Stored> =
        db.prepare_cached(sql::RESERVATIONS)?.query_and_then([], read)?.collect::<Result<_, _>>()?;
    for stored in &reserved {
        let after = After {
            state: ClaimState::Failed { why: ABANDONED.to_owned() },
            deliveries: stored.claim.deliveries,
            answered: false,
            last_step: None,
        };
        go(db, budgets, stored, &after, (ReservationFate::Released, now))?;
    }
    Ok(delivering + reserved.len())
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
        db.prepare_cached(sql::FORGET_ANSWER)?.execute([seq])?;
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
    one(db, sql::GET, &id.0)
}

fn one(db: &Connection, statement: &str, name: &str) -> Result<Option<Stored>, SqlError> {
    db.prepare_cached(statement)?.query_row([name], |row| Ok(read(row))).optional()?.transpose()
}

fn keys(new: &NewClaim) -> BTreeSet<&str> {
    new.keys.iter().map(|key| key.0.as_str()).collect()
}

fn page(limit: usize) -> i64 {
    i64::try_from(limit.min(Limits::PAGE)).unwrap_or(i64::MAX)
}
