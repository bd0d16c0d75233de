//! The payment journal as people and programs see it: lists, receipts, exports, and payments whose outcome is not known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;

use crate::network::{Network, SELLER};
use crate::server::Answer;
use crate::support::{Home, Run};

fn request(network: &Network, path: &str, args: &[&str]) -> Run {
    let url = network.url(path);
    network.home.run(&[&["request", url.as_str(), "--rpc-url", network.sandbox.rpc()], args].concat())
}

fn payments(home: &Home, args: &[&str]) -> Vec<Value> {
    let json = home.run(&[&["payments"], args, &["--output", "json"]].concat()).ok().json();
    json["payments"].as_array().unwrap().clone()
}

#[test]
fn payments_are_filtered_shown_and_exported() {
    let network = Network::new(|_| Answer::new(200, "good"));
    network.home.funded("agent", &network.sandbox);
    network.home.run(&["wallet", "new", "poor"]).ok();
    let _gateway = network.serve();
    let home = &network.home;
    assert_eq!(payments(home, &[]).len(), 0);
    request(&network, "/paid", &["--key", "agent"]).ok();
    request(&network, "/split", &["--key", "agent", "-d", "x=1"]).ok();
    assert_eq!(request(&network, "/paid", &["--key", "poor"]).code, 5);

    // Arguments, how many are left.
    let cases: &[(&[&str], usize)] = &[
        (&[], 3),
        (&["list"], 3),
        (&["--last", "1"], 1),
        (&["list", "--open"], 0),
        (&["list", "--state", "served"], 2),
        (&["list", "--state", "not_paid"], 1),
        (&["list", "--state", "served", "--state", "not_paid"], 3),
        (&["list", "--host", "127.0.0.1"], 3),
        (&["list", "--host", "*.example.com"], 0),
        (&["list", "--since", "1h"], 3),
        (&["list", "--since", "2000-01-01"], 3),
        (&["list", "--since", "2999-01-01"], 0),
    ];
    for (args, count) in cases {
        assert_eq!(payments(home, args).len(), *count, "{args:?}");
    }
    for wrong in [["--state", "gone"], ["--since", "yesterday"], ["--host", "a b"]] {
        assert_eq!(home.run(&["payments", "list", wrong[0], wrong[1]]).code, 2, "{wrong:?}");
    }

    let split = payments(home, &["list", "--state", "served"])[1].clone();
    assert_eq!((&split["amount"], &split["agreed"]["amount_base"]), (&"0.05".into(), &"50000".into()));
    assert_eq!(split["agreed"]["shares"].as_array().unwrap().len(), 1, "{split}");
    assert_eq!(split["receipt"]["reference"], split["reference"], "the whole receipt: {split}");
    assert_eq!(
        (&split["receipt"]["status"], &split["receipt"]["method"]),
        (&"success".into(), &"tempo".into())
    );
    assert_eq!(split["target"]["idempotency_key"], split["id"], "a POST has a key of its own");
    let id = split["id"].as_str().unwrap();
    let shown = home.run(&["payments", "show", id]).ok().stdout;
    for words in ["served", "0.05 PathUSD", SELLER, "share", "receipt"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }

    let csv = home.run(&["payments", "export", "--format", "csv"]).ok().stdout;
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(
        lines[0].starts_with("id,state,began,changed,request_method,host,url,amount,asset,amount_base"),
        "{csv}"
    );
    assert_eq!((lines.len(), lines[4]), (5, ""), "{csv}");
    assert!(lines[2].contains(",0.05,PathUSD,50000,6,"), "{csv}");
    let file = home.path().join("out.json");
    home.run(&["payments", "export", "-o", file.to_str().unwrap(), "--state", "served"]).ok();
    let exported: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(exported["payments"].as_array().unwrap().len(), 2);
    assert_eq!(exported["payments"][1], split);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!csv.contains("Payment "), "C19");
}

/// A buyer by pull, killed between sending and the answer: the payment is kept, found out about, and served without paying
/// again.
#[test]
fn a_buyer_killed_while_it_waits_for_the_answer_pays_once() {
    let (arrived, arrivals) = mpsc::channel();
    let (arrived, first) = (Mutex::new(arrived), AtomicBool::new(true));
    let network = Network::new(move |_| {
        if first.swap(false, Ordering::SeqCst) {
            arrived.lock().unwrap().send(()).unwrap();
            // Longer than the buyer lives.
            std::thread::sleep(Duration::from_secs(3));
            return Answer::new(500, "too late");
        }
        Answer::new(200, "served after all")
    });
    network.home.funded("agent", &network.sandbox);
    let _gateway = network.serve();
    let before = network.balance(SELLER);
    let (url, rpc) = (network.url("/paid"), network.sandbox.rpc().to_owned());
    let mut buyer = network.home.spawn(&["request", &url, "--rpc-url", &rpc, "-d", "x=1"]);
    arrivals.recv_timeout(Duration::from_secs(60)).unwrap();
    let open = payments(&network.home, &["--open"]);
    assert_eq!((&open[0]["state"], &open[0]["in_flight"]), (&"sent".into(), &true.into()), "{open:?}");
    let id = open[0]["id"].as_str().unwrap().to_owned();
    let busy = network.home.run(&["payments", "resolve", &id, "--rpc-url", &rpc]);
    assert_eq!(busy.code, 7, "{busy:?}");
    assert!(busy.stdout.contains("a process is at work on it"), "{busy:?}");
    buyer.kill().unwrap();
    buyer.wait().unwrap();

    let open = payments(&network.home, &["--open"]);
    assert_eq!(
        (open.len(), &open[0]["in_flight"], &open[0]["presentable"]),
        (1, &false.into(), &true.into())
    );
    // The same call, with a person's own words about it first.
    let dry = request(&network, "/paid", &["-d", "x=1", "--dry-run"]);
    assert!(dry.stdout.contains("paid before") && dry.stdout.contains(&id), "{dry:?}");
    let resolved = network.home.run(&["payments", "resolve", &id, "--rpc-url", &rpc]).ok();
    assert!(resolved.stdout.contains("paid: 0x") && resolved.stdout.contains("--payment"), "{resolved:?}");
    assert_eq!(payments(&network.home, &["--open"])[0]["state"], "paid");

    let served = request(&network, "/paid", &["-d", "x=1"]).ok();
    assert_eq!(served.stdout, "served after all");
    assert_eq!(network.balance(SELLER) - before, 50_000, "once");
    assert_eq!(payments(&network.home, &["--open"]).len(), 0);
    assert_eq!(payments(&network.home, &[]).len(), 1, "it is one payment");
    let closed = network.home.run(&["payments", "resolve", &id, "--rpc-url", &rpc]).ok();
    assert!(closed.stdout.contains("was closed before: served"), "{closed:?}");
    let all = network
        .home
        .run(&["payments", "resolve", "--all", "--rpc-url", &rpc, "--output", "json"])
        .ok()
        .json();
    assert_eq!(all["payments"].as_array().unwrap().len(), 0, "{all}");
}
