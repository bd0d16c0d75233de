#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use farthing_money::Amount;
use proptest::prelude::*;

use super::{Extra, Leg, LegMemo, MovedTransfer, match_legs, of_logs};
use crate::tempo::abi::Tip20;
use crate::tempo::memo::{self, Named};
use crate::tempo::offline;
use crate::tempo::receipt::{self, Log};
use crate::tempo::request::{ChargeRequest, Split};

const NAMED: Named<'static> = Named { realm: "api.example.com", challenge_id: "challenge-123" };
const TOKEN: Address = Address::repeat_byte(0x20);
const PAYER: Address = Address::repeat_byte(0xaa);
const R: Address = Address::repeat_byte(1);
const P: Address = Address::repeat_byte(2);

fn ours() -> B256 {
    memo::encode(NAMED, None)
}

fn another() -> B256 {
    memo::encode(Named { challenge_id: "challenge-124", ..NAMED }, None)
}

fn leg(recipient: Address, amount: u64, memo: LegMemo) -> Leg {
    Leg { recipient, amount: U256::from(amount), memo }
}

fn moved(recipient: Address, amount: u64, memo: Option<B256>) -> MovedTransfer {
    MovedTransfer { recipient, amount: U256::from(amount), memo }
}

/// What TIP-20 logs for one transfer: `Transfer`, and with a memo `TransferWithMemo` directly after it.
fn logs_of(from: Address, it: MovedTransfer) -> Vec<Log> {
    let plain = Tip20::Transfer { from, to: it.recipient, amount: it.amount };
    let mut logs = vec![log(plain.encode_log_data())];
    if let Some(memo) = it.memo {
        let noted = Tip20::TransferWithMemo { from, to: it.recipient, amount: it.amount, memo };
        logs.push(log(noted.encode_log_data()));
    }
    logs
}

fn log(data: alloy_primitives::LogData) -> Log {
    Log { address: TOKEN, topics: data.topics().to_vec(), data: data.data }
}

#[test]
fn legs_are_matched_once_each_in_any_order() {
    let exact = B256::repeat_byte(7);
    let primary = leg(R, 50, LegMemo::Attribution);
    let cases = [
        ("ok", vec![primary], vec![moved(R, 50, Some(ours()))]),
        ("transfer_missing", vec![primary], vec![moved(R, 50, None)]),
        ("transfer_missing", vec![primary], vec![moved(R, 50, Some(exact))]),
        ("memo_of_another_challenge", vec![primary], vec![moved(R, 50, Some(another()))]),
        ("transfer_missing", vec![primary], vec![moved(R, 49, Some(ours()))]),
        ("transfer_missing", vec![primary], vec![moved(P, 50, Some(ours()))]),
        ("transfer_missing", vec![primary], vec![]),
        // One movement never pays two legs.
        ("transfer_missing", vec![primary, leg(R, 50, LegMemo::Plain)], vec![moved(R, 50, Some(ours()))]),
        (
            "ok",
            vec![primary, leg(R, 50, LegMemo::Plain)],
            vec![moved(R, 50, None), moved(R, 50, Some(ours()))],
        ),
        // One SDK repeats the attribution memo on splits.
        (
            "ok",
            vec![primary, leg(R, 50, LegMemo::Plain)],
            vec![moved(R, 50, Some(ours())), moved(R, 50, Some(ours()))],
        ),
        (
            "ok",
            vec![primary, leg(P, 5, LegMemo::Exact(exact))],
            vec![moved(P, 5, Some(exact)), moved(R, 50, Some(ours()))],
        ),
        (
            "transfer_missing",
            vec![primary, leg(P, 5, LegMemo::Exact(exact))],
            vec![moved(P, 5, None), moved(R, 50, Some(ours()))],
        ),
        // A plain split beside another challenge's transfer could be counted for both.
        (
            "memo_of_another_challenge",
            vec![primary, leg(P, 5, LegMemo::Plain)],
            vec![moved(R, 50, Some(ours())), moved(P, 5, None), moved(R, 50, Some(another()))],
        ),
        // Without such a split, the other challenge's transfer is somebody else's business.
        ("ok", vec![primary], vec![moved(R, 50, Some(ours())), moved(R, 50, Some(another()))]),
    ];
    for (i, (expected, legs, moved)) in cases.into_iter().enumerate() {
        let got =
            match_legs(&legs, &moved, NAMED, Extra::Allowed).map_or_else(|error| error.code(), |()| "ok");
        assert_eq!(got, expected, "TC4: case {i}");
    }
    let extra = [moved(R, 50, Some(ours())), moved(P, 1, None)];
    let refused = match_legs(&[primary], &extra, NAMED, Extra::Refused).unwrap_err();
    assert_eq!(refused.code(), "extra_calls", "TC3");
}

#[test]
fn a_pair_of_logs_is_one_transfer() {
    let with_memo = moved(R, 50, Some(ours()));
    let pair = logs_of(PAYER, with_memo);
    assert_eq!(pair.len(), 2);
    assert_eq!(of_logs(&pair, TOKEN, Some(PAYER)), [with_memo]);
    // A plain transfer of the same amount before it is one more.
    let both = [logs_of(PAYER, moved(R, 50, None)), pair.clone()].concat();
    assert_eq!(of_logs(&both, TOKEN, Some(PAYER)), [moved(R, 50, None), with_memo]);
    // A memo log alone counts; so does a pair that another log separates: two transfers.
    assert_eq!(of_logs(&pair[1..], TOKEN, Some(PAYER)), [with_memo]);
    let stranger = Log { address: Address::ZERO, ..pair[0].clone() };
    let apart = [pair[0].clone(), stranger, pair[1].clone()];
    assert_eq!(of_logs(&apart, TOKEN, Some(PAYER)), [moved(R, 50, None), with_memo]);
    // Another token, another payer.
    assert_eq!(of_logs(&pair, R, Some(PAYER)), []);
    assert_eq!(of_logs(&pair, TOKEN, Some(P)), []);
    assert_eq!(of_logs(&pair, TOKEN, None), [with_memo]);
}

#[test]
fn one_pair_does_not_pay_two_legs() {
    // The pair's plain half must not stand for the split (TC4).
    let splits = vec![Split { recipient: R, amount: Amount::from_base(50), memo: None }];
    let charge = ChargeRequest { splits, ..offline::plain_charge(Amount::from_base(100), TOKEN, R) };
    let pair = logs_of(PAYER, moved(R, 50, Some(ours())));
    let refused = receipt::check_logs(&charge, NAMED, Some(PAYER), &pair).unwrap_err();
    assert_eq!(refused.code(), "transfer_missing");
    let both = [pair, logs_of(PAYER, moved(R, 50, None))].concat();
    assert_eq!(receipt::check_logs(&charge, NAMED, Some(PAYER), &both), Ok(()));
}

proptest! {
    /// Whatever byte of the logs of a valid payment is changed, it is no longer one (TC4).
    #[test]
    fn changed_logs_are_refused(log in 0_usize..2, part in 0_usize..6, at in 0_usize..32, bit in 0_u8..8) {
        let charge = offline::plain_charge(Amount::from_base(50), TOKEN, R);
        let mut logs = logs_of(PAYER, moved(R, 50, Some(ours())));
        prop_assert_eq!(receipt::check_logs(&charge, NAMED, Some(PAYER), &logs), Ok(()));
        let changed = &mut logs[log];
        match part {
            0 => changed.address.0[at % 20] ^= 1 << bit,
            part if part <= changed.topics.len() => changed.topics[part - 1].0[at] ^= 1 << bit,
            _ => {
                let mut data = changed.data.to_vec();
                data[at] ^= 1 << bit;
                changed.data = data.into();
            }
        }
        // The client's ten bytes of the memo may be anything, and the plain half of a pair is not needed.
        let free = log == 0 || (part == 4 && (15..25).contains(&at));
        prop_assert_eq!(receipt::check_logs(&charge, NAMED, Some(PAYER), &logs).is_ok(), free);
    }

    /// The order of transfers does not matter, and no leg can be left out (TC5).
    #[test]
    fn any_order_pays_and_every_leg_is_needed(
        amounts in proptest::collection::vec(1_u64..4, 1..10),
        seed in any::<u64>(),
    ) {
        let splits: Vec<Split> = amounts
            .iter()
            .map(|amount| Split { recipient: P, amount: Amount::from_base(u128::from(*amount)), memo: None })
            .collect();
        let charge = ChargeRequest { splits, ..offline::plain_charge(Amount::from_base(1_000), TOKEN, R) };
        let legs = super::legs(&charge);
        let mut moved: Vec<MovedTransfer> = legs
            .iter()
            .map(|leg| MovedTransfer {
                recipient: leg.recipient,
                amount: leg.amount,
                memo: (leg.memo == LegMemo::Attribution).then(ours),
            })
            .collect();
        let turn = usize::try_from(seed % 16).unwrap() % moved.len();
        moved.rotate_left(turn);
        prop_assert_eq!(match_legs(&legs, &moved, NAMED, Extra::Refused), Ok(()));
        moved.pop();
        prop_assert!(match_legs(&legs, &moved, NAMED, Extra::Refused).is_err());
    }
}
