//! Webhooks, the part that sends: [`Dispatcher`] takes what is due from `farthing_billing::service::webhook` and tells endpoints,
//! [`Sender`] makes the request, [`Reach`] says which addresses may be connected to, and [`signature`] signs as Standard
//! Webhooks do.
//!
//! It decides neither what is told nor when: that is the service's. It follows no redirect and connects to no address that it has
//! not checked itself.

mod address;
mod dispatcher;
mod resolve;
mod sender;
pub mod signature;

pub use address::{BadNetwork, Network, Reach, Refusal};
pub use dispatcher::{Dispatcher, Load};
pub use resolve::Lookup;
pub use sender::{SendError, Sender};
