//! Configuration: the gateway's file, the environment, known networks and tokens. Everything is checked here, at the edge;
//! what comes out cannot be wrong in form. Whether a chain or an upstream agrees is checked when they are reached.

pub mod env;
pub mod fault;
pub mod gateway;
pub mod network;
pub mod read;
pub mod route;
pub mod secret;
pub mod tempo;
pub mod token;
pub mod value;

pub use gateway::GatewayConfig;

#[cfg(test)]
mod tests;
