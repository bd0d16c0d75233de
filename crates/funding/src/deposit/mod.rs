//! Deposits on a Tempo chain: addresses from one key ([`keys`]), and the watcher that tells billing what came to them
//! ([`watcher`]). Bringing what came to the addresses elsewhere needs the seed: [`crate::collect`].

pub(crate) mod chain;
pub mod keys;
pub mod watcher;
