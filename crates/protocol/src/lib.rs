//! The Payment scheme: the three messages, what binds them, and the 402 flow as state machines for both sides.
//!
//! No IO, no clock, no randomness, no environment: callers pass bytes, `now` and nonces in. Drivers (a tower layer, a
//! reqwest middleware, a test) carry out the actions that [`flow`] names. Payment methods plug in through [`ports`].
//!
//! Source: `draft-httpauth-payment-00` and the intent drafts beside it.

pub mod accept;
pub mod binding;
pub mod challenge;
pub mod credential;
pub mod dialect;
pub mod digest;
pub mod encoding;
pub mod error;
pub mod flow;
mod ident;
mod jcs;
mod params;
pub mod ports;
pub mod problem;
pub mod receipt;
mod text;
mod time;

pub use binding::{Binder, PreviousSecret, Secret};
pub use challenge::{Challenge, CredentialHeader};
pub use credential::{Credential, CredentialBuf, Echo, PaymentProof};
pub use encoding::EncodedJson;
pub use error::{FormatError, ParseError};
pub use ident::{Intent, MethodId};
pub use problem::{PreparedProblem, Problem, ProblemKind};
pub use receipt::Receipt;
pub use time::UnixMs;
