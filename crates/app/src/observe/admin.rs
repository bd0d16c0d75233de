//! The operator's listener: `/metrics`, `/healthz` and `/readyz`. Never on the public port, and with nothing to change.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U64;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use farthing_protocol::ports::{ClaimId, ClaimStore};
use farthing_rails::tempo::TempoRpc;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::exported::Exported;
use super::text::CONTENT_TYPE as METRICS;

/// What has to answer before a gateway is ready.
pub struct Needs {
    /// The store of claims.
    pub store: Arc<dyn ClaimStore>,
    /// The chain.
    pub rpc: TempoRpc,
    /// The chain's id.
    pub chain_id: u64,
}

/// How long either may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer holds: whoever asks often does not ask the chain often.
const HOLDS: Duration = Duration::from_secs(1);

/// Whether each of [`Needs`] answers.
#[derive(Debug, Clone, Copy)]
struct Ready {
    store: bool,
    chain: bool,
}

struct Admin {
    exported: Arc<Exported>,
    needs: Needs,
    last: Mutex<Option<(Instant, Ready)>>,
}

/// Serves until it is dropped.
///
/// # Errors
/// [`std::io::Error`] when the listener breaks for good.
pub async fn serve(listener: TcpListener, exported: Arc<Exported>, needs: Needs) -> std::io::Result<()> {
    let admin = Arc::new(Admin { exported, needs, last: Mutex::default() });
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(admin);
    axum::serve(listener, router).await
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    ([(CONTENT_TYPE, METRICS), (CACHE_CONTROL, "no-store")], admin.exported.page()).into_response()
}

async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let ready = admin.ready().await;
    let status = if ready.store && ready.chain { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |is_well: bool| if is_well { "ok" } else { "failing" };
    let body = json!({ "store": word(ready.store), "chain": word(ready.chain) });
    (status, [(CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

impl Admin {
    async fn ready(&self) -> Ready {
        // One asks at a time; the others get its answer.
        let mut last = self.last.lock().await;
        if let Some((at, ready)) = *last
            && at.elapsed() < HOLDS
        {
            return ready;
        }
        let ready = self.needs.answer().await;
        *last = Some((Instant::now(), ready));
        ready
    }
}

impl Needs {
    async fn answer(&self) -> Ready {
        let probe = ClaimId("readyz".to_owned());
        let store = tokio::time::timeout(PATIENCE, self.store.get(&probe));
        // Asked anew: the rails remember the id for as long as they live.
        let chain = tokio::time::timeout(PATIENCE, self.rpc.request::<U64>("eth_chainId", json!([])));
        let (store, chain) = tokio::join!(store, chain);
        let is_ours = |id: U64| id.to::<u64>() == self.chain_id;
        Ready { store: matches!(store, Ok(Ok(_))), chain: chain.is_ok_and(|id| id.is_ok_and(is_ours)) }
    }
}
