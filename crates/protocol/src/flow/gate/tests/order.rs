//! How deliveries end, and what comes first: the settlement or the service.

use super::*;

fn outcome(deliveries: u32, keep: KeepAnswer) -> Outcome {
    let receipt = crate::Receipt::for_settled("tempo", settled());
    let (id, promise) = (ClaimId("c".into()), promise(SettleOrder::Before));
    Outcome { id, holder: US, receipt, payer: None, paid: None, deliveries, keep, promise, answer: None }
}

/// A 2xx is what was bought, and so is a redirect: what it leads to has been given away.
#[test]
fn what_was_bought_is_told_by_its_status() {
    for (status, bought) in
        [(200, true), (299, true), (199, false), (302, true), (399, true), (400, false), (500, false)]
    {
        assert_eq!(Outcome::is_bought(status), bought, "{status}");
    }
}

/// ADR 0008: bytes that were bought may be repeated, executions may not, beyond a bound; and nobody who hangs up gets money back.
#[test]
fn deliveries_are_judged_by_their_end() {
    let delivered = |answer| ClaimStep::Delivered { holder: US, answer };
    let undelivered = |answer, amends| ClaimStep::Undelivered { holder: US, answer, amends };
    let answer = || Box::new(stored("x"));
    for (deliveries, keep, ending, expected) in [
        (1, KeepAnswer::No, Ending::Whole(None), delivered(None)),
        (1, KeepAnswer::No, Ending::Whole(Some(answer())), delivered(None)),
        (1, KeepAnswer::Yes, Ending::Whole(Some(answer())), delivered(Some(answer()))),
        (1, KeepAnswer::Yes, Ending::Whole(None), delivered(None)),
        (99, KeepAnswer::No, Ending::LeftKept(answer()), undelivered(Some(answer()), Amends::Credit)),
        (1, KeepAnswer::No, Ending::LeftUnkept, undelivered(None, Amends::Credit)),
        (2, KeepAnswer::No, Ending::LeftUnkept, undelivered(None, Amends::Credit)),
        (3, KeepAnswer::Yes, Ending::LeftUnkept, delivered(None)),
        (u32::MAX, KeepAnswer::No, Ending::LeftUnkept, delivered(None)),
        (1, KeepAnswer::No, Ending::Failed, undelivered(None, Amends::Refund)),
        (99, KeepAnswer::Yes, Ending::Failed, undelivered(None, Amends::Refund)),
    ] {
        let shown = format!("{deliveries} {keep:?} {ending:?}");
        assert_eq!(outcome(deliveries, keep).step(ending), expected, "{shown}");
    }
}

/// What comes first: the service only where its payment can wait for all of it, and has not moved.
#[test]
fn the_service_comes_first_where_the_payment_can_wait() {
    let served = NOW.plus_ms(100_000);
    let serve = "claim k+k2 to serve until 1060000";
    for (issued, funds, settle_by, expected) in [
        (AFTER, Funds::Authorised, None, serve),
        (AFTER, Funds::Authorised, Some(served.plus_ms(1)), serve),
        (AFTER, Funds::Authorised, Some(served), "claim k+k2"),
        (AFTER, Funds::Authorised, Some(NOW), "claim k+k2"),
        (AFTER, Funds::Moved, None, "claim k+k2"),
        (ISSUED, Funds::Authorised, None, "claim k+k2"),
    ] {
        let verified = Verified { funds, settle_by, ..verified() };
        let words = drive(issued, |_| vec![recalled(Ok(None)), Event::Verified(Ok(verified))]);
        assert_eq!(words.last().unwrap(), expected, "{funds:?} {settle_by:?}");
    }
    let words = drive(AFTER, |_| {
        let claimed = Event::Claimed(Ok(ClaimOutcome::New));
        vec![recalled(Ok(None)), Event::Verified(Ok(verified())), claimed]
    });
    assert_eq!(words.last().unwrap(), "serve tempo");
    let words = drive(AFTER, |_| vec![recalled(Ok(None)), Event::Verified(Ok(verified())), Event::Busy]);
    assert_eq!(words.last().unwrap(), IN_PROGRESS);
}

/// What cost nothing is owed to nobody: hanging up keeps no answer, however often.
#[test]
fn a_free_call_that_is_left_is_over() {
    let mut free = outcome(1, KeepAnswer::No);
    let asset = verified().paid.asset().clone();
    free.paid = Some(farthing_money::Money::new(farthing_money::Amount::ZERO, asset));
    for ending in [Ending::LeftKept(Box::new(stored("x"))), Ending::LeftUnkept, Ending::Whole(None)] {
        assert_eq!(free.step(ending), ClaimStep::Delivered { holder: US, answer: None });
    }
    assert!(
        matches!(free.step(Ending::Failed), ClaimStep::Undelivered { .. }),
        "the service's failure is its own"
    );
}
