//! The gateway killed and overrun: no payment is lost, none is taken twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::network::{Network, SELLER};
use crate::server::Answer;

/// Account 8 of the sandbox: its key is known to everybody.
const BUYER_KEY: &str = "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97";

fn present(url: &str, credential: &str) -> reqwest::blocking::Response {
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
    client.get(url).header("authorization", credential).send().unwrap()
}

/// C21, C24, and "claim, persist, act": killed between settling and delivering, it serves the same credential after a
/// restart, and charges nothing more.
#[test]
fn a_payment_survives_a_kill_between_settling_and_delivering() {
    let (arrived, arrivals) = mpsc::channel();
    let arrived = Mutex::new(arrived);
    let first = AtomicBool::new(true);
    let network = Network::new(move |_| {
        if first.swap(false, Ordering::SeqCst) {
            arrived.lock().unwrap().send(()).unwrap();
            // Longer than the gateway lives.
            std::thread::sleep(Duration::from_secs(60));
        }
        Answer::new(200, "served after all")
    });
    let gateway = network.serve();
    let before = network.balance(SELLER);
    let credential = network.credential(BUYER_KEY, "/paid");
    let url = network.url("/paid");
    let calling = std::thread::spawn({
        let (url, credential) = (url.clone(), credential.clone());
        move || reqwest::blocking::Client::new().get(url).header("authorization", credential).send()
    });
    arrivals.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(network.balance(SELLER) - before, 50_000, "it was settled before it was delivered");
    gateway.kill();
    assert!(calling.join().unwrap().is_err(), "the first call was cut off");

    let gateway = network.serve();
    assert_eq!(gateway.ready["recovered"]["released"], 1, "{}", gateway.ready);
    let answer = present(&url, &credential);
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("payment-receipt"));
    assert_eq!(answer.text().unwrap(), "served after all");
    assert_eq!(network.balance(SELLER) - before, 50_000, "no second charge");

    let again = present(&url, &credential);
    assert_eq!(again.status(), 403, "delivered once is delivered");
    assert!(!again.headers().contains_key("www-authenticate"), "nobody is asked to pay again");
    assert_eq!(gateway.terminate(), Some(0));

    let _gateway = network.serve();
    assert_eq!(present(&url, &credential).status(), 403, "refused after a restart too");
    assert_eq!(network.balance(SELLER) - before, 50_000);
    assert_eq!(network.api.asked().len(), 2);
}

/// A buyer killed while it broadcasts: the money moves, and what proves it was kept before. The same payment buys the call.
#[test]
fn a_pushed_payment_survives_a_kill_of_the_buyer() {
    // A block takes long enough for the buyer to be waiting for it.
    let network = Network::with_blocks(&["--block-time", "3s"], |_| Answer::new(200, "served after all"));
    network.home.funded("agent", &network.sandbox);
    let _gateway = network.serve();
    let before = network.balance(SELLER);
    let (url, rpc) = (network.url("/paid"), network.sandbox.rpc().to_owned());
    let mut buyer = network.home.spawn(&["request", &url, "--rpc-url", &rpc, "--mode", "push"]);
    let open = || network.home.run(&["payments", "--open", "--output", "json"]).ok().json();
    let mut looks = 0;
    while open()["payments"][0]["state"] != "sending" {
        looks += 1;
        assert!(looks < 1000, "the buyer never broadcasts: {}", open());
        std::thread::sleep(Duration::from_millis(5));
    }
    // The transaction is on its way once the chain was given it; blocks are three seconds apart.
    std::thread::sleep(Duration::from_millis(300));
    buyer.kill().unwrap();
    buyer.wait().unwrap();
    let open = open();
    assert_eq!(open["payments"][0]["state"], "sending", "{open}");
    let id = open["payments"][0]["id"].as_str().unwrap();
    assert_eq!(network.api.asked().len(), 0, "nothing was served yet");
    let shown = network.home.run(&["payments", "show", id]).ok().stdout;
    assert!(shown.contains(&format!("farthing request --payment {id}")), "{shown}");

    let mut served = network.home.run(&["request", "--payment", id, &url]);
    for _ in 0..20 {
        if served.code == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
        served = network.home.run(&["request", "--payment", id, &url]);
    }
    assert_eq!(served.ok().stdout, "served after all");
    assert_eq!(network.balance(SELLER) - before, 50_000, "paid once");
}

/// C24: many copies of one credential at once are one settlement, one call and one 200.
#[test]
fn sixty_four_copies_of_a_credential_are_one_payment_and_one_delivery() {
    const COPIES: usize = 64;
    let network = Network::new(|_| {
        std::thread::sleep(Duration::from_millis(200));
        Answer::new(200, "served")
    });
    let _gateway = network.serve();
    let before = network.balance(SELLER);
    let credential = Arc::new(network.credential(BUYER_KEY, "/paid"));
    let url = Arc::new(network.url("/paid"));
    let gun = Arc::new(std::sync::Barrier::new(COPIES));
    let calls: Vec<_> = (0..COPIES)
        .map(|_| {
            let (credential, url, gun) = (Arc::clone(&credential), Arc::clone(&url), Arc::clone(&gun));
            std::thread::spawn(move || {
                gun.wait();
                let answer = present(&url, &credential);
                (answer.status().as_u16(), answer.headers().contains_key("payment-receipt"))
            })
        })
        .collect();
    let answers: Vec<(u16, bool)> = calls.into_iter().map(|call| call.join().unwrap()).collect();
    let served = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(served, 1, "{answers:?}");
    for (status, receipt) in &answers {
        assert!(matches!(status, 200 | 403 | 409 | 503), "{answers:?}");
        assert_eq!(*receipt, *status == 200, "C14: {answers:?}");
    }
    assert_eq!(network.api.asked().len(), 1, "one delivery");
    assert_eq!(network.balance(SELLER) - before, 50_000, "one settlement");
}
