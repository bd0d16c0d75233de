//! Live streams of balances (server-sent events): the present balances first, then every change as it is committed.
//!
//! One task a process waits for commits and reads what they added to the journal; a stream is woken when an account of its own
//! was touched, and reads its wallet once. So what a commit costs does not grow with the streams that it does not concern.
//! Changes that come faster than they can be told are told as one: an event is what the balances *are*, not what was done.

mod hub;

use std::collections::BTreeSet;
use std::convert::Infallible;

use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use farthing_billing::CustomerId;
use farthing_billing::service::wallet::Wallet;
use farthing_billing::service::{Billing, Cx};
use farthing_ledger::AccountId;
use farthing_ledger::record::Version;
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderName, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::{Instant, Interval};

use crate::operation::{Answered, Reply, ReplyBody};
use crate::problem::Problem;
use crate::schema::{Schema, Schemas};
use crate::{Api, auth};

pub(crate) use hub::Hub;
use hub::Touched;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A stream of events as an answer.
pub(crate) struct Events(axum::response::Response);

impl Reply for Events {
    const STATUS: StatusCode = StatusCode::OK;
    const MEDIA_TYPE: &'static str = "text/event-stream";

    fn schema(_: &mut Schemas) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Events named `balances`, each with a wallet as its data and the version that it was read at as its id.",
        })
    }

    fn answered(self) -> Result<ReplyBody, Problem> {
        Ok(ReplyBody(Answered::Whole(self.0)))
    }
}

/// One wallet that is followed.
struct Followed {
    api: Api,
    billing: Billing,
    cx: Cx,
    wallet: (CustomerId, String),
    /// What was presented, so that a key that is revoked ends its streams.
    headers: HeaderMap,
    touched: broadcast::Receiver<Touched>,
    /// What wakes it.
    accounts: BTreeSet<AccountId>,
    /// What was told last, without the instant and version of the reading.
    told: Option<String>,
    heartbeat: Interval,
    #[allow(dead_code, reason = "held, so that the place is taken while the stream is open")]
    place: OwnedSemaphorePermit,
}

/// The stream of a wallet, for whoever presented `headers`.
///
/// # Errors
/// The service's, before the stream begins; 503 when there are too many.
pub(crate) async fn follow(
    api: Api,
    billing: Billing,
    cx: Cx,
    wallet: (CustomerId, String),
    headers: HeaderMap,
) -> Result<Events, Problem> {
    let place = api.streams().try_acquire_owned().map_err(|_| {
        let detail = "too many streams are open; try again";
        Problem::later(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", detail, 5)
    })?;
    // Before the first reading, so that nothing falls between the two.
    let touched = Hub::join(&api);
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    let every = api.settings().heartbeat;
    let heartbeat = tokio::time::interval_at(Instant::now() + every, every);
    let mut followed = Followed {
        api,
        billing,
        cx,
        wallet,
        headers,
        touched,
        accounts: BTreeSet::new(),
        told: None,
        heartbeat,
        place,
    };
    let first = followed.read().await?;
    followed.told = Some(content(&first));
    // Whether nothing at all was committed since the reading that the client saw last.
    let unchanged = last.is_some_and(|last| last != 0 && last == first.version);
    let first = (!unchanged).then(|| event(&first)).transpose()?;
    let stopped = followed.api.stopping();
    let stopping = async move {
        let mut stopped = stopped;
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let events = futures_util::StreamExt::take_until(followed.events(first), Box::pin(stopping));
    Ok(Events(Sse::new(events).keep_alive(KeepAlive::new().interval(every)).into_response()))
}

fn event(wallet: &Wallet) -> Result<Event, Problem> {
    let event = Event::default().event("balances").id(wallet.version.to_string());
    event.json_data(wallet).map_err(|error| {
        tracing::error!(%error, "balances cannot be written as JSON");
        Problem::internal()
    })
}

impl Followed {
    /// Reads the wallet, and what wakes the stream from now on.
    async fn read(&mut self) -> Result<Wallet, Problem> {
        let (customer, asset) = (self.wallet.0, self.wallet.1.as_str());
        self.cx.now = self.api.world().now();
        let loaded = self.billing.load_wallet(&self.cx, customer, asset).await?;
        let names = loaded.names();
        let own = [names.account(), names.overdraft_account(), names.debt_account()];
        let grants = loaded.grants().into_iter().map(|grant| grant.account);
        // A grant that is given opens an account that nobody knows yet; the money for it comes from here.
        let source = loaded.asset.outside().grants;
        self.accounts = own.into_iter().chain(grants).chain([source]).collect();
        Ok(self.billing.wallet(&self.cx, customer, asset).await?)
    }

    fn events(self, first: Option<Event>) -> impl Stream<Item = Result<Event, Infallible>> + Send {
        stream::unfold((self, first), |(mut followed, first)| async move {
            if let Some(first) = first {
                return Some((Ok(first), (followed, None)));
            }
            match followed.next().await {
                Ok(event) => Some((Ok(event), (followed, None))),
                // The client comes back with the id of the last event, and is told why it may not.
                Err(_) => None,
            }
        })
    }

    /// The next event, when there is one.
    async fn next(&mut self) -> Result<Event, Problem> {
        loop {
            tokio::select! {
                _ = self.heartbeat.tick() => {
                    auth::caller(&self.api, &self.headers).await?;
                    continue;
                }
                touched = self.touched.recv() => match touched {
                    Ok(Some(touched)) if touched.is_disjoint(&self.accounts) => continue,
                    // Missed some: whatever they were, the wallet is read anew.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => self.touched = Hub::join(&self.api),
                },
            }
            let wallet = self.read().await?;
            let content = content(&wallet);
            if self.told.as_ref() != Some(&content) {
                self.told = Some(content);
                return event(&wallet);
            }
        }
    }
}

/// What a wallet says, whenever it was read.
fn content(wallet: &Wallet) -> String {
    let still = Wallet { version: 0, at_ms: 0, ..wallet.clone() };
    serde_json::to_string(&still).unwrap_or_default()
}

/// The first commit: what a hub begins to wait after.
const BEGINNING: Version = Version(0);
