//! A payment for programs. The names of the fields are stable: `docs/policy.md` lists them.

use farthing_client::journal::PaymentRecord;
use serde_json::{Value, json};

/// The whole record, without the credential.
pub fn payment(record: &PaymentRecord) -> Value {
    json!({
        "id": record.id.as_str(),
        "state": record.state,
        "final": record.state.is_final(),
        "known": record.state.is_known(),
        "in_flight": record.in_flight,
        "began": record.began.to_string(),
        "changed": record.changed.to_string(),
        "host": record.target.host(),
        "amount": record.agreed.amount_base.to_decimal(record.agreed.scale),
        "cost": record.cost_base.map(|cost| cost.to_decimal(record.agreed.scale)),
        "decided_by": record.decided_by,
        "target": record.target,
        "agreed": record.agreed,
        "status": record.status,
        "reference": record.reference,
        "settled_at": record.settled_at,
        "receipt": record.receipt,
        "code": record.code,
        "why": record.why,
        "presentable": record.credential.is_some(),
    })
}
