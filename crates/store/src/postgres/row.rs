//! Rows of PostgreSQL as the columns of [`crate::row`], and columns as arrays with one element a row.

use farthing_protocol::ports::{Claim, ClaimId, StoreError, StoredAnswer};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::limits::json;
use crate::row::{self, Corrupt, Marks, NewColumns, StateColumns, ms, read_answer};

/// A claim, and the fingerprint of the step that was taken last.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) claim: Claim,
    pub(super) last_step: Option<Vec<u8>>,
}

/// Reads the columns that [`super::sql`] lists.
pub(super) fn read(row: &Row) -> Result<Stored, Corrupt> {
    let id: String = row.try_get(0).unwrap_or_default();
    let corrupt = |why: String| Corrupt { id: id.clone(), why };
    let columns = || -> Result<_, tokio_postgres::Error> {
        let new = NewColumns {
            id: row.try_get(0)?,
            keys: row.try_get(1)?,
            scope: row.try_get(2)?,
            payer: row.try_get(3)?,
            paid: row.try_get(4)?,
            plan: row.try_get(5)?,
            reservation: row.try_get(6)?,
            expires_ms: row.try_get(7)?,
            idempotency_key: row.try_get(8)?,
            idempotency_request: row.try_get(9)?,
            first: row.try_get(10)?,
            bound: row.try_get(22)?,
        };
        let state = StateColumns {
            state: row.try_get(11)?,
            settled: row.try_get(12)?,
            lease_holder: row.try_get(13)?,
            lease_until_ms: row.try_get(14)?,
            why: row.try_get(15)?,
            refund_plan: row.try_get(16)?,
            refund: row.try_get(17)?,
        };
        let marks =
            Marks { changed_ms: row.try_get(18)?, deliveries: row.try_get(19)?, answered: row.try_get(20)? };
        Ok((new, state, marks, row.try_get(21)?))
    };
    let (new, mut state, marks, last_step) =
        columns().map_err(|error| corrupt(format!("a column is not of its type: {error}")))?;
    if let Some(why) = &state.why {
        let why = serde_json::from_str(why).map_err(|_| corrupt("`why` is no JSON string".into()))?;
        state.why = Some(why);
    }
    Ok(Stored { claim: row::read(new, state, &marks)?, last_step })
}

/// Reads the columns of an answer.
pub(super) fn answer(id: &ClaimId, row: &Row) -> Result<StoredAnswer, Corrupt> {
    let columns = || -> Result<(i64, String, Vec<u8>), tokio_postgres::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
    };
    let (status, headers, body) = columns().map_err(|error| Corrupt {
        id: id.0.clone(),
        why: format!("a column of its answer is not of its type: {error}"),
    })?;
    read_answer(id, status, &headers, body)
}

/// Columns of where claims are, one element a claim.
#[derive(Debug, Default)]
pub(super) struct StateArrays {
    ids: Vec<String>,
    states: Vec<String>,
    settled: Vec<Option<String>>,
    holders: Vec<Option<Vec<u8>>>,
    untils: Vec<Option<i64>>,
    whys: Vec<Option<String>>,
    refund_plans: Vec<Option<String>>,
    refunds: Vec<Option<String>>,
    changed: Vec<i64>,
    deliveries: Vec<i64>,
    answered: Vec<bool>,
    last_steps: Vec<Option<Vec<u8>>>,
}

impl StateArrays {
    pub(super) fn push(&mut self, stored: &Stored) -> Result<(), StoreError> {
        let columns = StateColumns::of(&stored.claim.state)?;
        self.ids.push(stored.claim.new.id.0.clone());
        self.states.push(columns.state);
        self.settled.push(columns.settled);
        self.holders.push(columns.lease_holder);
        self.untils.push(columns.lease_until_ms);
        self.whys.push(columns.why.as_ref().map(json).transpose()?);
        self.refund_plans.push(columns.refund_plan);
        self.refunds.push(columns.refund);
        self.changed.push(ms(stored.claim.changed));
        self.deliveries.push(stored.claim.deliveries.into());
        self.answered.push(stored.claim.answered);
        self.last_steps.push(stored.last_step.clone());
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The parameters of [`super::sql::Sql::Step`].
    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 12] {
        let [state, settled, holder, until, why, plan, refund, changed, deliveries, answered, last] =
            self.rest();
        [&self.ids, state, settled, holder, until, why, plan, refund, changed, deliveries, answered, last]
    }

    /// All but the ids.
    fn rest(&self) -> [&(dyn ToSql + Sync); 11] {
        [
            &self.states,
            &self.settled,
            &self.holders,
            &self.untils,
            &self.whys,
            &self.refund_plans,
            &self.refunds,
            &self.changed,
            &self.deliveries,
            &self.answered,
            &self.last_steps,
        ]
    }
}

/// All columns of claims, one element a claim.
#[derive(Debug, Default)]
pub(super) struct ClaimArrays {
    keys: Vec<String>,
    scopes: Vec<String>,
    payers: Vec<Option<String>>,
    paid: Vec<Option<String>>,
    plans: Vec<String>,
    reservations: Vec<Option<String>>,
    expires: Vec<i64>,
    idempotency_keys: Vec<Option<String>>,
    idempotency_requests: Vec<Option<Vec<u8>>>,
    firsts: Vec<Option<String>>,
    bounds: Vec<Option<Vec<u8>>>,
    states: StateArrays,
}

impl ClaimArrays {
    pub(super) fn push(&mut self, stored: &Stored) -> Result<(), StoreError> {
        let columns = NewColumns::of(&stored.claim.new)?;
        self.keys.push(columns.keys);
        self.scopes.push(columns.scope);
        self.payers.push(columns.payer);
        self.paid.push(columns.paid);
        self.plans.push(columns.plan);
        self.reservations.push(columns.reservation);
        self.expires.push(columns.expires_ms);
        self.idempotency_keys.push(columns.idempotency_key);
        self.idempotency_requests.push(columns.idempotency_request);
        self.firsts.push(columns.first);
        self.bounds.push(columns.bound);
        self.states.push(stored)
    }

    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// The parameters of [`super::sql::Sql::Insert`] and [`super::sql::Sql::Renew`].
    pub(super) fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![
            &self.states.ids,
            &self.keys,
            &self.scopes,
            &self.payers,
            &self.paid,
            &self.plans,
            &self.reservations,
            &self.expires,
            &self.idempotency_keys,
            &self.idempotency_requests,
            &self.firsts,
        ];
        params.extend(self.states.rest());
        params.push(&self.bounds);
        params
    }
}
