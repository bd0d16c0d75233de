//! The sample API that the demo sells: it knows nothing of payments. Its answers are made up and always the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How often the API was called, and how often it failed.
#[derive(Debug, Default)]
pub struct Counts {
    calls: AtomicU64,
    failures: AtomicU64,
    routes: AtomicU64,
}

/// A running API.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it was asked.
    pub counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Starts the API on a free port of this machine.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let app = api(Arc::clone(&counts));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the sample API ended");
            }
        });
        Ok(Self { address, counts, task })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn api(counts: Arc<Counts>) -> Router {
    Router::new()
        .route("/health", get(async || Json(json!({ "status": "ok" }))))
        .route("/v1/weather", get(weather))
        .route("/v1/search", post(search))
        .route("/v1/summarize", post(summarize))
        .route("/v1/route", get(route))
        .route("/v1/quote", get(quote))
        .route("/v1/report", get(report))
        .route("/v1/me", get(me))
        .with_state(counts)
}

impl Counts {
    /// Calls that arrived.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Calls that were answered with an error.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Deserialize)]
struct City {
    #[serde(default)]
    city: String,
}

async fn weather(State(counts): State<Arc<Counts>>, Query(query): Query<City>) -> Json<Value> {
    counts.called();
    let seed: u32 = query.city.bytes().map(u32::from).sum();
    let sky = ["clear", "cloudy", "rain", "fog", "snow"][(seed % 5) as usize];
    Json(json!({ "city": query.city, "temperature_c": seed % 30, "sky": sky }))
}

#[derive(Debug, Deserialize)]
struct Question {
    q: String,
}

async fn search(State(counts): State<Arc<Counts>>, Json(question): Json<Question>) -> Json<Value> {
    counts.called();
    let results: Vec<_> = ["history", "collecting", "value"]
        .iter()
        .map(|topic| json!({ "title": format!("{}: {topic}", question.q), "url": format!("https://example.com/{topic}") }))
        .collect();
    Json(json!({ "q": question.q, "results": results }))
}

async fn summarize(State(counts): State<Arc<Counts>>, text: String) -> Json<Value> {
    counts.called();
    let first = text.split_inclusive(['.', '!', '?']).next().unwrap_or_default().trim();
    Json(json!({ "summary": first, "words": text.split_whitespace().count() }))
}

/// Fails every other time, as upstreams do.
async fn route(State(counts): State<Arc<Counts>>) -> Response {
    counts.called();
    if counts.routes.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
        counts.failures.fetch_add(1, Ordering::Relaxed);
        return (StatusCode::BAD_GATEWAY, Json(json!({ "error": "the map server is restarting" })))
            .into_response();
    }
    Json(json!({ "from": "Bristol", "to": "Bath", "km": 18.4, "minutes": 27 })).into_response()
}

async fn quote(State(counts): State<Arc<Counts>>) -> Json<Value> {
    counts.called();
    Json(json!({ "pair": "XAU/USD", "price": "4012.55" }))
}

async fn report(State(counts): State<Arc<Counts>>) -> Json<Value> {
    counts.called();
    Json(json!({ "title": "The whole market", "pages": 412 }))
}

async fn me(State(counts): State<Arc<Counts>>) -> Json<Value> {
    counts.called();
    Json(json!({ "message": "you have proved who you are" }))
}
