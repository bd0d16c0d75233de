//! Webhooks from the commit in which something happens to the endpoint that is told of it: a store in memory, a dispatcher, and
//! receivers on loopback that answer as they are told to.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    missing_docs,
    reason = "tests; verifiers check timestamps against the clock"
)]

mod delivering;
mod hostile;
mod receiver;
mod standard;
mod takeover;
mod world;
