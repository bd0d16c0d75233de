//! [`Served`]: `farthing billing serve` itself, asked over HTTP with an API key and idempotency keys.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::call::{Asked, Call, Reply};
use crate::world::ASSET;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How it is started, and in whose name it is asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program.
    pub binary: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Its home.
    pub home: PathBuf,
    /// The API key.
    pub key: String,
}

/// One process. It dies with its owner.
pub struct Served {
    child: Mutex<Child>,
    url: String,
    key: String,
    http: Client,
}

/// Starts `farthing` with these arguments, without the environment of whoever runs this.
fn farthing(settings: &Settings, args: &[&str]) -> Command {
    let mut command = Command::new(&settings.binary);
    command.args(args).args(["--output", "json"]).env_clear().env("FARTHING_HOME", &settings.home);
    // That blocks are replaced is no news here.
    command.env("FARTHING_LOG", "error");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// A command that stays, and what it says when it is ready.
///
/// # Errors
/// A sentence.
pub async fn start(settings: &Settings, args: &[&str]) -> Result<(Child, Value), String> {
    let mut child = farthing(settings, args).spawn().map_err(|error| error.to_string())?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = lines.next_line().await.map_err(|error| error.to_string())?.unwrap_or_default();
    let ready =
        serde_json::from_str(&line).map_err(|_| format!("farthing {args:?} did not start: {line:?}"))?;
    Ok((child, ready))
}

/// Runs a command to its end. What it said, and whether it went well.
///
/// # Errors
/// A sentence, when it cannot be started.
pub async fn finish(settings: &Settings, args: &[&str]) -> Result<(bool, String), String> {
    let output = farthing(settings, args).output().await.map_err(|error| error.to_string())?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

impl Served {
    /// Starts one, and waits until it is ready.
    ///
    /// # Errors
    /// A sentence.
    pub async fn start(settings: &Settings) -> Result<Self, String> {
        let (child, ready) = start(settings, &Self::args(settings)).await?;
        let url = ready["url"].as_str().ok_or("a service without an address")?.to_owned();
        let http =
            Client::builder().timeout(PATIENCE).no_proxy().build().map_err(|error| error.to_string())?;
        Ok(Self { child: Mutex::new(child), url, key: settings.key.clone(), http })
    }

    /// Starts one, and kills it before long: most likely while it opens the store.
    ///
    /// # Errors
    /// A sentence.
    pub async fn start_in_vain(settings: &Settings, after: Duration) -> Result<(), String> {
        let mut child =
            farthing(settings, &Self::args(settings)).spawn().map_err(|error| error.to_string())?;
        tokio::time::sleep(after).await;
        child.kill().await.map_err(|error| error.to_string())
    }

    fn args(settings: &Settings) -> [&str; 6] {
        let config = settings.config.to_str().unwrap_or_default();
        ["billing", "serve", "--config", config, "--listen", "127.0.0.1:0"]
    }

    /// The answer, unless the process dies first.
    pub async fn ask(&self, asked: &Asked) -> Option<Reply> {
        let Some((path, body)) = request(&asked.call) else {
            return Some(Reply::Refused("not_over_http".to_owned()));
        };
        self.send(asked.key.as_deref(), (&path, body)).await
    }

    /// A GET without a body, a POST with one.
    pub async fn send(&self, key: Option<&str>, (path, body): (&str, Option<Value>)) -> Option<Reply> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        // An answer that is cut off is none.
        let value: Value = answer.json().await.ok()?;
        let code = || value["code"].as_str().unwrap_or("no_code").to_owned();
        Some(match status {
            200..=299 => Reply::Done(value),
            429 | 503 => Reply::Later(code()),
            _ => Reply::Refused(code()),
        })
    }

    /// SIGKILL. It is gone when this returns, and its store is nobody's.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub async fn kill(&self) -> Result<(), String> {
        let mut child = self.child.lock().await;
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it had ended by itself: {status}"));
        }
        child.kill().await.map_err(|error| error.to_string())
    }
}

/// A call as a request: where, and with which body. The rest is done by the service itself.
fn request(call: &Call) -> Option<(String, Option<Value>)> {
    let hold = |id: &str, what: &str, body: Value| Some((format!("/v1/holds/{id}/{what}"), Some(body)));
    match call {
        Call::Credit { customer, credit } => {
            Some((format!("/v1/customers/{customer}/wallets/{ASSET}/credits"), Some(json!(credit))))
        }
        Call::Place { new } => Some(("/v1/holds".to_owned(), Some(json!(new)))),
        Call::Capture { hold: id, capture } => hold(id, "capture", json!(capture)),
        Call::Void { hold: id, void } => hold(id, "void", json!(void)),
        Call::Refund { hold: id, refund } => hold(id, "refund", json!(refund)),
        Call::Usage { new } => Some(("/v1/usage_events".to_owned(), Some(json!(new)))),
        Call::Wallet { customer } => Some((format!("/v1/customers/{customer}/wallets/{ASSET}"), None)),
        Call::Deposit { .. } | Call::TopUp { .. } | Call::Expire => None,
    }
}
