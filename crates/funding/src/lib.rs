//! Where the money of wallets comes from: top-ups by card or on a chain, and deposits to a customer's own address.
