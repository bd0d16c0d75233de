//! [`Hub`]: waits for commits on behalf of all streams, and tells them which accounts were touched. It runs while anybody listens.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farthing_billing::service::Billing;
use farthing_ledger::AccountId;
use farthing_ledger::journal::Sealed;
use farthing_ledger::record::Version;
use farthing_ledger::store::{MAX_PAGE, StoreError};
use tokio::sync::broadcast;

use super::BEGINNING;
use crate::Api;

/// Accounts that were touched by one or several commits; `None` when it is not known, and everybody should look.
pub(crate) type Touched = Option<Arc<BTreeSet<AccountId>>>;

/// As many tellings wait for a stream that does not read; it then reads its wallet anew.
const WAITING: usize = 64;

/// How long the hub waits when the store does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// What streams listen to.
#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<Option<broadcast::Sender<Touched>>>);

impl Hub {
    /// Listens; starts the hub when nobody listened before.
    pub(crate) fn join(api: &Api) -> broadcast::Receiver<Touched> {
        let mut running = api.hub().0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = running.as_ref().filter(|sender| sender.receiver_count() > 0) {
            return sender.subscribe();
        }
        let (sender, receiver) = broadcast::channel(WAITING);
        *running = Some(sender.clone());
        tokio::spawn(run(api.billing().clone(), sender, api.settings().gather));
        receiver
    }
}

async fn run(billing: Billing, sender: broadcast::Sender<Touched>, gather: Duration) {
    let mut place = None;
    while sender.receiver_count() > 0 {
        match step(&billing, &sender, &mut place).await {
            Ok(()) => tokio::time::sleep(gather).await,
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "streams of balances wait for the store");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Waits for commits after the place that was reached, and tells what they touched. The first step finds that place: what was
/// committed before it, while the streams that are there began, they may have missed, so each looks.
async fn step(
    billing: &Billing,
    sender: &broadcast::Sender<Touched>,
    place: &mut Option<(Version, u64)>,
) -> Result<(), StoreError> {
    let store = billing.store();
    let Some((version, seq)) = place else {
        let version = store.changed(BEGINNING).await?;
        *place = Some((version, store.head().await?.seq));
        let _ = sender.send(None);
        return Ok(());
    };
    // Comes back now and then although nothing happened, to see whether anybody still listens.
    let Ok(changed) = tokio::time::timeout(PAUSE, store.changed(*version)).await else { return Ok(()) };
    *version = changed?;
    loop {
        let entries = store.journal(*seq, MAX_PAGE).await?;
        let Some(last) = entries.last() else { return Ok(()) };
        *seq = last.entry.seq;
        let touched = entries.iter().flat_map(accounts).collect();
        // Nobody listens any more: the loop above ends.
        let _ = sender.send(Some(Arc::new(touched)));
    }
}

fn accounts(sealed: &Sealed) -> impl Iterator<Item = AccountId> {
    let movement = sealed.entry.event.movement();
    movement.into_iter().flat_map(|movement| [movement.debit, movement.credit])
}
