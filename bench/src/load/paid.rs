//! Paid calls: a challenge is asked for, answered with a voucher that nobody has used, and the paid request is what is timed.

use std::cell::{Cell, RefCell};
use std::io::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use farthing_protocol::{Challenge, PaymentProof};
use tokio::task::JoinSet;

use super::closed::Outcome;
use super::open::Schedule;
use super::{Connection, get};
use crate::Failure;
use crate::stats::Latencies;

/// Vouchers that nobody has used yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vouchers(Rc<Cell<u64>>);

impl Vouchers {
    fn next(&self) -> u64 {
        self.0.replace(self.0.get() + 1)
    }
}

/// Paid calls, each of them once.
#[derive(Debug, Clone)]
pub(crate) struct PaidCalls {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
    pub(crate) vouchers: Vouchers,
    pub(crate) connections: u32,
    pub(crate) lasting: Duration,
}

impl PaidCalls {
    /// One call in flight on each connection, all the time.
    pub(crate) async fn closed(self) -> Result<Outcome, Failure> {
        let until = tokio::time::Instant::now() + self.lasting;
        let schedules = (0..self.connections).map(|_| Pace::Until(until)).collect();
        self.run(schedules).await
    }

    /// At a fixed rate.
    pub(crate) async fn open(self, rate: u32) -> Result<Outcome, Failure> {
        let schedules = Schedule::of(rate, self.connections, self.lasting);
        self.run(schedules.into_iter().map(Pace::Scheduled).collect()).await
    }

    async fn run(self, paces: Vec<Pace>) -> Result<Outcome, Failure> {
        let shared = Rc::new(RefCell::new((0_u64, Latencies::new())));
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for mut pace in paces {
            let (shared, calls) = (Rc::clone(&shared), self.clone());
            tasks.spawn_local(async move {
                let mut connection = Connection::open(calls.address).await?;
                let unpaid = get(calls.path);
                loop {
                    // Before it is due: what is timed is the paid request alone.
                    let paid = calls.prepare(&mut connection, &unpaid).await?;
                    let Some(due) = pace.due().await else { return Ok::<_, Error>(()) };
                    let reply = connection.exchange(&paid).await?;
                    if reply.status != 200 {
                        let text = String::from_utf8_lossy(connection.answer()).into_owned();
                        return Err(Error::other(format!("a paid call was answered: {text}")));
                    }
                    let (answers, latencies) = &mut *shared.borrow_mut();
                    *answers += 1;
                    latencies.record(due.elapsed());
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let (answers, latencies) = shared.replace((0, Latencies::new()));
        Ok(Outcome { answers, wall: started.elapsed(), latencies })
    }

    async fn prepare(&self, connection: &mut Connection, unpaid: &[u8]) -> Result<Vec<u8>, Error> {
        connection.exchange(unpaid).await?;
        let head = std::str::from_utf8(connection.head()).map_err(Error::other)?;
        let value = head.lines().find_map(|line| line.strip_prefix("www-authenticate: "));
        let value = value.ok_or_else(|| Error::other(format!("no challenge: {head}")))?;
        let challenge = Challenge::parse(value).map_err(Error::other)?;
        let payload =
            serde_json::value::to_raw_value(&serde_json::json!({ "voucher": self.vouchers.next() }))?;
        let credential = challenge.answer(&PaymentProof { payload, source: None }).map_err(Error::other)?;
        let path = self.path;
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\nAuthorization: {credential}\r\n\r\n"
        );
        Ok(text.into_bytes())
    }
}

enum Pace {
    Until(tokio::time::Instant),
    Scheduled(Schedule),
}

impl Pace {
    async fn due(&mut self) -> Option<tokio::time::Instant> {
        match self {
            Self::Until(until) => {
                let now = tokio::time::Instant::now();
                (now < *until).then_some(now)
            }
            Self::Scheduled(schedule) => schedule.due().await,
        }
    }
}
