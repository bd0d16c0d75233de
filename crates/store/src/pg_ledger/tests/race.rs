//! Two processes at once.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command as Process, Stdio};

use super::*;

const URL: &str = "FARTHING_PG_LEDGER_RACE_URL";
const WHO: &str = "FARTHING_PG_LEDGER_RACE_WHO";

/// One of the processes: five hundred holds of its own, and the same hundred ids as the other one, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test below"]
#[allow(clippy::disallowed_methods, reason = "a child learns from its environment what to do")]
async fn race_child() {
    let (Ok(url), Ok(who)) = (std::env::var(URL), std::env::var(WHO)) else { return };
    let who: u128 = who.parse().unwrap();
    let ledger = Arc::new(PgLedger::open(PgUrl::parse(&url).unwrap(), 1).await.unwrap());
    println!("ready");
    std::io::stdout().flush().unwrap();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let own = (0..500).map(|n| hold(10_000 + who * 1_000 + n, 1, 100));
    // Both want these ids, each for something else.
    let shared = (0..100).map(|n| {
        let accounts = (conformance::WORLD, conformance::VENDOR);
        farthing_ledger::Command::Transfer(conformance::transfer(50_000 + n, accounts, 1 + who))
    });
    let calls: Vec<_> = own
        .chain(shared)
        .map(|command| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let outcome = ledger.transact(at(2), vec![Step::single(command)]).await.unwrap();
                let wallet = ledger.accounts(&[WALLET]).await.unwrap()[0].unwrap();
                assert!(matches!(wallet.balances().available, Net::Plus(_)), "{wallet:?}");
                outcome[0].code()
            })
        })
        .collect();
    for call in calls {
        println!("said {}", call.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_on_a_wallet_for_four_hundred_over_two_processes() {
    let Some(cluster) = Cluster::shared("a_thousand_calls_over_two_processes") else { return };
    let databases = Databases::new(cluster, Tuning::new(1));
    let ledger = databases.open().await;
    ledger.transact(at(1), opening(400)).await.unwrap();
    let mut children = ["0", "1"].map(|who| -> Child {
        Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "pg_ledger::tests::race::race_child", "--ignored", "--nocapture"])
            .env(URL, &databases.url)
            .env(WHO, who)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let mut lines = children.each_mut().map(|child| BufReader::new(child.stdout.take().unwrap()).lines());
    for lines in &mut lines {
        lines.find(|line| line.as_ref().unwrap().contains("ready")).unwrap().unwrap();
    }
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    let mut said = Vec::new();
    for line in lines.into_iter().flatten() {
        said.extend(line.unwrap().rsplit_once("said ").map(|(_, code)| code.to_owned()));
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let count = |code: &str| said.iter().filter(|said| *said == code).count();
    // Four hundred holds, and one winner an id.
    assert_eq!((count("applied"), count("exceeds_credits")), (500, 600), "{said:?}");
    assert_eq!(count("exists_with_different_amount"), 100);
    let wallet = ledger.accounts(&[WALLET]).await.unwrap()[0].unwrap();
    assert_eq!((wallet.balances().held.base(), wallet.balances().available.or_zero().base()), (400, 0));
    databases.proven().await;
}
