//! The 402 flow as state machines without IO: one for the seller, one for the buyer.
//!
//! A driver asks for an action, carries it out, and hands back what happened, until the action is a final one. Tower,
//! reqwest, MCP and the simulator drive the same machines, so that the flow is written once.

pub mod gate;
pub mod payer;
