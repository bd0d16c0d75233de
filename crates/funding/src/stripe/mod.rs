//! [`Stripe`]: a card on file at Stripe as a [`FundingSource`]: an off-session payment intent for each attempt.
//!
//! The attempt's id is Stripe's `Idempotency-Key`, so that a charge that is said again is the same charge; Stripe keeps keys for a
//! day at least. It stands in the intent's metadata too, which is how a lost answer is looked up, however long ago it was. An
//! attempt of which there is no trace when its key may be forgotten was never taken: it is declined, softly, and a new one with a
//! new name may follow. It keeps no card data and knows no customer but by Stripe's names.

mod decline;
mod key;
mod wire;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use farthing_billing::service::topup::Source;
use farthing_billing::topup::Decline;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use url::Url;

pub use key::{BadStripeKey, StripeKey};

use crate::source::{Charge, Charged, Declined, Found, FundingSource};
use wire::{Intent, Intents, Verdict, Waits, unknown};

/// Where Stripe answers.
pub const STRIPE_URL: &str = "https://api.stripe.com";
/// In an intent's metadata: the attempt.
const ATTEMPT: &str = "farthing_attempt";
/// The version of the API that this module was written for.
const VERSION: &str = "2025-03-31.basil";
/// The most of an answer that is read.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Pages of a customer's intents that are looked through.
const MAX_PAGES: usize = 20;
/// How long a key is sure to be remembered, in milliseconds: Stripe says a day; an hour less, for clocks that differ.
const KEY_MS: u64 = 23 * 3_600_000;
/// Our clock and Stripe's may differ so much, in seconds.
const SKEW_S: u64 = 600;

/// Why there is no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StripeSetupError {
    /// Not an address of an API.
    #[error("the address of Stripe's API is not an http or https URL without query")]
    BadUrl,
    /// No client could be made.
    #[error("no HTTP client could be made")]
    NoClient,
}

impl StripeSetupError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadUrl => "stripe_bad_url",
            Self::NoClient => "stripe_no_client",
        }
    }
}

/// A Stripe account.
#[derive(Clone)]
pub struct Stripe {
    http: reqwest::Client,
    base: Url,
    key: StripeKey,
}

impl fmt::Debug for Stripe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stripe({})", self.base.host_str().unwrap_or("?"))
    }
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Stripe {
    /// How long an answer may take when nothing else is said.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// The account of `key`, at `url`: [`STRIPE_URL`], or a server that speaks like it.
    ///
    /// # Errors
    /// [`StripeSetupError`].
    pub fn new(key: StripeKey, url: &str, timeout: Duration) -> Result<Self, StripeSetupError> {
        let base = Url::parse(url).map_err(|_| StripeSetupError::BadUrl)?;
        if !matches!(base.scheme(), "http" | "https") || base.query().is_some() || base.host().is_none() {
            return Err(StripeSetupError::BadUrl);
        }
        let http = reqwest::Client::builder()
            // The key goes where the owner said, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10).min(timeout))
            .timeout(timeout)
            .build()
            .map_err(|_| StripeSetupError::NoClient)?;
        Ok(Self { http, base, key })
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// Sends a request and reads the answer; in words what stood in the way. Words never hold the key or an address.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, String> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.key.expose()))
            .map_err(|_| "the key cannot be sent".to_owned())?;
        bearer.set_sensitive(true);
        let request = request.header(AUTHORIZATION, bearer).header("Stripe-Version", VERSION);
        let lost = |error: reqwest::Error| error.without_url().to_string();
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err("the answer is larger than 4 MiB".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }

    async fn post(&self, path: &str, key: &str, fields: &[(&str, &str)]) -> Result<Answer, String> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.http.post(self.url(path)).header("Idempotency-Key", key);
        self.send(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)).await
    }

    /// Makes sure that an open intent is never paid: only then it is a decline.
    async fn cancel(&self, charge: &Charge, id: &str, waits_for: Waits) -> Charged {
        if !id.starts_with("pi_") || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return unknown("the payment has a name that is none");
        }
        let key = format!("{}_cancel", charge.attempt);
        let answer = match self.post(&format!("/v1/payment_intents/{id}/cancel"), &key, &[]).await {
            Ok(answer) => answer,
            Err(why) => return unknown(why),
        };
        match serde_json::from_slice::<Intent>(&answer.body) {
            Ok(intent) if answer.status == 200 && intent.status == "canceled" => {
                wire::cancelled(waits_for, intent.last_payment_error.as_ref())
            }
            _ => unknown("an open payment could not be cancelled"),
        }
    }

    async fn settled(&self, charge: &Charge, verdict: Verdict) -> Charged {
        match verdict {
            Verdict::Known(charged) => charged,
            Verdict::Cancel { id, waits_for } => self.cancel(charge, &id, waits_for).await,
        }
    }

    /// The attempt's intent among the customer's since it began. `Err` when not all of them could be seen.
    async fn find(&self, charge: &Charge, customer: &str) -> Result<Option<Intent>, String> {
        let since = (charge.began.unix_ms() / 1_000).saturating_sub(SKEW_S).to_string();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut url = self.url("/v1/payment_intents");
            url.query_pairs_mut()
                .append_pair("customer", customer)
                .append_pair("created[gte]", &since)
                .append_pair("limit", "100");
            if let Some(after) = &after {
                url.query_pairs_mut().append_pair("starting_after", after);
            }
            let answer = self.send(self.http.get(url)).await?;
            if answer.status != 200 {
                return Err(format!("HTTP status {} to the question for payments", answer.status));
            }
            let page: Intents = serde_json::from_slice(&answer.body)
                .map_err(|_| "the list of payments cannot be read".to_owned())?;
            after = page.data.last().map(|intent| intent.id.clone());
            let more = page.has_more && after.is_some();
            let ours = |intent: &Intent| {
                let named = intent.metadata.as_ref().and_then(|metadata| metadata.get(ATTEMPT));
                named.and_then(serde_json::Value::as_str) == Some(charge.attempt.as_str())
            };
            if let Some(intent) = page.data.into_iter().find(ours) {
                return Ok(Some(intent));
            }
            if !more {
                return Ok(None);
            }
        }
        Err("the customer has more payments than are looked through".to_owned())
    }
}

fn not_a_card() -> Charged {
    Charged::No(Declined {
        class: Decline::Hard,
        code: "not_a_card".to_owned(),
        message: "the rule's source is no card, or its asset is no currency in whole minor units".to_owned(),
    })
}

#[async_trait]
impl FundingSource for Stripe {
    async fn charge(&self, charge: &Charge) -> Charged {
        let Source::Card { customer, payment_method } = &charge.from else { return not_a_card() };
        let Some(minor) = wire::minor(charge.amount, &charge.asset) else { return not_a_card() };
        if charge.now.unix_ms().saturating_sub(charge.began.unix_ms()) > KEY_MS {
            // Stripe may have forgotten the key, and would take this for a new charge.
            return unknown("the attempt is too old to be said again");
        }
        let amount = minor.amount.to_string();
        let metadata = format!("metadata[{ATTEMPT}]");
        let fields = [
            ("amount", amount.as_str()),
            ("currency", minor.currency.as_str()),
            ("customer", customer.as_str()),
            ("payment_method", payment_method.as_str()),
            ("off_session", "true"),
            ("confirm", "true"),
            (metadata.as_str(), charge.attempt.as_str()),
        ];
        match self.post("/v1/payment_intents", &charge.attempt, &fields).await {
            Ok(answer) => self.settled(charge, wire::charge(answer.status, &answer.body)).await,
            Err(why) => unknown(why),
        }
    }

    async fn lookup(&self, charge: &Charge) -> Found {
        let Source::Card { customer, .. } = &charge.from else { return Found::Attempt(not_a_card()) };
        let Some(minor) = wire::minor(charge.amount, &charge.asset) else {
            return Found::Attempt(not_a_card());
        };
        match self.find(charge, customer).await {
            Err(why) => Found::Attempt(unknown(why)),
            Ok(Some(intent)) if (intent.amount, &intent.currency) != (minor.amount, &minor.currency) => {
                Found::Attempt(unknown("the payment of this name is for another amount"))
            }
            Ok(Some(intent)) => Found::Attempt(self.settled(charge, wire::intent(&intent)).await),
            Ok(None) if charge.now.unix_ms().saturating_sub(charge.began.unix_ms()) > KEY_MS => {
                Found::Attempt(Charged::No(Declined {
                    class: Decline::Soft,
                    code: "never_arrived".to_owned(),
                    message: "Stripe has never heard of this charge".to_owned(),
                }))
            }
            Ok(None) => Found::Nothing,
        }
    }
}
