//! Deposits on a Tempo chain: addresses from one key ([`keys`]), and the watcher that tells billing what came to them
//! ([`watcher`]). Moving what came to the addresses elsewhere (sweeping) needs the seed and is not done here.

mod chain;
pub mod keys;
pub mod watcher;
