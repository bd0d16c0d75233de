//! The `mpp` crate as the seller: an HTTP server with one route a feature.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use mpp::server::axum::{
    ChargeChallenger, ChargeConfig, MppCharge, PaymentProblem, PaymentRequired, WithReceipt,
};
use mpp::server::{Mpp, TempoChargeMethod, TempoConfig, TempoProvider, tempo};
use mpp::{ChargeRequest, MppError, PaymentChallenge, PaymentError, PrivateKeySigner};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::config::ServerConfig;
use crate::line;

/// What a route costs: the request that its challenge carries, in base units.
struct Price {
    request: ChargeRequest,
    description: Option<&'static str>,
}

struct Shop {
    mpp: Mpp<TempoChargeMethod<TempoProvider>>,
    prices: BTreeMap<&'static str, Price>,
    expires_seconds: u64,
}

/// Serves until standard input closes or `maxSeconds` are over.
pub(crate) async fn run(config: ServerConfig) -> Result<(), String> {
    let shop = Arc::new(Shop {
        mpp: seller(&config)?,
        prices: prices(&config),
        expires_seconds: config.expires_seconds,
    });
    let listener = TcpListener::bind(("127.0.0.1", config.port))
        .await
        .map_err(|error| format!("cannot listen: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("cannot listen: {error}"))?;
    let routes: Vec<&str> = std::iter::once("/free").chain(shop.prices.keys().copied()).collect();
    line::print(&json!({ "ready": true, "url": format!("http://{address}"), "routes": routes }));
    let extractor = Arc::new(seller(&config)?) as Arc<dyn ChargeChallenger>;
    // Gated by the crate's own extractor, as its documentation shows it: what the benchmark compares with.
    let extractor = Router::new().route("/extractor", axum::routing::get(extracted)).with_state(extractor);
    let router = Router::new().fallback(handle).with_state(shop).merge(extractor);
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served.map_err(|error| error.to_string())?,
        () = parent_leaves() => {}
        () = tokio::time::sleep(Duration::from_secs(config.max_seconds)) => {}
    }
    // The read of standard input cannot be cancelled, so the runtime would wait for it.
    std::process::exit(0)
}

async fn parent_leaves() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 1024];
    while input.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

fn seller(config: &ServerConfig) -> Result<Mpp<TempoChargeMethod<TempoProvider>>, String> {
    let mut builder = tempo(TempoConfig { recipient: &config.recipient })
        .rpc_url(&config.rpc_url)
        .chain_id(config.chain_id)
        .currencies([&config.currency])
        .realm(&config.realm)
        .secret_key(&config.secret_key)
        .requires_auth(config.requires_auth);
    if let Some(key) = &config.fee_payer_key {
        let signer: PrivateKeySigner = key.parse().map_err(|error| format!("feePayerKey: {error}"))?;
        builder = builder.fee_payer_signer(signer);
    }
    Mpp::create(builder).map_err(|error| error.to_string())
}

/// The price of every route; one that the configuration cannot serve is absent.
fn prices(config: &ServerConfig) -> BTreeMap<&'static str, Price> {
    let price = |details: Value| Price {
        request: ChargeRequest {
            amount: config.amount.clone(),
            currency: config.currency.clone(),
            recipient: Some(config.recipient.clone()),
            method_details: Some(details),
            ..ChargeRequest::default()
        },
        description: None,
    };
    let mut table = BTreeMap::from([
        ("/charge", price(json!({}))),
        ("/pull", price(json!({ "supportedModes": ["pull"] }))),
        ("/push", price(json!({ "supportedModes": ["push"] }))),
    ]);
    let mut proof = price(json!({}));
    proof.request.amount = "0".to_owned();
    table.insert("/proof", proof);
    let mut described = price(json!({}));
    described.description = Some("Wetterbericht für Köln — “heute” \u{1F326}");
    described.request.external_id = Some("order-42".to_owned());
    table.insert("/described", described);
    if config.fee_payer_key.is_some() {
        table.insert("/sponsored", price(json!({ "feePayer": true })));
    }
    if let Some(splits) = &config.splits {
        table.insert("/splits", price(json!({ "splits": splits })));
        if config.fee_payer_key.is_some() {
            table.insert("/sponsored-splits", price(json!({ "feePayer": true, "splits": splits })));
        }
    }
    table
}

impl Shop {
    fn challenge(&self, price: &Price) -> Result<PaymentChallenge, MppError> {
        let expires = mpp::expires::seconds(self.expires_seconds);
        self.mpp.charge_challenge_with_options(&price.request, Some(&expires), price.description)
    }

    /// The crate's answer to a credential that it refused, said on standard error too.
    fn refusal(error: &(impl PaymentError + std::error::Error), offer: PaymentChallenge) -> Response {
        line::complain(&line::describe("VerificationError", error).to_string());
        PaymentProblem::new(error, vec![offer]).into_response()
    }

    /// Sells `content` at `price`, or answers what the crate answers.
    async fn sell(
        &self,
        price: &Price,
        headers: &HeaderMap,
        content: Response,
    ) -> Result<Response, MppError> {
        let offer = self.challenge(price)?;
        let sent = headers.get(self.mpp.credential_header()).and_then(|value| value.to_str().ok());
        let Some(sent) = sent.filter(|value| value.starts_with(mpp::PAYMENT_SCHEME)) else {
            return Ok(PaymentRequired(offer).into_response());
        };
        let credential = match mpp::parse_authorization(sent) {
            Ok(credential) => credential,
            Err(error) => return Ok(Self::refusal(&error, offer)),
        };
        let expected: ChargeRequest = offer.request.decode()?;
        match self.mpp.verify_credential_with_expected_request(&credential, &expected).await {
            Ok(receipt) => Ok(WithReceipt { receipt, body: content }.into_response()),
            Err(error) => Ok(Self::refusal(&error, offer)),
        }
    }
}

async fn handle(
    State(shop): State<Arc<Shop>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    if path == "/free" {
        return content(&method, path, &body);
    }
    let Some(price) = shop.prices.get(path) else {
        let message = format!("no such route: {path}");
        return (StatusCode::NOT_FOUND, Json(json!({ "error": message }))).into_response();
    };
    match shop.sell(price, &headers, content(&method, path, &body)).await {
        Ok(response) => response,
        Err(error) => {
            let error = line::describe("MppError", &error);
            line::complain(&error.to_string());
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": error }))).into_response()
        }
    }
}

struct OneCent;

impl ChargeConfig for OneCent {
    fn amount() -> &'static str {
        "0.01"
    }
}

async fn extracted(charge: MppCharge<OneCent>) -> Json<Value> {
    Json(json!({ "peer": "mpp", "reference": charge.receipt.reference }))
}

/// The paid content: enough of the request for a test to see that it arrived whole.
fn content(method: &Method, path: &str, body: &Bytes) -> Response {
    let mut value = json!({ "peer": "mpp", "path": path, "method": method.as_str() });
    if !matches!(*method, Method::GET | Method::HEAD) {
        value["body"] = String::from_utf8_lossy(body).into();
    }
    Json(value).into_response()
}
