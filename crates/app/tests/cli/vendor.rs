//! Vendors that ask for no payments, through the binary: called with their key, charged at what a call cost; and what becomes of a
//! call whose outcome only the vendor knows.

use std::time::Duration;

use serde_json::{Value, json};

use crate::charge::Books;
use crate::server::{Answer, Server};
use crate::support::{Home, Run, Running};

/// A customer with 0.10, and a vendor whose call costs at most 0.05. What is asked of `/lost` is never answered.
struct World {
    home: Home,
    books: Books,
    acme: String,
    vendor: Server,
    policy: String,
    sandbox: Running,
}

impl World {
    /// With these lines more in the vendor's table.
    fn new(more: &str) -> Self {
        let home = Home::new();
        let books = Books::open(&home);
        books.post("assets", &json!({ "code": "USD", "scale": 6, "kind": "fiat" }));
        let acme = books.post("customers", &json!({ "external_id": "acme" }));
        let acme = acme["id"].as_str().unwrap().to_owned();
        books.post(&format!("customers/{acme}/wallets/USD/credits"), &json!({ "amount": "100000" }));
        let vendor = Server::start(|asked| {
            if asked.line.contains("/lost ") {
                // Longer than the caller lives.
                std::thread::sleep(Duration::from_secs(60));
            }
            match asked.header("authorization") {
                Some("Bearer farthing-canary-vendor") => Answer::new(200, r#"{"usage":{"tokens":1500}}"#)
                    .header("Content-Type", "application/json"),
                _ => Answer::new(401, "who are you?"),
            }
        });
        home.file("vendor.key", "farthing-canary-vendor");
        let policy = format!(
            "[limits]\ncall = \"0.05\"\ntotal = \"0.20\"\n[hosts]\nallow = [\"*\"]\n[[vendors]]\nhost = \"{}\"\nprefix = \"Bearer \"\n\
             key_file = \"vendor.key\"\nmost = \"0.05\"\n{more}\n[[vendors.usage]]\npointer = \"/usage/tokens\"\nper = 1000\n\
             price = \"0.004\"\n",
            vendor.address
        );
        let policy = home.file("policy.toml", policy);
        let sandbox = home.sandbox();
        Self { home, books, acme, vendor, policy, sandbox }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v1{path}", self.vendor.address)
    }

    fn request(&self, path: &str) -> Vec<String> {
        let always =
            ["request", "--rpc-url", self.sandbox.rpc(), "--policy", &self.policy, "--subject", "task 9"];
        let charge = self.books.charge("acme");
        [&always[..], &charge, &[&self.url(path)]].concat().into_iter().map(str::to_owned).collect()
    }

    /// A call whose process is killed while the vendor is at work on it; the payment's id.
    fn killed(&self) -> String {
        let before = self.vendor.asked().len();
        let args = self.request("/lost");
        let mut caller = self.home.spawn(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let mut looks = 0;
        while self.vendor.asked().len() == before {
            looks += 1;
            assert!(looks < 3_000, "the vendor is never asked");
            std::thread::sleep(Duration::from_millis(10));
        }
        caller.kill().unwrap();
        caller.wait().unwrap();
        let open = self.home.run(&["payments", "--open", "--output", "json"]).ok().json();
        open["payments"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// `farthing payments resolve`, with the billing service named.
    fn resolve(&self, args: &[&str]) -> Run {
        let url = self.books.service.url();
        let tell = ["--billing-url", url, "--billing-key-file", &self.books.key_file];
        self.resolve_alone(&[args, &tell].concat())
    }

    fn resolve_alone(&self, args: &[&str]) -> Run {
        self.home.run(&[&["payments", "resolve", "--rpc-url", self.sandbox.rpc()], args].concat())
    }

    fn show(&self, id: &str) -> Value {
        self.home.run(&["payments", "show", id, "--output", "json"]).ok().json()
    }

    fn balances(&self) -> [String; 3] {
        self.books.balances(&self.acme, "USD")
    }
}

#[test]
fn a_vendor_without_payments_is_called_with_its_key_and_charged_at_what_it_cost() {
    let world = World::new("");
    let args = world.request("/chat");
    let run = world.home.run(&args.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    assert!(run.stdout.contains("1500"), "{run:?}");
    // 1,500 at 0.004 for a thousand: 0.006.
    assert_eq!(world.balances(), ["94000", "0", "94000"]);
    let hold = world.books.get(&format!("holds?customer={}", world.acme))["data"][0].clone();
    assert_eq!((hold["amount"].as_str(), hold["captured"].as_str()), (Some("50000"), Some("6000")));
    assert_eq!(hold["subject"], "task 9");
    let listed = world.home.run(&["payments"]).ok().stdout;
    assert!(listed.contains("0.006 USD") && listed.contains("served"), "what it cost: {listed}");
}

#[test]
fn a_persons_word_closes_a_call_that_only_the_vendor_knows() {
    let world = World::new("");
    let id = world.killed();
    assert_eq!(world.balances(), ["100000", "50000", "50000"], "held, as long as nobody knows");
    let listed = world.home.run(&["payments"]).ok().stdout;
    assert!(listed.contains("only the vendor knows") && listed.contains("0.05 USD"), "{listed}");
    let shown = world.home.run(&["payments", "show", &id]).ok().stdout;
    let how = format!("farthing payments resolve {id} --cost AMOUNT");
    assert!(shown.contains(&how) && shown.contains("charged in full from"), "{shown}");

    let asked = world.resolve(&[&id]);
    assert_eq!(asked.code, 7, "{asked:?}");
    assert!(asked.stdout.contains("only the vendor knows") && asked.stdout.contains(&how), "{asked:?}");
    let all = world.resolve(&["--all", "--output", "json"]);
    assert_eq!(
        (all.code, all.json()["payments"][0]["fate"].as_str()),
        (7, Some("only_vendor_knows")),
        "{all:?}"
    );

    for (args, words) in [
        (vec![&*id, "--cost", "0.050001"], "0.05 USD"),
        (vec![&*id, "--cost", "much"], "--cost"),
        (vec![&*id, "--cost", "0.01", "--charged"], "cannot be used with"),
        (vec![&*id, "--note", "why"], "--not-charged"),
        (vec!["--all", "--not-charged"], "cannot be used with"),
    ] {
        let refused = world.resolve(&args);
        assert_eq!(refused.code, 2, "{args:?}: {refused:?}");
        assert!(refused.stderr.contains(words), "{args:?}: {}", refused.stderr);
    }
    assert_eq!(world.balances(), ["100000", "50000", "50000"]);

    // Without the service's name the word is kept, and the wallet is told later.
    let said = world.resolve_alone(&[&id, "--cost", "0.006", "--note", "as on the invoice"]).ok();
    assert!(said.stdout.contains("charged 0.006 USD, as you say"), "{said:?}");
    assert!(said.stderr.contains("still holds") && said.stderr.contains("--all --billing-url"), "{said:?}");
    assert_eq!(world.balances(), ["100000", "50000", "50000"]);
    world.resolve(&["--all"]).ok();
    assert_eq!(world.balances(), ["94000", "0", "94000"]);

    let shown = world.show(&id);
    let facts = ["state", "cost", "decided_by", "why", "amount"].map(|name| shown[name].as_str().unwrap());
    assert_eq!(facts, ["charged", "0.006", "person", "as on the invoice", "0.05"], "{shown}");
    assert_eq!((&shown["final"], &shown["known"]), (&json!(true), &json!(true)));
    let listed = world.home.run(&["payments", "--state", "charged"]).ok().stdout;
    assert!(listed.contains("0.006 USD") && listed.contains("charged, no answer"), "{listed}");
    let csv = world.home.run(&["payments", "export", "--format", "csv"]).ok().stdout;
    assert!(csv.lines().next().unwrap().ends_with(",why,cost,decided_by"), "{csv}");
    assert!(csv.contains(",as on the invoice,0.006,person"), "{csv}");
    let again = world.resolve(&[&id, "--not-charged"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stderr.contains("is closed"), "{}", again.stderr);
}

#[test]
fn what_was_not_charged_is_free_again() {
    let world = World::new("");
    let id = world.killed();
    let run = world.resolve(&[&id, "--not-charged", "--output", "json"]).ok().json();
    let found = &run["payments"][0];
    assert_eq!((found["fate"].as_str(), found["decided_by"].as_str()), (Some("not_charged"), Some("person")));
    assert_eq!(world.balances(), ["100000", "0", "100000"]);
    assert_eq!(world.show(&id)["state"], "not_paid");
    let left = world.home.run(&["policy", "show", "--policy", &world.policy, "--output", "json"]).ok().json();
    let total = left["limits"].as_array().unwrap().iter().find(|limit| limit["window"] == "total").unwrap();
    assert_eq!((total["spent"].as_str(), total["held"].as_str()), (Some("0"), Some("0")), "{left}");
}

#[test]
fn what_nobody_says_in_time_counts_as_charged_in_full() {
    let world = World::new("charge_after = \"0s\"");
    let (first, second) = (world.killed(), world.killed());
    // The second call has looked before it began.
    let shown = world.show(&first);
    assert_eq!((shown["state"].as_str(), shown["decided_by"].as_str()), (Some("charged"), Some("policy")));
    assert_eq!(world.balances(), ["50000", "50000", "0"]);
    let run = world.resolve(&["--all", "--output", "json"]).ok().json();
    assert_eq!(world.show(&second)["decided_by"], "policy", "{run}");
    let told = &run["payments"][0];
    assert_eq!((told["id"].as_str(), told["fate"].as_str()), (Some(&*second), Some("charged")), "{run}");
    assert_eq!(world.balances(), ["0", "0", "0"]);

    let world = World::new("charge_after = \"never\"");
    let id = world.killed();
    let asked = world.resolve(&[&id]);
    assert_eq!(asked.code, 7, "{asked:?}");
    assert!(asked.stdout.contains("held until somebody says"), "{asked:?}");
    assert_eq!(world.balances(), ["100000", "50000", "50000"]);
}

#[test]
fn what_is_wrong_with_a_vendor_is_said_by_its_key() {
    let home = Home::new();
    home.file("vendor.key", "farthing-canary-vendor");
    let good = "[limits]\ncall = \"1\"\n[[vendors]]\nhost = \"v.example\"\nkey_file = \"vendor.key\"\nmost = \"0.05\"\n";
    let usage = "[[vendors.usage]]\npointer = \"/n\"\nprice = \"0.1\"\n";
    for (text, words) in [
        (good.to_owned(), ""),
        (format!("{good}{usage}"), ""),
        (good.replace("0.05", "0"), "most"),
        (good.replace("key_file = \"vendor.key\"", ""), "key_file"),
        (good.replace("vendor.key", "nowhere.key"), "nowhere.key"),
        (good.replace("v.example", "https://v.example"), "host"),
        (format!("{good}header = \"a b\"\n"), "header"),
        (format!("{good}{}", usage.replace("/n", "n")), "pointer"),
        (format!("{good}{usage}per = 0\n"), "per"),
        (format!("{good}colour = \"red\"\n"), "colour"),
        (format!("{good}charge_after = \"36h\"\nidempotency_key = true\n"), ""),
        (format!("{good}charge_after = \"never\"\n"), ""),
        (format!("{good}charge_after = \"soon\"\n"), "never"),
    ] {
        let file = home.file("policy.toml", &text);
        let run = home.run(&["policy", "check", "--policy", &file]);
        let expected = if words.is_empty() { 0 } else { 2 };
        assert_eq!(run.code, expected, "{text}: {run:?}");
        assert!(run.stderr.contains(words), "{text}: {}", run.stderr);
    }
}
