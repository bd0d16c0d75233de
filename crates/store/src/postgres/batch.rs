//! One batch as one transaction, in a number of round trips that does not grow with it: read and lock what it needs, decide
//! ([`super::world`]), write what came of it, commit.
//!
//! Locks are taken in one order everywhere: claims by id, then budgets by name, then new keys and ids as they sort. Rows that are
//! not there yet cannot be locked: the unique indexes on ids, keys and requests decide between processes, and whoever comes
//! second begins anew and sees what the first has done. Nothing here rests on the isolation level.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, ClaimId, ClaimOutcome, ClaimState, ClaimStep, NewClaim, StoreError,
};
use futures_util::future::{FutureExt, try_join, try_join_all, try_join5};
use tokio_postgres::types::ToSql;

use super::error::{PgError, of_commit};
use super::row::{ClaimArrays, StateArrays, read};
use super::session::Session;
use super::sql::Sql;
use super::wide::Wide;
use super::world::{AnswerChange, Slot, World, Written, is_live, keys};
use crate::row::{Corrupt, headers_json, ms, outside};

/// What can be asked in a batch.
#[derive(Debug)]
pub(super) enum Request {
    Claim { new: Box<NewClaim>, now: UnixMs },
    Advance { id: ClaimId, step: Box<ClaimStep>, now: UnixMs },
}

/// What it came to.
#[derive(Debug)]
pub(super) enum Answer {
    Claim(ClaimOutcome),
    Advance(Result<(), AdvanceError>),
}

/// What is remembered of a transaction while it runs.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// `COMMIT` was sent: from there on only an answer says what became of it.
    committing: AtomicBool,
}

impl Progress {
    /// What a transaction that was given up after too long came to.
    pub(super) fn given_up(&self, why: PgError) -> PgError {
        if self.committing.load(Ordering::Relaxed) { PgError::Unknown(why.to_string()) } else { why }
    }
}

/// Carries out a batch. What it answers is durable.
pub(super) async fn run(
    session: &Session<Sql>,
    requests: &[&Request],
    history: Option<u32>,
    progress: &Progress,
) -> Result<Vec<Result<Answer, StoreError>>, PgError> {
    let mut world = load(session, requests, history).await?;
    load_budgets(session, &mut world, requests).await?;
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        answers.push(match request {
            Request::Claim { new, now } => world.claim(new, *now)?.map(Answer::Claim),
            Request::Advance { id, step, now } => world.advance(id, step, *now)?.map(Answer::Advance),
        });
    }
    write(session, world).await?;
    commit(session, progress).await?;
    Ok(answers)
}

/// Gives back leases that have run out, at most `limit`, and says how many there were.
pub(super) async fn release(
    session: &Session<Sql>,
    now: UnixMs,
    limit: usize,
    progress: &Progress,
) -> Result<usize, PgError> {
    let (instant, mut world) = (ms(now), World::default());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (_, rows) = try_join(session.begin(), session.query(Sql::RunOut, &[&instant, &limit])).await?;
    for row in &rows {
        let slot = Slot::found(read(row));
        // One that cannot be read stays where it is, for somebody to look at.
        if let Some(id) = slot.now.as_ref().map(|stored| stored.claim.new.id.clone()) {
            world.slots.insert(id, slot);
        }
    }
    load_budgets(session, &mut world, &[]).await?;
    let ids: Vec<ClaimId> = world.slots.keys().cloned().collect();
    ids.iter().for_each(|id| world.release(id, now));
    write(session, world).await?;
    commit(session, progress).await?;
    Ok(ids.len())
}

pub(super) async fn commit(session: &Session<Sql>, progress: &Progress) -> Result<(), PgError> {
    progress.committing.store(true, Ordering::Relaxed);
    session.client.batch_execute("COMMIT").await.map_err(|error| of_commit(&error))
}

/// The first round trip: begins, locks the claims, and looks who holds what.
async fn load(session: &Session<Sql>, requests: &[&Request], history: Option<u32>) -> Result<World, PgError> {
    let (mut ids, mut wanted, mut named) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for request in requests {
        match request {
            Request::Claim { new, .. } => {
                ids.insert(&new.id);
                wanted.extend(keys(new));
                named.extend(new.idempotency.iter().map(|held| held.key.as_str()));
            }
            Request::Advance { id, .. } => {
                ids.insert(id);
            }
        }
    }
    let list: Vec<&str> = ids.iter().map(|id| id.0.as_str()).collect();
    let wanted: Vec<&str> = wanted.into_iter().collect();
    let named: Vec<&str> = named.into_iter().collect();
    // In this order on the wire: what is read without a lock is read after the claims are locked.
    let (_, epoch, claims, keys, holders) = try_join5(
        session.begin(),
        session.query(Sql::Epoch, &[]),
        session.query(Sql::Load, &[&list]),
        query_if(session, Sql::KeyHolders, &wanted),
        query_if(session, Sql::RequestHolders, &named),
    )
    .await?;
    let epoch: Option<i64> = epoch.first().map(|row| row.try_get(0)).transpose()?;
    if history.is_some_and(|told| epoch != Some(i64::from(told))) {
        return Err(PgError::OtherHistory);
    }
    let mut world = World::default();
    for id in ids {
        world.slots.insert(id.clone(), Slot::default());
    }
    for row in &claims {
        world.slots.insert(ClaimId(row.try_get(0)?), Slot::found(read(row)));
    }
    for row in &keys {
        world.keys.insert(row.try_get(0)?, ClaimId(row.try_get(1)?));
    }
    for row in &holders {
        let stored = read(row)?;
        let id = stored.claim.new.id.clone();
        if let Some(held) = &stored.claim.new.idempotency {
            world.requests.insert(held.key.clone(), id.clone());
        }
        world.others.insert(id, stored.claim);
    }
    Ok(world)
}

async fn query_if(
    session: &Session<Sql>,
    sql: Sql,
    names: &[&str],
) -> Result<Vec<tokio_postgres::Row>, PgError> {
    if names.is_empty() { Ok(Vec::new()) } else { session.query(sql, &[&names]).await }
}

/// Two more round trips for batches with budgets: locks them, then reads what is in their windows.
async fn load_budgets(
    session: &Session<Sql>,
    world: &mut World,
    requests: &[&Request],
) -> Result<(), PgError> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut windows: BTreeSet<(&str, i64)> = BTreeSet::new();
    for request in requests {
        if let Request::Claim { new, now } = request
            && let Some(wanted) = &new.reservation
        {
            names.insert(&wanted.budget);
            windows.insert((&wanted.budget, outside(*now, wanted.window_ms)));
        }
    }
    // Claims that may give back what they have reserved.
    let fails = |request: &&Request| matches!(request, Request::Advance { step, .. } if matches!(**step, ClaimStep::Failed { .. }));
    let any_fails = requests.is_empty() || requests.iter().any(fails);
    let mut holders: Vec<&str> = Vec::new();
    for (id, slot) in &world.slots {
        let Some(claim) = slot.before.as_ref().map(|stored| &stored.claim) else { continue };
        let may_free = any_fails || matches!(claim.state, ClaimState::Reserved { .. });
        if let Some(reserved) = claim.new.reservation.as_ref().filter(|_| may_free && is_live(claim)) {
            names.insert(&reserved.budget);
            holders.push(&id.0);
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = names.into_iter().collect();
    let named: [&(dyn ToSql + Sync); 1] = [&names];
    let (_, locked) =
        try_join(session.execute(Sql::MakeBudgets, &named), session.query(Sql::LockBudgets, &named)).await?;
    let (of, at): (Vec<&str>, Vec<i64>) = windows.into_iter().unzip();
    let asked: [&(dyn ToSql + Sync); 2] = [&of, &at];
    let (windows, reserved) =
        try_join(session.query(Sql::Windows, &asked), query_if(session, Sql::ReservedBy, &holders)).await?;
    let corrupt = |what: &str| Corrupt { id: "(budget)".into(), why: format!("`{what}` is no sum") };
    let sum = |row: &tokio_postgres::Row| -> Result<Wide, PgError> {
        let (high, low): (i64, String) = (row.try_get(2)?, row.try_get(3)?);
        Ok(Wide::from_parts(high, &low).ok_or_else(|| corrupt("total"))?)
    };
    let mut budgets = super::budget::Budgets::default();
    for row in &locked {
        budgets.add(row.try_get(0)?, row.try_get(1)?, sum(row)?);
    }
    for row in &windows {
        budgets.add_sum(row.try_get(0)?, row.try_get(1)?, sum(row)?);
    }
    for row in &reserved {
        let amount = Amount::from_base_str(row.try_get(4)?).map_err(|_| corrupt("amount"))?;
        budgets.add_reserved(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, amount);
    }
    world.budgets = budgets;
    Ok(())
}

/// What a batch writes, as arrays.
#[derive(Debug, Default)]
struct Rows {
    inserted: ClaimArrays,
    renewed: ClaimArrays,
    stepped: StateArrays,
    freed: Vec<String>,
    keys: (Vec<String>, Vec<String>),
    forgotten: Vec<String>,
    kept: (Vec<String>, Vec<i64>, Vec<String>, Vec<Vec<u8>>),
}

impl Rows {
    fn of(slots: std::collections::BTreeMap<ClaimId, Slot>) -> Result<Self, StoreError> {
        let mut rows = Self::default();
        let mut new_keys: Vec<(String, String)> = Vec::new();
        for (ClaimId(id), slot) in slots {
            let Some(now) = slot.now.as_ref().filter(|_| slot.written != Written::Nothing) else { continue };
            match (&slot.before, slot.written) {
                (None, _) => rows.inserted.push(now)?,
                (Some(_), Written::Whole) => rows.renewed.push(now)?,
                (Some(_), _) => rows.stepped.push(now)?,
            }
            let before = slot.before.as_ref().map(|stored| &stored.claim);
            let held =
                before.filter(|claim| is_live(claim)).map(|claim| keys(&claim.new)).unwrap_or_default();
            let holds = if is_live(&now.claim) { keys(&now.claim.new) } else { BTreeSet::new() };
            if held != holds {
                if !held.is_empty() {
                    rows.freed.push(id.clone());
                }
                new_keys.extend(holds.into_iter().map(|key| (key.to_owned(), id.clone())));
            }
            match slot.answer {
                AnswerChange::Forget if before.is_some_and(|claim| claim.answered) => rows.forgotten.push(id),
                AnswerChange::Keep(answer) => {
                    rows.kept.0.push(id);
                    rows.kept.1.push(answer.status.into());
                    rows.kept.2.push(headers_json(&answer)?);
                    rows.kept.3.push(answer.body);
                }
                AnswerChange::Forget | AnswerChange::None => {}
            }
        }
        new_keys.sort();
        rows.keys = new_keys.into_iter().unzip();
        Ok(rows)
    }
}

/// The last round trip before the commit: what is freed first, then what is taken.
async fn write(session: &Session<Sql>, world: World) -> Result<(), PgError> {
    let rows = Rows::of(world.slots)?;
    let reservations = world.budgets.writes();
    let mut statements: Vec<(Sql, Vec<&(dyn ToSql + Sync)>, Option<usize>)> = Vec::new();
    let mut push = |count: usize, sql, params, exact: bool| {
        if count > 0 {
            statements.push((sql, params, exact.then_some(count)));
        }
    };
    push(rows.freed.len(), Sql::FreeKeys, vec![&rows.freed], false);
    push(rows.stepped.len(), Sql::Step, rows.stepped.params().to_vec(), true);
    push(rows.renewed.len(), Sql::Renew, rows.renewed.params(), true);
    push(rows.keys.0.len(), Sql::InsertKeys, vec![&rows.keys.0, &rows.keys.1], true);
    push(rows.inserted.len(), Sql::Insert, rows.inserted.params(), true);
    push(rows.forgotten.len(), Sql::ForgetAnswers, vec![&rows.forgotten], false);
    let kept = &rows.kept;
    push(kept.0.len(), Sql::KeepAnswers, vec![&kept.0, &kept.1, &kept.2, &kept.3], true);
    let r = &reservations;
    push(r.released.len(), Sql::Unreserve, vec![&r.released], true);
    push(r.spent.len(), Sql::Spend, vec![&r.spent], true);
    push(r.at.len(), Sql::Reserve, vec![&r.budgets, &r.at, &r.claims, &r.amounts, &r.until], true);
    let t = &reservations.totals;
    push(t.names.len(), Sql::SetBudgets, vec![&t.names, &t.after, &t.high, &t.low], true);
    let sent = statements.iter().map(|(sql, params, exact)| change(session, *sql, params, *exact).boxed());
    try_join_all(sent).await.map(|_| ())
}

/// Changes rows: so many, where that is known. Whatever is missing then was taken, or given back, by somebody else.
async fn change(
    session: &Session<Sql>,
    sql: Sql,
    params: &[&(dyn ToSql + Sync)],
    exact: Option<usize>,
) -> Result<(), PgError> {
    let changed = session.execute(sql, params).await?;
    if exact.is_some_and(|exact| usize::try_from(changed) != Ok(exact)) {
        return Err(PgError::Again(format!("{sql:?} found another state than was read")));
    }
    Ok(())
}
