//! The buyer's side of the Payment scheme: an HTTP agent that reads a 402, picks an offer, stays inside its policy, pays at
//! most once, and keeps the receipt.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use farthing_client::{Agent, Policy};
//! # use farthing_protocol::ports::{Clock, Payer};
//! # async fn example(payer: Arc<dyn Payer>, clock: Arc<dyn Clock>) -> Result<(), Box<dyn std::error::Error>> {
//! let policy = Policy::builder()
//!     .dollar_token("eip155:4217", "0x20c000000000000000000000b9537d11c60e8b50")
//!     .max_per_call("0.02")?
//!     .max_total("1.00")?
//!     .allow_host("*.example.com")?
//!     .build();
//! let agent = Agent::builder(clock).payer(payer).policy(policy).build()?;
//!
//! let request = reqwest::Request::new(reqwest::Method::GET, "https://api.example.com/report".parse()?);
//! match agent.execute(request).await {
//!     Ok(paid) => {
//!         if let Some(payment) = &paid.payment {
//!             println!("paid {} to {}", payment.quote.money, payment.quote.recipient);
//!         }
//!         println!("{}", paid.response.text().await?);
//!     }
//!     Err(error) if error.may_have_paid() => println!("do not pay again: {error}"),
//!     Err(error) => println!("nothing was paid: {error}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! - **One logical request is paid at most once.** After a credential exists, only that credential is ever sent again.
//! - **The policy is asked first.** Money is reserved in the [`SpendBook`] before a rail is asked to pay, in one atomic step,
//!   given back only when it is certain that nothing was paid, and kept while the outcome is unknown.
//! - **Knowledge does not live in a future.** Every step is in the [`PaymentJournal`] before it is taken; dropping the future
//!   of a call leaves the payment's last known state there.
//! - **What proves a payment is kept before the payment moves.** A rail that broadcasts shows the credential to a witness
//!   first; a lost answer or a crash leaves one that can be presented again.
//! - **A credential goes to the origin that asked for it, and nowhere else**: redirects are followed only before a credential
//!   exists, and only when asked to.
//!
//! # What it is not
//!
//! It knows no chain and signs nothing: a rail arrives as an `Arc<dyn Payer>`. It reads neither the environment nor the
//! system's clock. [`Keystore`] keeps keys on disk; handing an unlocked key to a rail is the embedder's step.

mod again;
mod agent;
mod body;
mod books;
mod consent;
mod driver;
mod error;
mod file;
mod in_flight;
pub mod journal;
pub mod keystore;
pub mod metered;
mod middleware;
mod offer;
mod outgoing;
mod paid;
pub mod policy;
mod preview;
mod resolve;
mod site;
pub mod spend;
pub mod text;
pub mod verdict;
pub mod wallet;
mod witness;

pub use agent::{Agent, AgentBuilder, BuildError, IdempotencyKeys, Preference, Redirects};
pub use consent::{HostAnswer, HostConsent, HostQuestion};
pub use error::{AgentError, FailureClass, describe};
pub use journal::{FileJournal, MemoryJournal, PaymentId, PaymentJournal};
pub use keystore::{Keystore, KeystoreError};
pub use metered::MeteredVendor;
pub use middleware::PaymentMiddleware;
pub use paid::{Paid, Payment, PaymentOutcome};
pub use policy::{Policy, PolicyBuilder, PolicyError};
pub use preview::{BudgetPreview, OfferPreview, Preview};
pub use resolve::Resolution;
pub use spend::{FileBook, MemoryBook, SpendBook, SpendError};
pub use verdict::{Charge, DecideError, Decided, Verdict};
pub use wallet::{CallWallet, Captured, WalletCall, WalletError};
