//! `/v1/customers/{customer}/wallets`: a customer's accounts, one an asset, and what moves in and out of them other than spends.

use farthing_billing::service::key::Scope;
use farthing_billing::service::wallet::{
    Adjust, Chargeback, Credit, Movement, Overdraft, Transaction, Wallet, WalletState,
};
use farthing_ledger::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::path::{OfCustomer, OfWallet};
use crate::access::Access;
use crate::operation::{Call, Created, Done, Listed, Named, Operation};
use crate::page::{PageParams, sealed};
use crate::problem::Problem;
use crate::read::Nothing;
use crate::stream::{self, Events};

const WALLET: &str = "/v1/customers/{customer}/wallets/{asset}";

pub(super) fn operations() -> Vec<Operation> {
    let named = |id, access, summary| Named { id, tag: "wallets", access, summary };
    let (write, read) = (Access::key(Scope::Wallets), Access::key(Scope::Read));
    vec![
        Operation::get(
            "/v1/customers/{customer}/wallets",
            named("listWallets", read, "List a customer's wallets with their balances"),
            list,
        ),
        Operation::put(WALLET, named("openWallet", write, "Open a wallet, close it, or open it again"), open),
        Operation::get(
            WALLET,
            named("getWallet", read, "Balances, now or at an instant that has passed"),
            get,
        ),
        Operation::get(
            "/v1/customers/{customer}/wallets/{asset}/transactions",
            named("listTransactions", read, "What happened to a wallet, the newest first"),
            transactions,
        )
        .csv(&[
            "seq",
            "at_ms",
            "kind",
            "amount",
            "settled",
            "held",
            "grant",
            "hold",
            "movement",
            "subject",
            "reference",
            "reason",
        ]),
        Operation::get(
            "/v1/customers/{customer}/wallets/{asset}/stream",
            named(
                "streamWallet",
                read,
                "Follow the balances: what they are, then each change as it is committed",
            ),
            follow,
        ),
        Operation::post(
            "/v1/customers/{customer}/wallets/{asset}/credits",
            named("createCredit", write, "Money came in; what the wallet owes is paid from it"),
            credit,
        ),
        Operation::post(
            "/v1/customers/{customer}/wallets/{asset}/adjustments",
            named("createAdjustment", write, "Correct a balance"),
            adjust,
        ),
        Operation::post(
            "/v1/customers/{customer}/wallets/{asset}/chargebacks",
            named("createChargeback", write, "A funding source took money back"),
            chargeback,
        ),
        Operation::put(
            "/v1/customers/{customer}/wallets/{asset}/overdraft",
            named("setOverdraft", write, "Give a line of credit, change it, or take it away"),
            overdraft,
        ),
    ]
}

/// When balances are wanted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct When {
    /// An instant that has passed, in milliseconds since the Unix epoch; now, if nothing is said.
    at_ms: Option<u64>,
}

/// What a wallet is to be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Opening {
    /// Whether it takes part; open, if nothing is said.
    state: Option<WalletState>,
}

async fn list(call: Call<OfCustomer, PageParams>) -> Result<Listed<Wallet>, Problem> {
    let page = call.query.query()?;
    Ok(Listed(sealed(call.billing.list_wallets(&call.cx, call.path.customer.0, &page).await?)))
}

async fn open(call: Call<OfWallet, Nothing, Opening>) -> Result<Done<Wallet>, Problem> {
    let (customer, asset) = call.path.name();
    let state = call.body.state.unwrap_or(WalletState::Open);
    let wallet = match state {
        WalletState::Open => call.billing.open_wallet(&call.cx, customer, asset).await?,
        WalletState::Closed => call.billing.wallet(&call.cx, customer, asset).await?,
    };
    if wallet.state == state {
        return Ok(Done(wallet));
    }
    Ok(Done(call.billing.set_wallet_state(&call.cx, (customer, asset), state).await?))
}

async fn get(call: Call<OfWallet, When>) -> Result<Done<Wallet>, Problem> {
    let (customer, asset) = call.path.name();
    let wallet = match call.query.at_ms.map(Timestamp::from_unix_ms) {
        Some(at) if at < call.cx.now => call.billing.wallet_at(&call.cx, (customer, asset), at).await?,
        Some(_) => return Err(Problem::query_says("at_ms", "is an instant that has passed")),
        None => call.billing.wallet(&call.cx, customer, asset).await?,
    };
    Ok(Done(wallet))
}

async fn follow(call: Call<OfWallet>) -> Result<Events, Problem> {
    let OfWallet { customer, asset } = call.path;
    stream::follow(call.api, call.billing, call.cx, (customer.0, asset), call.headers).await
}

async fn transactions(call: Call<OfWallet, PageParams>) -> Result<Listed<Transaction>, Problem> {
    let page = call.query.query()?;
    Ok(Listed(sealed(call.billing.transactions(&call.cx, call.path.name(), &page).await?)))
}

async fn credit(call: Call<OfWallet, Nothing, Credit>) -> Result<Created<Movement>, Problem> {
    Ok(Created(call.billing.credit(&call.cx, call.path.name(), &call.body).await?))
}

async fn adjust(call: Call<OfWallet, Nothing, Adjust>) -> Result<Created<Movement>, Problem> {
    Ok(Created(call.billing.adjust(&call.cx, call.path.name(), &call.body).await?))
}

async fn chargeback(call: Call<OfWallet, Nothing, Chargeback>) -> Result<Created<Movement>, Problem> {
    Ok(Created(call.billing.chargeback(&call.cx, call.path.name(), &call.body).await?))
}

async fn overdraft(call: Call<OfWallet, Nothing, Overdraft>) -> Result<Done<Wallet>, Problem> {
    Ok(Done(call.billing.set_overdraft(&call.cx, call.path.name(), call.body).await?))
}
