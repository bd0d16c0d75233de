//! The `mpp` crate as the buyer: pays for a URL and prints one line an answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mpp::client::{AcceptPaymentPolicy, ClientEvents, Fetch, HttpError, PaymentProvider, TempoProvider};
use mpp::{MppError, PrivateKeySigner};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Map, Value, json};

use crate::config::{ClientConfig, Mode};
use crate::line;

/// What happened while the crate paid, kept for the line that reports it.
type Trace = Arc<Mutex<Map<String, Value>>>;

/// Pays `count` times, one after the other.
pub(crate) async fn run(config: &ClientConfig) -> Result<(), String> {
    if config.mode == Mode::Push {
        let message = "the mpp crate pays in pull mode only";
        line::print(&failed(0, json!({ "type": "Unsupported", "message": message })));
        return Ok(());
    }
    let http = reqwest::Client::builder()
        .timeout(Duration::from_mins(1))
        .build()
        .map_err(|error| format!("HTTP client: {error}"))?;
    let provider = provider(config)?;
    for n in 0..config.count {
        let trace = Trace::default();
        let outcome = if config.send_credential {
            pay(config, &http, &provider, &trace).await
        } else {
            sign(config, &http, &provider, &trace).await
        };
        let mut line = match outcome {
            Ok(answer) => answer,
            Err(error) => failed(n, line::describe(error_kind(&error), &error)),
        };
        line["n"] = json!(n);
        for (key, value) in trace.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            line[key] = value.clone();
        }
        line::print(&line);
    }
    Ok(())
}

fn provider(config: &ClientConfig) -> Result<TempoProvider, String> {
    let signer: PrivateKeySigner =
        config.private_key.parse().map_err(|error| format!("privateKey: {error}"))?;
    let mut provider = TempoProvider::new(signer, &config.rpc_url)
        .map_err(|error| format!("rpcUrl: {error}"))?
        .with_expected_chain_id(config.chain_id);
    if let Some(client_id) = &config.client_id {
        provider = provider.with_client_id(client_id);
    }
    Ok(provider)
}

fn request(config: &ClientConfig, http: &reqwest::Client) -> Result<RequestBuilder, HttpError> {
    let name = config.method.as_deref().unwrap_or("GET");
    let method = Method::from_bytes(name.as_bytes())
        .map_err(|error| MppError::InvalidConfig(format!("method: {error}")))?;
    let mut request = http.request(method, config.url.clone());
    for (name, value) in &config.headers {
        request = request.header(name, value);
    }
    if let Some(body) = &config.body {
        request = request.body(body.clone());
    }
    Ok(request)
}

/// Pays and returns the whole answer.
async fn pay(
    config: &ClientConfig,
    http: &reqwest::Client,
    provider: &TempoProvider,
    trace: &Trace,
) -> Result<Value, HttpError> {
    let events = ClientEvents::default();
    let seen = Arc::clone(trace);
    let _subscription = events.on_credential_created(move |context| {
        note(&seen, &context.challenge, &context.credential);
        async {}
    });
    let response = request(config, http)?
        .send_with_payment_options_max_retries(
            provider,
            &AcceptPaymentPolicy::Always,
            events.clone(),
            config.max_payment_retries,
        )
        .await?;
    answer(response).await
}

/// Signs the payment but leaves the credential unsent.
async fn sign(
    config: &ClientConfig,
    http: &reqwest::Client,
    provider: &TempoProvider,
    trace: &Trace,
) -> Result<Value, HttpError> {
    let response = request(config, http)?.send().await.map_err(HttpError::Request)?;
    let header = response.headers().get(mpp::WWW_AUTHENTICATE_HEADER).ok_or(HttpError::MissingChallenge)?;
    let header = String::from_utf8_lossy(header.as_bytes()).into_owned();
    let challenge = mpp::parse_www_authenticate(&header)?;
    let credential = provider.pay(&challenge).await?;
    note(trace, &challenge, &credential);
    answer(response).await
}

fn note(trace: &Trace, challenge: &mpp::PaymentChallenge, credential: &mpp::PaymentCredential) {
    let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(text) = mpp::format_www_authenticate(challenge) {
        trace.insert("challenge".to_owned(), text.into());
    }
    if let Ok(text) = mpp::format_authorization(credential) {
        trace.insert("credential".to_owned(), text.into());
    }
}

/// The answer as the line reports it.
async fn answer(response: Response) -> Result<Value, HttpError> {
    let status = response.status().as_u16();
    let headers: BTreeMap<String, String> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let receipt = headers.get(mpp::PAYMENT_RECEIPT_HEADER).map(|header| mpp::parse_receipt(header));
    let mut line = json!({ "status": status, "headers": headers });
    match receipt {
        Some(Ok(receipt)) => line["receipt"] = json!(receipt),
        Some(Err(error)) => line["receiptError"] = line::describe("MppError", &error),
        None => {}
    }
    line["body"] = response.text().await.map_err(HttpError::Request)?.into();
    Ok(line)
}

fn failed(n: usize, error: Value) -> Value {
    let mut line = json!({ "n": n, "status": null, "headers": {}, "body": "" });
    line["error"] = error;
    line
}

/// The name of an error's variant, which is what a test can match on.
fn error_kind(error: &HttpError) -> &'static str {
    match error {
        HttpError::MissingChallenge => "MissingChallenge",
        HttpError::NoSupportedChallenge(_) => "NoSupportedChallenge",
        HttpError::InvalidChallenge(_) => "InvalidChallenge",
        HttpError::InvalidCredential(_) => "InvalidCredential",
        HttpError::CloneFailed => "CloneFailed",
        HttpError::CrossOriginRedirect => "CrossOriginRedirect",
        HttpError::CrossRealmProof => "CrossRealmProof",
        HttpError::UnsafeCredentialHeader => "UnsafeCredentialHeader",
        HttpError::Payment(_) => "Payment",
        HttpError::Request(_) => "Request",
    }
}
