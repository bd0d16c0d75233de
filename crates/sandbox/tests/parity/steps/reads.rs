//! The steps that only read, before anything has happened.

use super::{MEMO, NONCE, PAYEE, Step, UNBORN_TOKEN, ask, transfer, view};
use crate::sign::address;
use alloy_primitives::{Address, U256};
use farthing_sandbox::genesis::{ALPHA_USD, PATH_USD, THETA_USD};
use serde_json::json;
use tempo_contracts::precompiles::{
    ACCOUNT_KEYCHAIN_ADDRESS, IAccountKeychain, IFeeManager, INonce, ITIP20, TIP_FEE_MANAGER_ADDRESS,
};

pub fn reads() -> Vec<Step> {
    let dev = address(0);
    let mut steps = vec![
        ask("client version", "web3_clientVersion", json!([])),
        ask("chain id", "eth_chainId", json!([])),
        ask("net version", "net_version", json!([])),
        ask("syncing", "eth_syncing", json!([])),
        ask("accounts", "eth_accounts", json!([])),
        ask("priority fee", "eth_maxPriorityFeePerGas", json!([])),
        ask("gas price", "eth_gasPrice", json!([])),
        ask("native balance of a known account", "eth_getBalance", json!([dev, "latest"])),
        ask("native balance of a stranger", "eth_getBalance", json!([PAYEE, "latest"])),
        ask("code of a token", "eth_getCode", json!([PATH_USD, "latest"])),
        ask("code of the fee manager", "eth_getCode", json!([TIP_FEE_MANAGER_ADDRESS, "latest"])),
        ask("code of a person", "eth_getCode", json!([dev, "latest"])),
        ask("code of an unborn token", "eth_getCode", json!([UNBORN_TOKEN, "latest"])),
        ask("storage", "eth_getStorageAt", json!([dev, "0x0", "latest"])),
        ask("unknown method", "farthing_noSuchMethod", json!([])),
        ask("missing parameter", "eth_call", json!([])),
        ask("malformed address", "eth_getCode", json!(["0x12", "latest"])),
        ask("malformed hash", "eth_getTransactionReceipt", json!(["0x12"])),
        ask("unknown transaction", "eth_getTransactionByHash", json!([MEMO])),
        ask("unknown receipt", "eth_getTransactionReceipt", json!([MEMO])),
        ask("unborn block", "eth_getBlockByNumber", json!(["0x9999", false])),
        ask(
            "call at an unborn block",
            "eth_call",
            json!([{ "to": PATH_USD, "data": "0x313ce567" }, "0x9999"]),
        ),
        ask("call without a target", "eth_call", json!([{ "data": "0x1234" }, "latest"])),
        ask("call of a person", "eth_call", json!([{ "to": PAYEE, "data": "0x1234" }, "latest"])),
        ask(
            "call of an unknown selector",
            "eth_call",
            json!([{ "to": PATH_USD, "data": "0xdeadbeef" }, "latest"]),
        ),
        ask("call without a selector", "eth_call", json!([{ "to": PATH_USD, "data": "0x12" }, "latest"])),
        ask(
            "call with half its arguments",
            "eth_call",
            json!([{ "to": PATH_USD, "data": "0xa9059cbb00" }, "latest"]),
        ),
        ask("malformed transaction", "eth_sendRawTransaction", json!(["0x1234"])),
        ask("empty transaction", "eth_sendRawTransaction", json!(["0x"])),
        ask("revert to no snapshot", "evm_revert", json!(["0x63"])),
        ask("logs of nothing", "eth_getLogs", json!([{ "fromBlock": "0x0", "address": PAYEE }])),
        view("unborn token", UNBORN_TOKEN, &ITIP20::decimalsCall {}),
        view("fee token preference", TIP_FEE_MANAGER_ADDRESS, &IFeeManager::userTokensCall { user: dev }),
        view(
            "no fee token preference",
            TIP_FEE_MANAGER_ADDRESS,
            &IFeeManager::userTokensCall { user: PAYEE },
        ),
    ];
    steps.extend(tokens());
    steps.extend(keychain(dev));
    steps.extend(estimates(dev));
    steps
}

/// What a wallet reads of a token.
fn tokens() -> Vec<Step> {
    let mut steps = Vec::new();
    for (token, names) in [
        (PATH_USD, ["path name", "path symbol", "path supply"]),
        (THETA_USD, ["theta name", "theta symbol", "theta supply"]),
    ] {
        steps.push(view(names[0], token, &ITIP20::nameCall {}));
        steps.push(view(names[1], token, &ITIP20::symbolCall {}));
        steps.push(view(names[2], token, &ITIP20::totalSupplyCall {}));
    }
    steps.push(view("decimals", PATH_USD, &ITIP20::decimalsCall {}));
    steps.push(view("currency", PATH_USD, &ITIP20::currencyCall {}));
    steps.push(view("paused", PATH_USD, &ITIP20::pausedCall {}));
    steps.push(view("supply cap", PATH_USD, &ITIP20::supplyCapCall {}));
    steps.push(view("quote token", ALPHA_USD, &ITIP20::quoteTokenCall {}));
    steps.push(view("quote token of the quote token", PATH_USD, &ITIP20::quoteTokenCall {}));
    steps
}

fn keychain(dev: Address) -> Vec<Step> {
    let keychain = ACCOUNT_KEYCHAIN_ADDRESS;
    let key = |account, key_id| IAccountKeychain::getKeyCall { account, keyId: key_id };
    vec![
        view("own key", keychain, &key(dev, dev)),
        view("no key", keychain, &key(dev, PAYEE)),
        view(
            "no limit",
            keychain,
            &IAccountKeychain::getRemainingLimitWithPeriodCall {
                account: dev,
                keyId: PAYEE,
                token: PATH_USD,
            },
        ),
        view(
            "limit in the old shape",
            keychain,
            &IAccountKeychain::getRemainingLimitCall { account: dev, keyId: PAYEE, token: PATH_USD },
        ),
        view("transaction key", keychain, &IAccountKeychain::getTransactionKeyCall {}),
        view("keyed nonce", NONCE, &INonce::getNonceCall { account: dev, nonceKey: U256::from(5) }),
        view(
            "protocol nonce as a keyed one",
            NONCE,
            &INonce::getNonceCall { account: dev, nonceKey: U256::ZERO },
        ),
    ]
}

fn estimates(dev: Address) -> Vec<Step> {
    let (to, data) = transfer(PATH_USD, PAYEE, 1);
    let (_, impossible) = transfer(PATH_USD, PAYEE, u64::MAX);
    let calls = json!([{ "to": to, "data": data }]);
    vec![
        ask(
            "estimate of a transfer to a stranger",
            "eth_estimateGas",
            json!([{ "from": dev, "to": to, "data": data }]),
        ),
        ask(
            "estimate in the fee token",
            "eth_estimateGas",
            json!([{ "from": address(5), "to": to, "data": data }]),
        ),
        ask(
            "estimate in the fee token with a price",
            "eth_estimateGas",
            json!([{ "from": address(5), "to": to, "data": data, "gasPrice": "0x4e3b29200" }]),
        ),
        ask(
            "estimate of an impossible transfer",
            "eth_estimateGas",
            json!([{ "from": PAYEE, "to": to, "data": impossible }]),
        ),
        ask("call of a transfer", "eth_call", json!([{ "from": dev, "to": to, "data": data }, "latest"])),
        ask(
            "call of an impossible transfer",
            "eth_call",
            json!([{ "from": PAYEE, "to": to, "data": data }, "latest"]),
        ),
        ask("batch in a call", "eth_call", json!([{ "from": dev, "calls": calls }, "latest"])),
        ask(
            "call of a closed window",
            "eth_estimateGas",
            json!([{ "from": dev, "calls": calls, "nonceKey": U256::MAX, "validBefore": "0x1" }]),
        ),
        ask(
            "simulation",
            "eth_simulateV1",
            json!([{ "blockStateCalls": [{ "calls": [
                { "from": dev, "to": to, "data": data },
                { "from": PAYEE, "to": to, "data": impossible },
            ] }] }, "latest"]),
        ),
        ask("faucet", "tempo_fundAddress", json!([Address::repeat_byte(0x66)])),
    ]
}
