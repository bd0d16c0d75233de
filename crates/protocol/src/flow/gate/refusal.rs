//! Why a request is refused without a challenge, in words; with the seconds after which the same credential may come again.

use crate::{Problem, ProblemKind};

pub(super) type Refusal = (Problem, Option<u32>);

pub(super) const BEING_SERVED: &str =
    "This payment's call is being served. Send the same credential again if that fails.";
pub(super) const BEING_SETTLED: &str = "This payment is being settled. Send the same credential again.";
pub(super) const BEING_REFUNDED: &str =
    "This payment is being given back, because its call could not be served.";

pub(super) fn replayed() -> Refusal {
    let detail = "This payment was already used. Do not pay again for the same call.";
    (Problem::new(ProblemKind::CredentialReplayed, "credential_replayed", detail), None)
}

pub(super) fn in_progress(detail: &str) -> Refusal {
    (Problem::new(ProblemKind::PaymentInProgress, "payment_in_progress", detail), Some(1))
}

fn pending(code: &'static str, detail: &str) -> Refusal {
    (Problem::new(ProblemKind::PaymentPending, code, detail), Some(1))
}

/// A driver that answers another question than was asked has lost its place: nothing may be assumed.
pub(super) fn out_of_step() -> Refusal {
    pending("flow_out_of_step", "The payment's state is being checked.")
}

pub(super) fn store_unavailable() -> Refusal {
    let detail = "Payments cannot be checked right now. Do not pay again: send the same credential again.";
    pending("store_unavailable", detail)
}

/// The store failed after it had been told something: what is known of the payment is kept.
pub(super) fn state_kept() -> Refusal {
    pending("store_unavailable", "The payment's state is kept. Send the same credential again.")
}

pub(super) fn rail_unavailable() -> Refusal {
    let detail = "The payment cannot be checked right now. Do not pay again: send the same credential again.";
    pending("rail_unavailable", detail)
}

pub(super) fn outcome_unknown() -> Refusal {
    let detail = "The payment was sent and its outcome is not known yet. Do not pay again: send the same credential again.";
    pending("outcome_unknown", detail)
}

pub(super) fn over_budget() -> Refusal {
    let detail = "Fees cannot be sponsored right now, and the payment was not taken.";
    (Problem::new(ProblemKind::PaymentPending, "sponsorship_exhausted", detail), Some(60))
}

pub(super) fn before_restore() -> Refusal {
    let detail = "This challenge was issued before the seller's records were restored from a backup, and what became of it \
        is not known here. Nothing was taken now. Ask the seller if you have paid; otherwise ask for a new price.";
    (Problem::new(ProblemKind::NotHonoured, "payment_before_restore", detail), None)
}

pub(super) fn key_reused() -> Refusal {
    let detail = "This Idempotency-Key was used for another request. Nothing was taken now. Use another key for this one.";
    (Problem::new(ProblemKind::IdempotencyConflict, "idempotency_key_reused", detail), None)
}

pub(super) fn key_mismatch() -> Refusal {
    let detail = "This payment is a credit for a call that this Idempotency-Key does not name. Send the same credential \
        without the header, or with the key that the payment was made with.";
    (Problem::new(ProblemKind::IdempotencyConflict, "idempotency_key_mismatch", detail), None)
}

pub(super) fn other_answer() -> Refusal {
    let detail = "The answer that this payment bought is kept, and it answers another request. Send that request again with \
        the same credential.";
    (Problem::new(ProblemKind::IdempotencyConflict, "answer_for_another_request", detail), None)
}

pub(super) fn not_kept() -> Refusal {
    let detail = "This request was served before, and its answer was too large to keep. It is not served again, and nothing \
        was taken now.";
    (Problem::new(ProblemKind::AnswerNotKept, "answer_not_kept", detail), None)
}

pub(super) fn body_too_large(max: usize) -> Refusal {
    let detail = format!(
        "A request with an Idempotency-Key may have a body of at most {max} bytes. Leave the header out to send a longer one."
    );
    (Problem::new(ProblemKind::ContentTooLarge, "idempotent_body_too_large", detail), None)
}
