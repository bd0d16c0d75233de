//! State transitions, and what must hold through any sequence of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::genesis::{ALPHA_USD, BETA_USD, DEV_ACCOUNTS, Genesis, PATH_USD, TOKENS};
use crate::transaction::{Call, GasPrice};
use alloy_primitives::{B256, U256};
use alloy_sol_types::{SolCall, SolError};
use proptest::prelude::*;
use tempo_contracts::precompiles::ITIP20;

const ENV: BlockEnv = BlockEnv { timestamp_s: 1_000, base_fee_atto: 20_000_000_000, expiring_window_s: 300 };
const STRANGER: Address = Address::repeat_byte(0x77);

fn transfer(to: Address, amount: u64) -> Call {
    transfer_of(PATH_USD, to, amount)
}

fn transfer_of(token: Address, to: Address, amount: u64) -> Call {
    Call { to: token, input: ITIP20::transferCall { to, amount: U256::from(amount) }.abi_encode().into() }
}

fn approve(spender: Address, amount: U256) -> Call {
    Call { to: PATH_USD, input: ITIP20::approveCall { spender, amount }.abi_encode().into() }
}

fn transfer_from(from: Address, to: Address, amount: u64) -> Call {
    let call = ITIP20::transferFromCall { from, to, amount: U256::from(amount) };
    Call { to: PATH_USD, input: call.abi_encode().into() }
}

/// A 0x76 message of the fourth development account, which pays its own fees in PathUSD.
fn message(calls: Vec<Call>) -> Message {
    let sender = DEV_ACCOUNTS[3];
    Message {
        sender,
        fee_payer: sender,
        fee_token: None,
        calls,
        nonce: Nonce::Expiring(B256::repeat_byte(9)),
        valid_after: None,
        valid_before: Some(ENV.timestamp_s + 25),
        gas_limit: 2_000_000,
        price: GasPrice { max_atto: 41_000_000_000, priority_atto: 1_000_000_000 },
        intrinsic_gas: 34_584,
        kind: Kind::Tempo,
    }
}

fn genesis() -> State {
    Genesis::default().state()
}

#[test]
fn every_rule_has_its_code_and_leaves_the_state_alone() {
    let mut used = genesis();
    used.use_expiring(B256::repeat_byte(9), ENV.timestamp_s + 25);
    let base = message(vec![transfer(STRANGER, 1)]);
    let at = |nonce| Message { nonce, valid_before: None, ..base.clone() };
    let cases: Vec<(&str, State, Message, Option<&str>)> = vec![
        ("valid", genesis(), base.clone(), None),
        (
            "base fee",
            genesis(),
            Message { price: GasPrice { max_atto: 1, priority_atto: 0 }, ..base.clone() },
            Some("base_fee"),
        ),
        (
            "expired at the instant",
            genesis(),
            Message { valid_before: Some(1_000), ..base.clone() },
            Some("expired"),
        ),
        ("last second", genesis(), Message { valid_before: Some(1_001), ..base.clone() }, None),
        ("edge of the window", genesis(), Message { valid_before: Some(1_300), ..base.clone() }, None),
        (
            "past the window",
            genesis(),
            Message { valid_before: Some(1_301), ..base.clone() },
            Some("too_far_ahead"),
        ),
        (
            "far, but no expiring nonce",
            genesis(),
            Message { valid_before: Some(9_999), ..at(Nonce::Protocol(0)) },
            None,
        ),
        ("early", genesis(), Message { valid_after: Some(1_001), ..base.clone() }, Some("too_early")),
        ("early no more", genesis(), Message { valid_after: Some(1_000), ..base.clone() }, None),
        ("replay", used, base.clone(), Some("replay")),
        ("nonce gap", genesis(), at(Nonce::Protocol(1)), Some("nonce_too_high")),
        ("key gap", genesis(), at(Nonce::Keyed { key: U256::ONE, nonce: 1 }), Some("nonce_too_high")),
        ("not a token", genesis(), Message { fee_token: Some(STRANGER), ..base.clone() }, Some("fee_token")),
        (
            "empty fee token",
            genesis(),
            Message { fee_token: Some(crate::genesis::THETA_USD), fee_payer: STRANGER, ..base.clone() },
            Some("fee_balance"),
        ),
    ];
    for (name, mut state, message, expected) in cases {
        let before = state.clone();
        let result = include(&mut state, ENV, &message);
        assert_eq!(result.as_ref().err().map(Refusal::code), expected, "{name}");
        assert_eq!(state == before, expected.is_some(), "{name}");
    }
}

#[test]
fn a_batch_is_all_or_nothing_and_its_fee_is_due_either_way() {
    let mut state = genesis();
    let (sender, before) = (DEV_ACCOUNTS[3], genesis().balance(PATH_USD, DEV_ACCOUNTS[3]));
    let message = message(vec![transfer(STRANGER, 5), transfer(Address::ZERO, 1)]);
    let executed = include(&mut state, ENV, &message).unwrap();
    let refused = Halt::Revert(ITIP20::InvalidRecipient {}.abi_encode().into());
    assert_eq!(executed.outcome, Err(refused));
    assert_eq!(state.balance(PATH_USD, STRANGER), U256::ZERO);
    let fee = calc_gas_balance_spending(executed.gas_used, 21_000_000_000);
    assert_eq!(before - state.balance(PATH_USD, sender), fee);
    assert_eq!(executed.logs.len(), 1, "only the fee's transfer is logged");
    assert!(state.expiring_used(B256::repeat_byte(9), ENV.timestamp_s), "the nonce is used up");
}

#[test]
fn the_fee_payer_pays_and_the_sender_does_not() {
    let mut state = genesis();
    let (sender, payer) = (DEV_ACCOUNTS[3], DEV_ACCOUNTS[0]);
    let message =
        Message { fee_payer: payer, fee_token: Some(BETA_USD), ..message(vec![transfer(STRANGER, 7)]) };
    let executed = include(&mut state, ENV, &message).unwrap();
    let start = U256::from(u64::MAX);
    let fee = calc_gas_balance_spending(executed.gas_used, executed.gas_price_atto);
    assert_eq!(start - state.balance(BETA_USD, payer), fee);
    assert_eq!(start - state.balance(PATH_USD, sender), U256::from(7));
    assert_eq!(executed.fee_token, Some(BETA_USD));
}

#[test]
fn the_fee_cannot_be_spent_by_the_calls() {
    let mut state = genesis();
    let message = message(vec![transfer(STRANGER, u64::MAX)]);
    let executed = include(&mut state, ENV, &message).unwrap();
    assert!(matches!(executed.outcome, Err(Halt::Revert(_))), "{:?}", executed.outcome);
}

#[test]
fn fee_tokens_are_chosen_as_on_the_chain() {
    let mut state = genesis();
    crate::genesis::mint(&mut state, ALPHA_USD, STRANGER, U256::from(1_000_000));
    let base = message(vec![transfer_of(ALPHA_USD, DEV_ACCOUNTS[0], 1)]);
    let strange = Message { sender: STRANGER, fee_payer: STRANGER, ..base.clone() };
    let mixed = vec![transfer_of(ALPHA_USD, DEV_ACCOUNTS[0], 1), transfer(DEV_ACCOUNTS[0], 1)];
    let cases = [
        ("named", Message { fee_token: Some(BETA_USD), ..base.clone() }, BETA_USD),
        ("preferred", Message { fee_payer: DEV_ACCOUNTS[1], ..base.clone() }, BETA_USD),
        ("preferred over moved", base.clone(), PATH_USD),
        ("moved", strange.clone(), ALPHA_USD),
        ("moved, but not alone", Message { calls: mixed, ..strange.clone() }, PATH_USD),
        ("moved by another", Message { fee_payer: Address::repeat_byte(0x55), ..strange.clone() }, PATH_USD),
        (
            "nothing to go by",
            Message { calls: vec![transfer_from(STRANGER, STRANGER, 1)], ..strange },
            PATH_USD,
        ),
    ];
    for (name, message, expected) in cases {
        assert_eq!(fee_token(&state, &message), expected, "{name}");
    }
}

#[test]
fn allowances_are_spent_except_the_unlimited_one() {
    let (owner, spender) = (DEV_ACCOUNTS[3], DEV_ACCOUNTS[4]);
    for (granted, amount, ok, left) in [
        (U256::from(10), 10, true, U256::ZERO),
        (U256::from(10), 11, false, U256::from(10)),
        (U256::MAX, 11, true, U256::MAX),
    ] {
        let mut state = genesis();
        include(&mut state, ENV, &message(vec![approve(spender, granted)])).unwrap();
        let spend = Message { sender: spender, ..message(vec![transfer_from(owner, STRANGER, amount)]) };
        let executed = simulate(&mut state, &spend);
        assert_eq!(executed.outcome.is_ok(), ok, "{granted} {amount}");
        let grant = crate::state::Grant { token: PATH_USD, owner, spender };
        assert_eq!(state.allowance(grant), left, "{granted} {amount}");
    }
}

#[test]
fn running_out_of_gas_costs_all_of_it_and_moves_nothing() {
    let mut state = genesis();
    let message = Message { gas_limit: 60_000, ..message(vec![transfer(STRANGER, 5)]) };
    let executed = include(&mut state, ENV, &message).unwrap();
    assert_eq!(executed.outcome, Err(Halt::OutOfGas));
    assert_eq!(executed.gas_used, 60_000);
    assert_eq!(state.balance(PATH_USD, STRANGER), U256::ZERO);
}

/// One random step: who does what with which token.
#[derive(Clone, Debug)]
struct Step {
    sender: usize,
    payer: usize,
    token: usize,
    to: usize,
    amount: u64,
    kind: u8,
    gas_limit: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0usize..6,
        0usize..6,
        0usize..4,
        0usize..8,
        prop_oneof![0u64..1_000, any::<u64>()],
        0u8..4,
        30_000u64..700_000,
    )
        .prop_map(|(sender, payer, token, to, amount, kind, gas_limit)| Step {
            sender,
            payer,
            token,
            to,
            amount,
            kind,
            gas_limit,
        });
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No sequence of transactions makes or destroys a unit of any token, whether they succeed, revert, run out
    /// of gas or are refused; and what the fee manager gained is what it says it collected.
    #[test]
    fn money_is_conserved(steps in steps()) {
        let mut state = genesis();
        let start = genesis();
        let manager = TIP_FEE_MANAGER_ADDRESS;
        for (index, step) in steps.iter().enumerate() {
            let token = TOKENS[step.token].0;
            let to = if step.to < 7 { DEV_ACCOUNTS[step.to] } else { STRANGER };
            let amount = U256::from(step.amount);
            let input = match step.kind {
                0 => ITIP20::transferCall { to, amount }.abi_encode(),
                1 => ITIP20::transferWithMemoCall { to, amount, memo: B256::ZERO }.abi_encode(),
                2 => ITIP20::approveCall { spender: to, amount }.abi_encode(),
                _ => ITIP20::transferFromCall { from: DEV_ACCOUNTS[step.payer], to, amount }.abi_encode(),
            };
            let message = Message {
                sender: DEV_ACCOUNTS[step.sender],
                fee_payer: DEV_ACCOUNTS[step.payer],
                calls: vec![Call { to: token, input: input.into() }, transfer(STRANGER, step.amount / 7)],
                nonce: Nonce::Expiring(B256::with_last_byte(u8::try_from(index).unwrap())),
                gas_limit: step.gas_limit,
                ..message(Vec::new())
            };
            let _refused = include(&mut state, ENV, &message);
            for (token, name) in TOKENS {
                prop_assert_eq!(state.held(token), state.tokens.get(&token).unwrap().supply, "{}", name);
                let gained = state.balance(token, manager) - start.balance(token, manager);
                prop_assert_eq!(gained, state.collected_fees.get(&token).copied().unwrap_or_default());
            }
        }
    }
}
