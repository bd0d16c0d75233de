//! A disk that takes no more: what was answered stays, what was not is as if it had never been asked, and the ledger goes on
//! answering questions, and takes commands again when there is room.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;

use farthing_ledger::record::{Committed, Expect, RecordStore, Version};
use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::conformance::{VENDOR, opening};
use farthing_ledger::testkit::records::{add, commit, get, pay, put};
use farthing_ledger::{Known, TransferId};
use tempfile::TempDir;

use super::{TINY, at};
use crate::books::Tuning;
use crate::ledger::{SqliteLedger, verify_file};

async fn pay_and_write(ledger: &SqliteLedger, n: u128) -> Result<Committed, &'static str> {
    let changes = vec![put(&format!("paid/{n}"), Expect::Absent, &"x".repeat(2_000)), add("paid", &[1])];
    commit(ledger, vec![pay(5_000 + n, 1)], changes).await.map_err(|error| error.code())
}

async fn paid(ledger: &SqliteLedger) -> u128 {
    ledger.accounts(&[VENDOR]).await.unwrap()[0].unwrap().totals.credits.posted.base()
}

/// Runs in a process of its own whose files cannot grow past a limit.
#[tokio::test]
#[ignore = "the process that is started with a limit"]
async fn child_on_a_full_disk() {
    if !std::path::Path::new("ledger.db").exists() {
        return;
    }
    let enough = std::fs::read_to_string("enough").unwrap().parse().unwrap();
    let ledger = Arc::new(SqliteLedger::open_tuned("ledger.db".into(), Tuning { enough, ..TINY }).unwrap());
    let mut n = 0;
    let code = loop {
        match pay_and_write(&ledger, n).await {
            Ok(Committed::Applied { .. }) => n += 1,
            Ok(other) => panic!("{n}: {other:?}"),
            Err(code) => break code,
        }
    };
    // Again and again: each time it is told, and nothing of it shows.
    for _ in 0..20 {
        let error = pay_and_write(&ledger, n).await.unwrap_err();
        assert!(["ledger_unavailable", "ledger_outcome_unknown"].contains(&error), "{error}");
        assert_eq!(paid(&ledger).await, n);
        assert_eq!(get(&*ledger, "paid").await.unwrap().body, format!("[\"{n}\"]"));
        assert_eq!(get(&*ledger, &format!("paid/{n}")).await, None);
        assert_eq!(ledger.known(TransferId::from_u128(5_000 + n)).await.unwrap(), None);
        assert!(matches!(
            ledger.known(TransferId::from_u128(5_000)).await.unwrap(),
            Some(Known::Transfer(_))
        ));
        assert_eq!(ledger.changed(Version(0)).await.unwrap(), Version(1 + u64::try_from(n).unwrap()));
        ledger.verify().await.unwrap().unwrap();
    }
    // Many at once: some are decided while others fail, and rest on nothing.
    let calls: Vec<_> = (n..n + 40)
        .map(|n| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move { pay_and_write(&ledger, n).await })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(["ledger_unavailable", "ledger_outcome_unknown"].contains(&error), "{error}");
    }
    assert_eq!(paid(&ledger).await, n);
    assert_eq!(get(&*ledger, "paid").await.unwrap().body, format!("[\"{n}\"]"));
    ledger.verify().await.unwrap().unwrap();
    println!("full {n} {code}");
    // Somebody makes room. It takes commands again, the same ledger, with all that it had.
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    assert_eq!(line, "room\n");
    for n in n..n + 10 {
        let done = pay_and_write(&ledger, n).await.unwrap();
        assert!(matches!(done, Committed::Applied { .. }), "{n}: {done:?}");
    }
    ledger.verify().await.unwrap().unwrap();
    println!("went on");
}

#[tokio::test]
async fn a_full_disk_takes_nothing_back_and_breaks_nothing() {
    // Written by the thread that decides, and by the other one.
    fill_the_disk(256).await;
    fill_the_disk(1).await;
}

async fn fill_the_disk(enough: usize) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = SqliteLedger::open_tuned(path.clone(), TINY).unwrap();
    ledger.transact(at(1), opening(1_000_000)).await.unwrap();
    drop(ledger);
    std::fs::write(folder.path().join("enough"), enough.to_string()).unwrap();
    // Blocks of 512 bytes or 1,024, as the shell likes. Without the trap the kernel would end the process.
    let mut child = Process::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 1500; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "ledger::tests::full::child_on_a_full_disk", "--ignored", "--nocapture"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = said.find_map(|line| line.rsplit_once("full ").map(|(_, told)| told.to_owned()));
    let told = told.expect("the child gets there");
    let n: u128 = told.split(' ').next().unwrap().parse().unwrap();
    assert!(n > 20, "{told}");
    verify_file(&path).unwrap().unwrap();

    let room = ["--pid", &child.id().to_string(), "--fsize=unlimited"].map(str::to_owned);
    assert!(Process::new("prlimit").args(room).status().unwrap().success());
    writeln!(child.stdin.take().unwrap(), "room").unwrap();
    assert!(said.any(|line| line.contains("went on")), "it takes commands again");
    assert!(child.wait().unwrap().success());

    let ledger = SqliteLedger::open_tuned(path.clone(), TINY).unwrap();
    let all = n + 10;
    assert_eq!(paid(&ledger).await, all);
    assert_eq!(get(&ledger, "paid").await.unwrap().body, format!("[\"{all}\"]"));
    for n in 0..all {
        assert!(get(&ledger, &format!("paid/{n}")).await.is_some(), "{n}");
    }
    assert_eq!(get(&ledger, &format!("paid/{all}")).await, None);
    ledger.verify().await.unwrap().unwrap();
}
