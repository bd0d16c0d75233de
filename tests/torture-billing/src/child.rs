//! [`Pool`]: the processes under test. Whoever asks gets an answer from one of them, however often they die.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex as Turn, oneshot};

use crate::call::{Answered, Asked, Call, Reply};
use crate::clock::now_ms;
use crate::place::Place;

/// How long an answer may take, deaths included.
const PATIENCE: Duration = Duration::from_secs(120);

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>;

/// One process. It dies with its owner.
struct Running {
    child: Mutex<Child>,
    input: Turn<ChildStdin>,
    waiting: Waiting,
}

/// Processes over one store.
pub struct Pool {
    store: String,
    source: PathBuf,
    tenant: String,
    running: Vec<Turn<Arc<Running>>>,
    next: AtomicU64,
    /// Calls that were asked again, because the process died or said so.
    again: AtomicU64,
}

async fn start((store, source): (&str, &Path)) -> Result<Running, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .args(["worker", "--store", store, "--source"])
        .arg(source)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let input = child.stdin.take().ok_or("no standard input")?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
    let ready = lines.next_line().await.map_err(|error| error.to_string())?;
    if ready.is_none() {
        return Err("a process did not start".to_owned());
    }
    let waiting = Waiting::default();
    let answers = Arc::clone(&waiting);
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            // The last line of a process that was killed may be cut off: that is no answer.
            let Ok(Answered { n, reply }) = serde_json::from_str(&line) else { break };
            if let Some(asked) = locked(&answers).remove(&n) {
                drop(asked.send(reply));
            }
        }
        // Whoever still waits is told that nobody answers.
        locked(&answers).clear();
    });
    Ok(Running { child: Mutex::new(child), input: Turn::new(input), waiting })
}

fn locked(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Reply>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Running {
    /// The answer, unless the process dies first.
    async fn ask(&self, asked: &Asked) -> Option<Reply> {
        let (reply, answer) = oneshot::channel();
        locked(&self.waiting).insert(asked.n, reply);
        let mut line = serde_json::to_vec(asked).ok()?;
        line.push(b'\n');
        {
            let mut input = self.input.lock().await;
            if input.write_all(&line).await.is_err() || input.flush().await.is_err() {
                locked(&self.waiting).remove(&asked.n);
                return None;
            }
        }
        // A process that died between has nobody who reads its answers any more.
        tokio::time::timeout(Duration::from_secs(30), answer).await.ok()?.ok()
    }
}

impl Pool {
    /// Starts them.
    ///
    /// # Errors
    /// A sentence.
    pub async fn start(place: &Place, tenant: &str) -> Result<Self, String> {
        let (store, source) = (place.name(), place.source());
        let mut running = Vec::new();
        for _ in 0..place.processes() {
            running.push(Turn::new(Arc::new(start((&store, &source)).await?)));
        }
        let (next, again) = (AtomicU64::new(1), AtomicU64::new(0));
        Ok(Self { store, source, tenant: tenant.to_owned(), running, next, again })
    }

    /// How many processes there are.
    pub const fn processes(&self) -> usize {
        self.running.len()
    }

    /// How many calls were asked again.
    pub fn again(&self) -> u64 {
        self.again.load(Ordering::Relaxed)
    }

    /// Asks until somebody answers.
    ///
    /// # Errors
    /// A sentence, when nobody does in time.
    pub async fn ask(&self, key: Option<&str>, call: &Call) -> Result<Reply, String> {
        self.ask_at(now_ms, key, call).await
    }

    /// The same, at a time of the caller's.
    ///
    /// # Errors
    /// As [`Pool::ask`].
    pub async fn ask_at(
        &self,
        now: impl Fn() -> u64,
        key: Option<&str>,
        call: &Call,
    ) -> Result<Reply, String> {
        let asking = async {
            loop {
                let n = self.next.fetch_add(1, Ordering::Relaxed);
                let index = usize::try_from(n).unwrap_or(0) % self.running.len();
                // Not while it is being started again.
                let process = Arc::clone(&*self.running[index].lock().await);
                let key = key.map(str::to_owned);
                let asked = Asked { n, tenant: self.tenant.clone(), now_ms: now(), key, call: call.clone() };
                match process.ask(&asked).await {
                    Some(Reply::Later(_)) | None => {
                        self.again.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    Some(reply) => return reply,
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.map_err(|_| format!("nobody answered {call:?}"))
    }

    /// SIGKILL, and started again.
    ///
    /// # Errors
    /// A sentence, when it does not come back.
    pub async fn kill(&self, index: usize) -> Result<(), String> {
        let mut place = self.running[index].lock().await;
        let killed = place.child.lock().unwrap_or_else(PoisonError::into_inner).start_kill();
        killed.map_err(|error| format!("it had ended by itself: {error}"))?;
        *place = Arc::new(start((&self.store, &self.source)).await?);
        Ok(())
    }
}
