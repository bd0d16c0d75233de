//! One scenario against the sandbox and against `anvil --network tempo`: both must answer alike, to the unit of gas.
//!
//! The steps are in `steps.rs`; where the two must differ is in `compare.rs`, each with its reason. Anvil is taken from
//! the environment variable `FARTHING_ANVIL`; without it the sandbox still walks the scenario alone, against the
//! outcomes that the steps themselves expect.
#![allow(clippy::unwrap_used, reason = "tests")]

mod compare;
mod node;
#[allow(dead_code, reason = "shared with the tests of the port")]
mod sign;
mod steps;

use node::{Anvil, Node};
use serde_json::Value;
use std::io::Write as _;
use steps::{Action, Step};

#[tokio::test]
async fn sandbox_and_anvil_answer_alike() {
    let now_s = node::unix_ms() / 1000;
    let sandbox = node::sandbox().await;
    let model = Node::new(sandbox.url(), node::Kind::Sandbox);
    let anvil = Anvil::start(now_s).await;
    if anvil.is_none() {
        // Written past the test harness, which would keep a passing test's output to itself.
        writeln!(
            std::io::stderr(),
            "SKIPPED: the comparison of the sandbox with anvil --network tempo, because FARTHING_ANVIL does not name an \
             anvil binary. The scenario ran on the sandbox alone."
        )
        .unwrap();
    }
    let reference = anvil.as_ref().map(Anvil::node);
    let mut different = Vec::new();
    for step in steps::scenario(now_s) {
        let ours = perform(&model, &step).await;
        check_expectation(&step, &ours);
        let Some(reference) = &reference else { continue };
        let theirs = perform(reference, &step).await;
        let (ours, theirs) = compare::without_expected(step.name, ours, theirs);
        if ours != theirs {
            different.push(format!("{}\n  sandbox {ours}\n  anvil   {theirs}", step.name));
        }
    }
    assert!(different.is_empty(), "{} steps differ:\n{}", different.len(), different.join("\n"));
    sandbox.shutdown().await;
}

async fn perform(node: &Node, step: &Step) -> Value {
    match &step.action {
        Action::Ask { method: method @ "eth_simulateV1", params } => {
            compare::simulation(node.ask(method, params).await)
        }
        Action::Ask { method, params } => compare::answer(node.ask(method, params).await),
        Action::Send { raw, .. } => compare::outcome(node.send(raw).await),
    }
}

/// What a step says must come of it, whether or not there is a reference to compare with.
fn check_expectation(step: &Step, ours: &Value) {
    if let Action::Send { expect, .. } = &step.action {
        assert_eq!(ours["landed"].as_str(), Some(*expect), "{}: {ours}", step.name);
    }
}
