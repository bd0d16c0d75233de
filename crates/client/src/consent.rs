//! [`HostConsent`]: asking a person about a host that the policy does not know. How the person is asked, and where the answer
//! is kept, is the embedder's; what counts as known is the policy's.

use async_trait::async_trait;
use farthing_protocol::flow::payer::Refusal;
use farthing_protocol::ports::Quote;

/// What a person is asked: whether this host may be paid.
#[derive(Debug, Clone)]
pub struct HostQuestion {
    /// The host, with the port where it is not the usual one: what an answer is kept for.
    pub host: String,
    /// Scheme, host and port.
    pub origin: String,
    /// What would be paid now.
    pub quote: Quote,
    /// What the call ends with when nobody can be asked.
    pub refusal: Refusal,
}

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAnswer {
    /// This call may be paid, and the next one is asked about again.
    Once,
    /// The host may be paid from now on. Whoever asked keeps it for later processes.
    Always,
    /// Nothing is paid.
    No,
    /// There is nobody to ask: nothing is paid.
    NobodyToAsk,
}

/// Asks a person.
#[async_trait]
pub trait HostConsent: Send + Sync {
    /// Asks about one host. Every limit is still to be kept, whatever the answer.
    async fn ask(&self, question: &HostQuestion) -> HostAnswer;
}
