#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write;

use farthing_money::Amount;
use farthing_protocol::{CredentialHeader, UnixMs};

use super::{
    Agreed, FileJournal, JournalEntry, MemoryJournal, PaymentId, PaymentJournal, PaymentState, Step,
    StoredCredential, Target,
};

const SECRET: &str = "Payment c2VjcmV0";

fn id(nth: u64) -> PaymentId {
    PaymentId::parse(&format!("p-{nth}")).unwrap()
}

fn entry(nth: u64, step: Step) -> JournalEntry {
    JournalEntry { payment: id(nth), at_ms: 1000 + nth, step }
}

fn intended() -> Step {
    Step::Intended {
        target: Target {
            method: "GET".into(),
            url: "https://a.test/x".into(),
            realm: "a.test".into(),
            challenge_id: "c".into(),
            expires: None,
            request: None,
            idempotency_key: None,
        },
        agreed: Box::new(Agreed {
            amount_base: Amount::from_base(10_000),
            asset: "PathUSD".into(),
            scale: 6,
            token: Some("0x20c0".into()),
            network: "eip155:1".into(),
            recipient: "0xseller".into(),
            payer: "0xme".into(),
            mode: "push".into(),
            method: "test".into(),
            fee: "none".into(),
            shares: Vec::new(),
            charge_at_ms: None,
        }),
    }
}

fn kept() -> Option<StoredCredential> {
    Some(StoredCredential::new(CredentialHeader::Authorization, SECRET.to_owned()))
}

fn made() -> Step {
    Step::Made { credential: kept() }
}

fn sending() -> Step {
    Step::Sending { credential: kept() }
}

fn sent() -> Step {
    Step::Sent { credential: None }
}

fn unknown() -> Step {
    Step::Unknown { why: "silence".into(), reference: Some("0xabc".into()), credential: kept() }
}

fn served() -> Step {
    Step::Served {
        status: 200,
        reference: Some("0xfeed".into()),
        settled_at: None,
        receipt: None,
        cost_base: None,
    }
}

fn not_paid() -> Step {
    Step::not_paid("rpc_down", "no".into())
}

fn refused() -> Step {
    Step::Refused { status: 402, why: "no".into(), credential: kept() }
}

fn each_journal(check: impl Fn(&dyn PaymentJournal)) {
    check(&MemoryJournal::new());
    let directory = tempfile::tempdir().unwrap();
    check(&FileJournal::new(directory.path().join("deep/payments.jsonl")));
}

#[test]
fn a_payment_is_what_its_entries_say() {
    // Steps after the intention; then the state, and whether a credential is kept.
    let cases: [(Vec<Step>, PaymentState, bool); 12] = [
        (vec![], PaymentState::Intended, false),
        (vec![Step::Made { credential: None }], PaymentState::Made, false),
        (vec![made()], PaymentState::Made, true),
        (vec![sending()], PaymentState::Sending, true),
        (vec![sending(), Step::Made { credential: None }, sent()], PaymentState::Sent, true),
        (
            vec![sending(), Step::Unknown { why: "silence".into(), reference: None, credential: None }],
            PaymentState::Unknown,
            true,
        ),
        (vec![sending(), not_paid()], PaymentState::NotPaid, false),
        (vec![made(), sent()], PaymentState::Sent, true),
        (vec![made(), sent(), served()], PaymentState::Served, false),
        (vec![not_paid()], PaymentState::NotPaid, false),
        (vec![Step::Made { credential: None }, sent(), refused()], PaymentState::Refused, true),
        (vec![unknown(), served()], PaymentState::Served, false),
    ];
    for (nth, (steps, state, credential)) in cases.into_iter().enumerate() {
        each_journal(|journal| {
            journal.record(&entry(1, intended())).unwrap();
            journal.record(&entry(2, intended())).unwrap();
            for step in &steps {
                journal.record(&entry(1, step.clone())).unwrap();
            }
            let record = journal.payment(&id(1)).unwrap().unwrap();
            assert_eq!((record.state, record.credential.is_some()), (state, credential), "case {nth}");
            assert_eq!(
                (record.began, record.agreed.to_string().as_str()),
                (UnixMs::from_ms(1001), "0.01 PathUSD")
            );
            assert_eq!(journal.payment(&id(2)).unwrap().unwrap().state, PaymentState::Intended);
            assert_eq!(journal.payments().unwrap().len(), 2);
            assert!(journal.payment(&id(3)).unwrap().is_none());
        });
    }
}

#[test]
fn only_ends_that_are_certain_are_final() {
    let all = [
        (PaymentState::Intended, false),
        (PaymentState::Sending, false),
        (PaymentState::Made, false),
        (PaymentState::Sent, false),
        (PaymentState::Served, true),
        (PaymentState::Refused, false),
        (PaymentState::NotPaid, true),
        (PaymentState::Unknown, false),
        (PaymentState::Paid, false),
        (PaymentState::Forfeited, true),
    ];
    for (state, expected) in all {
        assert_eq!(state.is_final(), expected, "{state:?}");
    }
}

#[test]
fn a_stored_credential_is_private_shown_nowhere_and_forgotten_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("payments.jsonl");
    let journal = FileJournal::new(&path);
    journal.record(&entry(1, intended())).unwrap();
    let unknown = entry(1, unknown());
    journal.record(&unknown).unwrap();
    assert!(!fs::read_to_string(&path).unwrap().contains("c2VjcmV0"));
    assert!(!format!("{unknown:?}").contains("c2VjcmV0"));
    let kept = directory.path().join("payments.jsonl.open").join("p-1.json");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&kept), mode(kept.parent().unwrap())), (0o600, 0o600, 0o700));
    }
    let record = FileJournal::new(&path).payment(&id(1)).unwrap().unwrap();
    assert_eq!(record.credential.as_ref().unwrap().reveal(), SECRET);
    assert_eq!(record.reference.as_deref(), Some("0xabc"));
    assert!(!format!("{record:?}").contains("c2VjcmV0"));
    journal.record(&entry(1, served())).unwrap();
    assert!(!kept.exists());
    assert!(journal.payment(&id(1)).unwrap().unwrap().credential.is_none());
}

#[test]
fn a_line_cut_short_by_a_crash_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("payments.jsonl");
    let journal = FileJournal::new(&path);
    journal.record(&entry(1, intended())).unwrap();
    let whole = fs::read(&path).unwrap();
    for cut in [1, 2, 17, whole.len() - 2] {
        fs::write(&path, &whole).unwrap();
        let _ = fs::remove_file(directory.path().join("payments.jsonl.open/p-2.json"));
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&whole[..cut]).unwrap();
        assert_eq!(journal.payments().unwrap().len(), 1, "cut {cut}");
        journal.record(&entry(2, intended())).unwrap();
        assert_eq!(journal.payments().unwrap().len(), 2, "cut {cut}");
    }
}

#[test]
fn a_damaged_line_is_named_and_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("payments.jsonl");
    let journal = FileJournal::new(&path);
    journal.record(&entry(1, intended())).unwrap();
    for damage in [
        "{\"payment\":\"../x\",\"at_ms\":1,\"state\":\"sent\"}\n",
        "secret words\n",
        "{\"state\":\"sent\"}\n",
    ] {
        let whole = fs::read(&path).unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(damage.as_bytes()).unwrap();
        let error = journal.payments().unwrap_err();
        assert_eq!(error.code(), "journal_damaged");
        assert!(error.to_string().contains("line 2") && !error.to_string().contains("secret"), "{error}");
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn ids_can_name_files() {
    for (text, good) in
        [("018f-abc", true), ("", false), ("..", false), ("a/b", false), ("a.b", false), ("a b", false)]
    {
        assert_eq!(PaymentId::parse(text).is_some(), good, "{text:?}");
    }
    assert!(PaymentId::parse(&"a".repeat(64)).is_some() && PaymentId::parse(&"a".repeat(65)).is_none());
    let (earlier, later) = (PaymentId::fresh(UnixMs::from_ms(1)), PaymentId::fresh(UnixMs::from_ms(2)));
    assert!(earlier < later && PaymentId::parse(earlier.as_str()).is_some());
}

#[test]
fn the_memory_journal_is_bounded_and_keeps_what_is_unknown() {
    let journal = MemoryJournal::new();
    let total = 2 * MemoryJournal::KEPT as u64 + 5;
    for nth in 0..total {
        journal.record(&entry(nth, intended())).unwrap();
        if nth != 3 {
            journal.record(&entry(nth, served())).unwrap();
        }
    }
    let records = journal.payments().unwrap();
    assert!(records.len() < 2 * MemoryJournal::KEPT);
    assert_eq!((&records[0].id, &records.last().unwrap().id), (&id(3), &id(total - 1)));
}

#[test]
fn a_closed_payment_takes_no_further_step() {
    for end in [served(), not_paid(), Step::Forfeited { why: "no".into() }] {
        each_journal(|journal| {
            assert_eq!(
                journal.record(&entry(1, sent())).unwrap_err().code(),
                "payment_closed",
                "never begun"
            );
            journal.record(&entry(1, intended())).unwrap();
            journal.record(&entry(1, unknown())).unwrap();
            journal.record(&entry(1, end.clone())).unwrap();
            let closed = journal.payment(&id(1)).unwrap().unwrap().state;
            for step in [sent(), unknown(), served(), not_paid()] {
                assert_eq!(journal.record(&entry(1, step)).unwrap_err().code(), "payment_closed");
            }
            assert_eq!(journal.payment(&id(1)).unwrap().unwrap().state, closed);
            assert!(journal.adopt(&id(1)).unwrap().is_none() && journal.open().unwrap().is_empty());
        });
    }
}

#[test]
fn one_at_a_time_is_at_work_on_a_payment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("payments.jsonl");
    // As two processes have it.
    let (one, other) = (FileJournal::new(&path), FileJournal::new(&path));
    one.enter(&id(1)).unwrap();
    one.record(&entry(1, intended())).unwrap();
    assert!(other.open().unwrap()[0].in_flight && other.adopt(&id(1)).unwrap().is_none());
    assert_eq!(other.enter(&id(1)).unwrap_err().code(), "payment_in_flight");
    // It ends, as a process that dies does: without a word.
    drop(one);
    assert!(!other.open().unwrap()[0].in_flight);
    assert_eq!(other.adopt(&id(1)).unwrap().unwrap().state, PaymentState::Intended);
    assert!(FileJournal::new(&path).adopt(&id(1)).unwrap().is_none());
    other.leave(&id(1));
    assert!(FileJournal::new(&path).adopt(&id(1)).unwrap().is_some());
}

/// Killed after the open file was written with the end, and before the line: the end counts, and is written down.
#[test]
fn an_end_that_was_cut_short_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("payments.jsonl");
    let journal = FileJournal::new(&path);
    journal.record(&entry(1, intended())).unwrap();
    let lines = fs::read(&path).unwrap();
    let open = directory.path().join("payments.jsonl.open/p-1.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&open).unwrap()).unwrap();
    let end = serde_json::to_value(entry(1, served())).unwrap();
    kept["entries"].as_array_mut().unwrap().push(end);
    fs::write(&open, kept.to_string()).unwrap();
    assert_eq!(journal.payment(&id(1)).unwrap().unwrap().state, PaymentState::Served);
    assert_eq!(journal.record(&entry(1, sent())).unwrap_err().code(), "payment_closed");
    assert!(journal.open().unwrap().is_empty() && !open.exists());
    assert!(fs::read(&path).unwrap().len() > lines.len());
    assert_eq!(journal.payment(&id(1)).unwrap().unwrap().state, PaymentState::Served);
    // Without its open file a payment is still known to be open, and can be taken up.
    journal.record(&entry(2, intended())).unwrap();
    fs::remove_file(directory.path().join("payments.jsonl.open/p-2.json")).unwrap();
    assert_eq!(journal.payment(&id(2)).unwrap().unwrap().state, PaymentState::Intended);
    assert!(journal.adopt(&id(2)).unwrap().is_some());
    journal.record(&entry(2, not_paid())).unwrap();
    assert_eq!(journal.payment(&id(2)).unwrap().unwrap().state, PaymentState::NotPaid);
}

/// The chain's word stays, whatever a seller answers to the same credential afterwards.
#[test]
fn what_has_moved_stays_moved() {
    each_journal(|journal| {
        let paid = Step::Paid { reference: "0xfeed".into() };
        for step in [intended(), unknown(), paid, sent(), refused(), unknown()] {
            journal.record(&entry(1, step)).unwrap();
        }
        let record = journal.payment(&id(1)).unwrap().unwrap();
        assert_eq!((record.state, record.credential.is_some()), (PaymentState::Paid, true));
    });
}
