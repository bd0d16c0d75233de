//! The binary as people and programs use it: what it prints, where, and what it ends with.
#![allow(clippy::unwrap_used, reason = "tests")]

mod config;
mod crash;
mod demo;
mod network;
mod pay;
mod request;
mod server;
mod support;
mod usage;
mod wallet;
