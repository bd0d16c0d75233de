//! Which of Stripe's declines are worth another attempt. What is not on the list is soft: it backs off, and pauses the rule by
//! itself when it does not stop.

use farthing_billing::topup::Decline;

/// Codes after which the same card never pays: lost, closed or wrong, or its bank forbids to try again. `authentication_required`
/// is among them because only the customer can answer the bank's question.
const HARD: &[&str] = &[
    "authentication_required",
    "authentication_not_handled",
    "bank_account_closed",
    "card_not_supported",
    "currency_not_supported",
    "do_not_try_again",
    "expired_card",
    "fraudulent",
    "incorrect_cvc",
    "incorrect_number",
    "incorrect_zip",
    "invalid_account",
    "invalid_cvc",
    "invalid_expiry_month",
    "invalid_expiry_year",
    "invalid_number",
    "lost_card",
    "merchant_blacklist",
    "payment_intent_authentication_failure",
    "payment_method_customer_decline",
    "pickup_card",
    "restricted_card",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "security_violation",
    "stolen_card",
    "stop_payment_order",
    "transaction_not_allowed",
];

/// The class of a decline: the bank's code decides where there is one, Stripe's own where there is none.
pub(super) fn class(decline_code: Option<&str>, code: Option<&str>) -> Decline {
    let hard = |code: &str| HARD.contains(&code);
    let is_hard = decline_code.is_some_and(hard) || code.is_some_and(hard);
    if is_hard { Decline::Hard } else { Decline::Soft }
}

#[cfg(test)]
mod tests {
    use farthing_billing::topup::Decline;

    use super::{HARD, class};

    #[test]
    fn declines_have_a_class() {
        let soft =
            ["insufficient_funds", "processing_error", "try_again_later", "generic_decline", "new_code"];
        for code in soft {
            assert_eq!(class(Some(code), Some("card_declined")), Decline::Soft, "{code}");
        }
        for code in ["stolen_card", "lost_card", "expired_card", "do_not_try_again"] {
            assert_eq!(class(Some(code), Some("card_declined")), Decline::Hard, "{code}");
        }
        assert_eq!(class(None, Some("authentication_required")), Decline::Hard);
        assert_eq!(class(None, Some("expired_card")), Decline::Hard);
        assert_eq!(class(None, None), Decline::Soft);
        assert!(HARD.windows(2).all(|pair| pair[0] < pair[1] || pair[0].starts_with("authentication")));
    }
}
