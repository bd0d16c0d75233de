//! [`Drivers`]: everything of this crate that runs beside a server, started from one [`FundingConfig`] and stopped together.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use farthing_billing::service::Billing;
use farthing_billing::service::deposit::Addresses;
use farthing_rails::tempo::{PrivateKey, RpcError, TempoRpc};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::deposit::keys::{DepositKeyError, DepositKeys};
use crate::deposit::watcher::{DepositBook, DepositWatcher, WatchSettings, WatchedToken};
use crate::source::FundingSource;
use crate::stripe::{STRIPE_URL, Stripe, StripeKey, StripeSetupError};
use crate::topup::{MakeCx, Nudge, Sources, TopUpSettings, TopUps};
use crate::treasury::Treasury;

/// Cards.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// The platform's secret key.
    pub key: StripeKey,
    /// Where Stripe answers.
    pub url: String,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl StripeConfig {
    /// Stripe itself.
    #[must_use]
    pub fn new(key: StripeKey) -> Self {
        Self { key, url: STRIPE_URL.to_owned(), timeout: Stripe::DEFAULT_TIMEOUT }
    }
}

/// An account of ours that pays for top-ups in tokens.
#[derive(Debug, Clone)]
pub struct TreasuryConfig {
    /// The account's key.
    pub key: PrivateKey,
    /// Where it pays to; no deposit address.
    pub collect_to: Address,
}

/// Deposits.
#[derive(Debug, Clone)]
pub struct DepositConfig {
    /// The public key of `m/44'/60'/0'`.
    pub keys: DepositKeys,
    /// The tokens of which deposits are taken.
    pub tokens: Vec<WatchedToken>,
    /// Blocks in which a transfer has to be.
    pub confirmations: u64,
    /// Where to begin when there is no place yet.
    pub start_block: Option<u64>,
}

/// A chain.
#[derive(Debug, Clone)]
pub struct ChainConfig {
    /// Its id.
    pub chain_id: u64,
    /// Where a node answers.
    pub rpc_url: String,
    /// Whether there are top-ups from an account.
    pub treasury: Option<TreasuryConfig>,
    /// Whether there are deposits.
    pub deposits: Option<DepositConfig>,
}

/// What runs.
#[derive(Debug, Clone, Default)]
pub struct FundingConfig {
    /// Cards.
    pub stripe: Option<StripeConfig>,
    /// A chain.
    pub chain: Option<ChainConfig>,
    /// How the loop of top-ups behaves.
    pub topups: TopUpSettings,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FundingError {
    /// Cards.
    #[error(transparent)]
    Stripe(#[from] StripeSetupError),
    /// The node's address.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The key of deposit addresses.
    #[error(transparent)]
    Key(#[from] DepositKeyError),
    /// The treasury would pay to an address that the watcher credits: the same money twice.
    #[error(
        "the treasury pays to deposit address number {index}: name an account that is no deposit address"
    )]
    CollectsAtDepositAddress {
        /// Its index.
        index: u32,
    },
}

impl FundingError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Stripe(error) => error.code(),
            Self::Rpc(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::CollectsAtDepositAddress { .. } => "treasury_collects_at_deposit_address",
        }
    }
}

/// Deposit addresses against which the treasury's account is checked. It catches the slip of copying one of the first.
const CHECKED: u32 = 100;

/// What runs. Dropping it stops everything at once, which is safe; [`Drivers::shutdown`] lets what is under way end.
#[derive(Debug)]
pub struct Drivers {
    nudge: Nudge,
    addresses: Option<Arc<DepositBook>>,
    stop: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drivers {
    /// Starts the loop of top-ups, and the watcher of deposits where there is one. It asks nobody anything yet.
    ///
    /// # Errors
    /// [`FundingError`].
    pub fn start(billing: &Billing, config: FundingConfig, make_cx: MakeCx) -> Result<Self, FundingError> {
        let (stop, stopped) = watch::channel(());
        let (mut sources, mut tasks, mut addresses) = (Sources::default(), Vec::new(), None);
        if let Some(StripeConfig { key, url, timeout }) = config.stripe {
            sources.card = Some(Arc::new(Stripe::new(key, &url, timeout)?));
        }
        if let Some(chain) = config.chain {
            let rpc = TempoRpc::new(&chain.rpc_url)?;
            sources.chain = treasury(&chain, &rpc)?;
            if let Some(deposits) = chain.deposits {
                let settings = WatchSettings {
                    confirmations: deposits.confirmations,
                    start_block: deposits.start_block,
                    ..WatchSettings::new(chain.chain_id, deposits.tokens)
                };
                addresses = Some(Arc::new(DepositBook::new(deposits.keys.clone(), &settings)));
                let from = (rpc, deposits.keys);
                let watcher = DepositWatcher::new(billing.clone(), from, settings, Arc::clone(&make_cx));
                tasks.push(watcher.start(until(stopped.clone())));
            }
        }
        let topups = TopUps::new(billing.clone(), sources, make_cx, config.topups);
        let (nudge, task) = topups.start(until(stopped));
        tasks.push(task);
        Ok(Self { nudge, addresses, stop, tasks })
    }

    /// Tells the loop of top-ups where to look.
    #[must_use]
    pub const fn nudge(&self) -> &Nudge {
        &self.nudge
    }

    /// What hands out deposit addresses, where deposits are watched.
    #[must_use]
    pub fn addresses(&self) -> Option<Arc<dyn Addresses>> {
        self.addresses.clone().map(|book| book as Arc<dyn Addresses>)
    }

    /// Lets what is under way end, and returns when nothing runs any more.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(());
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a funding task did not end well");
            }
        }
    }
}

impl Drop for Drivers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn treasury(chain: &ChainConfig, rpc: &TempoRpc) -> Result<Option<Arc<dyn FundingSource>>, FundingError> {
    let Some(TreasuryConfig { key, collect_to }) = &chain.treasury else { return Ok(None) };
    if let Some(deposits) = &chain.deposits
        && let Some(index) = (0..CHECKED).find(|index| deposits.keys.address(*index) == *collect_to)
    {
        return Err(FundingError::CollectsAtDepositAddress { index });
    }
    Ok(Some(Arc::new(Treasury::new((chain.chain_id, rpc.clone()), key.clone(), *collect_to))))
}

async fn until(mut stopped: watch::Receiver<()>) {
    // The sender is gone: everything is to stop too.
    let _ = stopped.changed().await;
}
