//! Our webhooks, verified by the library of Standard Webhooks. `FARTHING_INTEROP_PYTHON` names a Python that has it.

use std::io::Write;
use std::process::{Command, Stdio};

use farthing_billing::service::webhook::{DeliveryState, Secret};
use serde_json::{Value, json};

use crate::receiver::{Received, Receiver, status};
use crate::world::{Bench, loopback};

/// What the library says to each call.
fn verify(calls: &[Value]) -> Option<Vec<String>> {
    let Some(python) = std::env::var_os("FARTHING_INTEROP_PYTHON") else {
        eprintln!("SKIPPED: FARTHING_INTEROP_PYTHON does not name a Python with standardwebhooks");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop/py/webhook.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut input = child.stdin.take().unwrap();
    for call in calls {
        writeln!(input, "{call}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

fn call(secret: &Secret, told: &Received, body: &str) -> Value {
    let headers: Value = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .iter()
        .map(|name| ((*name).to_owned(), json!(told.header(name))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({ "secret": secret.reveal(), "headers": headers, "body": body })
}

#[tokio::test]
async fn the_library_of_standard_webhooks_accepts_what_we_send() {
    let (bench, receiver) = (Bench::new(), Receiver::start(|_| status(200)).await);
    let endpoint = bench.endpoint(&receiver.url).await;
    let (old, new) = (Secret::from_bytes([5; 32]), Secret::from_bytes([6; 32]));
    bench.billing.rotate_webhook_secret(&bench.cx(), &endpoint.id, &new, 60_000).await.unwrap();
    bench.tell("cus_\u{e9}\u{1f600}", 1).await;
    let running = bench.dispatch(loopback());
    bench.until(&endpoint, DeliveryState::Delivered, 1).await;
    running.stop().await;
    let told = &receiver.received()[0];
    let body = std::str::from_utf8(&told.body).unwrap();
    let foreign = Secret::from_bytes([7; 32]);
    let calls = [
        call(&old, told, body),
        call(&new, told, body),
        call(&foreign, told, body),
        call(&new, told, &body.replace("hold.placed", "hold.voided")),
    ];
    let Some(said) = verify(&calls) else { return };
    assert_eq!(said[..2], ["ok", "ok"]);
    assert!(said[2].starts_with("refused") && said[3].starts_with("refused"), "{said:?}");
}
