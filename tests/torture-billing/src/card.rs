//! [`Card`]: a card processor over HTTP, which speaks as Stripe does as far as Farthing asks. It takes a payment once for each
//! idempotency key, declines some for now and some for good, and does not always say what it did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use farthing_billing::service::topup::{Attempt, Outcome, Source};
use farthing_billing::topup::Decline;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::clock::now_ms;
use crate::source::Processor;

/// The code of a card that never pays again.
const FOR_GOOD: &str = "stolen_card";

/// A payment that was taken.
#[derive(Debug, Clone)]
struct Payment {
    attempt: String,
    customer: String,
    amount: u128,
    taken_s: u64,
}

/// What was asked and taken.
#[derive(Debug, Default)]
struct Book {
    /// The first answer to each key is the answer to all.
    answers: BTreeMap<String, (StatusCode, Value)>,
    /// In the order in which they were taken.
    payments: Vec<Payment>,
    declined_for_good: usize,
}

/// A processor. It lives as long as this process.
#[derive(Debug, Clone, Default)]
pub struct Card(Arc<Mutex<Book>>);

impl Card {
    /// Listens; where.
    ///
    /// # Errors
    /// A sentence.
    pub async fn listen(&self) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let url = format!("http://{}", listener.local_addr().map_err(|error| error.to_string())?);
        let routes = Router::new().route("/v1/payment_intents", get(list).post(charge));
        tokio::spawn(axum::serve(listener, routes.with_state(self.clone())).into_future());
        Ok(url)
    }

    /// What it took, by the names of the attempts.
    pub fn payments(&self) -> BTreeMap<String, u128> {
        let book = self.book();
        book.payments.iter().map(|payment| (payment.attempt.clone(), payment.amount)).collect()
    }

    /// How many it declined for good.
    pub fn declined_for_good(&self) -> usize {
        self.book().declined_for_good
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// What is done about an attempt that was never asked for before follows from its name.
    fn charge(&mut self, attempt: &str, customer: &str, amount: u128) -> (StatusCode, Value) {
        let choice = attempt.bytes().map(u32::from).sum::<u32>() % 100;
        let decline = |code: &str| {
            let error = json!({"type": "card_error", "code": "card_declined", "decline_code": code, "message": "No."});
            (StatusCode::PAYMENT_REQUIRED, json!({ "error": error }))
        };
        if choice < 10 {
            return decline("insufficient_funds");
        }
        if choice < 20 {
            self.declined_for_good += 1;
            return decline(FOR_GOOD);
        }
        let (attempt, customer) = (attempt.to_owned(), customer.to_owned());
        let payment = Payment { attempt, customer, amount, taken_s: now_ms() / 1_000 };
        let shown = payment.shown();
        self.payments.push(payment);
        if choice < 25 {
            let error = json!({"type": "api_error", "message": "It was taken, and this does not say so."});
            return (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": error }));
        }
        (StatusCode::OK, shown)
    }
}

impl Payment {
    fn id(&self) -> String {
        format!("pi_{}", self.attempt)
    }

    fn shown(&self) -> Value {
        json!({
            "id": self.id(), "status": "succeeded", "amount": u64::try_from(self.amount).unwrap_or(u64::MAX),
            "currency": "usd", "metadata": { "farthing_attempt": self.attempt },
        })
    }
}

async fn charge(State(card): State<Card>, headers: HeaderMap, body: String) -> Response {
    let fields: BTreeMap<String, String> = form(&body);
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    let (attempt, amount) = (field("metadata[farthing_attempt]"), field("amount").parse().unwrap_or(0));
    let mut book = card.book();
    let known = book.answers.get(&key).cloned();
    let (status, value) = known.unwrap_or_else(|| book.charge(&attempt, &field("customer"), amount));
    book.answers.insert(key, (status, value.clone()));
    drop(book);
    (status, Json(value)).into_response()
}

/// Payments of a customer since a time, the newest first, in pages.
async fn list(State(card): State<Card>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let field = |name: &str| query.get(name).cloned().unwrap_or_default();
    let (customer, after) = (field("customer"), field("starting_after"));
    let since: u64 = field("created[gte]").parse().unwrap_or(0);
    let limit: usize = field("limit").parse().unwrap_or(10);
    let book = card.book();
    let wanted = |payment: &&Payment| payment.customer == customer && payment.taken_s >= since;
    let mut found: Vec<&Payment> = book.payments.iter().rev().filter(wanted).collect();
    if let Some(at) = found.iter().position(|payment| payment.id() == after) {
        found.drain(..=at);
    }
    let has_more = found.len() > limit;
    let data: Vec<Value> = found.into_iter().take(limit).map(Payment::shown).collect();
    drop(book);
    Json(json!({ "data": data, "has_more": has_more })).into_response()
}

/// `application/x-www-form-urlencoded`, as far as Farthing writes it.
fn form(body: &str) -> BTreeMap<String, String> {
    let read = |text: &str| text.replace("%5B", "[").replace("%5D", "]").replace('+', " ");
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (read(name), read(value)));
    body.split('&').filter_map(pair).collect()
}

impl Processor for Card {
    fn charge(&self, attempt: &Attempt) -> Outcome {
        let mut book = self.book();
        let customer = match &attempt.source {
            Source::Card { customer, .. } => customer.as_str(),
            Source::Chain => "",
        };
        let known = book.answers.get(&attempt.id).cloned();
        let (status, said) =
            known.unwrap_or_else(|| book.charge(&attempt.id, customer, attempt.amount.base()));
        drop(book);
        if status != StatusCode::PAYMENT_REQUIRED {
            return self.look_up(&attempt.id);
        }
        let code = said["error"]["decline_code"].as_str().unwrap_or_default().to_owned();
        let class = if code == FOR_GOOD { Decline::Hard } else { Decline::Soft };
        Outcome::Declined { class, code, message: "No.".to_owned() }
    }

    fn look_up(&self, attempt: &str) -> Outcome {
        let book = self.book();
        match book.payments.iter().find(|payment| payment.attempt == attempt) {
            Some(payment) => Outcome::Charged { reference: payment.id() },
            None => Outcome::NotFound,
        }
    }
}
