//! `farthing demo`: its numbers are checked again, by somebody else.

use serde_json::Value;

use crate::support::Home;

fn base(value: &Value) -> i128 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn the_demo_adds_up() {
    let home = Home::new();
    let demo = home.run(&["demo", "--output", "json"]).ok().json();
    let calls = demo["calls"].as_array().unwrap();
    let paid = |mode: &str| calls.iter().filter(|call| call["mode"] == mode).count();
    assert!(paid("pull") + paid("push") >= 12, "a dozen paid calls: {demo}");
    assert!(paid("pull") > 0 && paid("push") > 0 && paid("proof") == 1, "{demo}");
    assert_eq!(calls.iter().filter(|call| !call["refusal"].is_null()).count(), 1, "{demo}");
    assert_eq!(demo["upstream"]["failures"], 1);

    let parties = demo["books"]["parties"].as_array().unwrap();
    let sum: i128 = parties.iter().map(|party| base(&party["change"])).sum();
    assert_eq!(sum, 0, "{demo}");
    let change = |name: &str| {
        let party = parties.iter().find(|party| party["party"] == name).unwrap();
        assert_eq!(base(&party["after"]) - base(&party["before"]), base(&party["change"]), "{party}");
        base(&party["change"])
    };
    let prices: i128 =
        calls.iter().filter(|call| call["paid_base"].is_string()).map(|call| base(&call["paid_base"])).sum();
    assert_eq!(change("seller") + change("partner"), prices, "every price arrived, once");
    let fees = change("network");
    assert_eq!(-change("agent") - change("sponsor"), prices + fees, "{demo}");
    assert!(change("sponsor") < 0 && fees > 0, "{demo}");
    assert_eq!((base(&demo["books"]["fees"]), &demo["books"]["add_up"]), (fees, &Value::Bool(true)));
}

#[test]
fn people_see_calls_balances_and_the_conclusion() {
    let run = Home::new().run(&["demo"]).ok();
    for words in [
        "chain 1337",
        "/v1/weather?city=Lisbon",
        "over the limit, nothing was paid",
        "The books add up.",
        "+0.",
    ] {
        assert!(run.stdout.contains(words), "{words}: {run:?}");
    }
    assert!(!run.stdout.contains('\u{1b}'), "no colours where there is no terminal");
}
