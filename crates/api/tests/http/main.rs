//! The API over real HTTP. Every answer of every test is held against the OpenAPI document that the service itself gives.
#![allow(clippy::unwrap_used, reason = "tests")]

mod access;
mod frame;
mod harness;
mod idempotency;
mod judged;
mod resources;
mod streams;
mod topups;
