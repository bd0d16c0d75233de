//! [`Connector`]: one connection, made again whenever it broke. It knows nothing of what is done over it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::error::PgError;
use super::session::{Access, Session, Statements};
use super::url::PgUrl;

/// How long commands wait for a database that does not answer, before they are told so.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// Makes connections again that broke, later and later.
pub(crate) struct Connector<S> {
    url: Arc<PgUrl>,
    access: Access,
    session: Option<Arc<Session<S>>>,
    down_since: Option<Instant>,
    /// Where its connections are served, when not where they are asked for.
    home: Option<Handle>,
}

impl<S: Statements> Connector<S> {
    pub(crate) fn new(url: Arc<PgUrl>, access: Access, session: Option<Session<S>>) -> Self {
        Self { url, access, session: session.map(Arc::new), down_since: None, home: None }
    }

    /// The same, whose connections are served by that runtime, whoever asks for them.
    pub(crate) fn served_by(mut self, home: Handle) -> Self {
        self.home = Some(home);
        self
    }

    /// A connection that works as far as is known. Tries for a while; a database that has been away for longer is tried once.
    pub(crate) async fn session(&mut self) -> Result<Arc<Session<S>>, PgError> {
        if let Some(session) = self.session.as_ref().filter(|session| !session.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let since = *self.down_since.get_or_insert_with(Instant::now);
        let mut pause = Duration::from_millis(20);
        loop {
            match self.open().await {
                Ok(session) => {
                    if self.down_since.take().is_some_and(|since| since.elapsed() > PATIENCE) {
                        tracing::info!(server = %self.url, "the database answers again");
                    }
                    return Ok(Arc::clone(self.session.insert(Arc::new(session))));
                }
                Err(error) if since.elapsed() + pause > PATIENCE => {
                    tracing::error!(server = %self.url, %error, "the database cannot be reached");
                    return Err(error);
                }
                Err(error) => {
                    tracing::debug!(server = %self.url, %error, "the database cannot be reached yet")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn open(&self) -> Result<Session<S>, PgError> {
        let Some(home) = &self.home else { return Session::open(&self.url, self.access).await };
        let (url, access) = (Arc::clone(&self.url), self.access);
        let opening = home.spawn(async move { Session::open(&url, access).await });
        opening.await.map_err(|_| PgError::Broken("nobody serves connections any more".into()))?
    }

    /// The connection is not used again.
    pub(crate) fn forget(&mut self) {
        self.session = None;
    }

    /// That connection is not used again; one that was made since is.
    pub(crate) fn forget_if(&mut self, broken: &Arc<Session<S>>) {
        self.session = self.session.take().filter(|session| !Arc::ptr_eq(session, broken));
    }
}
