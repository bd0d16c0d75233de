//! What works beside the API: holds and grants that have run out are ended, and webhooks are sent. Any number of processes may do
//! so over one store; each piece of work is done once.

use std::sync::Arc;
use std::time::Duration;

use farthing_api::webhook::{Dispatcher, Load, Sender};
use farthing_billing::service::Billing;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::world::{System, operator};
use crate::config::billing::BillingConfig;
use crate::error::CliError;

/// How often it is looked whether something has run out.
const EVERY: Duration = Duration::from_millis(500);
/// How many are ended at once.
const AT_ONCE: usize = 500;
/// How long an endpoint may take to answer a webhook.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(15);

/// Workers that run until they are told to stop.
pub struct Workers {
    stop: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts them.
    ///
    /// # Errors
    /// When no client for webhooks can be made.
    pub fn start(billing: &Billing, config: &BillingConfig) -> Result<Self, CliError> {
        let (stop, stopped) = watch::channel(false);
        let sender = Sender::new(config.settings.webhooks.clone(), WEBHOOK_TIMEOUT)
            .map_err(|error| CliError::unexpected("webhooks", format!("no HTTPS client: {error}")))?;
        let dispatcher = Dispatcher::new(billing.clone(), sender, Arc::new(System), Load::default());
        let running = vec![
            tokio::spawn(dispatcher.run(asked(stopped.clone()))),
            tokio::spawn(expire(billing.clone(), stopped)),
        ];
        Ok(Self { stop, running })
    }

    /// Stops them, after what each has in hand.
    pub async fn finish(self) {
        self.stop.send_replace(true);
        for worker in self.running {
            if let Err(error) = worker.await {
                tracing::error!(%error, "a worker of billing ended badly");
            }
        }
    }
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
