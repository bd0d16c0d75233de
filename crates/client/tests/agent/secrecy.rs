//! C19: no credential in any log, error or `Debug`, at any level, of any crate.

use std::io::Write;
use std::sync::{Arc, Mutex};

use farthing_protocol::encoding::base64url_encode;

use crate::payer::{CANARY, Does, FakePayer, agent, builder, post};
use crate::seller::{Reply, Seller, ask, offer, problem, shop};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The canary, plain and in the three ways that base64 may have cut it.
fn spellings() -> Vec<String> {
    let mut spellings = vec![CANARY.to_owned()];
    for shift in 0..3 {
        let encoded = base64url_encode(&[&b"xxx"[..shift], CANARY.as_bytes()].concat());
        spellings.push(encoded[4..encoded.len() - 4].to_owned());
    }
    spellings
}

#[tokio::test]
async fn a_canary_in_every_credential_appears_nowhere() {
    let captured = Captured::default();
    let writer = captured.clone();
    // For the whole process: what the other tests cause to be said is looked at, too.
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let shown = exercise().await;
    let mut said = String::from_utf8_lossy(&captured.0.lock().unwrap()).into_owned();
    assert!(said.contains("hyper"), "the log was captured, of other crates too");
    said.push_str(&shown);
    for spelling in spellings() {
        assert!(!said.contains(&spelling), "{spelling} was said");
    }
}

async fn exercise() -> String {
    let mut shown = String::new();
    let refusing = |seen: &crate::seller::Seen, _: usize| match seen.credential() {
        None => ask(&[offer("c")]),
        Some(credential) => problem(402, &format!("no: {credential}")),
    };
    let silent = |seen: &crate::seller::Seen, _: usize| {
        if seen.credential().is_some() { Reply::Hang } else { ask(&[offer("c")]) }
    };
    let payer = FakePayer::new(Does::Pays);
    for (nth, seller) in
        [Seller::start(shop).await, Seller::start(refusing).await, Seller::start(silent).await]
            .iter()
            .enumerate()
    {
        let agent = if nth == 2 {
            builder(&payer).answer_timeout(std::time::Duration::from_secs(1)).build().unwrap()
        } else {
            agent(&payer)
        };
        let result = agent.execute(post(&seller.url("/"), "body")).await;
        shown.push_str(&format!("{result:?} {agent:?}"));
        if let Err(error) = result {
            shown.push_str(&format!("{error} {error:#?}"));
        }
        let records = agent.journal().payments().unwrap();
        shown.push_str(&format!("{records:?}"));
        let credential = seller.credentials().remove(0);
        assert!(spellings().iter().any(|spelling| credential.contains(spelling)), "it is there to be found");
    }
    shown
}
