//! Where the money of wallets comes from: top-ups by card or on a chain, and deposits to a customer's own address.
//!
//! | | |
//! |---|---|
//! | [`topup::TopUps`] | the loop that asks sources for money when a rule says so |
//! | [`source::FundingSource`] | what a source is: charge and lookup, once under each name |
//! | [`stripe::Stripe`] | cards on file at Stripe |
//! | [`treasury::Treasury`] | an account of ours on a Tempo chain |
//! | [`deposit::watcher::DepositWatcher`] | credits transfers to customers' addresses |
//! | [`collect::Collector`] | brings what lies at customers' addresses to an account of the operator's, with the seed in hand |
//! | [`drivers::Drivers`] | starts and stops all of it |
//!
//! It decides nothing about money: `farthing-billing` does, and keeps every state. What happens here may happen twice, late, or
//! stop anywhere. It reads no clock and draws no randomness: [`topup::MakeCx`] brings both.

pub mod collect;
pub mod deposit;
pub mod drivers;
pub mod source;
pub mod stripe;
pub mod topup;
pub mod treasury;
