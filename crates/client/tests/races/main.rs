//! Many real processes on one book and one journal, and processes that are killed at any point. The children are this test's
//! own binary, run again with a job to do.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "shared with the agent's tests, which use all of it")]
#[path = "../agent/payer.rs"]
mod payer;
#[allow(dead_code, reason = "shared with the agent's tests, which use all of it")]
#[path = "../agent/seller.rs"]
mod seller;

mod job;
mod killed;
mod limits;
