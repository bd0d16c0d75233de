//! `farthing billing collect` beside a service that runs: what was credited to customers is brought to the operator's account.

use serde_json::{Value, json};

use crate::support::{CANARY, Home, Run, Running};
use crate::tenant::{Tenant, watching};

/// Somebody whom nobody has ever paid.
const TO: &str = "0x00000000000000000000000000000000000c0ffe";
/// As every secret of these tests, it may not stand in anything that is written: the digits are looked for below.
const SEED: [u8; 32] = [7; 32];

fn digits(seed: &[u8]) -> String {
    seed.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct World {
    home: Home,
    sandbox: Running,
    config: String,
    key: String,
}

impl World {
    fn new() -> Self {
        let home = Home::new();
        let sandbox = home.sandbox();
        home.funded("agent", &sandbox);
        home.file("seed", digits(&SEED));
        let config = watching(&home, &sandbox, &SEED);
        let made = home.run(&["billing", "init", "--config", &config, "--output", "json"]).ok().json();
        let key = made["api_key"].as_str().unwrap().to_owned();
        Self { home, sandbox, config, key }
    }

    fn serve(&self) -> Running {
        self.home.start(&["billing", "serve", "--config", &self.config, "--listen", "127.0.0.1:0"])
    }

    fn send(&self, amount: &str, to: &str) {
        let rpc = self.sandbox.rpc();
        self.home.run(&["wallet", "send", amount, to, "--from", "agent", "--yes", "--rpc-url", rpc]).ok();
    }

    fn holds(&self, who: &str) -> u128 {
        self.home.balance(who, &self.sandbox)
    }

    fn seed_file(&self) -> String {
        self.home.path().join("seed").display().to_string()
    }

    /// The command with these arguments besides. Whatever it writes, the seed is not in it.
    fn collect(&self, args: &[&str]) -> Run {
        self.collect_to(TO, args)
    }

    fn collect_to(&self, to: &str, args: &[&str]) -> Run {
        let whole = [&["billing", "collect", "--config", &self.config, "--to", to], args].concat();
        let run = self.home.run(&whole);
        let written = format!("{}{}", run.stdout, run.stderr);
        assert!(!written.contains(&digits(&SEED)), "{run:?}");
        run
    }

    fn collected(&self) -> Vec<Value> {
        let args = ["billing", "collections", "--config", &self.config, "--output", "json"];
        self.home.run(&args).ok().json()["collections"].as_array().unwrap().clone()
    }
}

fn base(value: &Value) -> u128 {
    value.as_str().unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

#[test]
fn deposits_are_collected_beside_the_service_and_nobodys_balance_changes() {
    let world = World::new();
    let service = world.serve();
    let tenant = Tenant { url: service.url(), key: &world.key };
    let wallets = ["acme", "globex"].map(|name| tenant.wallet_with_address(name));
    world.send("2.5", &wallets[0].1);
    world.send("7.000001", &wallets[1].1);
    tenant.has(&wallets[0].0, "2500000", &service);
    tenant.has(&wallets[1].0, "7000001", &service);
    // Nobody's, and dust.
    world.send("0.49", &wallets[0].1);

    let look = world.collect(&["--dry-run", "--output", "json"]).ok().json();
    assert_eq!((look["dry_run"].as_bool(), look["addresses"].as_array().unwrap().len()), (Some(true), 2));
    assert_eq!(look["addresses"][0]["external_id"], "acme");
    assert_eq!(look["addresses"][0]["held_base"], "2990000");
    let for_people = world.collect(&["--dry-run"]).ok().stdout;
    assert!(for_people.contains("acme (0)") && for_people.contains("7.000001 PathUSD"), "{for_people}");
    assert_eq!((world.holds(TO), world.collected().len()), (0, 0), "it only looked");
    assert!(!world.home.path().join("billing.collections.db").exists());

    let seed = world.seed_file();
    let unasked = world.collect(&["--seed-file", &seed, "--output", "json"]);
    assert_eq!((unasked.code, world.holds(TO)), (2, 0), "without consent nothing is sent: {unasked:?}");
    assert!(unasked.stderr.contains("not_confirmed"), "{unasked:?}");
    let args = ["--seed-file", &seed, "--yes", "--output", "json"];
    let done = world.collect(&args).ok().json();
    let mut arrived = 0;
    for address in done["addresses"].as_array().unwrap() {
        assert_eq!(address["state"], "collected", "{done}");
        let (amount, fee) = (base(&address["amount_base"]), base(&address["fee_base"]));
        let stays = world.holds(address["address"].as_str().unwrap());
        assert_eq!(base(&address["held_base"]), amount + fee + stays, "{address}");
        arrived += amount;
    }
    assert_eq!(
        (world.holds(TO), &done["collected"][0]["amount_base"]),
        (arrived, &json!(arrived.to_string()))
    );
    assert!(arrived > 9_900_000, "{done}");

    // It is written down, and a second run finds nothing that is worth it.
    let written = world.collected();
    assert_eq!(written.len(), 2);
    let sum: u128 = written.iter().map(|it| base(&it["amount"])).sum();
    assert_eq!(sum, arrived);
    assert!(written.iter().all(|it| it["state"] == "collected" && it["tx_hash"].is_string()), "{written:?}");
    let again = world.collect(&args).ok().json();
    assert!(
        again["addresses"].as_array().unwrap().iter().all(|it| it["reason"] == "below_minimum"),
        "{again}"
    );
    assert_eq!(world.holds(TO), arrived);
    let listed = world.home.run(&["billing", "collections", "--config", &world.config, "--last", "1"]).ok();
    assert_eq!(listed.stdout.lines().count(), 1, "{listed:?}");

    // What left is nothing to the watcher: what comes after it is credited, and nothing else.
    world.send("1", &wallets[0].1);
    tenant.has(&wallets[0].0, "3500000", &service);
    assert_eq!(tenant.get(&wallets[1].0)["available"], "7000001");
    assert_eq!(tenant.get("/v1/deposits")["data"].as_array().unwrap().len(), 4);
    let log = service.terminated();
    assert!(!log.contains("deposits have to wait"), "{log}");
    // And after it, with another wallet paying the fees: to the last base unit.
    world.home.funded("fees", &world.sandbox);
    let left = world.holds(&wallets[0].1);
    let with_fees = [&args[..], &["--fees-from", "fees"]].concat();
    let done = world.collect(&with_fees).ok().json();
    assert_eq!((world.holds(&wallets[0].1), world.holds(TO)), (0, arrived + left), "{done}");
    assert_eq!(done["addresses"][1]["reason"], "below_minimum", "{done}");
}

#[test]
fn another_seed_an_open_file_and_a_deposit_address_are_refused_before_anything_is_sent() {
    let world = World::new();
    let service = world.serve();
    let tenant = Tenant { url: service.url(), key: &world.key };
    let (wallet, address) = tenant.wallet_with_address("acme");
    world.send("2.5", &address);
    tenant.has(&wallet, "2500000", &service);
    let seed = world.seed_file();
    let other = world.home.file("other", digits(&[8; 32]));
    let phrase = world.home.file("phrase", format!("{CANARY}word"));
    let open = world.home.file("open", digits(&SEED));
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let zero = format!("0x{}", "0".repeat(40));
    let cases = [
        (TO, vec!["--seed-file", &other], "deposit_seed_of_another_key"),
        (TO, vec!["--seed-file", &phrase], "deposit_seed_bad"),
        (TO, vec!["--seed-file", &open], "seed_exposed"),
        (TO, vec!["--seed-file", "nowhere"], "file"),
        (TO, vec![], "seed_missing"),
        (address.as_str(), vec!["--seed-file", &seed], "collect_to_deposit_address"),
        (zero.as_str(), vec!["--seed-file", &seed], "collect_to"),
        (TO, vec!["--seed-file", &seed, "--token", "NoUSD"], "token"),
        (TO, vec!["--seed-file", &seed, "--fees-from", "nobody"], "key_missing"),
        // Also where it would only look.
        (TO, vec!["--seed-file", &other, "--dry-run"], "deposit_seed_of_another_key"),
        (address.as_str(), vec!["--dry-run"], "collect_to_deposit_address"),
    ];
    for (to, args, code) in cases {
        let run = world.collect_to(to, &[&args[..], &["--yes", "--output", "json"]].concat());
        let said: Value =
            serde_json::from_str(run.stderr.trim()).unwrap_or_else(|_| panic!("{args:?} {run:?}"));
        assert_eq!((run.code, said["error"]["code"].as_str()), (2, Some(code)), "{args:?} {run:?}");
        let said_at_once = matches!(code, "file" | "token");
        assert!(said_at_once || !said["error"]["help"].is_null(), "it says what to do: {run:?}");
    }
    let plain = world.home.file("plain.toml", "[billing]\nstore = \"billing.db\"\n");
    let run = world.home.run(&["billing", "collect", "-c", &plain, "--to", TO, "--output", "json"]);
    assert!(run.code == 2 && run.stderr.contains("no_deposits"), "{run:?}");
    assert_eq!((world.holds(TO), world.holds(&address), world.collected().len()), (0, 2_500_000, 0));
}

/// From standard input, and killed at any point: the next run finds out, and what is written down is what arrived.
#[test]
fn a_run_that_is_killed_is_looked_up_by_the_next() {
    let world = World::new();
    let service = world.serve();
    let tenant = Tenant { url: service.url(), key: &world.key };
    let wallets: Vec<(String, String)> =
        (0..6).map(|n| tenant.wallet_with_address(&format!("customer-{n}"))).collect();
    for (_, address) in &wallets {
        world.send("3", address);
    }
    let seed = world.seed_file();
    let command = ["billing", "collect", "--config", &world.config, "--to", TO, "--seed-file"];
    for ms in [150, 250, 350, 500] {
        let mut run = world.home.spawn(&[&command[..], &[&seed, "--yes"]].concat());
        std::thread::sleep(std::time::Duration::from_millis(ms));
        run.kill().unwrap();
        run.wait().unwrap();
    }
    let whole = [&command[..], &["-", "--yes", "--output", "json"]].concat();
    let mut last = world.home.run_with_input(&whole, &digits(&SEED));
    for _ in 0..40 {
        if last.code != 7 {
            break;
        }
        // Something was signed and never sent: it is valid for half a minute.
        std::thread::sleep(std::time::Duration::from_secs(2));
        world.send("0.6", &wallets[0].1);
        last = world.home.run_with_input(&whole, &digits(&SEED));
    }
    assert_eq!(last.code, 0, "{last:?}");
    let written = world.collected();
    let arrived: u128 =
        written.iter().filter(|it| it["state"] == "collected").map(|it| base(&it["amount"])).sum();
    assert_eq!(world.holds(TO), arrived, "{written:?}");
    assert!(arrived > 17_900_000, "{written:?}");
    assert!(written.iter().all(|it| it["state"] != "sending"), "{written:?}");
}
