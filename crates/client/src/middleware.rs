//! [`PaymentMiddleware`]: the agent as a layer of `reqwest-middleware`. It drives the same flow; it is not a second client.

use async_trait::async_trait;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{ClientBuilder, Middleware, Next};

use crate::driver::{self, Exchange, SendError};
use crate::{Agent, PaymentId};

/// Pays for the requests of a `reqwest_middleware` client.
///
/// It comes with its client, because a client that follows redirects would carry a credential along:
///
/// ```
/// # fn example(agent: farthing_client::Agent) {
/// let client = farthing_client::PaymentMiddleware::client(agent).build();
/// // client.get("https://api.example.com/report").send().await
/// # }
/// ```
///
/// Middleware added to the builder runs inside: once for each sending, and it sees credentials. An answer that was paid for
/// has a [`Payment`](crate::Payment) among its extensions; an error is an [`AgentError`](crate::AgentError) inside
/// [`reqwest_middleware::Error::Middleware`]. A retrying middleware *outside* sends one logical request anew; such a request
/// is not paid a second time, because what was paid is kept in the request's extensions.
#[derive(Debug, Clone)]
pub struct PaymentMiddleware {
    agent: Agent,
}

/// In a logical request's extensions: it is paid for.
#[derive(Debug, Clone)]
struct PaidBy(PaymentId);

impl PaymentMiddleware {
    /// A client that pays as `agent` does, and with the agent's own HTTP client underneath.
    #[must_use]
    pub fn client(agent: Agent) -> ClientBuilder {
        let http = agent.parts().0.clone();
        ClientBuilder::new(http).with(Self { agent })
    }
}

#[async_trait]
impl Middleware for PaymentMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let mut exchange = Through { next, extensions };
        let paid = driver::execute(self.agent.parts().1, &mut exchange, request)
            .await
            .map_err(reqwest_middleware::Error::middleware)?;
        let mut response = paid.response;
        if let Some(payment) = paid.payment {
            response.extensions_mut().insert(payment);
        }
        Ok(response)
    }
}

/// Sends through the rest of the middleware.
struct Through<'a> {
    next: Next<'a>,
    extensions: &'a mut Extensions,
}

impl Exchange for Through<'_> {
    async fn send(&mut self, request: Request) -> Result<Response, SendError> {
        let result = self.next.clone().run(request, self.extensions).await;
        result.map_err(|error| SendError { why: crate::describe(&error.without_url()) })
    }

    fn already_paid(&self) -> Option<PaymentId> {
        self.extensions.get::<PaidBy>().map(|paid| paid.0.clone())
    }

    fn note_payment(&mut self, payment: Option<&PaymentId>) {
        match payment {
            Some(payment) => self.extensions.insert(PaidBy(payment.clone())),
            None => self.extensions.remove::<PaidBy>(),
        };
    }
}
