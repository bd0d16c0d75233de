//! The arguments that say whose wallet of a billing service paid calls are charged to.

use std::path::PathBuf;

use url::Url;

use crate::config::env;

#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Charging a wallet")]
pub struct ChargeArgs {
    /// Charge the calls to this customer's wallet of the billing service: its id, or the name by which you know it
    #[arg(long, value_name = "CUSTOMER")]
    pub wallet: Option<String>,
    /// The task that the calls belong to
    #[arg(long, value_name = "TASK", requires = "wallet")]
    pub subject: Option<String>,
    /// The budget of the wallet that is spent
    #[arg(long, value_name = "ID", requires = "wallet")]
    pub budget: Option<String>,
    /// The product that prices the calls; without one the customer pays what the seller takes
    #[arg(long, value_name = "ID", requires = "wallet")]
    pub product: Option<String>,
    /// The wallet's asset, where its code is not the token's
    #[arg(long, value_name = "CODE", requires = "wallet")]
    pub wallet_asset: Option<String>,
    #[command(flatten)]
    pub service: ServiceArgs,
}

/// Which billing service.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Charging a wallet")]
pub struct ServiceArgs {
    /// The billing service (else FARTHING_BILLING_URL)
    #[arg(long, value_name = "URL")]
    pub billing_url: Option<Url>,
    /// Read its API key, or a token of a budget, from this file (else FARTHING_BILLING_KEY)
    #[arg(long, value_name = "FILE")]
    pub billing_key_file: Option<PathBuf>,
}

impl ServiceArgs {
    /// Whether any is named, here or in the environment.
    pub fn is_named(&self) -> bool {
        self.billing_url.is_some() || env::read(env::BILLING_URL).is_some()
    }
}
