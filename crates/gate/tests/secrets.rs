//! C19: no credential in any log, at any level, nor in any answer. A program of its own, because the log is the program's.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use harness::Rig;
use harness::rail::Act;

const CANARY: &str = "c4n4ry-in-the-payload";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn credentials_stay_secret() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let mut secrets = vec![CANARY.to_owned()];
    let mut said = String::new();
    for (verify, settle, path) in [
        (None, None, "/paid/x"),
        (None, None, "/paid/500"),
        (None, None, "/paid/half"),
        (Some(Act::Reject), None, "/paid/x"),
        (Some(Act::Shrug), None, "/paid/x"),
        (Some(Act::Panic), None, "/paid/x"),
        (None, Some(Act::Reject), "/paid/x"),
        (None, Some(Act::Shrug), "/paid/x"),
        (None, Some(Act::Panic), "/paid/x"),
    ] {
        let rig = Rig::new().await;
        rig.rail.verify.lock().unwrap().extend(verify);
        rig.rail.settle.lock().unwrap().extend(settle);
        rig.rail.resolve.lock().unwrap().push_back(Act::Reject);
        rig.upstream.bad_calls.store(1, Ordering::SeqCst);
        let credential = rig.buy("GET", path, CANARY).await;
        for headers in [
            vec![("Authorization", credential.as_str())],
            vec![("Authorization", credential.as_str()), ("Payment-Authorization", credential.as_str())],
            vec![("Payment-Authorization", &credential[..credential.len() - 9])],
        ] {
            said += &format!("{:?}", rig.send("GET", path, &headers).await);
        }
        rig.store.broken.store(true, Ordering::SeqCst);
        said += &format!("{:?}", rig.send("GET", path, &[("Authorization", &credential)]).await);
        rig.store.broken.store(false, Ordering::SeqCst);
        rig.gate.recover().await.unwrap();
        said += &format!("{:?} {:?}", rig.gate, rig.gate.recover().await);
        secrets.push(credential.trim_start_matches("Payment ").to_owned());
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("the outcome of a settlement is not known"), "the log was not caught");
    for secret in secrets {
        // A cut credential is a credential: look for its end, which holds the payload.
        let tail = &secret[secret.len().saturating_sub(40)..];
        assert!(!logged.contains(tail), "a secret was logged");
        assert!(!said.contains(tail), "a secret was said");
    }
}
