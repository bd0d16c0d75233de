#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_money::{Amount, Asset, AssetKind, Money};
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::{Action, Answer, CredentialValue, Event, Finish, FlowError, Kept, PayerFlow, Refusal, Repeat};
use crate::ports::{Declined, FeeBearer, PayError, Quote};
use crate::{Challenge, CredentialHeader, PaymentProof};

const CHALLENGE: &str =
    r#"Payment id="a", realm="shop.example", method="tempo", intent="charge", request="e30""#;

const ASKED: &[&[u8]] = &[CHALLENGE.as_bytes()];
const ASKED_TWICE: &[&[u8]] = &[CHALLENGE.as_bytes(), CHALLENGE.as_bytes()];
const ASKED_ONCE_WELL: &[&[u8]] = &[b"Payment id=\"a\"", CHALLENGE.as_bytes()];

/// method, reference, status, timestamp: what a seller sends.
const RECEIPT: &str = "eyJtZXRob2QiOiJ0ZW1wbyIsInJlZmVyZW5jZSI6IjB4YWIiLCJzdGF0dXMiOiJzdWNjZXNzIiwidGltZXN0YW1wIjoiMjAyNi0wMS0yOVQxMjowMDowMFoifQ";

fn money() -> Money {
    Money::new(Amount::from_base(10), Asset::new("USD", 2, AssetKind::Fiat).unwrap())
}

fn quote() -> Quote {
    Quote {
        money: money(),
        recipient: "0x01".into(),
        shares: Vec::new(),
        network: "eip155:4217".into(),
        payer: "0x02".into(),
        fee: FeeBearer::Payer,
        mode: "pull",
    }
}

fn answer(status: u16) -> Answer<'static> {
    Answer { status, www_authenticate: &[], receipt: None, retry_after_s: None, problem: None }
}

fn asked() -> Event<'static> {
    Event::Answered(Answer { www_authenticate: ASKED, ..answer(402) })
}

fn chosen() -> Event<'static> {
    Event::Chosen(Box::new(Ok((Challenge::parse(CHALLENGE).unwrap(), quote()))))
}

fn paid_with(payload: &str) -> Event<'static> {
    Event::Paid(Ok(PaymentProof { payload: RawValue::from_string(payload.into()).unwrap(), source: None }))
}

fn paid() -> Event<'static> {
    paid_with("{}")
}

fn unsent() -> Event<'static> {
    Event::Unsent { why: "reset".into() }
}

fn word(action: &Action) -> String {
    match action {
        Action::Send { credential: None, after_ms } => format!("send after {after_ms}"),
        Action::Send { credential: Some((header, _)), after_ms } => {
            format!("send with {} after {after_ms}", header.name())
        }
        Action::Choose(offers) => format!("choose of {}", offers.len()),
        Action::Pay(challenge) => format!("pay {}", challenge.id),
        Action::Finish(Finish::Unpaid) => "unpaid".into(),
        Action::Finish(Finish::Paid(call)) => {
            format!(
                "paid {} {:?}",
                call.challenge_id,
                call.receipt.as_ref().map(|receipt| receipt.reference.as_str())
            )
        }
        Action::Fail(error) => {
            format!("fail {}{}", error.code(), if error.may_have_paid() { ", may have paid" } else { "" })
        }
    }
}

fn drive(repeat: Repeat, events: Vec<Event<'static>>) -> Vec<String> {
    let mut flow = PayerFlow::new(repeat);
    let mut words = vec![word(&flow.start())];
    words.extend(events.into_iter().map(|event| word(&flow.handle(event))));
    words
}

fn last(repeat: Repeat, events: Vec<Event<'static>>) -> String {
    drive(repeat, events).pop().unwrap()
}

const RESENT: &str = "send with Authorization after 1000";
const SERVED: &str = "paid a None";
const NOT_ACCEPTED: &str = "fail payment_not_accepted, may have paid";
const LOST: &str = "fail answer_lost, may have paid";

#[test]
fn a_call_is_asked_chosen_paid_and_sent_again() {
    let served = Event::Answered(Answer { receipt: Some(RECEIPT), ..answer(200) });
    let words = drive(Repeat::Harmful, vec![asked(), chosen(), paid(), served]);
    assert_eq!(
        words,
        ["send after 0", "choose of 1", "pay a", "send with Authorization after 0", "paid a Some(\"0xab\")"]
    );
}

#[test]
fn the_first_answer_decides_whether_anything_is_paid() {
    let with = |values: &'static [&'static [u8]]| {
        Event::Answered(Answer { www_authenticate: values, ..answer(402) })
    };
    let cases = [
        (Event::Answered(answer(200)), "unpaid"),
        (Event::Answered(Answer { www_authenticate: ASKED, ..answer(401) }), "unpaid"),
        (Event::Answered(answer(402)), "unpaid"),
        (with(&[b"Bearer realm=\"x\""]), "unpaid"),
        (with(&[b"Payment id=\"a\""]), "fail unreadable_challenge"),
        (with(ASKED_ONCE_WELL), "choose of 1"),
        (with(ASKED_TWICE), "choose of 2"),
        (unsent(), "fail transport_failed"),
    ];
    for (event, expected) in cases {
        assert_eq!(last(Repeat::Harmless, vec![event]), expected);
    }
}

/// C25: a policy's no is final, and nothing is paid.
#[test]
fn choices_and_payments_that_fail_say_whether_money_moved() {
    let refusal = Refusal { code: "over_cap", why: "too much".into() };
    let refused = Event::Chosen(Box::new(Err(refusal)));
    assert_eq!(last(Repeat::Harmless, vec![asked(), refused]), "fail over_cap");
    let declined = Declined { code: "wrong_chain", why: "x".into() };
    let unknown = PayError::Unknown { reference: "0xab".into(), why: "x".into() };
    let poor = PayError::Insufficient { payer: "0x02".into(), available: money(), required: money() };
    for (error, expected) in [
        (PayError::Declined(declined), "fail wrong_chain"),
        (PayError::Failed { code: "no_gas", why: "x".into() }, "fail no_gas"),
        (poor, "fail insufficient_funds"),
        (unknown, "fail outcome_unknown, may have paid"),
    ] {
        assert_eq!(last(Repeat::Harmless, vec![asked(), chosen(), Event::Paid(Err(error))]), expected);
    }
    let unwritable = vec![asked(), chosen(), paid_with("[]")];
    assert_eq!(last(Repeat::Harmless, unwritable), "fail not_json, may have paid");
}

/// One credential, sent again only where that is safe.
#[test]
fn the_answer_to_a_credential_decides() {
    let cases = [
        (200, SERVED, SERVED),
        (204, SERVED, SERVED),
        (302, SERVED, SERVED),
        (404, SERVED, SERVED),
        (402, NOT_ACCEPTED, NOT_ACCEPTED),
        (403, NOT_ACCEPTED, NOT_ACCEPTED),
        (409, RESENT, RESENT),
        (429, RESENT, RESENT),
        (503, RESENT, RESENT),
        (500, RESENT, SERVED),
        (502, RESENT, SERVED),
        (504, RESENT, SERVED),
    ];
    for (status, harmless, harmful) in cases {
        let events = || vec![asked(), chosen(), paid(), Event::Answered(answer(status))];
        assert_eq!(last(Repeat::Harmless, events()), harmless, "{status}");
        assert_eq!(last(Repeat::Harmful, events()), harmful, "{status}");
    }
    // A key that the client added is for answers that were lost, not for calls that failed.
    let failed = || vec![asked(), chosen(), paid(), Event::Answered(answer(500))];
    assert_eq!(last(Repeat::WhenLost, failed()), SERVED);
    let lost = || vec![asked(), chosen(), paid(), unsent()];
    assert_eq!(last(Repeat::WhenLost, lost()), "send with Authorization after 500");
    assert_eq!(last(Repeat::Harmless, lost()), "send with Authorization after 500");
    assert_eq!(last(Repeat::Harmful, lost()), LOST);
}

#[test]
fn sending_again_is_bounded() {
    let waiting = |retry_after_s| {
        let answer = Answer { retry_after_s, ..answer(503) };
        last(Repeat::Harmless, vec![asked(), chosen(), paid(), Event::Answered(answer)])
    };
    assert_eq!(waiting(Some(2)), "send with Authorization after 2000");
    assert_eq!(waiting(Some(60)), "send with Authorization after 60000");
    assert_eq!(waiting(Some(61)), NOT_ACCEPTED, "a seller that asks for more is not waited for");
    assert_eq!(waiting(Some(u32::MAX)), NOT_ACCEPTED);
    let waits = |answers: Vec<Answer<'static>>| {
        let mut events = vec![asked(), chosen(), paid()];
        events.extend(answers.into_iter().map(Event::Answered));
        drive(Repeat::Harmless, events).split_off(4)
    };
    let after = |waits_ms: &[u64]| -> Vec<String> {
        waits_ms.iter().map(|ms| format!("send with Authorization after {ms}")).collect()
    };
    let mut pauses = after(&[1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000, 8000]);
    pauses.push(NOT_ACCEPTED.to_owned());
    assert_eq!(waits(vec![answer(409); 10]), pauses, "a minute in all");
    let at_once = Answer { retry_after_s: Some(0), ..answer(409) };
    let mut immediate = after(&[0; 16]);
    immediate.push(NOT_ACCEPTED.to_owned());
    assert_eq!(waits(vec![at_once; 17]), immediate, "a number in all");
    let failing = Answer { retry_after_s: Some(0), ..answer(500) };
    let mut failures = after(&[0; 4]);
    failures.push(SERVED.to_owned());
    assert_eq!(waits(vec![failing; 5]), failures);
    let lost = |times: usize| {
        let events = [asked(), chosen(), paid()].into_iter().chain((0..times).map(|_| unsent())).collect();
        last(Repeat::Harmless, events)
    };
    assert_eq!((lost(4).as_str(), lost(5).as_str()), ("send with Authorization after 500", LOST));
    let mut flow = PayerFlow::new(Repeat::Harmless).with_max_wait_ms(1_500);
    let _ = flow.start();
    for event in [asked(), chosen(), paid(), Event::Answered(answer(409))] {
        let _ = flow.handle(event);
    }
    let Action::Fail(error) = flow.handle(Event::Answered(answer(409))) else { panic!("waited too long") };
    assert!(error.to_string().contains("in 2 s, and no more than 0 s of waiting"), "{error}");
}

/// An earlier payment for the same request is presented, and none is made.
#[test]
fn a_kept_credential_is_sent_instead_of_paying() {
    let kept = || {
        Event::Kept(Box::new(Kept {
            header: CredentialHeader::PaymentAuthorization,
            value: CredentialValue::kept("Payment kept".into()),
            challenge_id: "old".into(),
            quote: quote(),
        }))
    };
    let resent = "send with Payment-Authorization after 0";
    assert_eq!(last(Repeat::Harmful, vec![asked(), kept()]), resent);
    let served = vec![asked(), kept(), Event::Answered(answer(200))];
    assert_eq!(last(Repeat::Harmful, served), "paid old None");
    let refused = vec![asked(), kept(), Event::Answered(Answer { www_authenticate: ASKED, ..answer(402) })];
    assert_eq!(last(Repeat::Harmful, refused), NOT_ACCEPTED, "a fresh challenge is not paid either");
    assert_eq!(last(Repeat::Harmful, vec![kept()]), "fail transport_failed");
    assert_eq!(last(Repeat::Harmful, vec![asked(), chosen(), kept()]), "fail outcome_unknown, may have paid");
}

/// The seller's words reach the caller; a receipt that does not read well is none.
#[test]
fn what_the_seller_says_is_passed_on() {
    let refused = Answer { problem: Some(("verification-failed", "too old")), ..answer(403) };
    let mut flow = PayerFlow::new(Repeat::Harmless);
    let _ = flow.start();
    for event in [asked(), chosen(), paid()] {
        let _ = flow.handle(event);
    }
    let Action::Fail(error) = flow.handle(Event::Answered(refused)) else { panic!("not refused") };
    assert!(matches!(&*error, FlowError::NotServed { status: 403, why, .. } if why == "too old"), "{error}");
    let served = Event::Answered(Answer { receipt: Some("!"), ..answer(200) });
    assert_eq!(last(Repeat::Harmless, vec![asked(), chosen(), paid(), served]), SERVED);
}

/// A driver that has lost its place pays nothing more and is told what may have been paid.
#[test]
fn out_of_step_is_an_end() {
    let transport = "fail transport_failed";
    let cases = [
        (vec![chosen()], transport),
        (vec![paid()], transport),
        (vec![asked(), asked()], transport),
        (vec![asked(), paid()], transport),
        (vec![asked(), chosen(), chosen()], "fail outcome_unknown, may have paid"),
        (vec![asked(), chosen(), asked()], "fail outcome_unknown, may have paid"),
        (vec![asked(), chosen(), paid(), paid()], LOST),
        (vec![asked(), chosen(), paid(), chosen()], LOST),
        (vec![Event::Answered(answer(200)), asked()], transport),
    ];
    for (events, expected) in cases {
        assert_eq!(last(Repeat::Harmless, events), expected);
    }
    let mut flow = PayerFlow::new(Repeat::Harmless);
    assert_eq!(word(&flow.handle(asked())), transport);
    let mut flow = PayerFlow::new(Repeat::Harmless);
    assert_eq!(word(&flow.start()), "send after 0");
    let _ = flow.handle(asked());
    let _ = flow.handle(chosen());
    assert_eq!(word(&flow.start()), "fail outcome_unknown, may have paid");
    assert_eq!(word(&flow.handle(asked())), transport);
}

fn any_event(choice: usize) -> Event<'static> {
    match choice {
        0..=2 => asked(),
        3..=5 => chosen(),
        6..=8 => paid(),
        9 => unsent(),
        10 => Event::Answered(answer(200)),
        11 => Event::Answered(answer(503)),
        12 => Event::Answered(answer(409)),
        13 => Event::Answered(answer(500)),
        _ => Event::Chosen(Box::new(Err(Refusal { code: "no", why: String::new() }))),
    }
}

proptest! {
    /// DESIGN section 3: whatever happens, one payment at most, one credential, and a bounded number of sendings.
    #[test]
    fn one_flow_pays_once(choices in prop::collection::vec(0_usize..16, 0..30), restart in 0_usize..40, harmful in any::<bool>()) {
        let mut flow = PayerFlow::new(if harmful { Repeat::Harmful } else { Repeat::Harmless });
        let mut actions = vec![flow.start()];
        for (index, choice) in choices.into_iter().enumerate() {
            actions.push(if index == restart { flow.start() } else { flow.handle(any_event(choice)) });
        }
        let pays = actions.iter().filter(|action| matches!(action, Action::Pay(_))).count();
        let mut sent: Vec<&str> = actions
            .iter()
            .filter_map(|action| match action {
                Action::Send { credential: Some((_, value)), .. } => Some(value.expose()),
                _ => None,
            })
            .collect();
        prop_assert!(pays <= 1 && sent.len() <= 1 + usize::from(PayerFlow::RESENDS));
        sent.dedup();
        prop_assert!(sent.len() <= 1);
    }
}

#[test]
fn a_credential_is_never_shown() {
    // C19.
    let value = CredentialValue("Payment canary".into());
    let action = Action::Send { credential: Some((CredentialHeader::Authorization, value)), after_ms: 0 };
    assert!(!format!("{action:?}").contains("canary"));
}
