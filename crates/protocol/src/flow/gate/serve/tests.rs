#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::super::terms::SettleOrder;
use super::{
    AdvanceError, ClaimId, ClaimStep, Delivery, KeepAnswer, LeaseHolder, Promise, Reserved, ServeAction,
    ServeEvent, ServeFlow, SettleError, Settled, SettlementPlan, StoredAnswer,
};
use crate::ports::{Amends, StoreError};
use crate::{Problem, ProblemKind, UnixMs};

const NOW: UnixMs = UnixMs::from_ms(1_000);
const US: LeaseHolder = LeaseHolder(9);

fn flow() -> ServeFlow {
    let promise =
        Promise { settle: SettleOrder::After, amends: Amends::Credit, redeliveries: 2, service_ms: 1_000 };
    ServeFlow::new(Reserved {
        id: ClaimId("c".into()),
        holder: US,
        lease_ms: 500,
        offer: 1,
        method: "tempo".into(),
        plan: SettlementPlan { rail: "tempo:1".into(), data: Value::Null },
        payer: Some("did:a".into()),
        paid: None,
        keep: KeepAnswer::Yes,
        promise,
    })
}

fn settled() -> Settled {
    Settled { reference: "0xab".into(), at: NOW, external_id: None, extra: Map::new() }
}

fn answer() -> Box<StoredAnswer> {
    Box::new(StoredAnswer { status: 200, headers: Vec::new(), body: b"x".to_vec() })
}

fn answered(status: u16) -> ServeEvent {
    ServeEvent::Answered { status, answer: Some(answer()) }
}

fn problem(kind: ProblemKind) -> Problem {
    Problem::new(kind, "rail_says_no", "no")
}

fn word(action: &ServeAction) -> String {
    match action {
        ServeAction::Record { step, .. } => match step {
            ClaimStep::BeginSettlement { holder, answer } => {
                assert_eq!(*holder, US);
                format!("begin {}", if answer.is_some() { "kept" } else { "unkept" })
            }
            ClaimStep::Settled { delivery: Delivery::Begin(lease), .. } => {
                assert_eq!(lease.holder, US);
                format!("settled until {}", lease.until.as_ms())
            }
            ClaimStep::Failed { why, reservation, holder } => {
                format!("failed {why} {reservation:?} {}", if holder.is_some() { "held" } else { "settling" })
            }
            other => format!("{other:?}"),
        },
        ServeAction::Settle { offer, .. } => format!("settle {offer}"),
        ServeAction::Uncharged => "uncharged".into(),
        ServeAction::Deliver(outcome) => {
            format!("deliver {} {}", outcome.receipt.reference, outcome.deliveries)
        }
        ServeAction::Challenge(problem) => format!("402 {}", problem.code),
        ServeAction::Withhold { problem, retry_after_s } => {
            format!("{} {} {retry_after_s:?}", problem.status(), problem.code)
        }
    }
}

const OUT_OF_STEP: &str = "503 flow_out_of_step Some(1)";
const IN_PROGRESS: &str = "409 payment_in_progress Some(1)";
const NO_STORE: &str = "503 store_unavailable Some(1)";

/// Every way that a reserved call can go.
#[test]
fn a_reserved_call_is_settled_when_it_was_answered() {
    use ServeEvent::{Recorded, Settlement};
    let ok = || Recorded(Ok(()));
    let wrong = || Recorded(Err(AdvanceError::WrongState { state: "reserved" }));
    let broken = || Recorded(Err(StoreError { detail: "disk".into() }.into()));
    let begin = "begin kept";
    let rejected = || SettleError::Rejected(problem(ProblemKind::VerificationFailed));
    let bad_request = || SettleError::Rejected(problem(ProblemKind::BadRequest));
    let reverted = || SettleError::Reverted(problem(ProblemKind::VerificationFailed));
    let unknown = || SettleError::Unknown { detail: "rpc".into() };
    let freed = "failed service_failed Released held";
    let cases: Vec<(Vec<ServeEvent>, Vec<&str>)> = vec![
        (
            vec![answered(200), ok(), Settlement(Ok(settled())), ok()],
            vec![begin, "settle 1", "settled until 1500", "deliver 0xab 1"],
        ),
        (vec![ServeEvent::Answered { status: 302, answer: None }, ok()], vec!["begin unkept", "settle 1"]),
        (vec![answered(500), ok()], vec![freed, "uncharged"]),
        (vec![answered(404), wrong()], vec![freed, "uncharged"]),
        (vec![ServeEvent::NoAnswer, broken()], vec![freed, "uncharged"]),
        // Somebody else has the call, or the store does not say: nothing is asked of the payer.
        (vec![answered(200), wrong(), ok()], vec![begin, IN_PROGRESS, OUT_OF_STEP]),
        (vec![answered(200), broken(), ok()], vec![begin, NO_STORE, OUT_OF_STEP]),
        // The answer is withheld whenever the payment is not known to be settled.
        (
            vec![answered(200), ok(), Settlement(Err(rejected())), ok()],
            vec![begin, "settle 1", "failed rail_says_no Released settling", "402 rail_says_no"],
        ),
        (
            vec![answered(200), ok(), Settlement(Err(bad_request())), ok()],
            vec![begin, "settle 1", "failed rail_says_no Released settling", "400 rail_says_no None"],
        ),
        (
            vec![answered(200), ok(), Settlement(Err(reverted())), broken()],
            vec![begin, "settle 1", "failed rail_says_no Spent settling", NO_STORE],
        ),
        (
            vec![answered(200), ok(), Settlement(Err(unknown())), ok()],
            vec![begin, "settle 1", "503 outcome_unknown Some(1)", OUT_OF_STEP],
        ),
        (
            vec![answered(200), ok(), Settlement(Ok(settled())), wrong()],
            vec![begin, "settle 1", "settled until 1500", IN_PROGRESS],
        ),
        (
            vec![answered(200), ok(), Settlement(Ok(settled())), broken()],
            vec![begin, "settle 1", "settled until 1500", NO_STORE],
        ),
        (vec![ok()], vec![OUT_OF_STEP]),
        (vec![Settlement(Ok(settled()))], vec![OUT_OF_STEP]),
        (vec![answered(200), answered(200)], vec![begin, OUT_OF_STEP]),
    ];
    for (events, expected) in cases {
        let mut flow = flow();
        let words: Vec<String> = events.into_iter().map(|event| word(&flow.handle(event, NOW))).collect();
        assert_eq!(words, expected);
    }
}

fn any_event(choice: usize) -> ServeEvent {
    match choice {
        0..=2 => answered(200),
        3 => answered(503),
        4 => ServeEvent::NoAnswer,
        5..=9 => ServeEvent::Recorded(Ok(())),
        10 => ServeEvent::Recorded(Err(AdvanceError::WrongState { state: "x" })),
        11 => ServeEvent::Recorded(Err(StoreError { detail: "disk".into() }.into())),
        12..=14 => ServeEvent::Settlement(Ok(settled())),
        15 => ServeEvent::Settlement(Err(SettleError::Rejected(problem(ProblemKind::VerificationFailed)))),
        _ => ServeEvent::Settlement(Err(SettleError::Unknown { detail: "x".into() })),
    }
}

proptest! {
    /// Whatever a driver is told: at most one settlement, begun durably; nothing is delivered that is not settled and recorded;
    /// nothing is let out uncharged that was settled.
    #[test]
    fn nothing_is_delivered_unsettled(choices in prop::collection::vec(0_usize..17, 0..10)) {
        let mut flow = flow();
        let (mut last, mut settles, mut paid) = (String::new(), 0, false);
        for choice in choices {
            let event = any_event(choice);
            let recorded = matches!(event, ServeEvent::Recorded(Ok(())));
            paid |= matches!(event, ServeEvent::Settlement(Ok(_))) && last.starts_with("settle ");
            let action = flow.handle(event, NOW);
            match &action {
                ServeAction::Settle { .. } => {
                    prop_assert!(recorded && last.starts_with("begin"));
                    settles += 1;
                }
                ServeAction::Deliver(_) => prop_assert!(recorded && paid && last.starts_with("settled")),
                ServeAction::Uncharged => prop_assert!(!paid && settles == 0),
                ServeAction::Challenge(_) => prop_assert!(!paid),
                _ => {}
            }
            last = word(&action);
        }
        prop_assert!(settles <= 1);
    }
}
