//! What a child does. It is started with its job in one environment variable, and ends without unwinding or tidying up.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use farthing_client::policy::{At, Limit, Span};
use farthing_client::spend::{Draw, Window};
use farthing_client::{Agent, FileBook, FileJournal, PaymentId, Policy, SpendBook};
use farthing_money::Amount;

use crate::payer::{Does, FakePayer, TOKEN, builder, get, now, outcome};

const JOB: &str = "RACE_JOB";

/// Starts this binary again as a child with a job.
#[allow(clippy::disallowed_methods, reason = "the child is this very program")]
pub fn spawn(words: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "job::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(JOB, words.join("\n"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a child said in the lines that begin with `word`.
pub fn said(output: &[u8], word: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(output).into_owned();
    // The test harness writes its own words before the first line.
    text.lines().filter_map(|line| line.split_once(word)).map(|(_, rest)| rest.trim().to_owned()).collect()
}

/// One line to the parent.
fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").unwrap();
}

#[test]
#[ignore = "the body of a child process"]
#[allow(clippy::disallowed_methods, reason = "the job of a child")]
fn child() {
    let Ok(job) = std::env::var(JOB) else { return };
    let words: Vec<&str> = job.lines().collect();
    match words.as_slice() {
        ["hold", directory, times] => hold(Path::new(directory), times.parse().unwrap()),
        ["call", directory, urls @ ..] => call(Path::new(directory), urls),
        other => panic!("not a job: {other:?}"),
    }
}

/// Takes 1 from two counters, as often as it can.
fn hold(directory: &Path, times: usize) {
    let book = FileBook::new(directory.join("spend.json"));
    let mut held = 0;
    for nth in 0..times {
        let id = PaymentId::fresh(now());
        if book.hold(&id, &draws(), now()).is_ok() {
            held += 1;
            // Some end well, some stay open, and some were never paid: those are given back and taken anew.
            match nth % 3 {
                0 => book.confirm(&id, now()).unwrap(),
                1 => {}
                _ => {
                    book.release(&id).unwrap();
                    if book.hold(&id, &draws(), now()).is_err() {
                        held -= 1;
                    }
                }
            }
        }
    }
    say(&format!("held {held}"));
}

/// At most 70 a day and 100 in all.
pub fn draws() -> [Draw; 2] {
    let draw = |counter: &str, window, limit| Draw {
        counter: counter.to_owned(),
        window,
        units: Amount::from_base(1),
        limit: Amount::from_base(limit),
        asked: "1 X".to_owned(),
        rule: "the rule".to_owned(),
    };
    [draw("total x", Window::Total, 100), draw("day x", Window::Day, 70)]
}

/// Pays up to 0.20 dollars an hour: 20 calls.
pub fn policy() -> Policy {
    let hour = Span::Within(Window::Hour);
    let limit = Limit::parse("0.20").unwrap();
    Policy::builder().dollar_token("test:1", TOKEN).limit(hour, At::Everywhere, limit).build()
}

pub fn agent(directory: &Path) -> Agent {
    builder(&FakePayer::new(Does::Pays))
        .policy(policy())
        .spend_book(Arc::new(FileBook::new(directory.join("spend.json"))))
        .journal(Arc::new(FileJournal::new(directory.join("payments.jsonl"))))
        .build()
        .unwrap()
}

/// Calls each URL once.
fn call(directory: &Path, urls: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let agent = agent(directory);
    for url in urls {
        let result = runtime.block_on(async {
            match agent.execute(get(url)).await {
                // The whole answer has to be there for a call to be over.
                Ok(paid) => {
                    let status = paid.response.status().as_u16().to_string();
                    paid.response.bytes().await.map(|_| status).unwrap_or_else(|error| error.to_string())
                }
                Err(error) => outcome(&Err(error)),
            }
        });
        say(&format!("ended {result}"));
    }
}
