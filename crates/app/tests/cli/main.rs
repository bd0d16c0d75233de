//! The binary as people and programs use it: what it prints, where, and what it ends with.
#![allow(clippy::unwrap_used, reason = "tests")]

mod canary;
mod charge;
mod collect;
mod config;
mod crash;
mod demo;
mod funding;
mod ledger;
mod network;
mod observe;
mod pay;
mod payments;
mod plain;
mod policy;
mod proxy;
mod reload;
mod request;
mod server;
mod store;
mod support;
mod tenant;
mod topup;
mod usage;
mod vendor;
mod wallet;
