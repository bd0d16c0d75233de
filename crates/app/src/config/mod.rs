//! Configuration: the gateway's file, the environment, known networks and tokens. Everything is checked here, at the edge;
//! what comes out cannot be wrong in form. Whether a chain or an upstream agrees is checked when they are reached.

pub mod answers;
pub mod approvals;
pub mod billing;
pub mod books;
pub mod env;
pub mod fault;
pub mod funding;
pub mod gateway;
pub mod limits;
pub mod network;
pub mod observe;
pub mod policy;
pub mod read;
pub mod refund;
pub mod rotation;
pub mod route;
pub mod secret;
pub mod store;
pub mod tempo;
pub mod tls;
pub mod token;
pub mod value;
mod vendor;

pub use gateway::GatewayConfig;

#[cfg(test)]
mod tests;
