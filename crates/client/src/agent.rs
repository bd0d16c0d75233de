//! [`Agent`]: an HTTP client that pays. It holds the parts that calls share; the 402 flow itself is driven elsewhere, once,
//! for the agent and the middleware alike.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use farthing_protocol::flow::payer::PayerFlow;
use farthing_protocol::ports::{Clock, Payer};
use reqwest::{Client, ClientBuilder, Request, Response};

use crate::books::Books;
use crate::consent::HostConsent;
use crate::driver::{self, Core, Exchange, SendError};
use crate::journal::JournalError;
use crate::resolve::{self, Resolution};
use crate::verdict::{self, DecideError, Decided, Verdict};
use crate::{
    AgentError, CallWallet, MemoryBook, MemoryJournal, MeteredVendor, Paid, PaymentId, PaymentJournal,
    Policy, Preview, SpendBook, preview,
};

/// Whether redirects are followed, before anything is paid. After that none ever is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redirects {
    /// A redirect is an answer like any other.
    #[default]
    Return,
    /// As curl's `-L`: up to this many; `Authorization` and `Cookie` stay behind at the border of an origin.
    Follow {
        /// The most redirects of one call.
        at_most: u8,
    },
}

/// The offers to prefer where several can be paid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preference {
    /// A payment method: `tempo`.
    pub method: Option<String>,
    /// A CAIP-2 network: `eip155:4217`.
    pub network: Option<String>,
}

/// Whether the agent adds an `Idempotency-Key` of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdempotencyKeys {
    /// The payment's id, in the paid request only: with it an answer that was lost may be asked for again, with the same
    /// credential. A seller that heeds the key answers as it did; one that does not still serves a credential only once.
    #[default]
    Add,
    /// Never: a paid POST whose answer is lost is not sent again.
    Leave,
}

/// Why an agent cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up: {why}")]
    Http {
        /// What went wrong.
        why: String,
    },
}

/// An HTTP client that pays within its policy. Cheap to clone; clones share policy, book and journal.
#[derive(Clone)]
pub struct Agent {
    client: Client,
    core: Arc<Core>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("core", &self.core).finish_non_exhaustive()
    }
}

impl Agent {
    /// An agent to configure. Without a payer and a policy it pays nothing.
    pub fn builder(clock: Arc<dyn Clock>) -> AgentBuilder {
        AgentBuilder {
            http: Client::builder()
                .connect_timeout(Duration::from_secs(10))
                .user_agent(concat!("farthing/", env!("CARGO_PKG_VERSION")))
                // The environment is the application's: a proxy that it names may not see a plaintext credential.
                .no_proxy(),
            core: Core {
                payers: Vec::new(),
                policy: Policy::default(),
                books: Arc::new(Books {
                    spend: Arc::new(MemoryBook::new()),
                    journal: Arc::new(MemoryJournal::new()),
                    clock,
                    wallet: None,
                }),
                preference: Preference::default(),
                redirects: Redirects::default(),
                advertise: true,
                answer_timeout: Duration::from_secs(300),
                max_wait: Duration::from_millis(PayerFlow::MAX_WAIT_MS),
                keys: IdempotencyKeys::Add,
                vendors: Vec::new(),
                consent: None,
                swept_ms: AtomicU64::new(0),
            },
            spend: None,
            journal: None,
            wallet: None,
        }
    }

    /// Sends a request, pays at most once where a 402 asks for it and the policy allows it, and returns the answer.
    ///
    /// Dropping the future never loses a payment: a rail that was asked to pay finishes in the background, and the journal
    /// and the book keep what is known. It must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`AgentError`]; [`AgentError::may_have_paid`] says whether money may have moved.
    pub async fn execute(&self, request: Request) -> Result<Paid<Response>, AgentError> {
        driver::execute(&self.core, &mut Direct(&self.client), request).await
    }

    /// A dry run: sends the request without paying and tells what each offer would cost and what the policy says to it.
    /// A seller that asks for nothing serves the request.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn preview(&self, request: Request) -> Result<Preview, AgentError> {
        preview::preview(&self.core, &mut Direct(&self.client), request).await
    }

    /// Learns what became of an open payment, from its rail, and closes it where that is certain. Nothing is paid.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn resolve(&self, payment: &PaymentId) -> Result<Resolution, JournalError> {
        resolve::resolve(&self.core.books, &self.core.payers, payment).await
    }

    /// Closes an open payment of a vendor that counts by itself by the word of somebody who knows what it took: its money is
    /// captured so far, and free again beyond. No rail could tell ([`Resolution::OnlyVendorKnows`]).
    ///
    /// # Errors
    /// [`DecideError`]; nothing was written then. A payment whose rail knows what became of it is never decided.
    pub async fn decide(&self, payment: &PaymentId, verdict: Verdict) -> Result<Decided, DecideError> {
        let (books, id) = (Arc::clone(&self.core.books), payment.clone());
        driver::off_thread(move || verdict::decide(&books, &id, &verdict)).await
    }

    /// Gives back to the budget what was held by processes that died before they sent anything, and says how many payments
    /// that were. Metered calls of which nobody has said anything in the time that the policy gives count as charged. It happens by
    /// itself when a limit is reached, and before a metered call.
    pub async fn sweep(&self) -> usize {
        let books = Arc::clone(&self.core.books);
        driver::off_thread(move || resolve::sweep(&books)).await
    }

    /// Whether a person may be asked about a host.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.core.consent.is_some()
    }

    /// What this agent may pay.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.core.policy
    }

    /// The journal of this agent's payments.
    #[must_use]
    pub fn journal(&self) -> &Arc<dyn PaymentJournal> {
        &self.core.books.journal
    }

    /// The book that this agent's limits are counted in.
    #[must_use]
    pub fn spend_book(&self) -> &Arc<dyn SpendBook> {
        &self.core.books.spend
    }

    pub(crate) fn parts(&self) -> (&Client, &Arc<Core>) {
        (&self.client, &self.core)
    }
}

/// Builds an [`Agent`].
#[must_use]
pub struct AgentBuilder {
    http: ClientBuilder,
    core: Core,
    spend: Option<Arc<dyn SpendBook>>,
    journal: Option<Arc<dyn PaymentJournal>>,
    wallet: Option<Arc<dyn CallWallet>>,
}

impl fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBuilder").field("core", &self.core).finish_non_exhaustive()
    }
}

impl AgentBuilder {
    /// Pays with this rail too. Earlier ones are asked first.
    pub fn payer(mut self, payer: Arc<dyn Payer>) -> Self {
        self.core.payers.push(payer);
        self
    }

    /// What may be paid. The default allows nothing that costs anything.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.core.policy = policy;
        self
    }

    /// Where limits are counted. The default lives as long as the agent.
    pub fn spend_book(mut self, book: Arc<dyn SpendBook>) -> Self {
        self.spend = Some(book);
        self
    }

    /// Where payments are recorded. The default lives as long as the agent.
    pub fn journal(mut self, journal: Arc<dyn PaymentJournal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// The wallet that every call is charged to. None, by default: nobody but the limits is asked.
    pub fn wallet(mut self, wallet: Arc<dyn CallWallet>) -> Self {
        self.wallet = Some(wallet);
        self
    }

    /// Calls this vendor with an API key, and meters what it takes. Earlier ones are looked at first.
    pub fn vendor(mut self, vendor: MeteredVendor) -> Self {
        self.core.vendors.push(vendor);
        self
    }

    /// Which offers to prefer; the others are still paid where no preferred one can be.
    pub fn prefer(mut self, preference: Preference) -> Self {
        self.core.preference = preference;
        self
    }

    /// Whether redirects are followed before anything is paid.
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.core.redirects = redirects;
        self
    }

    /// Sends no `Accept-Payment`: sellers do not learn beforehand what could be paid with.
    pub fn without_accept_payment(mut self) -> Self {
        self.core.advertise = false;
        self
    }

    /// How long to wait for an answer to begin; 5 minutes by default. Past it, a paid request that may be repeated without
    /// harm is sent again with the same credential, and any other ends as [`AgentError::AnswerLost`].
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.core.answer_timeout = timeout;
        self
    }

    /// How long all waits before the credential is sent again may take together; a minute by default. A seller that says
    /// (`Retry-After`) to come back later than that is not waited for: the payment stays open, and can be presented later.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.core.max_wait = wait;
        self
    }

    /// Whether a paid request that is not idempotent and has no `Idempotency-Key` is given one.
    pub fn idempotency_keys(mut self, keys: IdempotencyKeys) -> Self {
        self.core.keys = keys;
        self
    }

    /// Who is asked about a host that the policy does not know. Nobody, by default: it is refused.
    pub fn consent(mut self, consent: Arc<dyn HostConsent>) -> Self {
        self.core.consent = Some(consent);
        self
    }

    /// Adjusts the HTTP client: certificates, a proxy, HTTP versions. Redirects, retries and `Referer` are the agent's own
    /// and are set afterwards, whatever is chosen here.
    pub fn http(mut self, adjust: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        self.http = adjust(self.http);
        self
    }

    /// The agent.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(self) -> Result<Agent, BuildError> {
        let client = self
            .http
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .build()
            .map_err(|error| BuildError::Http { why: crate::describe(&error) })?;
        let mut core = self.core;
        if self.spend.is_some() || self.journal.is_some() || self.wallet.is_some() {
            let books = &core.books;
            core.books = Arc::new(Books {
                spend: self.spend.unwrap_or_else(|| Arc::clone(&books.spend)),
                journal: self.journal.unwrap_or_else(|| Arc::clone(&books.journal)),
                clock: Arc::clone(&books.clock),
                wallet: self.wallet,
            });
        }
        Ok(Agent { client, core: Arc::new(core) })
    }
}

/// Sends straight through the agent's own client.
struct Direct<'a>(&'a Client);

impl Exchange for Direct<'_> {
    async fn send(&mut self, request: Request) -> Result<Response, SendError> {
        self.0
            .execute(request)
            .await
            .map_err(|error| SendError { why: crate::describe(&error.without_url()) })
    }
}
