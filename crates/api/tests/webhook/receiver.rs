//! A receiver: keeps what it is sent, and answers what a closure says.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Which event it is.
    pub fn n(&self) -> u64 {
        self.json()["data"]["n"].as_u64().unwrap()
    }
}

type Answer = Arc<dyn Fn(&Received) -> Response + Send + Sync>;

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    answer: Answer,
}

pub fn status(status: u16) -> Response {
    StatusCode::from_u16(status).unwrap().into_response()
}

impl Receiver {
    pub async fn start(answer: impl Fn(&Received) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self { url, received: Arc::default(), answer: Arc::new(answer) };
        let app = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Which events it was told of, of this customer, in order.
    pub fn told(&self, customer: &str) -> Vec<u64> {
        let mine = |one: &Received| one.json()["data"]["customer"] == customer;
        self.received().iter().filter(|one| mine(one)).map(Received::n).collect()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let received = Received { headers, body };
    receiver.received.lock().unwrap().push(received.clone());
    (receiver.answer)(&received)
}
