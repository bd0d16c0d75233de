//! localstripe, a Stripe-compatible server that we did not write, and a proxy before it that does what the real one does and this
//! one does not (idempotency keys, lists of one customer), and fails on demand.

use std::collections::BTreeMap;
use std::net::TcpListener as StdListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::skipped;

pub const SECRET: &str = "sk_test_12345";

/// A running localstripe. It stops when dropped.
pub struct LocalStripe {
    process: Child,
    pub url: String,
    folder: tempfile::TempDir,
}

impl Drop for LocalStripe {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl LocalStripe {
    /// `None`, and a loud word, where the environment names no Python that has it.
    #[allow(clippy::disallowed_methods, reason = "a test is the outermost ring")]
    pub async fn start() -> Option<Self> {
        let missing =
            "set FARTHING_INTEROP_PYTHON to a Python with tests/interop/py/requirements.txt (localstripe)";
        let Some(python) = std::env::var_os("FARTHING_INTEROP_PYTHON") else {
            skipped(missing);
            return None;
        };
        let has_it = Command::new(&python)
            .args(["-c", "import localstripe"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !has_it {
            skipped(missing);
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(&python)
            .args(["-m", "localstripe", "--from-scratch", "--port", &port.to_string()])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let it = Self { process, url: format!("http://127.0.0.1:{port}"), folder };
        for _ in 0..300 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(it);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("localstripe does not listen");
    }

    pub async fn post(&self, path: &str, body: &str) -> Value {
        let sent = reqwest::Client::new()
            .post(format!("{}{path}", self.url))
            .bearer_auth(SECRET)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        assert!(sent.status().is_success(), "{path}: {}", sent.status());
        sent.json().await.unwrap()
    }

    /// A customer with a card of this number: `cus_…` and `pm_…`.
    pub async fn customer(&self, card: &str) -> (String, String) {
        let customer = self.post("/v1/customers", "description=x").await;
        let card =
            format!("type=card&card[number]={card}&card[exp_month]=12&card[exp_year]=2035&card[cvc]=123");
        let method = self.post("/v1/payment_methods", &card).await;
        let text = |value: &Value| value["id"].as_str().unwrap().to_owned();
        let (customer, method) = (text(&customer), text(&method));
        self.post(&format!("/v1/payment_methods/{method}/attach"), &format!("customer={customer}")).await;
        (customer, method)
    }

    /// All payment intents: status and amount.
    pub async fn intents(&self) -> Vec<(String, u64)> {
        let url = format!("{}/v1/payment_intents?limit=1000", self.url);
        let answer = reqwest::Client::new().get(url).bearer_auth(SECRET).send().await.unwrap();
        let list: Value = answer.json().await.unwrap();
        let read = |it: &Value| (it["status"].as_str().unwrap().to_owned(), it["amount"].as_u64().unwrap());
        list["data"].as_array().unwrap().iter().map(read).collect()
    }
}

/// What goes wrong with requests that charge, once each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The request does not arrive.
    LoseRequest,
    /// It arrives, and the connection ends without an answer.
    LoseAnswer,
    /// It arrives, and the answer is an error of the server's.
    ServerError,
    /// It arrives, and no answer comes for longer than anybody waits.
    Silence,
    /// It does not arrive: this is answered, with 402 and a card error of this code.
    Decline(&'static str),
}

/// The first answer to each key.
type Kept = BTreeMap<String, (u16, Vec<u8>)>;

/// The proxy.
#[derive(Clone)]
pub struct Proxy {
    pub url: String,
    faults: Arc<Mutex<Vec<Fault>>>,
    kept: Arc<tokio::sync::Mutex<Kept>>,
    pub charges: Arc<Mutex<Vec<String>>>,
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Proxy {
    pub async fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let it = Self { url, faults: Arc::default(), kept: Arc::default(), charges: Arc::default() };
        let (server, upstream) = (it.clone(), upstream.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, upstream) = (server.clone(), upstream.clone());
                tokio::spawn(async move { server.serve(stream, &upstream).await });
            }
        });
        it
    }

    pub fn fail(&self, fault: Fault) {
        self.faults.lock().unwrap().push(fault);
    }

    async fn serve(&self, mut stream: TcpStream, upstream: &str) {
        let Some(request) = read(&mut stream).await else { return };
        let charges = request.method == "POST" && request.path == "/v1/payment_intents";
        let fault = charges.then(|| self.faults.lock().unwrap().pop()).flatten();
        if charges {
            self.charges.lock().unwrap().push(request.headers["idempotency-key"].clone());
        }
        match fault {
            Some(Fault::LoseRequest) => return,
            Some(Fault::Decline(code)) => {
                let error = serde_json::json!({"error": {"type": "card_error", "code": "card_declined",
                    "decline_code": code, "message": "Your card was declined."}});
                return answer(&mut stream, 402, error.to_string().as_bytes()).await;
            }
            _ => {}
        }
        let (status, body) = self.forward(&request, upstream).await;
        match fault {
            Some(Fault::LoseAnswer) => {}
            Some(Fault::Silence) => tokio::time::sleep(Duration::from_secs(120)).await,
            Some(Fault::ServerError) => {
                answer(&mut stream, 500, b"{\"error\":{\"type\":\"api_error\"}}").await
            }
            _ => answer(&mut stream, status, &body).await,
        }
    }

    /// As Stripe documents it: the first answer to a key is the answer to all requests with it.
    async fn forward(&self, request: &Request, upstream: &str) -> (u16, Vec<u8>) {
        let key = request.headers.get("idempotency-key").filter(|_| request.method == "POST");
        let mut kept = self.kept.lock().await;
        if let Some(answer) = key.and_then(|key| kept.get(key)) {
            return answer.clone();
        }
        // The server below knows no filters: the one who asks reads what it is told again, and pages through all of it.
        let path = match request.path.split_once('?') {
            Some((path, query)) if path == "/v1/payment_intents" => {
                let keep =
                    query.split('&').filter(|pair| pair.starts_with("limit") || pair.starts_with("starting"));
                format!("{path}?{}", keep.collect::<Vec<_>>().join("&"))
            }
            _ => request.path.clone(),
        };
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).unwrap();
        let mut sent = reqwest::Client::new().request(method, format!("{upstream}{path}"));
        for name in ["authorization", "content-type"] {
            if let Some(value) = request.headers.get(name) {
                sent = sent.header(name, value);
            }
        }
        let got = sent.body(request.body.clone()).send().await.unwrap();
        let answer = (got.status().as_u16(), got.bytes().await.unwrap().to_vec());
        if let Some(key) = key {
            kept.insert(key.clone(), answer.clone());
        }
        answer
    }
}

async fn answer(stream: &mut TcpStream, status: u16, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok();
    stream.write_all(body).await.ok();
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut chunk = [0_u8; 16 * 1024];
    loop {
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let mut lines = text[..end].lines();
        let mut first = lines.next()?.split(' ');
        let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
        let pair = |line: &str| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers: BTreeMap<String, String> = lines.filter_map(pair).collect();
        let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        if bytes.len() >= end + 4 + length {
            return Some(Request { method, path, headers, body: bytes.split_off(end + 4) });
        }
    }
}
