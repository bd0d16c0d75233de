//! The scenario: what is asked and sent, in order.

mod reads;

use crate::sign::{self, Draft, address};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolCall;
use farthing_sandbox::genesis::{ALPHA_USD, BETA_USD, PATH_USD, THETA_USD};
use serde_json::{Value, json};
use tempo_contracts::precompiles::{
    IFeeManager, INonce, ITIP20, NONCE_PRECOMPILE_ADDRESS, TIP_FEE_MANAGER_ADDRESS,
};

const NONCE: Address = NONCE_PRECOMPILE_ADDRESS;
/// An account that has nothing at genesis.
const PAYEE: Address = Address::repeat_byte(0x11);
/// Another.
const OTHER: Address = Address::repeat_byte(0x22);
const MEMO: B256 = B256::repeat_byte(0xab);
const UNBORN_TOKEN: Address = alloy_primitives::address!("0x20c0000000000000000000000000000000000009");

pub struct Step {
    pub name: &'static str,
    pub action: Action,
}

pub enum Action {
    /// Answers are compared.
    Ask { method: &'static str, params: Value },
    /// Outcomes are compared: "ok", "reverted" or "no".
    Send { raw: String, expect: &'static str },
}

fn ask(name: &'static str, method: &'static str, params: Value) -> Step {
    Step { name, action: Action::Ask { method, params } }
}

fn view(name: &'static str, to: Address, call: &impl SolCall) -> Step {
    ask(name, "eth_call", json!([{ "to": to, "data": Bytes::from(call.abi_encode()) }, "latest"]))
}

fn send(name: &'static str, raw: String, expect: &'static str) -> Step {
    Step { name, action: Action::Send { raw, expect } }
}

fn transfer(token: Address, to: Address, amount: u64) -> (Address, Bytes) {
    (token, ITIP20::transferCall { to, amount: U256::from(amount) }.abi_encode().into())
}

fn memo(token: Address, to: Address, amount: u64) -> (Address, Bytes) {
    (token, ITIP20::transferWithMemoCall { to, amount: U256::from(amount), memo: MEMO }.abi_encode().into())
}

fn approve(token: Address, amount: u64) -> (Address, Bytes) {
    let call = ITIP20::approveCall { spender: address(4), amount: U256::from(amount) };
    (token, call.abi_encode().into())
}

/// From the fourth account, by whom it allowed to.
fn transfer_from(token: Address, to: Address, amount: u64) -> (Address, Bytes) {
    let call = ITIP20::transferFromCall { from: address(3), to, amount: U256::from(amount) };
    (token, call.abi_encode().into())
}

pub fn scenario(now_s: u64) -> Vec<Step> {
    let mut steps = reads::reads();
    steps.extend(refusals(now_s));
    steps.extend(payments(now_s));
    steps.extend(allowances(now_s));
    steps.extend(reverts(now_s));
    steps.extend(nonces(now_s));
    steps.extend(kinds(now_s));
    steps.extend(aftermath());
    steps
}

fn refusals(now_s: u64) -> Vec<Step> {
    let base = Draft::new(now_s, vec![transfer(PATH_USD, PAYEE, 1_000)]);
    let draft = |change: &dyn Fn(&mut Draft)| {
        let mut draft = base.clone();
        change(&mut draft);
        draft.by(3)
    };
    vec![
        send("wrong chain", draft(&|d| d.chain_id = 4217), "no"),
        send("expired", draft(&|d| d.valid_before = now_s - 5), "no"),
        send("too far ahead", draft(&|d| d.valid_before = now_s + 400), "no"),
        send("no expiry", draft(&|d| d.valid_before = 0), "no"),
        send("expiring nonce with a number", draft(&|d| d.nonce = 1), "no"),
        send("nobody's signature", base.unsigned(), "no"),
        send("fee payer envelope", base.envelope_by(3), "no"),
        send("no calls", draft(&|d| d.calls.clear()), "no"),
        send("gas for nothing", draft(&|d| d.gas = 22_000), "no"),
        send("gas for more than a block", draft(&|d| d.gas = 40_000_000), "no"),
        send(
            "fee below the base fee",
            draft(&|d| {
                d.max_fee = 1_000_000_000;
                d.priority_fee = 0
            }),
            "no",
        ),
        send("priority above the fee", draft(&|d| d.priority_fee = 100_000_000_000), "no"),
        send("fee token that is none", draft(&|d| d.fee_token = Some(PAYEE)), "no"),
        send("fee token that is unborn", draft(&|d| d.fee_token = Some(UNBORN_TOKEN)), "no"),
        send("sponsor of oneself", draft(&|d| d.payer = Some(3)), "no"),
        send("sender without funds", Draft { ..base.clone() }.by_p256(), "no"),
    ]
}

fn payments(now_s: u64) -> Vec<Step> {
    let draft = |calls| Draft::new(now_s, calls);
    let paid = draft(vec![transfer(PATH_USD, PAYEE, 1_000)]).by(3);
    let batch = vec![memo(PATH_USD, PAYEE, 10), transfer(PATH_USD, PAYEE, 20), memo(PATH_USD, PAYEE, 30)];
    vec![
        send("transfer to a stranger", paid.clone(), "ok"),
        ask("transaction", "eth_getTransactionByHash", json!([keccak256(paid.parse::<Bytes>().unwrap())])),
        send("resent after inclusion", paid, "no"),
        send("transfer", draft(vec![transfer(PATH_USD, PAYEE, 1_001)]).by(3), "ok"),
        send("memo", draft(vec![memo(PATH_USD, PAYEE, 1_002)]).by(3), "ok"),
        send("fee in another token", draft(vec![transfer(PATH_USD, PAYEE, 1_003)]).by(0), "ok"),
        send(
            "named fee token",
            Draft { fee_token: Some(THETA_USD), ..draft(vec![transfer(PATH_USD, PAYEE, 1_004)]) }.by(3),
            "ok",
        ),
        send("nothing", draft(vec![transfer(PATH_USD, OTHER, 0)]).by(3), "ok"),
        send("to oneself", draft(vec![transfer(PATH_USD, address(3), 5)]).by(3), "ok"),
        send(
            "sponsored",
            Draft { payer: Some(0), fee_token: Some(BETA_USD), ..draft(vec![memo(PATH_USD, PAYEE, 1_005)]) }
                .by(4),
            "ok",
        ),
        send(
            "sponsored batch",
            Draft { payer: Some(1), fee_token: Some(PATH_USD), ..draft(batch.clone()) }.by(4),
            "ok",
        ),
        send("batch", draft(batch).by(3), "ok"),
        send("call of nobody", draft(vec![(PAYEE, Bytes::from_static(&[0x12, 0x34]))]).by(3), "ok"),
    ]
}

fn allowances(now_s: u64) -> Vec<Step> {
    let draft = |call| Draft::new(now_s, vec![call]);
    let noted =
        ITIP20::transferFromWithMemoCall { from: address(3), to: PAYEE, amount: U256::from(100), memo: MEMO };
    let sponsored =
        Draft { payer: Some(0), fee_token: Some(ALPHA_USD), ..draft(transfer_from(ALPHA_USD, OTHER, 50)) };
    vec![
        send("approve", draft(approve(PATH_USD, 500)).by(3), "ok"),
        send("transferFrom", draft(transfer_from(PATH_USD, PAYEE, 100)).by(4), "ok"),
        send("transferFrom with memo", draft((PATH_USD, noted.abi_encode().into())).by(4), "ok"),
        send("approve in another token", draft(approve(ALPHA_USD, 500)).by(3), "ok"),
        send("approve less", draft(approve(ALPHA_USD, 50)).by(3), "ok"),
        send("sponsored transferFrom", sponsored.by(4), "ok"),
        send("approve nothing", draft(approve(PATH_USD, 0)).by(5), "ok"),
        send(
            "approve and take back",
            Draft::new(now_s, vec![approve(BETA_USD, 5), approve(BETA_USD, 0)]).by(5),
            "ok",
        ),
    ]
}

fn reverts(now_s: u64) -> Vec<Step> {
    let by = |index: usize, calls: Vec<(Address, Bytes)>| Draft::new(now_s, calls).by(index);
    vec![
        send("more than there is", by(3, vec![transfer(PATH_USD, PAYEE, u64::MAX)]), "reverted"),
        send(
            "batch with a bad end",
            by(3, vec![transfer(PATH_USD, OTHER, 7), transfer(PATH_USD, PAYEE, u64::MAX)]),
            "reverted",
        ),
        send("to nobody", by(3, vec![transfer(PATH_USD, Address::ZERO, 1)]), "reverted"),
        send("to a token", by(3, vec![transfer(PATH_USD, ALPHA_USD, 1)]), "reverted"),
        send("more than allowed", by(4, vec![transfer_from(PATH_USD, PAYEE, 1_000)]), "reverted"),
        send(
            "unknown selector",
            by(3, vec![(PATH_USD, Bytes::from_static(&[0xde, 0xad, 0xbe, 0xef]))]),
            "reverted",
        ),
        send("transfer of an unborn token", by(3, vec![transfer(UNBORN_TOKEN, PAYEE, 1)]), "reverted"),
        send(
            "gas runs out",
            Draft { gas: 60_000, ..Draft::new(now_s, vec![transfer(PATH_USD, OTHER, 9)]) }.by(3),
            "reverted",
        ),
    ]
}

fn nonces(now_s: u64) -> Vec<Step> {
    let keyed = |key: u64, nonce, amount| Draft {
        nonce_key: U256::from(key),
        nonce,
        valid_before: 0,
        ..Draft::new(now_s, vec![transfer(PATH_USD, PAYEE, amount)])
    };
    let reverted = Draft { calls: vec![transfer(PATH_USD, Address::ZERO, 1)], ..keyed(7, 2, 0) };
    vec![
        send("first protocol nonce", keyed(0, 0, 2_000).by(3), "ok"),
        send("second protocol nonce", keyed(0, 1, 2_001).by(3), "ok"),
        send("used protocol nonce", keyed(0, 1, 2_002).by(3), "no"),
        send("first of a key", keyed(7, 0, 2_003).by(3), "ok"),
        send("used nonce of a key", keyed(7, 0, 2_004).by(3), "no"),
        send("second of a key", keyed(7, 1, 2_005).by(3), "ok"),
        send("third of a key, reverted", reverted.by(3), "reverted"),
        send("gap in another key", keyed(8, 1, 2_006).by(3), "no"),
    ]
}

fn kinds(now_s: u64) -> Vec<Step> {
    let passkey = sign::p256_address();
    let draft = |amount| Draft::new(now_s, vec![transfer(PATH_USD, PAYEE, amount)]);
    let prefer = IFeeManager::setUserTokenCall { token: BETA_USD }.abi_encode().into();
    vec![
        send(
            "funds for a passkey",
            Draft::new(now_s, vec![transfer(PATH_USD, passkey, 1_000_000)]).by(3),
            "ok",
        ),
        send("P-256", draft(3_000).by_p256(), "ok"),
        send("passkey", draft(3_001).by_passkey(), "ok"),
        send("EIP-1559", Draft { nonce: 0, ..draft(3_002) }.eip1559_by(1), "ok"),
        send("EIP-1559 again", Draft { nonce: 0, ..draft(3_003) }.eip1559_by(1), "no"),
        send("legacy", Draft { nonce: 1, ..draft(3_004) }.legacy_by(1), "ok"),
        send(
            "fee token preference changed",
            Draft::new(now_s, vec![(TIP_FEE_MANAGER_ADDRESS, prefer)]).by(4),
            "ok",
        ),
        send("fee in the new preference", draft(3_005).by(4), "ok"),
    ]
}

/// What is left at the end: every balance, nonce, allowance and log.
fn aftermath() -> Vec<Step> {
    let mut steps = Vec::new();
    let holders = [
        address(0),
        address(1),
        address(2),
        address(3),
        address(4),
        PAYEE,
        OTHER,
        sign::p256_address(),
        TIP_FEE_MANAGER_ADDRESS,
    ];
    for holder in holders {
        for token in [PATH_USD, ALPHA_USD, BETA_USD, THETA_USD] {
            steps.push(view("balance at the end", token, &ITIP20::balanceOfCall { account: holder }));
        }
        steps.push(ask("nonce at the end", "eth_getTransactionCount", json!([holder, "latest"])));
    }
    steps.push(view(
        "allowance at the end",
        PATH_USD,
        &ITIP20::allowanceCall { owner: address(3), spender: address(4) },
    ));
    steps.push(view(
        "keyed nonce at the end",
        NONCE,
        &INonce::getNonceCall { account: address(3), nonceKey: U256::from(7) },
    ));
    steps.push(view(
        "fees collected",
        TIP_FEE_MANAGER_ADDRESS,
        &IFeeManager::collectedFeesCall { validator: PAYEE, token: PATH_USD },
    ));
    let to_payee = PAYEE.into_word();
    steps.push(ask(
        "logs to the payee",
        "eth_getLogs",
        json!([{ "fromBlock": "0x0", "address": PATH_USD, "topics": [null, null, to_payee] }]),
    ));
    steps.push(ask(
        "logs with the memo",
        "eth_getLogs",
        json!([{ "fromBlock": "earliest", "topics": [null, [address(3).into_word()], null, MEMO] }]),
    ));
    steps
}
