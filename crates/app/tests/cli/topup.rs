//! `farthing billing serve` with cards at a Stripe-compatible server that we did not write: a wallet that falls under its threshold is
//! topped up once, also when the service is killed in between; a card that will never pay pauses the rule.

use std::time::Duration;

use serde_json::{Value, json};
use stripe::{Fault, LocalStripe, Proxy};
use tokio::runtime::Runtime;

use crate::support::{Home, Running};
use crate::tenant::Tenant;

/// The server, and the proxy before it that fails on demand: those of the crate that asks them.
#[path = "../../../funding/tests/support/stripe.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod stripe;

/// It may stand in nothing that the service writes.
const KEY: &str = "sk_test_canary7d1f0b";
/// A card that pays, and one whose bank asks the customer.
const GOOD: &str = "4242424242424242";
const ASKS: &str = "4000002500003155";

/// Says loudly that a test was not run, and why.
fn skipped(why: &str) {
    use std::io::Write as _;
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "SKIPPED {name}: {why}").ok();
}

struct World {
    runtime: Runtime,
    server: LocalStripe,
    proxy: Proxy,
    home: Home,
    config: String,
    key: String,
}

impl World {
    fn new() -> Option<Self> {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(LocalStripe::start())?;
        let proxy = runtime.block_on(Proxy::before(&server.url));
        let home = Home::new();
        home.file("stripe.key", KEY);
        let tables = format!(
            "[billing]\nstore = \"billing.db\"\n[stripe]\nsecret_key_file = \"stripe.key\"\nurl = \"{}\"\n\
             timeout_ms = 5000\n",
            proxy.url
        );
        let config = home.file("billing.toml", tables);
        let made = home.run(&["billing", "init", "--config", &config, "--output", "json"]).ok().json();
        let key = made["api_key"].as_str().unwrap().to_owned();
        Some(Self { runtime, server, proxy, home, config, key })
    }

    /// With everything logged that can be.
    fn serve(&self) -> Running {
        let args = ["billing", "serve", "--config", &self.config, "--listen", "127.0.0.1:0"];
        self.home.start_with(&args, |command| {
            command.env("FARTHING_LOG", "trace");
        })
    }

    /// A wallet with 6 dollars, which is topped up by 10 when less than 5 are there.
    fn wallet(&self, tenant: &Tenant<'_>, card: &str) -> String {
        let (customer, payment_method) = self.runtime.block_on(self.server.customer(card));
        let usd = json!({ "code": "USD", "scale": 6, "kind": "fiat" });
        assert!(matches!(tenant.post("/v1/assets", &usd).0, 201 | 409));
        let (_, made) = tenant.post("/v1/customers", &json!({ "external_id": card }));
        let wallet = format!("/v1/customers/{}/wallets/USD", made["id"].as_str().unwrap());
        assert_eq!(tenant.post(&format!("{wallet}/credits"), &json!({ "amount": "6000000" })).0, 201);
        let rule = json!({
            "threshold": "5000000", "size": { "steps": "10000000" }, "cap_per_day": "1000000000",
            "source": { "kind": "card", "customer": customer, "payment_method": payment_method },
        });
        let (status, said) = tenant.put(&format!("{wallet}/topup_rule"), &rule);
        assert_eq!(status, 200, "{said}");
        wallet
    }

    fn paid(&self) -> Vec<(String, u64)> {
        self.runtime.block_on(self.server.intents())
    }
}

fn spend(tenant: &Tenant<'_>, wallet: &str, amount: &str) {
    let debit = json!({ "direction": "debit", "amount": amount, "reason": "used up" });
    let (status, said) = tenant.post(&format!("{wallet}/adjustments"), &debit);
    assert_eq!(status, 201, "{said}");
}

fn events(tenant: &Tenant<'_>, kind: &str) -> Vec<Value> {
    let found = tenant.get("/v1/events");
    let all = found["data"].as_array().unwrap_or_else(|| panic!("{found}"));
    all.iter().filter(|event| event["type"] == kind).cloned().collect()
}

#[track_caller]
fn no_key(log: &str) {
    assert!(log.contains("answered"), "there is a log to look through: {log}");
    let line = log.lines().find(|line| line.contains(KEY) || line.contains("canary7d1f0b"));
    assert_eq!(line, None, "the key is never written");
}

#[test]
fn a_wallet_that_falls_under_its_threshold_is_topped_up_once_also_by_a_service_that_is_killed() {
    let Some(world) = World::new() else { return };
    let service = world.serve();
    let tenant = Tenant { url: service.url(), key: &world.key };
    // From now on the wallet is watched: nobody waits until all rules are looked at again.
    let wallet = world.wallet(&tenant, GOOD);
    spend(&tenant, &wallet, "500000");
    assert_eq!(tenant.get(&wallet)["available"], "5500000", "nothing is fetched that is not needed");
    spend(&tenant, &wallet, "1000000");
    tenant.has(&wallet, "14500000", &service);
    assert_eq!(world.paid(), [("succeeded".to_owned(), 1_000)]);
    let attempts = tenant.get(&format!("{wallet}/topups"));
    let reference = attempts["data"][0]["reference"].as_str().unwrap();
    assert!(reference.starts_with("pi_"), "{attempts}");
    assert_eq!(events(&tenant, "topup.succeeded").len(), 1);

    // The card is charged, and before anybody hears of it the service is killed.
    world.proxy.fail(Fault::Silence);
    spend(&tenant, &wallet, "14000000");
    let begun = |attempts: &Value| attempts["data"].as_array().is_some_and(|all| all.len() == 2);
    tenant.sees(&format!("{wallet}/topups"), &service, begun);
    for _ in 0..600 {
        if world.paid().len() == 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(tenant.get(&wallet)["available"], "500000");
    let log = service.log();
    service.kill();
    no_key(&log);

    let service = world.serve();
    let tenant = Tenant { url: service.url(), key: &world.key };
    tenant.has(&wallet, "10500000", &service);
    let paid = world.paid();
    assert_eq!(paid.len(), 2, "the charge that was made is the one that was credited: {paid:?}");
    let attempts = tenant.get(&format!("{wallet}/topups"));
    let states: Vec<&Value> = attempts["data"].as_array().unwrap().iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["succeeded", "succeeded"], "{attempts}");
    assert_eq!(events(&tenant, "topup.succeeded").len(), 2);
    no_key(&service.terminated());
}

#[test]
fn a_card_that_is_declined_for_good_pauses_its_rule_and_says_so() {
    let Some(world) = World::new() else { return };
    let service = world.serve();
    let wallets =
        [GOOD, ASKS].map(|card| world.wallet(&Tenant { url: service.url(), key: &world.key }, card));
    service.kill();
    let service = world.serve();
    let tenant = Tenant { url: service.url(), key: &world.key };
    let cases = [(Some("stolen_card"), "stolen_card"), (None, "authentication_required")];
    for (n, (wallet, (refusal, code))) in wallets.iter().zip(cases).enumerate() {
        if let Some(refusal) = refusal {
            world.proxy.fail(Fault::Decline(refusal));
        }
        spend(&tenant, wallet, "2000000");
        let rule = format!("{wallet}/topup_rule");
        tenant.sees(&rule, &service, |rule| rule["state"] == "paused");
        let attempts = tenant.get(&format!("{wallet}/topups"));
        assert_eq!(attempts["data"][0]["declined"]["code"], code, "{attempts}");
        assert_eq!(tenant.get(wallet)["available"], "4000000", "nothing was credited");
        for kind in ["topup.declined", "topup.paused"] {
            assert_eq!(events(&tenant, kind).len(), n + 1, "{kind} {}", tenant.get("/v1/events"));
        }
    }
    assert!(world.paid().iter().all(|(status, _)| status != "succeeded"), "{:?}", world.paid());
    // A service that was killed leaves it paused; nobody is asked again before a person says so.
    let log = service.log();
    service.kill();
    no_key(&log);
    let service = world.serve();
    let tenant = Tenant { url: service.url(), key: &world.key };
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(world.proxy.charges.lock().unwrap().len(), 2);
    assert_eq!(events(&tenant, "topup.paused").len(), 2);
    no_key(&service.terminated());
}
