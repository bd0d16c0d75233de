//! What Stripe's answers mean, as functions of a status and a body. Whatever is not clearly a yes or a no is
//! [`Charged::Unknown`]: it is asked for again, never taken for a decline.

use farthing_billing::topup::Decline;
use farthing_money::{Amount, Asset, AssetKind};
use serde::Deserialize;

use super::decline;
use crate::source::{Charged, Declined};

/// Currencies without decimals at Stripe. UGX is not among them: Stripe still takes its hundredths.
const WHOLE: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF",
];
/// A decline of the request itself, for which Stripe gives no code.
const REFUSED_CODE: &str = "request_refused";
/// Currencies with three decimals at Stripe.
const THREE: &[&str] = &["BHD", "JOD", "KWD", "OMR", "TND"];

/// A payment intent, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) amount: u128,
    #[serde(default)]
    pub(super) currency: String,
    #[serde(default)]
    pub(super) metadata: Option<std::collections::BTreeMap<String, serde_json::Value>>,
    #[serde(default)]
    pub(super) last_payment_error: Option<StripeError>,
}

/// A page of payment intents.
#[derive(Debug, Deserialize)]
pub(super) struct Intents {
    pub(super) data: Vec<Intent>,
    #[serde(default)]
    pub(super) has_more: bool,
}

#[derive(Debug, Deserialize)]
struct Failure {
    error: StripeError,
}

/// Why Stripe did not.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct StripeError {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// An amount as Stripe counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Minor {
    /// In the currency's smallest units.
    pub(super) amount: u128,
    /// Lower case.
    pub(super) currency: String,
}

/// `amount` in the smallest units of the asset's currency; nothing when it is no currency, or would have to be rounded.
pub(super) fn minor(amount: Amount, asset: &Asset) -> Option<Minor> {
    let code = asset.code();
    let currency = *asset.kind() == AssetKind::Fiat && code.len() == 3;
    if !currency || !code.bytes().all(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let decimals: u32 = if WHOLE.contains(&code) {
        0
    } else if THREE.contains(&code) {
        3
    } else {
        2
    };
    let scale = u32::from(asset.scale());
    let base = amount.base();
    let minor = if scale >= decimals {
        let unit = 10_u128.checked_pow(scale - decimals)?;
        base.is_multiple_of(unit).then_some(base / unit)?
    } else {
        base.checked_mul(10_u128.checked_pow(decimals - scale)?)?
    };
    (minor > 0).then(|| Minor { amount: minor, currency: code.to_ascii_lowercase() })
}

/// What is to be done about an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is clear, or clearly not known.
    Known(Charged),
    /// It stands open and could be paid later, under no name of ours: it has to be cancelled before it is a decline.
    Cancel {
        /// The intent.
        id: String,
        /// What it waits for.
        waits_for: Waits,
    },
}

/// What an open intent waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// The bank's question to the customer, who is not here.
    Customer,
    /// Nobody: it was made and never tried.
    Nobody,
}

/// What the answer to a new payment intent means.
pub(super) fn charge(status: u16, body: &[u8]) -> Verdict {
    if status == 200
        && let Ok(intent) = serde_json::from_slice::<Intent>(body)
    {
        return self::intent(&intent);
    }
    let failure = serde_json::from_slice::<Failure>(body).map(|failure| failure.error);
    Verdict::Known(match failure {
        Ok(error) => refused(status, &error),
        Err(_) => unknown(format!("HTTP status {status} without an answer of Stripe's")),
    })
}

/// What an intent's state means.
pub(super) fn intent(intent: &Intent) -> Verdict {
    let id = || intent.id.clone();
    match intent.status.as_str() {
        "succeeded" => Verdict::Known(Charged::Yes { reference: id() }),
        "requires_action" | "requires_source_action" => {
            Verdict::Cancel { id: id(), waits_for: Waits::Customer }
        }
        "requires_confirmation" => Verdict::Cancel { id: id(), waits_for: Waits::Nobody },
        // It was tried, and what it was tried with did not pay.
        "requires_payment_method" | "requires_source" => {
            Verdict::Known(declined(&intent.last_payment_error.clone().unwrap_or_default()))
        }
        "canceled" => Verdict::Known(cancelled(Waits::Nobody, intent.last_payment_error.as_ref())),
        other => Verdict::Known(unknown(format!("the payment is {:.40}", other))),
    }
}

/// An intent that was cancelled takes no money any more.
pub(super) fn cancelled(waited_for: Waits, error: Option<&StripeError>) -> Charged {
    let (code, message) = match waited_for {
        Waits::Customer => ("authentication_required", "the bank asks the customer to confirm the payment"),
        Waits::Nobody => ("payment_canceled", "the payment was cancelled before it was tried"),
    };
    let fallback = StripeError {
        code: Some(code.to_owned()),
        message: Some(message.to_owned()),
        ..StripeError::default()
    };
    declined(error.unwrap_or(&fallback))
}

fn refused(status: u16, error: &StripeError) -> Charged {
    let kind = error.kind.as_deref().unwrap_or_default();
    match status {
        402 => declined(error),
        // The key was used with other content: an earlier request is there, so what became of it has to be looked up.
        400 | 404 if kind == "invalid_request_error" => match error.code.as_deref() {
            Some("idempotency_key_in_use" | "lock_timeout" | "rate_limit") => unknown(text(error)),
            _ => Charged::No(Declined {
                class: Decline::Hard,
                code: error.code.clone().unwrap_or_else(|| REFUSED_CODE.to_owned()),
                message: text(error),
            }),
        },
        _ => unknown(format!("HTTP status {status}: {}", text(error))),
    }
}

fn declined(error: &StripeError) -> Charged {
    let (decline_code, code) = (error.decline_code.as_deref(), error.code.as_deref());
    Charged::No(Declined {
        class: decline::class(decline_code, code),
        code: shorten(decline_code.or(code).unwrap_or("card_declined")),
        message: text(error),
    })
}

pub(super) fn unknown(why: impl Into<String>) -> Charged {
    Charged::Unknown { why: why.into() }
}

fn text(error: &StripeError) -> String {
    shorten(error.message.as_deref().unwrap_or("no reason was given"))
}

/// Somebody else's words, cut and without control characters.
fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests;
