//! A closed loop: so many connections, each sends its next request when it has the answer to the last one. Says what a server
//! can do, and nothing about how long clients wait that do not wait for it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Connection;
use crate::Failure;
use crate::stats::Latencies;

/// When a closed loop ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    Answered(u64),
}

/// A closed loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closed<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) request: &'a [u8],
    /// What every answer has to be.
    pub(crate) status: u16,
    pub(crate) connections: u64,
    pub(crate) until: Until,
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) answers: u64,
    pub(crate) wall: Duration,
    pub(crate) latencies: Latencies,
}

impl Closed<'_> {
    /// Runs it on the tasks of this thread.
    pub(crate) async fn run(self) -> Result<Outcome, Failure> {
        let shared = Rc::new(RefCell::new((0_u64, Latencies::new())));
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..self.connections {
            let (shared, request) = (Rc::clone(&shared), self.request.to_vec());
            let Self { address, status, until, .. } = self;
            tasks.spawn_local(async move {
                let mut connection = Connection::open(address).await?;
                while until.goes_on(started, shared.borrow().0) {
                    let sent = Instant::now();
                    let reply = connection.exchange(&request).await?;
                    if reply.status != status {
                        let text = String::from_utf8_lossy(connection.answer()).into_owned();
                        return Err(std::io::Error::other(format!("not {status}: {text}")));
                    }
                    let (answers, latencies) = &mut *shared.borrow_mut();
                    *answers += 1;
                    latencies.record(sent.elapsed());
                }
                Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let wall = started.elapsed();
        let (answers, latencies) = shared.replace((0, Latencies::new()));
        Ok(Outcome { answers, wall, latencies })
    }
}

impl Until {
    /// Whether another request is sent.
    pub(crate) fn goes_on(self, started: Instant, answers: u64) -> bool {
        match self {
            Self::Elapsed(time) => started.elapsed() < time,
            Self::Answered(most) => answers < most,
        }
    }
}
