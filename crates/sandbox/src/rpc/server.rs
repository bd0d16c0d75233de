//! HTTP around the methods: one route, bounded bodies, batches, time and requests in flight, and a header on every
//! answer that says whose it is.

use super::error::RpcError;
use super::params::Params;
use super::{CLIENT_VERSION, answer};
use crate::chain::Chain;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// The header that every answer carries.
const SANDBOX_HEADER: &str = "x-farthing-sandbox";

#[derive(Clone, Debug)]
struct Port {
    chain: Arc<Chain>,
    in_flight: Arc<Semaphore>,
}

/// Serves until told to stop.
pub(crate) async fn serve(listener: TcpListener, chain: Arc<Chain>, mut stopped: watch::Receiver<()>) {
    let limits = chain.config().limits;
    let port = Port { chain, in_flight: Arc::new(Semaphore::new(limits.in_flight)) };
    let app = Router::new()
        .route("/", get(greeting).post(receive))
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(axum::middleware::map_response(mark))
        .with_state(port);
    let until = async move {
        // The sender says nothing; when it is gone the sandbox is to stop.
        let _gone = stopped.changed().await;
    };
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(until).await {
        tracing::error!(%error, "the sandbox port failed");
    }
}

async fn mark(mut response: Response) -> Response {
    response.headers_mut().insert(SANDBOX_HEADER, HeaderValue::from_static(CLIENT_VERSION));
    response
}

/// What a person sees who opens the port in a browser.
async fn greeting(State(port): State<Port>) -> String {
    format!(
        "{CLIENT_VERSION}\n\nThis is a sandbox: a model of a Tempo chain for development and tests.\nIts money is worth \
         nothing.\n\nchain id      {}\nnewest block  {}\nwaiting       {}\n\nSend JSON-RPC requests to this address with \
         POST.\n",
        port.chain.chain_id(),
        port.chain.block_number(),
        port.chain.lock().waiting_len(),
    )
}

async fn receive(State(port): State<Port>, headers: HeaderMap, body: Bytes) -> Response {
    // A page on another site can send text/plain without asking; only application/json makes a browser ask first.
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json\n").into_response();
    }
    let Ok(_place) = port.in_flight.try_acquire() else {
        let error =
            failure(&Value::Null, &RpcError::limit("too many requests are being answered; try again"));
        return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(error)).into_response();
    };
    let timeout = port.chain.config().limits.request_timeout;
    match tokio::time::timeout(timeout, respond(&port.chain, &body)).await {
        Ok(Some(answer)) => axum::Json(answer).into_response(),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => {
            let error = failure(&Value::Null, &RpcError::limit("the request took too long"));
            (StatusCode::GATEWAY_TIMEOUT, axum::Json(error)).into_response()
        }
    }
}

/// Answers one request or a batch. None if nothing is to be said, as to a notification.
pub(crate) async fn respond(chain: &Arc<Chain>, body: &[u8]) -> Option<Value> {
    match serde_json::from_slice(body) {
        Ok(Value::Array(requests)) => {
            let limit = chain.config().limits.batch;
            if requests.is_empty() {
                return Some(failure(&Value::Null, &RpcError::invalid_request()));
            }
            if requests.len() > limit {
                let error = RpcError::limit(format!("more than {limit} requests in a batch"));
                return Some(failure(&Value::Null, &error));
            }
            let mut answers = Vec::with_capacity(requests.len());
            for request in requests {
                answers.extend(respond_one(chain, request).await);
            }
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        Ok(request) => respond_one(chain, request).await,
        Err(_) => Some(failure(&Value::Null, &RpcError::parse())),
    }
}

async fn respond_one(chain: &Arc<Chain>, request: Value) -> Option<Value> {
    let Value::Object(mut request) = request else {
        return Some(failure(&Value::Null, &RpcError::invalid_request()));
    };
    let id = request.remove("id");
    let Some(Value::String(method)) = request.remove("method") else {
        return Some(failure(&id.unwrap_or_default(), &RpcError::invalid_request()));
    };
    let answered = match Params::of(request.remove("params")) {
        Ok(params) => answer(chain, &method, params).await,
        Err(error) => Err(error),
    };
    tracing::debug!(method, ok = answered.is_ok(), "sandbox answered");
    // A request without an id wants no answer.
    let id = id?;
    Some(match answered {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(&id, &error),
    })
}

fn failure(id: &Value, error: &RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error.to_value() })
}
