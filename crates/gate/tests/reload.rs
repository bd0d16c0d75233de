//! One front takes the place of another while calls are on their way: nobody notices, nothing is paid twice or lost, and live
//! challenges stay good.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;
mod wire;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use farthing_gate::proxy::{Proxy, ProxyOptions};
use farthing_gate::server::{Front, ServerOptions, Switch, serve_switch};
use farthing_gate::{GateBuilder, Rate, RateLimiter, RateLimits, Route};
use farthing_store::MemoryClaims;
use harness::FakeClock;
use harness::rail::FakeRail;
use harness::upstream::Upstream;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::{Reply, exchange, replies};

struct World {
    address: SocketAddr,
    rail: Arc<FakeRail>,
    store: Arc<MemoryClaims>,
    clock: FakeClock,
    switch: Switch,
    upstream: Upstream,
}

impl World {
    async fn new() -> Self {
        let (rail, store, clock) =
            (Arc::new(FakeRail::new()), Arc::new(MemoryClaims::new()), harness::fixed_clock());
        let upstream = Upstream::start().await;
        let gate = harness::builder(&rail, Arc::clone(&store) as _, &clock).build().unwrap();
        let switch = Switch::new(Front::new(gate, proxy(&upstream), ServerOptions::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_switch(listener, switch.clone(), std::future::pending()));
        Self { address, rail, store, clock, switch, upstream }
    }

    /// Another gate over the same store takes over, with whatever else `change` gives it.
    fn reload(&self, change: impl FnOnce(GateBuilder) -> GateBuilder) {
        let builder = harness::builder(&self.rail, Arc::clone(&self.store) as _, &self.clock);
        let gate = change(builder.succeeds(&self.switch.gate())).build().unwrap();
        self.switch.replace(Front::new(gate, proxy(&self.upstream), ServerOptions::default()));
    }

    async fn call(&self, path: &str, headers: &str) -> Reply {
        call(self.address, path, headers).await
    }
}

fn proxy(upstream: &Upstream) -> Proxy {
    Proxy::new(ProxyOptions::new(format!("http://{}", upstream.address).parse().unwrap())).unwrap()
}

async fn call(address: SocketAddr, path: &str, headers: &str) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    replies(&answer, false).remove(0)
}

/// Buys `/paid/slow` and is served.
async fn buy(address: SocketAddr, tx: &str) -> String {
    let unpaid = call(address, "/paid/slow", "").await;
    assert_eq!(unpaid.status, 402, "{unpaid:?}");
    let challenge = unpaid.challenges().remove(0);
    let headers = format!("Authorization: {}\r\n", harness::answer(&challenge, tx));
    let paid = call(address, "/paid/slow", &headers).await;
    assert_eq!((paid.status, paid.body.as_str()), (200, "content"), "{paid:?}");
    assert!(paid.has("payment-receipt"));
    challenge.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_under_load_fail_no_request() {
    let world = World::new().await;
    let (done, sold, ids) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Vec::new());
    let mut tasks = ids;
    for buyer in 0..8 {
        let (address, done, sold) = (world.address, Arc::clone(&done), Arc::clone(&sold));
        tasks.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            while !done.load(SeqCst) {
                ids.push(buy(address, &format!("0x{buyer}-{}", ids.len())).await);
                sold.fetch_add(1, SeqCst);
                assert_eq!(call(address, "/free", "").await.status, 200);
            }
            ids
        }));
    }
    // Between any two reloads something was bought, and each has calls on their way.
    for n in 0..50 {
        let before = sold.load(SeqCst);
        while sold.load(SeqCst) == before {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        world.reload(|gate| gate.route(Route::free([Method::GET], format!("/new/{n}"))));
    }
    done.store(true, SeqCst);
    let (mut ids, mut count) = (HashSet::new(), 0);
    for task in tasks {
        for id in task.await.unwrap() {
            count += 1;
            assert!(ids.insert(id), "a challenge was issued twice");
        }
    }
    assert!(count >= 50);
    assert_eq!(world.rail.settlements(), count, "one settlement a call");
    let served = world.upstream.seen.lock().unwrap().iter().filter(|s| s.target == "/paid/slow").count();
    assert_eq!(served, count, "one upstream call a payment");
    assert_eq!(world.call("/new/49", "").await.status, 200);
}

/// A copy of a credential that the old gate is serving is not served by the new one.
#[tokio::test]
async fn one_payment_is_not_served_by_both() {
    let world = World::new().await;
    for round in 0..10 {
        let calls = world.upstream.calls();
        let unpaid = world.call("/paid/slow", "").await;
        let headers =
            format!("Authorization: {}\r\n", harness::answer(&unpaid.challenges()[0], &format!("0x{round}")));
        let first = tokio::spawn({
            let (address, headers) = (world.address, headers.clone());
            async move { call(address, "/paid/slow", &headers).await }
        });
        while world.upstream.calls() == calls {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        world.reload(|gate| gate);
        // The lease has run out, as far as the store knows: only the process knows better.
        world.clock.advance(GateBuilder::LEASE_MS + 1);
        let copy = world.call("/paid/slow", &headers).await;
        assert!(matches!(copy.status, 409 | 403), "{copy:?}");
        assert_eq!(first.await.unwrap().status, 200);
        assert_eq!((world.upstream.calls(), world.rail.settlements()), (calls + 1, round + 1));
    }
}

/// What is asked for changes at once, also on connections that are there; what was asked before stays good.
#[tokio::test]
async fn prices_change_and_live_challenges_stay_good() {
    let world = World::new().await;
    let unpaid = world.call("/paid/x", "").await;
    let mut kept = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(on(&mut kept, "/paid/x").await, 402);
    assert_eq!(on(&mut kept, "/extra").await, 200, "free, by the route for the rest");
    // One on which nothing was paid or free is another kind of connection.
    let mut unpaying = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(on(&mut unpaying, "/paid/gift").await, 402);
    world.reload(|gate| {
        gate.route(Route::priced([Method::GET], "/extra", [harness::offer(&world.rail, 7)]))
            .route(Route::free([Method::GET], "/paid/gift"))
    });
    assert_eq!(on(&mut kept, "/extra").await, 402);
    assert_eq!(on(&mut unpaying, "/paid/gift").await, 200);
    let headers = format!("Authorization: {}\r\n", harness::answer(&unpaid.challenges()[0], "0x1"));
    assert_eq!(world.call("/paid/x", &headers).await.status, 200);
    assert_eq!(world.call("/paid/x", &headers).await.status, 403, "once");
}

/// What an address has used up stays used up, and new limits hold at once.
#[tokio::test]
async fn rate_limits_outlive_the_gate() {
    let world = World::new().await;
    let rate = Rate { per_second: 1, burst: 2 };
    let mut limits = RateLimits {
        challenges: rate,
        private: farthing_gate::PrivateAddresses::Counted,
        ..Default::default()
    };
    let limiter = Arc::new(RateLimiter::new(&limits));
    world.reload(|gate| gate.rate_limiter(Arc::clone(&limiter)));
    assert_eq!((world.call("/paid/x", "").await.status, world.call("/paid/x", "").await.status), (402, 402));
    world.reload(|gate| gate);
    assert_eq!(world.call("/paid/x", "").await.status, 429);
    limits.challenges = Rate { per_second: 1, burst: 3 };
    limiter.set(&limits);
    world.reload(|gate| gate);
    assert_eq!((world.call("/paid/x", "").await.status, world.call("/paid/x", "").await.status), (402, 429));
}

/// One request on a connection that stays.
async fn on(stream: &mut TcpStream, path: &str) -> u16 {
    let answer = exchange(stream, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    replies(answer.as_bytes(), false)[0].status
}
