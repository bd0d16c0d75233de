//! A running API with a clock that tests set, and a client that checks every answer against the document.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use farthing_api::{Api, Settings, World};
use farthing_billing::service::deposit::Addresses;
use farthing_billing::service::key::{NewApiKey, PREFIX, Scope};
use farthing_billing::service::tenant::NewTenant;
use farthing_billing::service::topup::run::RuleName;
use farthing_billing::service::{Billing, Cx, Secret, TenantId};
use farthing_ledger::Timestamp;
use farthing_ledger::testkit::MemoryStore;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

/// When tests begin.
pub const START_MS: u64 = 1_760_000_000_000;

/// A clock that stands until it is moved, and numbers that come out the same in every run.
pub struct Stage {
    now: AtomicU64,
    drawn: AtomicU64,
}

impl World for Stage {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.now.load(Ordering::SeqCst))
    }

    fn random(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let drawn = self.drawn.fetch_add(1, Ordering::SeqCst);
        for (place, chunk) in (0_u64..).zip(bytes.chunks_exact_mut(8)) {
            // A step of splitmix64: spreads a counter over all bits.
            let mut z = (drawn * 4 + place).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_be_bytes());
        }
        bytes
    }
}

/// Deposit addresses that are their index, for the token of the tests.
struct Numbered;

impl Addresses for Numbered {
    fn address(&self, index: u32) -> String {
        format!("0x{index:040x}")
    }

    fn takes(&self, network: &str, token: &str) -> bool {
        (network, token) == ("eip155:4217", "0xabcd")
    }
}

/// A running API.
pub struct Server {
    pub url: String,
    pub stage: Arc<Stage>,
    pub billing: Billing,
    pub document: Value,
    pub http: reqwest::Client,
    /// The rules for top-ups that were to be looked at.
    pub looked: Arc<Mutex<Vec<RuleName>>>,
    /// Which operations answered with which status.
    pub seen: Mutex<BTreeSet<(String, u16)>>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self.body
    }

    /// The status and the code of a problem.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A request that is being made up.
pub struct Ask<'a> {
    pub server: &'a Server,
    pub request: reqwest::RequestBuilder,
    method: String,
    path: String,
}

impl Ask<'_> {
    pub fn json(mut self, body: &Value) -> Self {
        self.request = self.request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub async fn send(self) -> Answer {
        let response = self.request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let answer = Answer { status, headers, text, body };
        self.server.check(&self.method, &self.path, &answer);
        answer
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    pub async fn start_with(settings: Settings) -> Self {
        let stage = Arc::new(Stage { now: AtomicU64::new(START_MS), drawn: AtomicU64::new(1) });
        let billing = Billing::new(Arc::new(MemoryStore::new()));
        let world: Arc<dyn World> = Arc::clone(&stage) as _;
        let looked: Arc<Mutex<Vec<RuleName>>> = Arc::default();
        let told = Arc::clone(&looked);
        let api = Api::new(billing.clone(), world, settings)
            .with_addresses(Arc::new(Numbered))
            .with_topups(Arc::new(move |rule| told.lock().unwrap().push(rule)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, api.router()).await });
        let http = reqwest::Client::new();
        let document = http.get(format!("{url}/v1/openapi.json")).send().await.unwrap().json().await.unwrap();
        Self { url, stage, billing, document, http, looked, seen: Mutex::default() }
    }

    pub fn advance(&self, ms: u64) {
        self.stage.now.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn stage_ms(&self) -> u64 {
        self.stage.now().unix_ms()
    }

    pub fn cx(&self, tenant: TenantId) -> Cx {
        Cx { tenant, now: self.stage.now(), id: self.stage.id(), idempotency: None }
    }

    /// A new tenant.
    pub async fn tenant(&self) -> TenantId {
        let new = NewTenant { name: "Example".to_owned() };
        self.billing.create_tenant(&self.cx(TenantId::from_u128(0)), &new).await.unwrap().id
    }

    /// A key of a tenant, with these scopes.
    pub async fn key(&self, tenant: TenantId, scopes: &[Scope]) -> String {
        let secret = Secret::from_bytes(self.stage.random());
        let new =
            NewApiKey { name: "test".to_owned(), scopes: scopes.iter().copied().collect(), expires_ms: None };
        self.billing.create_key(&self.cx(tenant), &new, &secret).await.unwrap();
        secret.present(PREFIX)
    }

    /// The key of a new tenant that may do everything.
    pub async fn admin(&self) -> String {
        let tenant = self.tenant().await;
        self.key(tenant, &[Scope::Admin, Scope::Read]).await
    }

    pub fn ask(&self, key: &str, line: &str) -> Ask<'_> {
        let (method, path) = line.split_once(' ').unwrap();
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = if key.is_empty() { request } else { request.bearer_auth(key) };
        Ask { server: self, request, method: method.to_owned(), path: path.to_owned() }
    }

    pub async fn get(&self, key: &str, path: &str) -> Answer {
        self.ask(key, &format!("GET {path}")).send().await
    }

    pub async fn post(&self, key: &str, path: &str, body: Value) -> Answer {
        self.ask(key, &format!("POST {path}")).json(&body).send().await
    }

    /// A customer with a wallet that has `amount` of USD.
    pub async fn funded(&self, key: &str, external_id: &str, amount: &str) -> String {
        let usd = json!({ "code": "USD", "scale": 6, "kind": "fiat" });
        self.post(key, "/v1/assets", usd).await.ok();
        let made = self.post(key, "/v1/customers", json!({ "external_id": external_id })).await.ok();
        let customer = made["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/customers/{customer}/wallets/USD/credits");
        self.post(key, &path, json!({ "amount": amount })).await.ok();
        customer
    }

    /// Holds an answer against the document.
    #[track_caller]
    fn check(&self, method: &str, path: &str, answer: &Answer) {
        assert!(answer.header("x-request-id").is_some(), "{method} {path} has no request id");
        let path = path.split('?').next().unwrap();
        let Some((template, operation)) = self.operation(method, path) else {
            assert!(matches!(answer.status, 404 | 405), "{method} {path} is not in the document: {answer:?}");
            return;
        };
        let status = answer.status.to_string();
        let mut response = &operation["responses"][&status];
        assert!(
            !response.is_null(),
            "{method} {template} answers {status}, unlike the document: {}",
            answer.text
        );
        if let Some(reference) = response["$ref"].as_str() {
            response = self.document.pointer(reference.trim_start_matches('#')).unwrap();
        }
        let said = answer.header("content-type").unwrap_or_default().split(';').next().unwrap();
        let schema = &response["content"][said]["schema"];
        assert!(
            !schema.is_null(),
            "{method} {template} {status} has the media type {said:?}, unlike the document"
        );
        if said.ends_with("json") {
            let mut whole = schema.clone();
            whole["components"] = self.document["components"].clone();
            let validator = jsonschema::draft202012::new(&whole).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&answer.body)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{method} {template} {status}: {errors:?} in {}", answer.text);
        }
        let id = operation["operationId"].as_str().unwrap().to_owned();
        self.seen.lock().unwrap().insert((id, answer.status));
    }

    /// The operation of the document that a request is for.
    fn operation(&self, method: &str, path: &str) -> Option<(&str, &Value)> {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let wanted: Vec<&str> = template.split('/').collect();
            wanted.len() == parts.len()
                && wanted.iter().zip(&parts).all(|(w, p)| w == p || (w.starts_with('{') && !p.is_empty()))
        };
        let mut found = self.document["paths"].as_object().unwrap().iter().filter(|(at, _)| fits(at));
        let (at, resource) = found.next()?;
        let operation = resource.get(method.to_ascii_lowercase())?;
        Some((at, operation))
    }
}
