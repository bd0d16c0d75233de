//! `Idempotency-Key`, answers that are kept, and payments for a call that was paid before.

use super::*;

/// The events of a request with a key up to the claim.
fn keyed(funds: Funds) -> Vec<Event> {
    let verified = Verified { funds, ..verified() };
    vec![Event::Body(Ok(Sha256Digest::of(BODY))), recalled(Ok(None)), Event::Verified(Ok(verified))]
}

/// The key that the flow gives a claim of this payer's, or of this challenge where nobody is known.
fn key_of(issued: Issued, payer: Option<&str>, body: &[u8]) -> IdempotencyKey {
    flow(issued, |flow, _| {
        let _ = flow.start(&binder());
        let verified = Verified { payer: payer.map(str::to_owned), ..verified() };
        let mut action = flow.handle(Event::Body(Ok(Sha256Digest::of(body))), NOW);
        for event in [recalled(Ok(None)), Event::Verified(Ok(verified))] {
            action = flow.handle(event, NOW);
        }
        let Action::Claim(new) = action else { panic!("not claimed") };
        new.idempotency.unwrap()
    })
}

/// C23: a key is of one route and one payer, and names one request.
#[test]
fn keys_are_of_one_payer_and_one_request() {
    let base = key_of(KEYED, Some("did:a"), BODY);
    assert_eq!(key_of(Issued { amount: "10", ..KEYED }, Some("did:a"), BODY), base);
    let other_body = key_of(KEYED, Some("did:a"), b"else");
    assert_eq!(other_body.key, base.key);
    assert_ne!(other_body.request, base.request);
    assert_ne!(key_of(KEYED, Some("did:b"), BODY).key, base.key);
    assert_ne!(key_of(KEYED, None, BODY).key, base.key);
    assert_ne!(key_of(Issued { key: Some("order 8"), ..KEYED }, Some("did:a"), BODY).key, base.key);
    let words = drive(KEYED, |_| vec![Event::Body(Err(BodyTooLarge { max: 9 }))]);
    assert_eq!(words.last().unwrap(), "413 idempotent_body_too_large None");
}

fn with_key(id: &ClaimId, state: ClaimState, key: &IdempotencyKey, answered: bool) -> Claim {
    let mut claim = claim(id, state);
    (claim.new.idempotency, claim.answered) = (Some(key.clone()), answered);
    claim
}

/// C23: the same credential with the same key gets the answer again; another request, or another key, does not.
#[test]
fn a_key_is_answered_again() {
    let ours = key_of(KEYED, Some("did:verified"), BODY);
    let other_request = IdempotencyKey { request: [0; 32], ..ours.clone() };
    let other_key = IdempotencyKey { key: "another".into(), ..ours.clone() };
    let credit = || ClaimState::Credit(settled());
    let delivered = || ClaimState::Delivered(settled());
    let reused = "422 idempotency_key_reused None";
    for (state, key, answered, expected) in [
        (delivered(), &ours, true, "fetch"),
        (delivered(), &ours, false, "410 answer_not_kept None"),
        (delivered(), &other_request, true, reused),
        (delivered(), &other_key, true, REPLAYED),
        (credit(), &ours, true, "fetch"),
        (credit(), &ours, false, "record begin until 1060000"),
        (credit(), &other_request, false, reused),
        (credit(), &other_key, false, "422 idempotency_key_mismatch None"),
        (ClaimState::Settling, &other_request, false, reused),
        (ClaimState::Settling, &ours, false, IN_PROGRESS),
    ] {
        let shown = format!("{state:?} {answered}");
        let words = drive(KEYED, |id| {
            let claim = with_key(id, state, key, answered);
            vec![Event::Body(Ok(Sha256Digest::of(BODY))), recalled(Ok(Some(claim)))]
        });
        assert_eq!(words.last().unwrap(), expected, "{shown}");
    }
    // Without the key, what was delivered is refused as ever, and a credit is served.
    for (state, expected) in [(delivered(), REPLAYED), (credit(), "fetch")] {
        let words = drive(ISSUED, |id| vec![recalled(Ok(Some(with_key(id, state, &ours, true))))]);
        assert_eq!(words.last().unwrap(), expected);
    }
    // A credit without a key is not spent under one: the key may name another call.
    let words = drive(KEYED, |id| {
        vec![Event::Body(Ok(Sha256Digest::of(BODY))), recalled(Ok(Some(claim(id, credit()))))]
    });
    assert_eq!(words.last().unwrap(), "422 idempotency_key_mismatch None");
}

/// An answer that is kept is for the request that it answers.
#[test]
fn kept_answers_are_served_to_their_own_request() {
    let target = Requested { method: "GET", target: "/a?q=1", key: None }.target_digest();
    let head = Requested { method: "HEAD", target: "/a?q=1", key: None }.target_digest();
    let marked = |target: &[u8; 32]| {
        let mut answer = stored("kept");
        crate::flow::gate::mark(&mut answer, target);
        answer
    };
    let begin = "record begin until 1060000";
    for (answer, expected) in [
        (Ok(Some(marked(&target))), begin),
        (Ok(Some(stored("kept"))), begin),
        (Ok(None), begin),
        (Ok(Some(marked(&head))), "422 answer_for_another_request None"),
        (Err(broken()), NO_STORE),
    ] {
        let words = drive(ISSUED, |id| {
            let claim = Claim { answered: true, ..claim(id, ClaimState::Credit(settled())) };
            vec![recalled(Ok(Some(claim))), Event::Answer(answer)]
        });
        assert_eq!(words[1..], ["fetch", expected]);
    }
    flow(ISSUED, |flow, id| {
        let _ = flow.start(&binder());
        let claim = Claim { answered: true, ..claim(&id, ClaimState::Credit(settled())) };
        let _ = flow.handle(recalled(Ok(Some(claim))), NOW);
        let _ = flow.handle(Event::Answer(Ok(Some(marked(&target)))), NOW);
        let Action::Deliver(outcome) = flow.handle(Event::Recorded(Ok(())), NOW) else {
            panic!("not delivered")
        };
        assert_eq!((outcome.answer, outcome.deliveries), (Some(Box::new(stored("kept"))), 2));
    });
}

/// C23: a payer that has lost its credential pays nothing for the same request a second time.
#[test]
fn the_same_request_is_served_by_its_first_payment() {
    let ours = key_of(KEYED, Some("did:verified"), BODY);
    let old = ClaimId("the first".into());
    let refunded = || ClaimState::Refunded { settled: settled(), refund: settled() };
    for (state, answered, expected) in [
        (ClaimState::Settling, false, IN_PROGRESS),
        (ClaimState::Credit(settled()), false, "record begin until 1060000"),
        (ClaimState::Delivered(settled()), true, "fetch"),
        (ClaimState::Delivered(settled()), false, "410 answer_not_kept None"),
        (ClaimState::Reserved { lease: Lease { holder: OTHER, until: NOW } }, false, IN_PROGRESS),
        // It has its money back: this payment is the call's.
        (refunded(), false, "claim k+k2"),
    ] {
        let shown = format!("{state:?}");
        let words = drive(KEYED, |_| {
            let claim = Box::new(with_key(&old, state, &ours, answered));
            let mut events = keyed(Funds::Authorised);
            events.push(Event::Claimed(Ok(ClaimOutcome::SameRequest(claim))));
            events
        });
        assert_eq!(words[3..], ["claim k+k2 keyed", expected], "{shown}");
    }
}

/// Money that has moved by itself is never lost: it is kept beside the call that was paid before.
#[test]
fn a_second_payment_that_has_moved_is_kept() {
    let ours = key_of(KEYED, Some("did:verified"), BODY);
    let old = ClaimId("the first".into());
    let rejected = || Err(SettleError::Rejected(problem(ProblemKind::VerificationFailed)));
    let unknown = || Err(SettleError::Unknown { detail: "rpc".into() });
    let other_request = IdempotencyKey { request: [0; 32], ..ours.clone() };
    let (kept, settle) = ("claim k+k2", "settle 1");
    for (key, settlement, recorded, expected, is_kept) in [
        (&ours, Ok(settled()), vec![Ok(())], vec![kept, settle, "record settled", "fetch"], true),
        (
            &ours,
            Ok(settled()),
            vec![Err(AdvanceError::WrongState { state: "credit" })],
            vec![kept, settle, "record settled", "fetch"],
            true,
        ),
        (
            &ours,
            Ok(settled()),
            vec![Err(broken().into())],
            vec![kept, settle, "record settled", NO_STORE],
            true,
        ),
        (&ours, unknown(), vec![], vec![kept, settle, "fetch"], true),
        (
            &ours,
            rejected(),
            vec![Ok(())],
            vec![kept, settle, "record failed rail_says_no Released", "fetch"],
            false,
        ),
        (
            &other_request,
            Ok(settled()),
            vec![Ok(())],
            vec![kept, settle, "record settled", "422 idempotency_key_reused None"],
            true,
        ),
    ] {
        flow(KEYED, |flow, id| {
            let _ = flow.start(&binder());
            for event in keyed(Funds::Moved) {
                let _ = flow.handle(event, NOW);
            }
            let call = Box::new(with_key(&old, ClaimState::Delivered(settled()), key, true));
            let mut events = vec![
                Event::Claimed(Ok(ClaimOutcome::SameRequest(call))),
                Event::Claimed(Ok(ClaimOutcome::New)),
                Event::Settlement(settlement),
            ];
            events.extend(recorded.into_iter().map(Event::Recorded));
            let words: Vec<String> = events.into_iter().map(|event| word(&flow.handle(event, NOW))).collect();
            assert_eq!(words, expected);
            assert_eq!(flow.kept(), is_kept.then_some(id));
        });
    }
}
