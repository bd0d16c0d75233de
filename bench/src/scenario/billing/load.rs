//! Pairs over HTTP: a connection places a hold, waits, captures it, waits; each call with an idempotency key that nobody has used.

use std::cell::RefCell;
use std::io::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use farthing_billing::service::Named as _;
use tokio::task::JoinSet;

use super::place::{ASSET, Shop};
use crate::Failure;
use crate::load::Connection;
use crate::load::closed::{Outcome, Until};
use crate::stats::Latencies;

/// A closed loop of pairs, the connections shared between the servers.
pub(super) struct Pairs<'a> {
    pub(super) addresses: &'a [SocketAddr],
    pub(super) shop: &'a Shop,
    pub(super) connections: u64,
    pub(super) until: Until,
}

/// What came of both halves of the pairs.
pub(super) struct Side {
    pub(super) holds: Outcome,
    pub(super) captures: Outcome,
}

/// Latencies of holds and of captures, and how many there are of each.
#[derive(Debug)]
pub(super) struct Both {
    halves: [(u64, Latencies); 2],
}

impl Both {
    pub(super) fn new() -> Self {
        Self { halves: [(0, Latencies::new()), (0, Latencies::new())] }
    }

    pub(super) fn record(&mut self, half: usize, latency: Duration) {
        let (count, latencies) = &mut self.halves[half];
        *count += 1;
        latencies.record(latency);
    }

    pub(super) const fn pairs(&self) -> u64 {
        self.halves[1].0
    }

    pub(super) fn side(self, wall: Duration) -> Side {
        let [holds, captures] = self.halves.map(|(answers, latencies)| Outcome { answers, wall, latencies });
        Side { holds, captures }
    }
}

impl Pairs<'_> {
    pub(super) async fn run(self) -> Result<Side, Failure> {
        let both = Rc::new(RefCell::new(Both::new()));
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for index in 0..usize::try_from(self.connections)? {
            let (both, until) = (Rc::clone(&both), self.until);
            let address = self.addresses[index % self.addresses.len()];
            let key = self.shop.keys[index % self.shop.keys.len()].clone();
            let customers = self.shop.customers.clone();
            tasks.spawn_local(async move {
                let mut connection = Connection::open(address).await?;
                while until.goes_on(started, both.borrow().pairs()) {
                    let customer = customers[rand::random_range(0..customers.len())];
                    let sent = Instant::now();
                    let id = hold(&mut connection, &key, &customer.text()).await?;
                    both.borrow_mut().record(0, sent.elapsed());
                    let sent = Instant::now();
                    capture(&mut connection, &key, &id).await?;
                    both.borrow_mut().record(1, sent.elapsed());
                }
                Ok::<_, Error>(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let wall = started.elapsed();
        Ok(both.replace(Both::new()).side(wall))
    }
}

/// The body that answers a hold.
pub(super) async fn sample(address: SocketAddr, shop: &Shop) -> Result<Vec<u8>, Failure> {
    let mut connection = Connection::open(address).await?;
    let customer = shop.customers[0].text();
    hold(&mut connection, &shop.keys[0], &customer).await?;
    Ok(connection.body().to_vec())
}

async fn hold(connection: &mut Connection, key: &str, customer: &str) -> Result<String, Error> {
    let body = format!(
        "{{\"customer\":\"{customer}\",\"asset\":\"{ASSET}\",\"amount\":\"1000\",\"counterparty\":\"search.example\",\
         \"subject\":\"task-47\"}}"
    );
    ask(connection, ("/v1/holds", 201), key, &body).await?;
    let answer: serde_json::Value = serde_json::from_slice(connection.body())?;
    let id = answer["id"].as_str().ok_or_else(|| Error::other("a hold without an id"))?;
    Ok(id.to_owned())
}

async fn capture(connection: &mut Connection, key: &str, id: &str) -> Result<(), Error> {
    ask(connection, (&format!("/v1/holds/{id}/capture"), 200), key, "{\"amount\":\"700\"}").await
}

async fn ask(
    connection: &mut Connection,
    (path, status): (&str, u16),
    key: &str,
    body: &str,
) -> Result<(), Error> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: billing.example.com\r\nAuthorization: Bearer {key}\r\n\
         Idempotency-Key: {:032x}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        rand::random::<u128>(),
        body.len()
    );
    let reply = connection.exchange(request.as_bytes()).await?;
    if reply.status == status {
        return Ok(());
    }
    Err(Error::other(format!("{path}: {}", String::from_utf8_lossy(connection.answer()))))
}
