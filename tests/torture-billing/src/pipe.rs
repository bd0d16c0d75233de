//! [`Pipe`]: a worker of ours, asked over its standard input and output.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex as Turn, oneshot};

use crate::call::{Answered, Asked, Reply};

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>;

/// One process. It dies with its owner.
pub struct Pipe {
    child: Mutex<Child>,
    input: Turn<ChildStdin>,
    waiting: Waiting,
}

fn locked(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Reply>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipe {
    /// Starts one, and waits until it is ready.
    ///
    /// # Errors
    /// A sentence.
    pub async fn start(store: &str, source: &Path) -> Result<Self, String> {
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
        Ok(Self { child: Mutex::new(child), input: Turn::new(input), waiting })
    }

    /// The answer, unless the process dies first.
    pub async fn ask(&self, asked: &Asked) -> Option<Reply> {
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

    /// SIGKILL.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub fn kill(&self) -> Result<(), String> {
        let killed = self.child.lock().unwrap_or_else(PoisonError::into_inner).start_kill();
        killed.map_err(|error| format!("it had ended by itself: {error}"))
    }
}
