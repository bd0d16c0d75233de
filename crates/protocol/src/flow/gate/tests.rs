#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    Action, BodyTooLarge, Ending, Event, GateFlow, KeepAnswer, Offer, Outcome, Promise, Requested,
    SettleOrder, Terms,
};
use crate::binding::Slots;
use crate::dialect::mpp::{Issue, OfferTerms, PreparedOffer};
use crate::digest::Sha256Digest;
use crate::ports::{
    AdvanceError, Amends, Claim, ClaimId, ClaimKey, ClaimOutcome, ClaimState, ClaimStep, Delivery, First,
    Funds, IdempotencyKey, Lease, LeaseHolder, NewClaim, SettleError, Settled, SettlementPlan, StoreEpoch,
    StoreError, StoredAnswer, Timing, Verified, VerifyError,
};
use crate::{
    Binder, Challenge, CredentialBuf, CredentialHeader, EncodedJson, Intent, MethodId, PaymentProof, Problem,
    ProblemKind, Secret, UnixMs,
};

const NOW: UnixMs = UnixMs::from_ms(1_000_000);
const EXPIRES: UnixMs = UnixMs::from_ms(1_300_000);
const LEASE: u64 = 60_000;
const LATE: u64 = 10_000;
const BODY: &[u8] = b"the body";
const EPOCH: StoreEpoch = StoreEpoch(7);
const US: LeaseHolder = LeaseHolder(1);
const OTHER: LeaseHolder = LeaseHolder(2);

const fn promise(settle: SettleOrder) -> Promise {
    Promise { settle, amends: Amends::Refund, redeliveries: 2, service_ms: 100_000 }
}

fn binder() -> Binder {
    Binder::new(Secret::new(vec![7; 32]).unwrap(), None)
}

fn request(amount: &str) -> EncodedJson {
    EncodedJson::encode(&json!({ "amount": amount })).unwrap()
}

/// What a challenge was issued for.
#[derive(Clone, Copy)]
struct Issued {
    realm: &'static str,
    scope: &'static str,
    method: &'static str,
    amount: &'static str,
    body: Option<&'static [u8]>,
    epoch: StoreEpoch,
    settle: SettleOrder,
    key: Option<&'static str>,
}

const ISSUED: Issued = Issued {
    realm: "shop.example",
    scope: "GET /a",
    method: "tempo",
    amount: "10",
    body: None,
    epoch: EPOCH,
    settle: SettleOrder::Before,
    key: None,
};
const KEYED: Issued = Issued { key: Some("order 7"), ..ISSUED };
const AFTER: Issued = Issued { settle: SettleOrder::After, ..ISSUED };

fn credential(issued: Issued) -> CredentialBuf {
    let offer = PreparedOffer::new(&OfferTerms {
        realm: issued.realm,
        scope: issued.scope,
        method: &MethodId::new(issued.method).unwrap(),
        intent: &Intent::charge(),
        request: &request(issued.amount),
        description: None,
        header: CredentialHeader::Authorization,
    })
    .unwrap();
    let mut header = String::new();
    let digest = issued.body.map(|body| Sha256Digest::of(body).to_header_value());
    let nonce = crate::dialect::mpp::nonce(issued.epoch, 1, 1);
    offer.issue(&binder(), &Issue { expires: EXPIRES, nonce, digest: digest.as_deref() }, &mut header);
    let payload = RawValue::from_string(json!({ "type": "hash" }).to_string()).unwrap();
    let proof = PaymentProof { payload, source: Some("did:claimed".into()) };
    CredentialBuf::decode(&Challenge::parse(&header).unwrap().answer(&proof).unwrap()).unwrap()
}

/// Runs `test` on a flow for a credential issued as `issued`, sent to the route `GET /a` that asks 10.
fn flow<T>(issued: Issued, test: impl FnOnce(&mut GateFlow<'_>, ClaimId) -> T) -> T {
    let buffer = credential(issued);
    let credential = buffer.view().unwrap();
    let (stripe, tempo) = (request("10"), request("10"));
    let offers = [
        Offer { rail: "stripe:1", method: "stripe", intent: "charge", request: &stripe, late_ms: 0 },
        Offer { rail: "tempo:1", method: "tempo", intent: "charge", request: &tempo, late_ms: LATE },
    ];
    let terms = Terms {
        realm: "shop.example",
        scope: "GET /a",
        epoch: EPOCH,
        offers: &offers,
        holder: US,
        lease_ms: LEASE,
        promise: promise(issued.settle),
        requested: Requested { method: "GET", target: "/a?q=1", key: issued.key },
    };
    let id = ClaimId(credential.challenge.id.clone().into_owned());
    test(&mut GateFlow::new(terms, &credential), id)
}

fn key(name: &str) -> ClaimKey {
    ClaimKey(name.to_owned())
}

fn plan() -> SettlementPlan {
    SettlementPlan { rail: "tempo:1".into(), data: Value::Null }
}

fn settled() -> Settled {
    Settled { reference: "0xab".into(), at: NOW, external_id: None, extra: Map::new() }
}

fn paid() -> farthing_money::Money {
    let asset = farthing_money::Asset::new("USDC", 6, farthing_money::AssetKind::Fiat).unwrap();
    farthing_money::Money::new(farthing_money::Amount::from_base(10), asset)
}

fn verified() -> Verified {
    Verified {
        keys: vec![key("k"), key("k2")],
        payer: Some("did:verified".into()),
        paid: paid(),
        funds: Funds::Authorised,
        settle_by: None,
        reservation: None,
        plan: plan(),
    }
}

fn claim(id: &ClaimId, state: ClaimState) -> Claim {
    let new = NewClaim {
        id: id.clone(),
        keys: vec![key("k"), key("k2")],
        scope: "GET /a".into(),
        payer: Some("did:verified".into()),
        paid: Some(paid()),
        plan: plan(),
        reservation: None,
        expires: EXPIRES,
        idempotency: None,
        bound: None,
        first: First::Settle,
    };
    Claim { new, state, changed: NOW, deliveries: 1, answered: false }
}

fn stored(body: &str) -> StoredAnswer {
    StoredAnswer { status: 200, headers: vec![("a".into(), b"b".to_vec())], body: body.into() }
}

fn broken() -> StoreError {
    StoreError { detail: "disk".into() }
}

fn problem(kind: ProblemKind) -> Problem {
    Problem::new(kind, "rail_says_no", "no")
}

fn recalled(claim: Result<Option<Claim>, StoreError>) -> Event {
    Event::Recalled { keys: Ok(vec![key("k")]), claim }
}

/// An action in a word, so that tests read as tables.
fn word(action: &Action) -> String {
    match action {
        Action::Challenge(problem) => format!("402 {}", problem.code),
        Action::Refuse { problem, retry_after_s } => {
            format!("{} {} {retry_after_s:?}", problem.status(), problem.code)
        }
        Action::ReadBody => "read body".into(),
        Action::Recall { offer, .. } => format!("recall {offer}"),
        Action::Verify { offer, expires, timing } => {
            let late = if *timing == Timing::Late { " late" } else { "" };
            format!("verify {offer} until {}{late}", expires.as_ms())
        }
        Action::Claim(new) => {
            let keys = new.keys.iter().map(|k| k.0.as_str()).collect::<Vec<_>>().join("+");
            let keyed = if new.idempotency.is_some() { " keyed" } else { "" };
            match new.first {
                First::Settle => format!("claim {keys}{keyed}"),
                First::Serve(lease) => format!("claim {keys}{keyed} to serve until {}", lease.until.as_ms()),
            }
        }
        Action::Settle { offer, .. } => format!("settle {offer}"),
        Action::Record { step, .. } => step_word(step),
        Action::FetchAnswer { .. } => "fetch".into(),
        Action::Deliver(outcome) => {
            let kept = if outcome.answer.is_some() { " kept" } else { "" };
            format!("deliver {} {:?}{kept}", outcome.receipt.reference, outcome.payer)
        }
        Action::Serve(serve) => format!("serve {}", serve.reserved().method),
        Action::Replay(replay) => format!("replay {} {}", replay.receipt.method, replay.answer.status),
    }
}

fn step_word(step: &ClaimStep) -> String {
    let ours = |lease: &Lease| {
        assert_eq!(lease.holder, US);
        lease.until.as_ms()
    };
    match step {
        ClaimStep::Settled { delivery: Delivery::Begin(lease), .. } => {
            format!("record settled until {}", ours(lease))
        }
        ClaimStep::Settled { delivery: Delivery::Later, .. } => "record settled".into(),
        ClaimStep::Failed { why, reservation, .. } => format!("record failed {why} {reservation:?}"),
        ClaimStep::BeginDelivery(lease) => format!("record begin until {}", ours(lease)),
        other => format!("record {other:?}"),
    }
}

/// Drives a flow through `events`; the words of all actions.
fn drive(issued: Issued, events: impl FnOnce(&ClaimId) -> Vec<Event>) -> Vec<String> {
    drive_at(issued, NOW, events)
}

fn drive_at(issued: Issued, now: UnixMs, events: impl FnOnce(&ClaimId) -> Vec<Event>) -> Vec<String> {
    flow(issued, |flow, id| {
        let mut words = vec![word(&flow.start(&binder()))];
        words.extend(events(&id).into_iter().map(|event| word(&flow.handle(event, now))));
        words
    })
}

const IN_PROGRESS: &str = "409 payment_in_progress Some(1)";
const REPLAYED: &str = "403 credential_replayed None";
const NO_STORE: &str = "503 store_unavailable Some(1)";
const OUT_OF_STEP: &str = "503 flow_out_of_step Some(1)";
const DELIVER: &str = "deliver 0xab Some(\"did:verified\")";

/// C6, DESIGN section 5, Scope: what needs no IO comes first.
#[test]
fn the_start_checks_whose_challenge_it_is() {
    let cases = [
        (ISSUED, "recall 1"),
        (Issued { method: "stripe", ..ISSUED }, "recall 0"),
        (Issued { body: Some(BODY), ..ISSUED }, "read body"),
        (Issued { realm: "other.example", ..ISSUED }, "402 challenge_for_another_route"),
        (Issued { scope: "GET /b", ..ISSUED }, "402 challenge_for_another_route"),
        (Issued { method: "lightning", ..ISSUED }, "402 challenge_for_other_terms"),
        (KEYED, "read body"),
        (Issued { epoch: StoreEpoch(6), ..ISSUED }, "403 payment_before_restore None"),
        (Issued { epoch: StoreEpoch(6), scope: "GET /b", ..ISSUED }, "403 payment_before_restore None"),
    ];
    for (issued, expected) in cases {
        assert_eq!(drive(issued, |_| Vec::new()), [expected]);
    }
}

/// Whatever secret bound it is gone: only the claim that was made of this very challenge shows that it is ours.
#[test]
fn a_claim_knows_its_challenge_when_the_secret_is_gone() {
    const NOT_OURS: &str = "402 challenge_not_ours";
    let other = Binder::new(Secret::new(vec![8; 32]).unwrap(), None);
    // What cannot be of a claim that serves here is not looked for.
    for issued in [
        Issued { realm: "other.example", ..ISSUED },
        Issued { scope: "GET /b", ..ISSUED },
        Issued { method: "lightning", ..ISSUED },
        Issued { epoch: StoreEpoch(6), ..ISSUED },
    ] {
        flow(issued, |flow, _| assert_eq!(word(&flow.start(&other)), NOT_OURS));
    }
    let bound = |issued| Slots::of_echo(&credential(issued).view().unwrap().challenge).digest();
    let found =
        |state, bound| move |id: &ClaimId| Ok(Some(with_bound(claim(id, ClaimState::clone(&state)), bound)));
    let credit = || ClaimState::Credit(settled());
    type Stored = Box<dyn Fn(&ClaimId) -> Result<Option<Claim>, StoreError>>;
    let begin = format!("record begin until {}", NOW.plus_ms(LEASE).as_ms());
    let body = || Event::Body(Ok(Sha256Digest::of(BODY)));
    let with_body = Issued { body: Some(BODY), ..ISSUED };
    let cases: Vec<(Issued, Stored, Vec<&str>)> = vec![
        (ISSUED, Box::new(|_| Ok(None)), vec![NOT_OURS]),
        (ISSUED, Box::new(|_| Err(broken())), vec![NO_STORE]),
        // A claim of a store that did not keep it shows nothing.
        (ISSUED, Box::new(found(credit(), None)), vec![NOT_OURS]),
        // The same id, and something was altered.
        (ISSUED, Box::new(found(credit(), bound(Issued { amount: "11", ..ISSUED }))), vec![NOT_OURS]),
        (ISSUED, Box::new(found(credit(), bound(ISSUED))), vec!["recall 1", &begin]),
        (
            ISSUED,
            Box::new(found(ClaimState::Delivered(settled()), bound(ISSUED))),
            vec!["recall 1", REPLAYED],
        ),
        (ISSUED, Box::new(found(ClaimState::Settling, bound(ISSUED))), vec!["recall 1", IN_PROGRESS]),
        (with_body, Box::new(found(credit(), bound(with_body))), vec!["read body", "recall 1", &begin]),
    ];
    for (nth, (issued, stored, expected)) in cases.into_iter().enumerate() {
        flow(issued, |flow, id| {
            let mut words = vec![word(&flow.start(&other)), word(&flow.handle(recalled(stored(&id)), NOW))];
            if words[1] == "read body" {
                words.push(word(&flow.handle(body(), NOW)));
            }
            if words.last().unwrap() == "recall 1" {
                words.push(word(&flow.handle(recalled(stored(&id)), NOW)));
            }
            assert_eq!(words[0], "recall 1", "case {nth}");
            assert_eq!(words[1..], expected, "case {nth}");
        });
    }
    // The money has to be the claim's, too.
    flow(ISSUED, |flow, id| {
        let stored = || Ok(Some(with_bound(claim(&id, credit()), bound(ISSUED))));
        flow.start(&other);
        flow.handle(recalled(stored()), NOW);
        let other_money = Event::Recalled { keys: Ok(vec![key("another")]), claim: stored() };
        assert_eq!(word(&flow.handle(other_money, NOW)), REPLAYED);
    });
}

fn with_bound(mut claim: Claim, bound: Option<[u8; 32]>) -> Claim {
    claim.new.bound = bound;
    claim
}

/// The whole walk: verify, claim, settle, record, deliver, in this order.
#[test]
fn a_payment_is_claimed_settled_recorded_and_delivered() {
    let words = drive(Issued { body: Some(BODY), ..ISSUED }, |_| {
        vec![
            Event::Body(Ok(Sha256Digest::of(BODY))),
            recalled(Ok(None)),
            Event::Verified(Ok(verified())),
            Event::Claimed(Ok(ClaimOutcome::New)),
            Event::Settlement(Ok(settled())),
            Event::Recorded(Ok(())),
        ]
    });
    let expected = [
        "read body",
        "recall 1",
        "verify 1 until 1300000",
        "claim k+k2",
        "settle 1",
        "record settled until 1060000",
        DELIVER,
    ];
    assert_eq!(words, expected);
}

/// C9: the body is compared before anything else is asked.
#[test]
fn bodies_are_those_that_the_challenge_was_issued_for() {
    for (body, expected) in [
        (Ok(Sha256Digest::of(BODY)), "recall 1"),
        (Ok(Sha256Digest::of(b"another body")), "402 digest_mismatch"),
        (Err(BodyTooLarge { max: 9 }), "400 body_too_large None"),
    ] {
        let words = drive(Issued { body: Some(BODY), ..ISSUED }, |_| vec![Event::Body(body)]);
        assert_eq!(words.last().unwrap(), expected);
    }
}

/// C21, C24, DESIGN section 5, Replay: what becomes of a credential that was claimed before.
#[test]
fn claims_are_recalled() {
    let lease = |until| Lease { holder: OTHER, until: UnixMs::from_ms(until) };
    let delivering = |until| ClaimState::Delivering { settled: settled(), lease: lease(until) };
    let reserved = |until| ClaimState::Reserved { lease: lease(until) };
    let failed = || ClaimState::Failed { why: "x".into() };
    let cases: Vec<(Option<ClaimState>, &str)> = vec![
        (None, "verify 1 until 1300000"),
        (Some(failed()), "verify 1 until 1300000"),
        (Some(ClaimState::Settling), IN_PROGRESS),
        (Some(delivering(NOW.as_ms() + 1)), IN_PROGRESS),
        (Some(delivering(NOW.as_ms())), "record begin until 1060000"),
        (Some(ClaimState::Credit(settled())), "record begin until 1060000"),
        (Some(ClaimState::Delivered(settled())), REPLAYED),
        (Some(reserved(NOW.as_ms() + 1)), IN_PROGRESS),
        (Some(reserved(NOW.as_ms())), "verify 1 until 1300000"),
        (Some(ClaimState::RefundDue(settled())), "record begin until 1060000"),
        (Some(ClaimState::Refunding { settled: settled(), plan: plan() }), IN_PROGRESS),
        (Some(ClaimState::Refunded { settled: settled(), refund: settled() }), "402 payment_refunded"),
    ];
    for (state, expected) in cases {
        let shown = format!("{state:?}");
        let words = drive(ISSUED, |id| vec![recalled(Ok(state.map(|state| claim(id, state))))]);
        assert_eq!(words.last().unwrap(), expected, "{shown}");
    }
    assert_eq!(drive(ISSUED, |_| vec![recalled(Err(broken()))]).last().unwrap(), NO_STORE);
}

/// The challenge's id alone serves nobody: the money must be the claim's.
#[test]
fn a_claim_is_recognised_by_its_money() {
    for (keys, expected) in [
        (vec![key("k")], "record begin until 1060000"),
        (vec![key("k2"), key("k")], "record begin until 1060000"),
        (vec![key("k"), key("stranger")], REPLAYED),
        (vec![key("stranger")], REPLAYED),
        (vec![], REPLAYED),
    ] {
        let words = drive(ISSUED, |id| {
            let claim = Ok(Some(claim(id, ClaimState::Credit(settled()))));
            vec![Event::Recalled { keys: Ok(keys), claim }]
        });
        assert_eq!(words.last().unwrap(), expected);
    }
    for (kind, expected) in [
        (ProblemKind::InvalidPayload, "402 rail_says_no"),
        (ProblemKind::BadRequest, "400 rail_says_no None"),
    ] {
        let keys = Err(problem(kind));
        let words = drive(ISSUED, |_| vec![Event::Recalled { keys, claim: Ok(None) }]);
        assert_eq!(words.last().unwrap(), expected);
    }
}

/// The payer never pays for nothing: a credit outlives a change of the price, a new payment does not.
#[test]
fn superseded_terms_serve_what_was_paid() {
    let old = Issued { amount: "9", ..ISSUED };
    let with = |state: Option<ClaimState>| {
        drive(old, |id| vec![recalled(Ok(state.map(|state| claim(id, state))))]).pop().unwrap()
    };
    assert_eq!(drive(old, |_| Vec::new()), ["recall 1"]);
    assert_eq!(with(None), "402 challenge_for_other_terms");
    assert_eq!(with(Some(ClaimState::Failed { why: "x".into() })), "402 challenge_for_other_terms");
    assert_eq!(with(Some(ClaimState::Credit(settled()))), "record begin until 1060000");
    assert_eq!(with(Some(ClaimState::Settling)), IN_PROGRESS);
    assert_eq!(with(Some(ClaimState::Delivered(settled()))), REPLAYED);
    let stranger = |id: &ClaimId| {
        let claim = Ok(Some(claim(id, ClaimState::Credit(settled()))));
        vec![Event::Recalled { keys: Ok(vec![key("stranger")]), claim }]
    };
    assert_eq!(drive(old, stranger).pop().unwrap(), "402 challenge_for_other_terms");
}

/// C2: refused at the instant that it expires, and served before; a credit needs no fresh challenge.
#[test]
fn expiry_is_an_instant() {
    let strict = Issued { method: "stripe", ..ISSUED };
    for (issued, now, expected) in [
        (strict, 1_299_999, "verify 0 until 1300000"),
        (strict, 1_300_000, "402 challenge_expired"),
        (strict, u64::MAX, "402 challenge_expired"),
        // A rail that knows when money moved is asked whether it was in time.
        (ISSUED, 1_299_999, "verify 1 until 1300000"),
        (ISSUED, 1_300_000, "verify 1 until 1300000 late"),
        (ISSUED, 1_309_999, "verify 1 until 1300000 late"),
        (ISSUED, 1_310_000, "402 challenge_expired"),
        (ISSUED, u64::MAX, "402 challenge_expired"),
    ] {
        let words = drive_at(issued, UnixMs::from_ms(now), |_| vec![recalled(Ok(None))]);
        assert_eq!(words.last().unwrap(), expected, "{} at {now}", issued.method);
    }
    let words =
        drive_at(ISSUED, EXPIRES, |id| vec![recalled(Ok(Some(claim(id, ClaimState::Credit(settled())))))]);
    assert_eq!(words.last().unwrap(), "record begin until 1360000");
}

#[test]
fn verification_is_answered() {
    let nameless = Verified { keys: Vec::new(), ..verified() };
    let cases = [
        (Ok(verified()), "claim k+k2"),
        (Ok(nameless), "500 verifier_without_keys None"),
        (Err(VerifyError::Rejected(problem(ProblemKind::PaymentInsufficient))), "402 rail_says_no"),
        (Err(VerifyError::Rejected(problem(ProblemKind::MethodUnsupported))), "400 rail_says_no None"),
        (Err(VerifyError::Replayed), REPLAYED),
        (Err(VerifyError::Unavailable { detail: "rpc".into() }), "503 rail_unavailable Some(1)"),
    ];
    for (result, expected) in cases {
        let words = drive(ISSUED, |_| vec![recalled(Ok(None)), Event::Verified(result)]);
        assert_eq!(words.last().unwrap(), expected);
    }
}

/// C24: of many copies one settles; the others wait, or are refused.
#[test]
fn claiming_is_answered() {
    type Given = fn(&ClaimId) -> Result<ClaimOutcome, StoreError>;
    let cases: [(Given, &str); 7] = [
        (|_| Ok(ClaimOutcome::New), "settle 1"),
        (|id| Ok(ClaimOutcome::Existing(Box::new(claim(id, ClaimState::Settling)))), IN_PROGRESS),
        (
            |id| Ok(ClaimOutcome::Existing(Box::new(claim(id, ClaimState::Credit(settled()))))),
            "record begin until 1060000",
        ),
        (
            |id| Ok(ClaimOutcome::Existing(Box::new(claim(id, ClaimState::Failed { why: "x".into() })))),
            OUT_OF_STEP,
        ),
        (|_| Ok(ClaimOutcome::Taken { what: "k".into() }), REPLAYED),
        (|_| Ok(ClaimOutcome::OverBudget { budget: "fees".into() }), "503 sponsorship_exhausted Some(60)"),
        (|_| Err(broken()), NO_STORE),
    ];
    for (outcome, expected) in cases {
        let words = drive(ISSUED, |id| {
            vec![recalled(Ok(None)), Event::Verified(Ok(verified())), Event::Claimed(outcome(id))]
        });
        assert_eq!(words.last().unwrap(), expected);
    }
}

/// An unknown outcome is a state of its own: neither failed nor settled.
#[test]
fn settling_is_answered_and_recorded() {
    let rejected = || Err(SettleError::Rejected(problem(ProblemKind::VerificationFailed)));
    let reverted = Err(SettleError::Reverted(problem(ProblemKind::VerificationFailed)));
    let unknown = AdvanceError::Unknown { id: ClaimId("a".into()) };
    let wrong = AdvanceError::WrongState { state: "credit" };
    let cases = [
        (Ok(settled()), Ok(()), vec!["record settled until 1060000", DELIVER]),
        (Ok(settled()), Err(wrong.clone()), vec!["record settled until 1060000", IN_PROGRESS]),
        (Ok(settled()), Err(unknown), vec!["record settled until 1060000", NO_STORE]),
        (Ok(settled()), Err(broken().into()), vec!["record settled until 1060000", NO_STORE]),
        (rejected(), Ok(()), vec!["record failed rail_says_no Released", "402 rail_says_no"]),
        (reverted, Ok(()), vec!["record failed rail_says_no Spent", "402 rail_says_no"]),
        (rejected(), Err(wrong), vec!["record failed rail_says_no Released", NO_STORE]),
        (rejected(), Err(broken().into()), vec!["record failed rail_says_no Released", NO_STORE]),
        (
            Err(SettleError::Unknown { detail: "rpc".into() }),
            Ok(()),
            vec!["503 outcome_unknown Some(1)", OUT_OF_STEP],
        ),
    ];
    for (result, recorded, expected) in cases {
        let words = drive(ISSUED, |_| {
            vec![
                recalled(Ok(None)),
                Event::Verified(Ok(verified())),
                Event::Claimed(Ok(ClaimOutcome::New)),
                Event::Settlement(result),
                Event::Recorded(recorded),
            ]
        });
        assert_eq!(words[4..], expected);
    }
}

mod keys;
mod order;

#[test]
fn a_flow_starts_once_and_ends_once() {
    flow(ISSUED, |flow, _| {
        assert_eq!(word(&flow.start(&binder())), "recall 1");
        assert_eq!(word(&flow.start(&binder())), OUT_OF_STEP);
        assert_eq!(word(&flow.handle(recalled(Ok(None)), NOW)), OUT_OF_STEP);
    });
    flow(ISSUED, |flow, _| assert_eq!(word(&flow.handle(recalled(Ok(None)), NOW)), OUT_OF_STEP));
    assert_eq!(word(&Action::Challenge(GateFlow::unpaid())), "402 payment_required");
}

/// Any event, in any number of its forms.
fn any_event(id: &ClaimId, choice: usize) -> Event {
    let existing = |state| Event::Claimed(Ok(ClaimOutcome::Existing(Box::new(claim(id, state)))));
    let found = |state| recalled(Ok(Some(claim(id, state))));
    match choice {
        0 => Event::Body(Ok(Sha256Digest::of(BODY))),
        1 => Event::Body(Err(BodyTooLarge { max: 1 })),
        2..=5 => recalled(Ok(None)),
        6 => found(ClaimState::Credit(settled())),
        7 => found(ClaimState::Settling),
        8 => found(ClaimState::Failed { why: "x".into() }),
        9..=12 => Event::Verified(Ok(verified())),
        13 => Event::Verified(Err(VerifyError::Replayed)),
        14..=17 => Event::Claimed(Ok(ClaimOutcome::New)),
        18 => existing(ClaimState::Credit(settled())),
        19 => existing(ClaimState::Settling),
        20..=23 => Event::Settlement(Ok(settled())),
        24 => Event::Settlement(Err(SettleError::Unknown { detail: "x".into() })),
        31 => existing(ClaimState::Delivered(settled())),
        32 => Event::Claimed(Ok(ClaimOutcome::SameRequest(Box::new(claim(
            &ClaimId("first".into()),
            ClaimState::Credit(settled()),
        ))))),
        33 => Event::Answer(Ok(Some(stored("kept")))),
        34 => Event::Answer(Ok(None)),
        35 => Event::Busy,
        36 => Event::Verified(Ok(Verified { funds: Funds::Moved, ..verified() })),
        25 => Event::Settlement(Err(SettleError::Rejected(problem(ProblemKind::VerificationFailed)))),
        26 => Event::Recorded(Err(broken().into())),
        _ => Event::Recorded(Ok(())),
    }
}

proptest! {
    /// Whatever a driver is told: settling follows a durable claim, delivery follows a durable record that the money is
    /// there, each at most once, and what ends a flow ends it.
    #[test]
    fn nothing_is_settled_unclaimed_nor_delivered_unrecorded(choices in prop::collection::vec(0_usize..37, 0..14), body in any::<bool>(), keyed in any::<bool>(), after in any::<bool>()) {
        let issued = Issued {
            body: body.then_some(BODY),
            key: keyed.then_some("order 7"),
            settle: if after { SettleOrder::After } else { SettleOrder::Before },
            ..ISSUED
        };
        flow(issued, |flow, id| {
            let mut last = flow.start(&binder());
            let (mut settles, mut delivers, mut ended) = (0, 0, false);
            for choice in choices {
                let event = any_event(&id, choice);
                let claimed = matches!((&last, &event), (Action::Claim(_), Event::Claimed(Ok(ClaimOutcome::New))));
                let funded = matches!(
                    (&last, &event),
                    (
                        Action::Record { step: ClaimStep::Settled { delivery: Delivery::Begin(_), .. } | ClaimStep::BeginDelivery(_), .. },
                        Event::Recorded(Ok(()))
                    )
                );
                let settlement = matches!((&last, &event), (Action::Settle { .. }, Event::Settlement(Ok(_))));
                let action = flow.handle(event, NOW);
                prop_assert!(!ended || word(&action) == OUT_OF_STEP);
                match &action {
                    Action::Settle { .. } => { prop_assert!(claimed); settles += 1; }
                    Action::Deliver(_) => { prop_assert!(funded); delivers += 1; }
                    Action::Record { step: ClaimStep::Settled { .. }, .. } => prop_assert!(settlement),
                    _ => {}
                }
                if matches!(action, Action::Serve(_)) { prop_assert!(claimed && after); }
                ended |= matches!(
                    action,
                    Action::Challenge(_) | Action::Refuse { .. } | Action::Deliver(_) | Action::Serve(_) | Action::Replay(_)
                );
                last = action;
            }
            prop_assert!(settles <= 1 && delivers <= 1);
            Ok(())
        })?;
    }
}
