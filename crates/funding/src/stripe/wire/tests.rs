#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_billing::topup::Decline;
use farthing_money::{Amount, Asset, AssetKind};
use serde_json::json;

use super::{Verdict, charge, minor};
use crate::source::Charged;

#[test]
fn amounts_are_whole_minor_units_or_none() {
    let cases = [
        ("USD", 2, 1_050, Some(1_050)),
        ("USD", 6, 10_500_000, Some(1_050)),
        ("USD", 6, 10_500_001, None),
        ("USD", 0, 10, Some(1_000)),
        ("JPY", 0, 500, Some(500)),
        ("JPY", 2, 500, Some(5)),
        ("JPY", 2, 501, None),
        ("KWD", 3, 1_230, Some(1_230)),
        ("KWD", 2, 123, Some(1_230)),
        ("USD", 2, 0, None),
        ("usd", 2, 100, None),
        ("USDX", 2, 100, None),
    ];
    for (code, scale, base, expected) in cases {
        let asset = Asset::new(code, scale, AssetKind::Fiat).unwrap();
        let got = minor(Amount::from_base(base), &asset).map(|minor| minor.amount);
        assert_eq!(got, expected, "{code} {scale} {base}");
    }
    let custom = Asset::new("USD", 2, AssetKind::Custom).unwrap();
    assert_eq!(minor(Amount::from_base(100), &custom), None, "a unit that is called like a currency is none");
}

/// What an answer means, in a word.
fn word(status: u16, body: &serde_json::Value) -> String {
    match charge(status, body.to_string().as_bytes()) {
        Verdict::Cancel { id, waits_for } => format!("cancel {id} {waits_for:?}"),
        Verdict::Known(Charged::Yes { reference }) => format!("yes {reference}"),
        Verdict::Known(Charged::No(declined)) => match declined.class {
            Decline::Soft => format!("soft {}", declined.code),
            Decline::Hard => format!("hard {}", declined.code),
        },
        Verdict::Known(Charged::Unknown { .. }) => "unknown".to_owned(),
    }
}

#[test]
fn only_a_clear_answer_is_a_yes_or_a_no() {
    let intent = |status: &str| json!({"id": "pi_1", "status": status});
    let card = |decline: &str| json!({"error": {"type": "card_error", "code": "card_declined", "decline_code": decline}});
    let invalid = |code: &str| json!({"error": {"type": "invalid_request_error", "code": code}});
    let api = json!({"error": {"type": "api_error", "message": "try again"}});
    let cases = [
        (200, intent("succeeded"), "yes pi_1"),
        (200, intent("processing"), "unknown"),
        (200, intent("requires_action"), "cancel pi_1 Customer"),
        (200, intent("requires_confirmation"), "cancel pi_1 Nobody"),
        (200, intent("canceled"), "soft payment_canceled"),
        (200, intent("requires_capture"), "unknown"),
        (200, intent("requires_payment_method"), "soft card_declined"),
        (200, intent("a state of next year"), "unknown"),
        (200, json!({"nothing": "of the kind"}), "unknown"),
        (402, card("insufficient_funds"), "soft insufficient_funds"),
        (402, card("processing_error"), "soft processing_error"),
        (402, card("stolen_card"), "hard stolen_card"),
        (402, card("expired_card"), "hard expired_card"),
        (402, json!({"error": {"code": "authentication_required"}}), "hard authentication_required"),
        (402, json!({"error": {}}), "soft card_declined"),
        (400, invalid("resource_missing"), "hard resource_missing"),
        (400, invalid("amount_too_small"), "hard amount_too_small"),
        (404, json!({"error": {"type": "invalid_request_error"}}), "hard request_refused"),
        (400, json!({"error": {"type": "idempotency_error"}}), "unknown"),
        (409, invalid("idempotency_key_in_use"), "unknown"),
        (400, invalid("lock_timeout"), "unknown"),
        // The platform's key is wrong: nothing that a customer could mend.
        (401, invalid("api_key_expired"), "unknown"),
        (403, api.clone(), "unknown"),
        (429, invalid("rate_limit"), "unknown"),
        (500, api.clone(), "unknown"),
        // A proxy's page.
        (402, json!("payment required"), "unknown"),
        (404, json!("not found"), "unknown"),
        (400, json!({}), "unknown"),
    ];
    for (status, body, expected) in cases {
        assert_eq!(word(status, &body), expected, "{status} {body}");
    }
}
