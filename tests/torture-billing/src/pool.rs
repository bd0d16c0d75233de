//! [`Pool`]: the processes under test. Whoever asks gets an answer from one of them, however often they die.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex as Turn;

use crate::call::{Asked, Call, Reply};
use crate::clock::now_ms;
use crate::pipe::Pipe;
use crate::place::Place;
use crate::served::{Served, Settings};
use crate::world::World;

/// How long an answer may take, deaths included.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is under test.
#[derive(Debug, Clone)]
pub enum Program {
    /// The service in a process of this program.
    Worker {
        /// The store.
        store: String,
        /// The scripted card processor.
        source: PathBuf,
        /// In whose name it is asked.
        tenant: String,
    },
    /// `farthing billing serve`.
    Served(Settings),
}

/// One process.
enum Running {
    Worker(Pipe),
    Served(Served),
}

/// Processes over one store.
pub struct Pool {
    program: Program,
    running: Vec<Turn<Arc<Running>>>,
    next: AtomicU64,
    /// Calls that were asked again, because the process died or said so.
    again: AtomicU64,
}

impl Program {
    /// A worker over the store of `place`.
    pub fn worker(place: &Place, world: &World) -> Self {
        Self::Worker { store: place.name(), source: place.source(), tenant: world.tenant_text() }
    }

    async fn start(&self) -> Result<Running, String> {
        Ok(match self {
            Self::Worker { store, source, .. } => Running::Worker(Pipe::start(store, source).await?),
            Self::Served(settings) => Running::Served(Served::start(settings).await?),
        })
    }

    fn tenant(&self) -> String {
        match self {
            Self::Worker { tenant, .. } => tenant.clone(),
            // The API key says it.
            Self::Served(_) => String::new(),
        }
    }
}

impl Pool {
    /// Starts them.
    ///
    /// # Errors
    /// A sentence.
    pub async fn start(place: &Place, program: Program) -> Result<Self, String> {
        let mut running = Vec::new();
        for _ in 0..place.processes() {
            running.push(Turn::new(Arc::new(program.start().await?)));
        }
        Ok(Self { program, running, next: AtomicU64::new(1), again: AtomicU64::new(0) })
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

    /// The same, at a time of the caller's; what is served has a clock of its own.
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
                let (n, process) = self.next().await;
                let key = key.map(str::to_owned);
                let tenant = self.program.tenant();
                let asked = Asked { n, tenant, now_ms: now(), key, call: call.clone() };
                let reply = match &*process {
                    Running::Worker(pipe) => pipe.ask(&asked).await,
                    Running::Served(served) => served.ask(&asked).await,
                };
                if let Some(reply) = self.unless_later(reply).await {
                    return reply;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.map_err(|_| format!("nobody answered {call:?}"))
    }

    /// Asks what is served for what no client of the torture asks for: a GET, or a POST with a body.
    ///
    /// # Errors
    /// As [`Pool::ask`]; and when it is refused.
    pub async fn fetch(&self, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let asking = async {
            loop {
                let (_, process) = self.next().await;
                let Running::Served(served) = &*process else {
                    return Reply::Refused("not_served".to_owned());
                };
                let reply = served.send(None, (path, body.cloned())).await;
                if let Some(reply) = self.unless_later(reply).await {
                    return reply;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Reply::Done(value)) => Ok(value),
            Ok(other) => Err(format!("{path}: {other:?}")),
            Err(_) => Err(format!("nobody answered {path}")),
        }
    }

    /// Whose turn it is, and the number of the call. Not while it is being started again.
    async fn next(&self) -> (u64, Arc<Running>) {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let index = usize::try_from(n).unwrap_or(0) % self.running.len();
        (n, Arc::clone(&*self.running[index].lock().await))
    }

    /// The reply, unless it is to be asked for again; then a little later.
    async fn unless_later(&self, reply: Option<Reply>) -> Option<Reply> {
        match reply {
            Some(Reply::Later(_)) | None => {
                self.again.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
                None
            }
            reply => reply,
        }
    }

    /// SIGKILL, and started again; if wanted, once more in between, so long after its start.
    ///
    /// # Errors
    /// A sentence, when it does not come back.
    pub async fn kill(&self, index: usize, in_between: Option<Duration>) -> Result<(), String> {
        let mut place = self.running[index].lock().await;
        match &**place {
            Running::Worker(pipe) => pipe.kill()?,
            Running::Served(served) => served.kill().await?,
        }
        if let (Some(after), Program::Served(settings)) = (in_between, &self.program) {
            Served::start_in_vain(settings, after).await?;
        }
        *place = Arc::new(self.program.start().await?);
        Ok(())
    }
}
