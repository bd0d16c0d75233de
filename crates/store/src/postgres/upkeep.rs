//! Forgetting what is over. Nothing waits for it: what somebody works on is left for the next time.

use std::collections::BTreeSet;

use farthing_protocol::UnixMs;
use futures_util::future::try_join;

use super::batch::{Progress, commit};
use super::error::PgError;
use super::session::Session;
use super::sql::Sql;
use crate::row::ms;

/// The most reservations that one transaction forgets.
pub(super) const RESERVATIONS: usize = 5_000;

/// Forgets final claims, with their keys and answers.
pub(super) async fn forget_claims(
    session: &Session<Sql>,
    expired_before: UnixMs,
    limit: usize,
    progress: &Progress,
) -> Result<usize, PgError> {
    let (before, limit) = (ms(expired_before), i64::try_from(limit).unwrap_or(i64::MAX));
    let (_, forgotten) = try_join(session.begin(), session.execute(Sql::Prune, &[&before, &limit])).await?;
    commit(session, progress).await?;
    Ok(usize::try_from(forgotten).unwrap_or(usize::MAX))
}

/// Forgets reservations whose window ended, and says how many it looked at.
pub(super) async fn forget_reservations(
    session: &Session<Sql>,
    ended_before: UnixMs,
    progress: &Progress,
) -> Result<usize, PgError> {
    let limit = i64::try_from(RESERVATIONS).unwrap_or(i64::MAX);
    let before = ms(ended_before);
    let (_, old) = try_join(session.begin(), session.query(Sql::OldReservations, &[&before, &limit])).await?;
    let mut seqs: Vec<i64> = Vec::with_capacity(old.len());
    let mut budgets = BTreeSet::new();
    for row in &old {
        seqs.push(row.try_get(0)?);
        budgets.insert(row.try_get::<_, String>(1)?);
    }
    if !seqs.is_empty() {
        let budgets: Vec<String> = budgets.into_iter().collect();
        session.query(Sql::LockBudgets, &[&budgets]).await?;
        session.execute(Sql::ForgetReservations, &[&seqs]).await?;
    }
    commit(session, progress).await?;
    Ok(old.len())
}
