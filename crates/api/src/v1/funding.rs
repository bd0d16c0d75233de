//! Top-up rules of wallets, the addresses that deposits are sent to, and deposits that were seen on a chain.

use farthing_billing::CustomerId;
use farthing_billing::service::deposit::{Deposit, DepositAddress};
use farthing_billing::service::key::Scope;
use farthing_billing::service::topup::run::RuleName;
use farthing_billing::service::topup::{Attempt, NewTopUpRule, TopUpRule};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::path::{Id, OfCustomer, OfWallet};
use crate::access::Access;
use crate::operation::{Call, Done, Listed, Named, Operation};
use crate::page::{PageParams, sealed};
use crate::problem::Problem;
use crate::read::Nothing;

const RULE: &str = "/v1/customers/{customer}/wallets/{asset}/topup_rule";

pub(super) fn operations() -> Vec<Operation> {
    let topups = |id, access, summary| Named { id, tag: "topups", access, summary };
    let deposits = |id, access, summary| Named { id, tag: "deposits", access, summary };
    let (write, read) = (Access::key(Scope::TopUps), Access::key(Scope::Read));
    vec![
        Operation::put(RULE, topups("putTopUpRule", write, "Set a wallet's rule for top-ups"), put),
        Operation::get(
            RULE,
            topups("getTopUpRule", read, "Get a wallet's rule for top-ups, and how it stands"),
            get,
        ),
        Operation::delete(RULE, topups("deleteTopUpRule", write, "No more top-ups of this wallet"), delete),
        Operation::post(
            "/v1/customers/{customer}/wallets/{asset}/topup_rule/pause",
            topups("pauseTopUpRule", write, "No top-ups until the rule is resumed"),
            pause,
        ),
        Operation::post(
            "/v1/customers/{customer}/wallets/{asset}/topup_rule/resume",
            topups("resumeTopUpRule", write, "Top up again, also after a hard decline"),
            resume,
        ),
        Operation::get(
            "/v1/customers/{customer}/wallets/{asset}/topups",
            topups("listTopUps", read, "List top-ups of a wallet and what became of them"),
            attempts,
        ),
        Operation::get(
            "/v1/customers/{customer}/topup_rules",
            topups("listTopUpRules", read, "List a customer's rules for top-ups"),
            rules,
        ),
        Operation::post(
            "/v1/customers/{customer}/wallets/{asset}/deposit_addresses",
            deposits(
                "makeDepositAddress",
                write,
                "Get the address to which a customer sends a token; made once",
            ),
            address,
        ),
        Operation::get(
            "/v1/deposits",
            deposits("listDeposits", read, "List deposits that were seen on a chain"),
            list,
        ),
        Operation::get(
            "/v1/deposits/exceptions",
            deposits("listDepositExceptions", read, "List deposits that nobody was credited for"),
            exceptions,
        ),
        Operation::get("/v1/deposits/{deposit}", deposits("getDeposit", read, "Get a deposit"), one),
        Operation::post(
            "/v1/deposits/{deposit}/assign",
            deposits("assignDeposit", write, "Credit a deposit that is an exception to a customer"),
            assign,
        ),
    ]
}

/// A deposit.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfDeposit {
    /// The deposit.
    #[schemars(regex(pattern = "^dep_[0-9a-f]{32}$"))]
    deposit: String,
}

/// Whose a deposit is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Assignment {
    /// The customer who is credited.
    customer: Id<CustomerId>,
}

/// A rule that is gone.
#[derive(Debug, Serialize, JsonSchema)]
struct Gone {
    /// Always.
    deleted: bool,
}

fn deposit(id: &str) -> Result<&str, Problem> {
    let short = || id.chars().take(64).collect::<String>();
    farthing_billing::service::read_id("dep", id)
        .map(|_| id)
        .ok_or_else(|| Problem::not_found("deposit", &short()))
}

async fn put(call: Call<OfWallet, Nothing, NewTopUpRule>) -> Result<Done<TopUpRule>, Problem> {
    let set = call.billing.put_topup_rule(&call.cx, call.path.name(), &call.body).await?;
    look(&call);
    Ok(Done(set))
}

async fn get(call: Call<OfWallet>) -> Result<Done<TopUpRule>, Problem> {
    Ok(Done(call.billing.topup_rule(&call.cx, call.path.name()).await?))
}

async fn delete(call: Call<OfWallet>) -> Result<Done<Gone>, Problem> {
    call.billing.delete_topup_rule(&call.cx, call.path.name()).await?;
    Ok(Done(Gone { deleted: true }))
}

async fn pause(call: Call<OfWallet>) -> Result<Done<TopUpRule>, Problem> {
    Ok(Done(call.billing.pause_topup_rule(&call.cx, call.path.name()).await?))
}

async fn resume(call: Call<OfWallet>) -> Result<Done<TopUpRule>, Problem> {
    let resumed = call.billing.resume_topup_rule(&call.cx, call.path.name()).await?;
    look(&call);
    Ok(Done(resumed))
}

/// The wallet may be under its threshold already: its rule is looked at now, and not when it is its turn.
fn look<B>(call: &Call<OfWallet, Nothing, B>) {
    let (customer, asset) = call.path.name();
    call.api.look_at_rule(RuleName { tenant: call.cx.tenant, customer, asset: asset.to_owned() });
}

async fn attempts(call: Call<OfWallet, PageParams>) -> Result<Listed<Attempt>, Problem> {
    let page = call.query.query()?;
    let (customer, asset) = call.path.name();
    call.billing.wallet(&call.cx, customer, asset).await?;
    Ok(Listed(sealed(call.billing.list_topups(&call.cx, (customer, asset), &page).await?)))
}

async fn rules(call: Call<OfCustomer, PageParams>) -> Result<Listed<TopUpRule>, Problem> {
    let (customer, page) = (call.path.customer.0, call.query.query()?);
    call.billing.customer(&call.cx, customer).await?;
    Ok(Listed(sealed(call.billing.list_topup_rules(&call.cx, customer, &page).await?)))
}

/// One address a wallet: it is made when it is asked for first, and the same ever after.
async fn address(call: Call<OfWallet>) -> Result<Done<DepositAddress>, Problem> {
    // What is another's looks like nothing, also where there are no addresses.
    call.billing.customer(&call.cx, call.path.customer.0).await?;
    let Some(addresses) = call.api.addresses() else {
        let detail =
            "this server watches no chain for deposits; its operator sets [deposits] in the configuration";
        return Err(Problem::new(StatusCode::CONFLICT, "deposits_not_watched", detail));
    };
    Ok(Done(call.billing.deposit_address(&call.cx, call.path.name(), addresses).await?))
}

async fn list(call: Call<Nothing, PageParams>) -> Result<Listed<Deposit>, Problem> {
    Ok(Listed(sealed(call.billing.list_deposits(&call.cx, &call.query.query()?).await?)))
}

async fn exceptions(call: Call<Nothing, PageParams>) -> Result<Listed<Deposit>, Problem> {
    Ok(Listed(sealed(call.billing.list_deposit_exceptions(&call.cx, &call.query.query()?).await?)))
}

async fn one(call: Call<OfDeposit>) -> Result<Done<Deposit>, Problem> {
    Ok(Done(call.billing.deposit(&call.cx, deposit(&call.path.deposit)?).await?))
}

async fn assign(call: Call<OfDeposit, Nothing, Assignment>) -> Result<Done<Deposit>, Problem> {
    let id = deposit(&call.path.deposit)?;
    Ok(Done(call.billing.assign_deposit(&call.cx, id, call.body.customer.0).await?))
}
