//! An open loop: requests at a fixed rate, whatever the answers do. A request that could not be sent in time because the
//! connection still waited for an answer counts from when it was due, so that a server's pauses are seen whole.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Connection;
use super::closed::Outcome;
use crate::Failure;
use crate::stats::Latencies;

/// When the requests of one connection are due.
pub(crate) struct Schedule {
    next: Instant,
    every: Duration,
    until: Instant,
}

impl Schedule {
    /// The schedules of `connections` connections that together send `rate` requests a second, evenly.
    pub(crate) fn of(rate: u32, connections: u32, lasting: Duration) -> Vec<Self> {
        let start = Instant::now();
        let gap = Duration::from_secs(1) / rate;
        let (every, until) = (gap * connections, start + lasting);
        (0..connections).map(|index| Self { next: start + gap * index, every, until }).collect()
    }

    /// Waits until the next request is due; from then on its latency counts. None when the time is over.
    pub(crate) async fn due(&mut self) -> Option<Instant> {
        if self.next >= self.until {
            return None;
        }
        let due = self.next;
        self.next += self.every;
        if Instant::now() >= due {
            return Some(due);
        }
        tokio::time::sleep_until(due).await;
        // The timer rings up to a millisecond late: that is ours, not the server's.
        Some(Instant::now())
    }
}

/// An open loop of requests that are all the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) request: &'a [u8],
    pub(crate) status: u16,
    pub(crate) connections: u32,
    /// Requests a second.
    pub(crate) rate: u32,
    pub(crate) lasting: Duration,
}

impl Open<'_> {
    pub(crate) async fn run(self) -> Result<Outcome, Failure> {
        let shared = Rc::new(RefCell::new((0_u64, Latencies::new())));
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for mut schedule in Schedule::of(self.rate, self.connections, self.lasting) {
            let (shared, request) = (Rc::clone(&shared), self.request.to_vec());
            let Self { address, status, .. } = self;
            tasks.spawn_local(async move {
                let mut connection = Connection::open(address).await?;
                while let Some(due) = schedule.due().await {
                    let reply = connection.exchange(&request).await?;
                    if reply.status != status {
                        return Err(std::io::Error::other(format!("{}, not {status}", reply.status)));
                    }
                    let (answers, latencies) = &mut *shared.borrow_mut();
                    *answers += 1;
                    latencies.record(due.elapsed());
                }
                Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let (answers, latencies) = shared.replace((0, Latencies::new()));
        Ok(Outcome { answers, wall: started.elapsed(), latencies })
    }
}
