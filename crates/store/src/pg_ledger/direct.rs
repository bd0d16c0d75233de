//! [`Direct`]: a connection over which whoever asks looks at the log by themselves. The question is written to the socket where the
//! balance is asked for, and the answer is read there: nobody else has to be given a CPU first.
//!
//! One at a time. While it is in use, or broken, [`super::follower`] answers, so that nobody waits for a question whose asker has stopped
//! looking at it.

use std::sync::Arc;
use std::time::Duration;

use farthing_ledger::store::StoreError;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};
use tokio::time::Instant;

use super::error::Failure;
use super::follower::{Fresh, ORPHANED};
use super::look::{Look, Seen};
use super::sql::Session;
use crate::postgres::PgUrl;
use crate::postgres::error::PgError;
use crate::postgres::serving::Serving;
use crate::postgres::session::{Access, within};

/// How long a look may take here, before it is left to the follower.
const SOON: Duration = Duration::from_secs(2);

/// How long after it could not be made the connection is tried again.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Direct {
    url: Arc<PgUrl>,
    look: Look,
    line: Arc<Mutex<Line>>,
}

/// The connection.
struct Line {
    open: Option<(Session, Serving)>,
    /// When it may be tried to make it.
    not_before: Instant,
    /// When the follower was told last that something is not marked durable.
    told: Instant,
}

impl Direct {
    pub(super) fn new(url: Arc<PgUrl>, look: Look) -> Self {
        let now = Instant::now();
        Self { url, look, line: Arc::new(Mutex::new(Line { open: None, not_before: now, told: now })) }
    }

    /// Waits until the view is what the log is now, as far as that is on disk.
    pub(super) async fn refresh(&self, follower: &mpsc::Sender<Fresh>) -> Result<(), StoreError> {
        if let Ok(line) = Arc::clone(&self.line).try_lock_owned()
            && self.look(line, follower).await
        {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        follower.send(reply).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Looks over the connection here; false when the follower has to.
    async fn look(&self, mut line: OwnedMutexGuard<Line>, follower: &mpsc::Sender<Fresh>) -> bool {
        let Some((session, serving)) = &mut line.open else {
            self.open(line);
            return false;
        };
        let looking = async { Ok(self.look.look(session).await) };
        match serving.during(within(SOON, "looking at the log", looking)).await {
            Ok(Ok(Seen::All(ends))) => {
                if !ends.is_durable() && line.told.elapsed() >= ORPHANED {
                    line.told = Instant::now();
                    // It sees to what nobody makes durable. Nobody waits for that.
                    drop(follower.try_send(oneshot::channel().0));
                }
                true
            }
            Ok(Err(Failure::Before(PgError::Broken(_)))) | Err(_) => {
                line.open = None;
                false
            }
            // The connection is as good as before.
            Ok(Ok(Seen::Some) | Err(_)) => false,
        }
    }

    /// Whether there is a connection, which nobody uses.
    #[cfg(test)]
    pub(super) fn is_ready(&self) -> bool {
        self.line.try_lock().is_ok_and(|line| line.open.is_some())
    }

    /// Makes the connection, while others are answered without it.
    fn open(&self, mut line: OwnedMutexGuard<Line>) {
        if line.not_before > Instant::now() {
            return;
        }
        let url = Arc::clone(&self.url);
        tokio::spawn(async move {
            match Session::open_alone(&url, Access::Read).await {
                Ok(open) => line.open = Some(open),
                Err(error) => {
                    tracing::debug!(server = %url, %error, "the database cannot be reached yet");
                    line.not_before = Instant::now() + PAUSE;
                }
            }
        });
    }
}
