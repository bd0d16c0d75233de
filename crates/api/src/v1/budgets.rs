//! `/v1/budgets` and `/v1/tokens`: limits in a tree under a wallet, and what agents are given to spend them with.

use farthing_billing::service::budget::{BudgetChange, BudgetTree, BudgetView, NewBudget, Spending, Under};
use farthing_billing::service::key::Scope;
use farthing_billing::service::token::{NewToken, PREFIX, Token};
use farthing_billing::service::{Secret, ServiceError};
use farthing_billing::{BudgetId, CustomerId, DelegationId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::path::{Id, OfWallet};
use crate::access::Access;
use crate::operation::{Call, Created, Done, Listed, Named, Operation};
use crate::page::{query, sealed};
use crate::problem::Problem;
use crate::read::Nothing;

pub(super) fn operations() -> Vec<Operation> {
    let (write, read) = (Access::key_or_token(Scope::Budgets), Access::key_or_token(Scope::Read));
    let budget = |id, access, summary| Named { id, tag: "budgets", access, summary };
    let token = |id, access, summary| Named { id, tag: "tokens", access, summary };
    vec![
        Operation::post(
            "/v1/budgets",
            budget("createBudget", write, "Make a budget under a wallet or another budget"),
            create,
        ),
        Operation::get(
            "/v1/budgets",
            budget("listBudgets", read, "List budgets right under a wallet or a budget"),
            list,
        ),
        Operation::get(
            "/v1/budgets/{budget}",
            budget("getBudget", read, "Get a budget with what is left of it"),
            get,
        ),
        Operation::patch(
            "/v1/budgets/{budget}",
            budget("updateBudget", write, "Change limits, for everybody at once; what is left out stays"),
            amend,
        ),
        Operation::get(
            "/v1/budgets/{budget}/tree",
            budget("getBudgetTree", read, "Get a budget with all open ones below it"),
            tree,
        ),
        Operation::get(
            "/v1/budgets/{budget}/spending",
            budget("getBudgetSpending", read, "Who spent it, and on what"),
            spending,
        ),
        Operation::post(
            "/v1/budgets/{budget}/close",
            budget("closeBudget", write, "Nothing is spent from it any more"),
            close,
        ),
        Operation::post(
            "/v1/budgets/{budget}/reclaim",
            budget("reclaimBudget", write, "Give back what came back to a budget after it was closed"),
            reclaim,
        ),
        Operation::get(
            "/v1/customers/{customer}/wallets/{asset}/spending",
            Named {
                id: "getWalletSpending",
                tag: "wallets",
                access: Access::key(Scope::Read),
                summary: "Who spent from a wallet, and on what",
            },
            of_wallet,
        ),
        Operation::post(
            "/v1/tokens",
            token("createToken", write, "Make a token of a budget; its secret is shown once"),
            new_token,
        ),
        Operation::get("/v1/tokens", token("listTokens", read, "List the tokens of a budget"), tokens),
        Operation::get(
            "/v1/tokens/{token}",
            token("getToken", Access::key(Scope::Read), "Get a token, without its secret"),
            one_token,
        ),
        Operation::post(
            "/v1/tokens/{token}/revoke",
            token("revokeToken", write, "It and all that were made with it do nothing any more"),
            revoke,
        ),
    ]
}

/// A budget.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfBudget {
    /// The budget.
    budget: Id<BudgetId>,
}

/// A token.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfToken {
    /// The token.
    token: Id<DelegationId>,
}

/// Which budgets: a parent's, or those right under a wallet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Which {
    /// The cursor: `next` of the page before.
    #[schemars(length(min = 1, max = 1024))]
    after: Option<String>,
    /// At most so many items, 100 if nothing is said.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u16>,
    /// Right under this budget.
    parent: Option<Id<BudgetId>>,
    /// Right under a wallet of this customer; with `asset`.
    customer: Option<Id<CustomerId>>,
    /// The code of the wallet's asset.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,24}$"))]
    asset: Option<String>,
}

/// Whose tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhoseTokens {
    /// The budget.
    budget: Id<BudgetId>,
    /// The cursor: `next` of the page before.
    #[serde(default)]
    #[schemars(length(min = 1, max = 1024))]
    after: Option<String>,
    /// At most so many items, 100 if nothing is said.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u16>,
}

/// A token with its secret.
#[derive(Serialize, JsonSchema)]
struct TokenWithSecret {
    #[serde(flatten)]
    token: Token,
    /// What is sent as `Authorization: Bearer`. It is shown once: null when this answer was given before.
    secret: Option<String>,
}

async fn create(call: Call<Nothing, Nothing, NewBudget>) -> Result<Created<BudgetView>, Problem> {
    Ok(Created(call.billing.create_budget(&call.cx, &call.caller.authority(), &call.body).await?))
}

async fn list(call: Call<Nothing, Which>) -> Result<Listed<BudgetView>, Problem> {
    let Which { after, limit, parent, customer, asset } = call.query;
    let under = match (parent, customer, asset) {
        (Some(parent), None, None) => Under::Budget(parent.0),
        (None, Some(customer), Some(asset)) => Under::Wallet(customer.0, asset),
        _ => return Err(ServiceError::invalid("parent", "write parent, or customer and asset").into()),
    };
    let page = query(after.as_deref(), limit)?;
    Ok(Listed(sealed(call.billing.list_budgets(&call.cx, &call.caller.authority(), &under, &page).await?)))
}

async fn get(call: Call<OfBudget>) -> Result<Done<BudgetView>, Problem> {
    Ok(Done(call.billing.budget(&call.cx, &call.caller.authority(), call.path.budget.0).await?))
}

async fn amend(call: Call<OfBudget, Nothing, BudgetChange>) -> Result<Done<BudgetView>, Problem> {
    let by = call.caller.authority();
    Ok(Done(call.billing.amend_budget(&call.cx, &by, call.path.budget.0, &call.body).await?))
}

async fn tree(call: Call<OfBudget>) -> Result<Done<BudgetTree>, Problem> {
    Ok(Done(call.billing.budget_tree(&call.cx, &call.caller.authority(), call.path.budget.0).await?))
}

async fn spending(call: Call<OfBudget>) -> Result<Done<Spending>, Problem> {
    Ok(Done(call.billing.budget_spending(&call.cx, &call.caller.authority(), call.path.budget.0).await?))
}

async fn close(call: Call<OfBudget>) -> Result<Done<BudgetView>, Problem> {
    Ok(Done(call.billing.close_budget(&call.cx, &call.caller.authority(), call.path.budget.0).await?))
}

async fn reclaim(call: Call<OfBudget>) -> Result<Done<BudgetView>, Problem> {
    Ok(Done(call.billing.reclaim_budget(&call.cx, &call.caller.authority(), call.path.budget.0).await?))
}

async fn of_wallet(call: Call<OfWallet>) -> Result<Done<Spending>, Problem> {
    Ok(Done(call.billing.wallet_spending(&call.cx, call.path.name()).await?))
}

async fn new_token(call: Call<Nothing, Nothing, NewToken>) -> Result<Created<TokenWithSecret>, Problem> {
    let secret = Secret::from_bytes(call.api.world().random());
    let token = call.billing.create_token(&call.cx, &call.caller.authority(), &call.body, &secret).await?;
    let secret = (!call.was_replayed()).then(|| secret.present(PREFIX));
    Ok(Created(TokenWithSecret { token, secret }))
}

async fn tokens(call: Call<Nothing, WhoseTokens>) -> Result<Listed<Token>, Problem> {
    let page = query(call.query.after.as_deref(), call.query.limit)?;
    let (by, budget) = (call.caller.authority(), call.query.budget.0);
    Ok(Listed(sealed(call.billing.list_tokens(&call.cx, &by, budget, &page).await?)))
}

async fn one_token(call: Call<OfToken>) -> Result<Done<Token>, Problem> {
    Ok(Done(call.billing.token(&call.cx, call.path.token.0).await?))
}

async fn revoke(call: Call<OfToken>) -> Result<Done<Token>, Problem> {
    let token = call.billing.revoke_token(&call.cx, &call.caller.authority(), call.path.token.0).await?;
    call.api.keys().forget();
    Ok(Done(token))
}
