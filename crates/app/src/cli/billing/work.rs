//! What works beside the API: holds and grants that have run out are ended, wallets are topped up, deposits are credited,
//! webhooks are sent, and what is old is forgotten. Any number of processes may do so over one store; each piece of work is done once.

use std::sync::Arc;
use std::time::Duration;

use farthing_api::webhook::{Dispatcher, Load, Sender};
use farthing_billing::service::deposit::Addresses;
use farthing_billing::service::retention::Retention;
use farthing_billing::service::{Billing, Cx};
use farthing_funding::drivers::{ChainConfig, Drivers, FundingConfig, TreasuryConfig};
use farthing_funding::topup::Nudge;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::world::{System, operator};
use crate::config::billing::BillingConfig;
use crate::config::funding::{ChainTables, FundingTables};
use crate::error::CliError;
use crate::wire::account::unlock;

/// How often it is looked whether something has run out.
const EVERY: Duration = Duration::from_millis(500);
/// How many are ended at once.
const AT_ONCE: usize = 500;
/// How often it is looked whether something is old, and how soon again while there is more.
const FORGET_EVERY: Duration = Duration::from_secs(60);
const FORGET_MORE: Duration = Duration::from_millis(100);
/// How long an endpoint may take to answer a webhook.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(15);

/// Workers that run until they are told to stop.
pub struct Workers {
    stop: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
    drivers: Drivers,
}

impl Workers {
    /// Starts them.
    ///
    /// # Errors
    /// When no client for webhooks can be made, a keystore does not open, or the treasury would pay to a deposit address.
    pub fn start(billing: &Billing, config: &BillingConfig) -> Result<Self, CliError> {
        let make_cx = Arc::new(|tenant| Cx { tenant, ..operator() });
        let drivers = Drivers::start(billing, funding(&config.funding)?, make_cx)?;
        let (stop, stopped) = watch::channel(false);
        let sender = Sender::new(config.settings.webhooks.clone(), WEBHOOK_TIMEOUT)
            .map_err(|error| CliError::unexpected("webhooks", format!("no HTTPS client: {error}")))?;
        let dispatcher = Dispatcher::new(billing.clone(), sender, Arc::new(System), Load::default());
        let running = vec![
            tokio::spawn(dispatcher.run(asked(stopped.clone()))),
            tokio::spawn(expire(billing.clone(), stopped.clone())),
            tokio::spawn(forget(billing.clone(), config.retention, stopped)),
        ];
        Ok(Self { stop, running, drivers })
    }

    /// What hands out deposit addresses, where deposits are watched.
    pub fn addresses(&self) -> Option<Arc<dyn Addresses>> {
        self.drivers.addresses()
    }

    /// What has a rule for top-ups looked at soon.
    pub fn nudge(&self) -> Nudge {
        self.drivers.nudge().clone()
    }

    /// Stops them, after what each has in hand: first what brings money in, then what tells others of it.
    pub async fn finish(self) {
        self.drivers.shutdown().await;
        self.stop.send_replace(true);
        for worker in self.running {
            if let Err(error) = worker.await {
                tracing::error!(%error, "a worker of billing ended badly");
            }
        }
    }
}

/// What the drivers are told; keys are unlocked here.
fn funding(tables: &FundingTables) -> Result<FundingConfig, CliError> {
    let chain = tables.chain.as_ref().map(chain).transpose()?;
    Ok(FundingConfig { stripe: tables.stripe.clone(), chain, ..FundingConfig::default() })
}

fn chain(tables: &ChainTables) -> Result<ChainConfig, CliError> {
    let treasury = tables.treasury.as_ref().map(|treasury| {
        let key = unlock(&treasury.key, "treasury")?;
        Ok::<_, CliError>(TreasuryConfig { key, collect_to: treasury.collect_to })
    });
    Ok(ChainConfig {
        chain_id: tables.chain_id,
        rpc_url: tables.rpc_url.to_string(),
        treasury: treasury.transpose()?,
        deposits: tables.deposits.clone(),
    })
}

async fn asked(mut stopped: watch::Receiver<bool>) {
    // The sender is gone only when everything is.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn expire(billing: Billing, stopped: watch::Receiver<bool>) {
    let stop = asked(stopped);
    tokio::pin!(stop);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = &mut stop => return,
        }
        if let Err(error) = billing.expire_due(&operator(), AT_ONCE).await {
            tracing::warn!(code = error.code(), %error, "holds that have run out are not ended yet");
        }
        if let Err(error) = billing.sweep_expired(&operator(), AT_ONCE).await {
            tracing::warn!(code = error.code(), %error, "grants that have run out are not ended yet");
        }
    }
}

/// Walks through what is kept for a while only, without haste: nobody waits for it.
async fn forget(billing: Billing, keep: Retention, stopped: watch::Receiver<bool>) {
    let stop = asked(stopped);
    tokio::pin!(stop);
    loop {
        let wait = match billing.forget_old(&operator(), &keep).await {
            Ok(done) if done.more => FORGET_MORE,
            Ok(_) => FORGET_EVERY,
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "what is old is not forgotten yet");
                FORGET_EVERY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = &mut stop => return,
        }
    }
}
