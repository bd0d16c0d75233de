//! `farthing request` against `farthing serve` on the sandbox: what is paid is what was agreed to, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::network::{Network, PARTNER, SELLER};
use crate::server::Answer;
use crate::support::Home;

#[test]
fn calls_are_paid_in_every_way_that_a_route_offers() {
    let network = Network::new(|asked| Answer::new(200, asked.line.clone()));
    let agent = network.home.funded("agent", &network.sandbox);
    let gateway = network.serve();
    let rpc = network.sandbox.rpc();
    // Path, mode, what the seller receives, what the partner receives, what the agent spends besides the fee.
    let cases = [
        ("/paid", "pull", 50_000, 0),
        ("/paid", "push", 50_000, 0),
        ("/split", "pull", 30_000, 20_000),
        ("/split", "push", 30_000, 20_000),
        ("/sponsored", "pull", 50_000, 0),
        ("/proof", "proof", 0, 0),
    ];
    for (path, mode, to_seller, to_partner) in cases {
        let before = [SELLER, PARTNER, &agent].map(|who| network.balance(who));
        let wanted = if mode == "push" { "push" } else { "pull" };
        let args = ["request", &network.url(path), "--rpc-url", rpc, "--mode", wanted, "--output", "json"];
        let json = network.home.run(&args).ok().json();
        let after = [SELLER, PARTNER, &agent].map(|who| network.balance(who));
        let what = format!("{path} by {mode}: {json}");
        assert_eq!(json["status"], 200, "{what}");
        assert_eq!(json["body"], format!("GET {path} HTTP/1.1"), "{what}");
        assert_eq!(json["paid"]["mode"], mode, "{what}");
        assert_eq!(json["paid"]["outcome"], "served", "{what}");
        assert_eq!(json["paid"]["amount_base"], (to_seller + to_partner).to_string(), "{what}");
        assert_eq!(json["paid"]["receipt"]["status"], "success", "{what}");
        assert_eq!(after[0] - before[0], to_seller, "{what}");
        assert_eq!(after[1] - before[1], to_partner, "{what}");
        let spent = before[2] - after[2];
        let has_fee = path != "/sponsored" && mode != "proof";
        assert_eq!(spent > to_seller + to_partner, has_fee, "{what}: {spent} left the agent");
    }
    assert_eq!(network.api.asked().len(), cases.len(), "each was delivered once");
    assert!(network.api.asked().iter().all(|asked| asked.header("authorization").is_none()), "C19");
    let journal = network.home.run(&["payments", "--output", "json"]).ok().json();
    let states: Vec<_> = journal["payments"].as_array().unwrap().iter().map(|p| p["state"].clone()).collect();
    assert_eq!(states, vec!["served"; cases.len()]);
    assert_eq!(gateway.terminate(), Some(0), "SIGTERM is a clean end");
}

#[test]
fn a_person_sees_what_was_paid_and_never_the_credential() {
    let network = Network::new(|_| Answer::new(200, "good"));
    network.home.funded("agent", &network.sandbox);
    let _gateway = network.serve();
    let (url, rpc) = (network.url("/paid"), network.sandbox.rpc().to_owned());
    let run = network.home.run(&["request", &url, "--rpc-url", &rpc]).ok();
    assert_eq!(run.stdout, "good");
    assert!(
        run.stderr.starts_with("paid 0.05 PathUSD to 0x90F7") && run.stderr.lines().count() == 1,
        "{run:?}"
    );
    let silent = network.home.run(&["request", &url, "--rpc-url", &rpc, "-s"]).ok();
    assert_eq!((silent.stdout.as_str(), silent.stderr.as_str()), ("good", ""));
    let traced = network.home.run(&["request", &url, "--rpc-url", &rpc, "-v"]).ok();
    assert!(traced.stderr.contains("< HTTP/1.1 402 Payment Required"), "{traced:?}");
    assert!(traced.stderr.contains("> authorization: Payment ["), "{traced:?}");
    assert!(traced.stderr.contains("< payment-receipt: "), "{traced:?}");
    assert_eq!(network.api.asked().len(), 3);
}

#[test]
fn a_dry_run_says_everything_and_pays_nothing() {
    let network = Network::new(|_| Answer::new(200, "good"));
    let agent = network.home.funded("agent", &network.sandbox);
    let _gateway = network.serve();
    let before = network.balance(&agent);
    let rpc = network.sandbox.rpc();
    let args = ["request", &network.url("/split"), "--rpc-url", rpc, "--dry-run", "--output", "json"];
    let json = network.home.run(&args).ok().json();
    assert_eq!(json["decision"], "would_pay");
    let quote = &json["offers"][0]["quote"];
    assert_eq!((&quote["amount"], &quote["network"]), (&"0.05".into(), &"eip155:1337".into()));
    assert_eq!((&quote["recipient"], &quote["payer"]), (&SELLER.into(), &agent.as_str().into()));
    assert_eq!(
        quote["shares"],
        serde_json::json!([{ "recipient": PARTNER, "amount_base": "20000" }]),
        "TC10"
    );
    assert_eq!(quote["fee"], "payer");

    let text =
        network.home.run(&["request", &network.url("/split"), "--rpc-url", rpc, "--dry-run"]).ok().stdout;
    for word in ["0.05 PathUSD", SELLER, PARTNER, &agent, "local sandbox (1337)", "would be paid"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let refused = network.home.run(&["request", &network.url("/dear"), "--rpc-url", rpc, "--dry-run"]);
    assert_eq!(refused.code, 4, "it ends as the call would");
    assert!(refused.stdout.contains("would be refused"), "{refused:?}");
    let nobody = Home::new().run(&["request", &network.url("/paid"), "--rpc-url", rpc, "--dry-run"]);
    assert!(nobody.stdout.contains("(no wallet)"), "a price can be asked for without a wallet: {nobody:?}");

    assert_eq!(network.balance(&agent), before);
    assert_eq!(network.api.asked().len(), 0);
}

#[test]
fn what_may_not_or_cannot_be_paid_is_not() {
    let network = Network::new(|_| Answer::new(200, "good"));
    let agent = network.home.funded("agent", &network.sandbox);
    network.home.run(&["wallet", "new", "poor"]).ok();
    let _gateway = network.serve();
    let before = network.balance(&agent);
    let (dear, paid, rpc) = (network.url("/dear"), network.url("/paid"), network.sandbox.rpc());
    let stranger = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    // Arguments, exit code, words of the message.
    let cases: &[(&[&str], i32, &str)] = &[
        (&[&dear, "--key", "agent"], 4, "--max-spend"),
        (&[&paid, "--key", "agent", "--max-spend", "0.049999"], 4, "--max-spend"),
        (&[&paid, "--key", "agent", "--max-spend", "1 OUSD"], 4, "no limit covers PathUSD"),
        (&[&paid, "--key", "agent", "--allow-host", "example.com"], 4, "--allow-host"),
        (&[&paid, "--key", "agent", "--allow-recipient", stranger], 4, "--allow-recipient"),
        (&[&paid, "--key", "poor"], 5, "needs"),
    ];
    for (args, exit, words) in cases {
        let run = network.home.run(&[&["request", "--rpc-url", rpc], *args].concat());
        assert_eq!(run.code, *exit, "{args:?}: {run:?}");
        assert!(run.stderr.contains(words) && run.stderr.contains("othing was paid"), "{args:?}: {run:?}");
        assert_eq!(run.stdout, "", "{args:?}");
    }
    let other_chain = network.home.run(&["request", &paid, "--key", "agent", "--chain-id", "42431"]);
    assert_eq!(other_chain.code, 4, "{other_chain:?}");
    let no_wallet = Home::new().run(&["request", &paid, "--rpc-url", rpc]);
    assert_eq!(no_wallet.code, 5, "{no_wallet:?}");
    assert!(no_wallet.stderr.contains("farthing wallet new"), "{no_wallet:?}");
    let wrong = network.home.file("wrong", "wrong");
    let locked =
        network.home.run(&["request", &paid, "--key", "agent", "--rpc-url", rpc, "--password-file", &wrong]);
    assert_eq!(locked.code, 5, "{locked:?}");

    assert_eq!(network.balance(&agent), before, "no money has moved");
    assert_eq!(network.api.asked().len(), 0, "nothing was delivered");
}

#[test]
fn a_call_that_fails_behind_the_gateway_is_charged_once() {
    let failed = AtomicBool::new(false);
    let network = Network::new(move |_| match failed.swap(true, Ordering::SeqCst) {
        false => Answer::new(502, "down"),
        true => Answer::new(200, "up again"),
    });
    network.home.funded("agent", &network.sandbox);
    let _gateway = network.serve();
    let before = network.balance(SELLER);
    let run = network.home.run(&["request", &network.url("/paid"), "--rpc-url", network.sandbox.rpc()]).ok();
    assert_eq!(run.stdout, "up again");
    assert_eq!(network.balance(SELLER) - before, 50_000, "once");
    assert_eq!(network.api.asked().len(), 2);
}

#[test]
fn a_payment_that_was_not_served_is_told_as_such_and_served_later() {
    let broken = Arc::new(AtomicBool::new(true));
    let repaired = Arc::clone(&broken);
    let network = Network::new(move |_| match broken.load(Ordering::SeqCst) {
        true => Answer::new(500, "broken"),
        false => Answer::new(200, "repaired"),
    });
    network.home.funded("agent", &network.sandbox);
    let _gateway = network.serve();
    let before = network.balance(SELLER);
    let args = ["request", &network.url("/paid"), "--rpc-url", network.sandbox.rpc(), "-d", "x=1", "-i"];
    let run = network.home.run(&args);
    assert_eq!(run.code, 6, "{run:?}");
    assert!(run.stdout.starts_with("HTTP/1.1 500") && run.stdout.ends_with("broken"), "{run:?}");
    assert!(!run.stdout.contains("payment-receipt"), "C14: {run:?}");
    assert!(network.balance(SELLER) - before <= 50_000, "never twice");
    let open = network.home.run(&["payments", "--open", "--output", "json"]).ok().json();
    assert_eq!(open["payments"].as_array().unwrap().len(), 1, "{open}");
    let id = open["payments"][0]["id"].as_str().unwrap();
    let shown = network.home.run(&["payments", id]).ok().stdout;
    assert!(shown.contains("0.05 PathUSD") && shown.contains(SELLER), "{shown}");

    let url = network.url("/paid");
    let present = |args: &[&str]| network.home.run(&[&["request", "--payment", id], args].concat());
    let elsewhere = present(&[&network.url("/dear"), "-d", "x=1"]);
    assert_eq!(elsewhere.code, 2, "a payment goes to what it was made for: {elsewhere:?}");
    let still = present(&[&url, "-d", "x=1"]);
    assert_eq!((still.code, still.stdout.as_str()), (6, "broken"), "{still:?}");
    repaired.store(false, Ordering::SeqCst);
    let served = present(&[&url, "-d", "x=1"]).ok();
    assert_eq!(served.stdout, "repaired");
    assert!(served.stderr.contains("nothing was paid now"), "{served:?}");
    assert_eq!(network.balance(SELLER) - before, 50_000, "once");
    let open = network.home.run(&["payments", "--open", "--output", "json"]).ok().json();
    assert_eq!(open["payments"].as_array().unwrap().len(), 0, "{open}");
    assert_eq!(present(&[&url, "-d", "x=1"]).code, 2, "it is settled");
}

/// What was paid for is not lost to a file that cannot be written: that is found out before.
#[test]
fn an_unwritable_file_is_told_before_anything_is_paid() {
    let network = Network::new(|_| Answer::new(200, "good"));
    let agent = network.home.funded("agent", &network.sandbox);
    let _gateway = network.serve();
    let before = network.balance(&agent);
    let (url, rpc) = (network.url("/paid"), network.sandbox.rpc().to_owned());
    let nowhere = network.home.path().join("no/such/directory").display().to_string();
    let run = network.home.run(&["request", &url, "--rpc-url", &rpc, "-o", &nowhere]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("nothing was paid"), "{run:?}");
    assert_eq!(network.balance(&agent), before);
    let file = network.home.path().join("answer");
    let refused = ["request", &network.url("/dear"), "--rpc-url", &rpc, "-o", file.to_str().unwrap()];
    assert_eq!(network.home.run(&refused).code, 4);
    assert!(!file.exists(), "nothing was served, and no file is left");
    network.home.run(&["request", &url, "--rpc-url", &rpc, "-o", file.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read(file).unwrap(), b"good");
}

/// An answer that takes too long after it was paid is never told as unpaid.
#[test]
fn a_paid_call_that_runs_out_of_time_says_that_it_may_be_paid() {
    let network = Network::new(|_| {
        std::thread::sleep(std::time::Duration::from_secs(20));
        Answer::new(200, "late")
    });
    network.home.funded("agent", &network.sandbox);
    let _gateway = network.serve();
    let before = network.balance(SELLER);
    let args = ["request", &network.url("/paid"), "--rpc-url", network.sandbox.rpc(), "--max-time", "4"];
    let run = network.home.run(&args);
    assert_eq!(run.code, 7, "{run:?}");
    assert!(run.stderr.contains("do not pay again") && run.stderr.contains("farthing payments "), "{run:?}");
    assert_eq!(network.balance(SELLER) - before, 50_000);
}

/// A payment and a bearer token travel together.
#[test]
fn payments_may_leave_the_authorization_header_to_others() {
    let network = Network::new(|asked| Answer::new(200, asked.header("authorization").unwrap_or("-")));
    network.home.funded("agent", &network.sandbox);
    let text = std::fs::read_to_string(&network.config).unwrap();
    let more = "[gateway]\ncredential_header = \"Payment-Authorization\"";
    let config = network.home.file("gateway.toml", text.replace("[gateway]", more));
    let _gateway = network.home.start(&["serve", "--config", &config]);
    let url = network.url("/paid");
    let token = ["-H", "Authorization: Bearer abc", "--rpc-url", network.sandbox.rpc(), "-v"];
    let run = network.home.run(&[&["request", url.as_str()], token.as_slice()].concat()).ok();
    assert_eq!(run.stdout, "Bearer abc");
    assert!(run.stderr.contains("> payment-authorization: ["), "{run:?}");
    assert!(!run.stderr.contains("Bearer abc"), "a trace shows no token: {run:?}");
}
