//! A claim as columns of plain types, and back: what the SQL stores share. A row that cannot be read is an error that names
//! the claim, never a guess. It knows no database.

use farthing_money::{Amount, Money};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    Claim, ClaimId, ClaimKey, ClaimState, First, IdempotencyKey, Lease, LeaseHolder, NewClaim, Reservation,
    Settled, SettlementPlan, StoreError, StoredAnswer,
};
use serde::{Deserialize, Serialize};

use crate::limits::json;

/// A row that is not what we wrote.
#[derive(Debug, thiserror::Error)]
#[error("the row of claim {id} cannot be read: {why}")]
pub(crate) struct Corrupt {
    /// The claim.
    pub(crate) id: String,
    /// What is wrong with it, without its content.
    pub(crate) why: String,
}

impl From<Corrupt> for StoreError {
    fn from(corrupt: Corrupt) -> Self {
        Self { detail: corrupt.to_string() }
    }
}

/// What a claim is made with, as columns.
#[derive(Debug, Clone)]
pub(crate) struct NewColumns {
    pub(crate) id: String,
    pub(crate) keys: String,
    pub(crate) scope: String,
    pub(crate) payer: Option<String>,
    pub(crate) paid: Option<String>,
    pub(crate) plan: String,
    pub(crate) reservation: Option<String>,
    pub(crate) expires_ms: i64,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) idempotency_request: Option<Vec<u8>>,
    pub(crate) first: Option<String>,
    pub(crate) bound: Option<Vec<u8>>,
}

/// Where a claim is, as columns.
#[derive(Debug, Clone)]
pub(crate) struct StateColumns {
    pub(crate) state: String,
    pub(crate) settled: Option<String>,
    pub(crate) lease_holder: Option<Vec<u8>>,
    pub(crate) lease_until_ms: Option<i64>,
    pub(crate) why: Option<String>,
    pub(crate) refund_plan: Option<String>,
    pub(crate) refund: Option<String>,
}

/// Columns that count and remember.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    pub(crate) changed_ms: i64,
    pub(crate) deliveries: i64,
    pub(crate) answered: bool,
}

#[derive(Serialize, Deserialize)]
struct LeaseJson {
    holder: String,
    until: u64,
}

/// A reservation as JSON: amounts as decimal strings, because JSON numbers have 53 bits.
#[derive(Serialize, Deserialize)]
struct ReservationJson {
    budget: String,
    amount: Amount,
    limit: Amount,
    window_ms: u64,
}

impl NewColumns {
    pub(crate) fn of(new: &NewClaim) -> Result<Self, StoreError> {
        let reservation = new.reservation.as_ref().map(|reservation| {
            json(&ReservationJson {
                budget: reservation.budget.clone(),
                amount: reservation.amount,
                limit: reservation.limit,
                window_ms: reservation.window_ms,
            })
        });
        let first = match &new.first {
            First::Settle => None,
            First::Serve(lease) => Some(json(&LeaseJson {
                holder: format!("{:032x}", lease.holder.0),
                until: lease.until.as_ms(),
            })?),
        };
        Ok(Self {
            id: new.id.0.clone(),
            keys: json(&new.keys.iter().map(|key| key.0.as_str()).collect::<Vec<_>>())?,
            scope: new.scope.clone(),
            payer: new.payer.clone(),
            paid: new.paid.as_ref().map(json).transpose()?,
            plan: json(&new.plan)?,
            reservation: reservation.transpose()?,
            expires_ms: ms(new.expires),
            idempotency_key: new.idempotency.as_ref().map(|held| held.key.clone()),
            idempotency_request: new.idempotency.as_ref().map(|held| held.request.to_vec()),
            first,
            bound: new.bound.map(Vec::from),
        })
    }

    fn read(self) -> Result<NewClaim, String> {
        let keys: Vec<String> = from_json(&self.keys, "keys")?;
        let idempotency = match (self.idempotency_key, self.idempotency_request) {
            (Some(key), Some(request)) => {
                let request = request.try_into().map_err(|_| "`idempotency_request` is not 32 bytes")?;
                Some(IdempotencyKey { key, request })
            }
            (None, None) => None,
            _ => return Err("an idempotency key without its request".into()),
        };
        let first = match self.first {
            None => First::Settle,
            Some(text) => {
                let lease: LeaseJson = from_json(&text, "first")?;
                let holder = u128::from_str_radix(&lease.holder, 16).map_err(|_| "`first` is no lease")?;
                First::Serve(Lease { holder: LeaseHolder(holder), until: UnixMs::from_ms(lease.until) })
            }
        };
        Ok(NewClaim {
            id: ClaimId(self.id),
            keys: keys.into_iter().map(ClaimKey).collect(),
            scope: self.scope,
            payer: self.payer,
            paid: self.paid.map(|text| from_json::<Money>(&text, "paid")).transpose()?,
            plan: from_json(&self.plan, "plan")?,
            reservation: self.reservation.map(|text| read_reservation(&text)).transpose()?,
            expires: instant(self.expires_ms, "expires_ms")?,
            idempotency,
            bound: self
                .bound
                .map(|bytes| bytes.try_into().map_err(|_| "`bound` is not 32 bytes"))
                .transpose()?,
            first,
        })
    }
}

impl StateColumns {
    pub(crate) fn of(state: &ClaimState) -> Result<Self, StoreError> {
        let mut columns = Self {
            state: state.name().to_owned(),
            settled: state.settled().map(json).transpose()?,
            lease_holder: None,
            lease_until_ms: None,
            why: None,
            refund_plan: None,
            refund: None,
        };
        match state {
            ClaimState::Reserved { lease } | ClaimState::Delivering { lease, .. } => {
                columns.lease_holder = Some(lease.holder.0.to_be_bytes().to_vec());
                columns.lease_until_ms = Some(ms(lease.until));
            }
            ClaimState::Refunding { plan, .. } => columns.refund_plan = Some(json(plan)?),
            ClaimState::Refunded { refund, .. } => columns.refund = Some(json(refund)?),
            ClaimState::Failed { why } => columns.why = Some(why.clone()),
            ClaimState::Settling
            | ClaimState::Credit(_)
            | ClaimState::Delivered(_)
            | ClaimState::RefundDue(_) => {}
        }
        Ok(columns)
    }

    fn read(self) -> Result<ClaimState, String> {
        let settled: Option<Settled> = self.settled.map(|text| from_json(&text, "settled")).transpose()?;
        let lease = match (self.lease_holder, self.lease_until_ms) {
            (Some(holder), Some(until)) => {
                let holder = holder.try_into().map_err(|_| "`lease_holder` is not 16 bytes")?;
                let holder = LeaseHolder(u128::from_be_bytes(holder));
                Some(Lease { holder, until: instant(until, "lease_until_ms")? })
            }
            (None, None) => None,
            _ => return Err("half a lease".into()),
        };
        let plan: Option<SettlementPlan> =
            self.refund_plan.map(|text| from_json(&text, "refund_plan")).transpose()?;
        let refund: Option<Settled> = self.refund.map(|text| from_json(&text, "refund")).transpose()?;
        Ok(match (self.state.as_str(), settled, lease, self.why, plan, refund) {
            ("reserved", None, Some(lease), None, None, None) => ClaimState::Reserved { lease },
            ("settling", None, None, None, None, None) => ClaimState::Settling,
            ("credit", Some(settled), None, None, None, None) => ClaimState::Credit(settled),
            ("delivering", Some(settled), Some(lease), None, None, None) => {
                ClaimState::Delivering { settled, lease }
            }
            ("delivered", Some(settled), None, None, None, None) => ClaimState::Delivered(settled),
            ("refund_due", Some(settled), None, None, None, None) => ClaimState::RefundDue(settled),
            ("refunding", Some(settled), None, None, Some(plan), None) => {
                ClaimState::Refunding { settled, plan }
            }
            ("refunded", Some(settled), None, None, None, Some(refund)) => {
                ClaimState::Refunded { settled, refund }
            }
            ("failed", None, None, Some(why), None, None) => ClaimState::Failed { why },
            (name, ..) => return Err(format!("state `{name}` does not go with its columns")),
        })
    }
}

/// Puts a claim together again.
pub(crate) fn read(new: NewColumns, state: StateColumns, marks: &Marks) -> Result<Claim, Corrupt> {
    let id = new.id.clone();
    let claim = || -> Result<Claim, String> {
        Ok(Claim {
            new: new.read()?,
            state: state.read()?,
            changed: instant(marks.changed_ms, "changed_ms")?,
            deliveries: u32::try_from(marks.deliveries).map_err(|_| "`deliveries` is out of range")?,
            answered: marks.answered,
        })
    };
    claim().map_err(|why| Corrupt { id, why })
}

/// The headers of an answer as JSON: a list of pairs, each byte of a value as the code point of that number.
pub(crate) fn headers_json(answer: &StoredAnswer) -> Result<String, StoreError> {
    let headers: Vec<(&str, String)> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.iter().copied().map(char::from).collect()))
        .collect();
    json(&headers)
}

/// Puts an answer together again.
pub(crate) fn read_answer(
    id: &ClaimId,
    status: i64,
    headers: &str,
    body: Vec<u8>,
) -> Result<StoredAnswer, Corrupt> {
    let answer = || -> Result<StoredAnswer, String> {
        let headers: Vec<(String, String)> = from_json(headers, "headers")?;
        let bytes = |value: String| value.chars().map(u8::try_from).collect::<Result<Vec<u8>, _>>();
        Ok(StoredAnswer {
            status: u16::try_from(status).map_err(|_| "`status` is out of range")?,
            headers: headers
                .into_iter()
                .map(|(name, value)| Ok((name, bytes(value).map_err(|_| "a header's value is no bytes")?)))
                .collect::<Result<_, String>>()?,
            body,
        })
    };
    answer().map_err(|why| Corrupt { id: id.0.clone(), why })
}

/// An instant as SQL's signed number. Later ones were refused before ([`crate::Limits::LAST_MS`]).
pub(crate) fn ms(at: UnixMs) -> i64 {
    i64::try_from(at.as_ms()).unwrap_or(i64::MAX)
}

/// The last instant that lies outside a window that ends now; -1 when there is none.
pub(crate) fn outside(now: UnixMs, window_ms: u64) -> i64 {
    now.as_ms().checked_sub(window_ms).map_or(-1, |at| ms(UnixMs::from_ms(at)))
}

fn instant(value: i64, what: &str) -> Result<UnixMs, String> {
    u64::try_from(value).map(UnixMs::from_ms).map_err(|_| format!("`{what}` is negative"))
}

fn read_reservation(text: &str) -> Result<Reservation, String> {
    let raw: ReservationJson = from_json(text, "reservation")?;
    Ok(Reservation { budget: raw.budget, amount: raw.amount, limit: raw.limit, window_ms: raw.window_ms })
}

fn from_json<T: for<'de> Deserialize<'de>>(text: &str, what: &str) -> Result<T, String> {
    // serde's message quotes values, and a plan may hold a signed transaction: only the place is repeated.
    serde_json::from_str(text).map_err(|error| format!("`{what}` is not valid at column {}", error.column()))
}
