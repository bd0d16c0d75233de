//! Two processes, each with writers and connections of its own, want the same payments, the same requests and the same budget
//! from one database at once: each is given once (C21, C23, C24).
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; the children learn from their environment what to do"
)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimId, ClaimOutcome, ClaimStep, ClaimStore, Delivery, LeaseHolder};
use farthing_store::testkit::postgres::Cluster;
use farthing_store::testkit::{failed, lease_of, new_claim, reservation, same_request, settled};
use farthing_store::{PgClaims, PgUrl};

const URL: &str = "FARTHING_RACE_TEST_URL";
const WHO: &str = "FARTHING_RACE_TEST_WHO";
/// Payments, each sent so many times to each process.
const PAYMENTS: u64 = 240;
const COPIES: u64 = 6;
/// What fits in the budget: fewer than want it.
const FIT: u128 = 40;
const NOW: UnixMs = UnixMs::from_ms(1_000);

fn say(what: &str, payment: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@ {what} {payment}").unwrap();
    out.flush().unwrap();
}

/// One of the processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test below"]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let who: u64 = std::env::var(WHO).unwrap().parse().unwrap();
    let store = Arc::new(PgClaims::open(PgUrl::parse(&url).unwrap()).await.unwrap());
    say("ready", "-");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let mut tasks = Vec::new();
    for payment in 0..PAYMENTS {
        for copy in 0..COPIES {
            let (store, holder) =
                (Arc::clone(&store), LeaseHolder(u128::from(who * 1_000_000 + payment * 100 + copy)));
            tasks.push(tokio::spawn(async move { one_copy(&store, payment, (who, copy), holder).await }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    say("done", "-");
}

/// What a gateway does with one copy of a payment.
async fn one_copy(store: &PgClaims, payment: u64, (who, copy): (u64, u64), holder: LeaseHolder) {
    let kind = ["same", "money", "request", "budget"][usize::try_from(payment % 4).unwrap()];
    let name = format!("{kind}-{payment}");
    // The same credential again; other credentials for the same money, for the same request; payments that want a budget.
    let own = format!("{name}-{who}-{copy}");
    let new = match kind {
        "same" => new_claim(&name, &[&format!("k {name}"), &format!("l {name}")]),
        "money" => new_claim(&own, &[&format!("k {own}"), &format!("k {name}")]),
        "request" => same_request(new_claim(&own, &[&format!("k {own}")]), &name, 1),
        _ => {
            let mut new = new_claim(&name, &[&format!("k {name}")]);
            new.reservation = Some(reservation("fees", 1, FIT, 1_000_000));
            new
        }
    };
    let id = new.id.clone();
    match store.claim(new, NOW).await.unwrap() {
        ClaimOutcome::New => say("new", &name),
        ClaimOutcome::Existing(_) => return deliver(store, &id, &name, holder).await,
        ClaimOutcome::SameRequest(_) | ClaimOutcome::Taken { .. } => return say("refused", &name),
        ClaimOutcome::OverBudget { .. } => return say("over", &name),
    }
    if kind == "budget" && payment.is_multiple_of(3) {
        let result = store.advance(&id, failed("no"), NOW).await;
        return say(if result.is_ok() { "failed" } else { "lost" }, &name);
    }
    let delivery = Delivery::Begin(lease_of(holder, NOW.plus_ms(50)));
    store.advance(&id, ClaimStep::Settled { settled: settled(&name), delivery }, NOW).await.unwrap();
    let result = store.advance(&id, ClaimStep::Delivered { holder, answer: None }, NOW).await;
    say(if result.is_ok() { "delivered" } else { "lost" }, &name);
}

/// What one does with a payment that somebody else has claimed: takes the delivery over if the lease has run out.
async fn deliver(store: &PgClaims, id: &ClaimId, name: &str, holder: LeaseHolder) {
    let begin = ClaimStep::BeginDelivery(lease_of(holder, NOW.plus_ms(50)));
    if store.advance(id, begin, NOW.plus_ms(60)).await.is_ok() {
        let result = store.advance(id, ClaimStep::Delivered { holder, answer: None }, NOW.plus_ms(60)).await;
        say(if result.is_ok() { "delivered" } else { "lost" }, name);
    }
}

fn start(url: &str, who: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(URL, url)
        .env(WHO, who.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn each_payment_is_claimed_and_delivered_once() {
    let Some(cluster) = Cluster::shared("each_payment_is_claimed_and_delivered_once") else { return };
    let url = cluster.database();
    let mut children = [start(&url, 1), start(&url, 2)];
    let mut lines = children.each_mut().map(|child| BufReader::new(child.stdout.take().unwrap()).lines());
    for lines in &mut lines {
        lines
            .find(|line| line.as_ref().unwrap().contains("@ ready"))
            .expect("the child opens the store")
            .unwrap();
    }
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    let mut said: HashMap<(String, String), u32> = HashMap::new();
    let readers =
        lines.map(|lines| std::thread::spawn(move || lines.map(Result::unwrap).collect::<Vec<String>>()));
    for reader in readers {
        for line in reader.join().unwrap() {
            let Some((_, words)) = line.split_once("@ ") else { continue };
            let (what, payment) = words.split_once(' ').unwrap();
            *said.entry((what.to_owned(), payment.to_owned())).or_default() += 1;
        }
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let count = |what: &str, name: &str| said.get(&(what.to_owned(), name.to_owned())).copied().unwrap_or(0);
    assert_eq!(count("done", "-"), 2);
    let mut within = 0;
    for payment in 0..PAYMENTS {
        let kind = ["same", "money", "request", "budget"][usize::try_from(payment % 4).unwrap()];
        let name = format!("{kind}-{payment}");
        let (new, delivered) = (count("new", &name), count("delivered", &name));
        match kind {
            // A payment that failed is claimed anew by the next copy; one that does not fit may fit later.
            "budget" if payment.is_multiple_of(3) => {
                assert_eq!((count("failed", &name), delivered), (new, 0), "{name}")
            }
            "budget" => {
                assert!(new <= 1, "{name}: {new}");
                assert_eq!(delivered, new, "{name}");
                within += u128::from(new);
            }
            _ => assert_eq!((new, delivered), (1, 1), "{name}"),
        }
        // Whoever has lost a delivery had let its lease run out.
        assert!(["same", "budget"].contains(&kind) || count("lost", &name) == 0, "{name}");
    }
    assert!(within <= FIT && within > FIT / 4, "{within} of {FIT}");
    let store = PgClaims::open(PgUrl::parse(&url).unwrap()).await.unwrap();
    let report = store.check().await.unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(
        report.claims.get("delivered").copied(),
        Some(PAYMENTS / 4 * 3 + u64::try_from(within).unwrap())
    );
}
