//! The wallet that paid calls are charged to, from the command line and the environment.

use std::sync::Arc;

use farthing_client::{CallWallet as _, PaymentId};
use serde::Deserialize;
use url::Url;

use crate::billing::client::{BillingClient, BillingError};
use crate::billing::wallet::{ChargeTo, ServiceWallet};
use crate::cli::charge::{ChargeArgs, ServiceArgs};
use crate::config::env;
use crate::config::secret::read_secret;
use crate::error::{CliError, Exit};

/// Where it is kept what is held for payments under way.
const HOLDS: &str = "wallet-holds";

/// A page of customers.
#[derive(Deserialize)]
struct Customers {
    data: Vec<Customer>,
}

#[derive(Deserialize)]
struct Customer {
    id: String,
}

/// The wallet that calls are charged to, where one is named.
///
/// # Errors
/// When the service is not named or does not answer, and when it has no such customer.
pub async fn to_charge(args: &ChargeArgs) -> Result<Option<Arc<ServiceWallet>>, CliError> {
    let Some(customer) = &args.wallet else { return to_tell(args.service.clone()).await };
    let client = client(&args.service)?.ok_or_else(|| {
        CliError::usage(
            "billing_unnamed",
            "--wallet charges a wallet of a billing service, and none is named",
        )
        .help(format!(
            "name it with --billing-url or {}; the key of this machine that pays is --key",
            env::BILLING_URL
        ))
    })?;
    let to = ChargeTo {
        customer: resolve(&client, customer).await?,
        subject: args.subject.clone(),
        budget: args.budget.clone(),
        product: args.product.clone(),
        asset: args.wallet_asset.clone(),
    };
    opened(client, Some(to)).await.map(Some)
}

/// A wallet for what is still to be told, where the service is named.
///
/// # Errors
/// [`CliError`] for a service that is named wrongly.
pub async fn to_tell(args: ServiceArgs) -> Result<Option<Arc<ServiceWallet>>, CliError> {
    match client(&args)? {
        Some(client) => opened(client, None).await.map(Some),
        None => Ok(None),
    }
}

/// The service whose wallet still holds the money of a payment, as far as is known here.
///
/// # Errors
/// When it cannot be read.
pub fn holding(payment: &PaymentId) -> Result<Option<String>, CliError> {
    let directory = env::home()?.join(HOLDS);
    ServiceWallet::holding(directory.clone(), payment)
        .map_err(|error| CliError::file("read what is held in wallets in", &directory, &error))
}

async fn opened(client: BillingClient, to: Option<ChargeTo>) -> Result<Arc<ServiceWallet>, CliError> {
    let wallet = ServiceWallet::new(client, env::home()?.join(HOLDS), to)
        .map_err(|error| CliError::unexpected("billing_thread", error.to_string()))?;
    let telling = Arc::clone(&wallet);
    let left = tokio::task::spawn_blocking(move || telling.catch_up()).await;
    if let Ok(Ok(left @ 1..)) = left {
        tracing::warn!(
            left,
            "the billing service could not be told of earlier payments; they are kept, and told later"
        );
    }
    Ok(wallet)
}

/// A customer's id, from either of its names.
async fn resolve(client: &BillingClient, customer: &str) -> Result<String, CliError> {
    if customer.starts_with("cus_") {
        return Ok(customer.to_owned());
    }
    let found: Option<Customers> =
        client.get(&["customers"], &[("external_id", customer)]).await.map_err(|error| of(&error))?;
    let found = found.into_iter().flat_map(|page| page.data).next();
    found.map(|customer| customer.id).ok_or_else(|| {
        CliError::usage("no_customer", format!("the billing service knows no customer {customer}"))
            .help("make it first: POST /v1/customers, as docs/api.md shows")
    })
}

fn client(args: &ServiceArgs) -> Result<Option<BillingClient>, CliError> {
    let named = match (&args.billing_url, env::read(env::BILLING_URL)) {
        (Some(url), _) => Some(url.clone()),
        (None, Some(text)) => Some(Url::parse(&text).map_err(|error| {
            CliError::usage("billing_url", format!("{} is not a URL: {error}", env::BILLING_URL))
        })?),
        (None, None) => None,
    };
    let Some(url) = named else { return Ok(None) };
    let key = match &args.billing_key_file {
        Some(path) => {
            read_secret(path).map_err(|error| CliError::file("read the billing key", path, &error))?
        }
        None => env::read(env::BILLING_KEY).map(zeroize::Zeroizing::new).ok_or_else(|| {
            CliError::usage("billing_key_missing", "the billing service is named, and no key for it")
                .help(format!("give it with --billing-key-file FILE, or in {}", env::BILLING_KEY))
        })?,
    };
    BillingClient::new(&url, &key).map(Some).map_err(|why| CliError::usage("billing_url", why))
}

fn of(error: &BillingError) -> CliError {
    match error {
        BillingError::Refused { .. } => CliError::new(Exit::Refused, "billing_refused", error.to_string())
            .help("look at the key: its scopes, and whether it is revoked"),
        BillingError::Unavailable { .. } => {
            CliError::network("billing_unavailable", error.to_string()).help("is it running? try again")
        }
    }
}
