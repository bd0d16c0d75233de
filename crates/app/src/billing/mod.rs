//! What of this binary speaks to a billing service: the wallet that paid calls are charged to, the revenue of a gateway, and
//! balances that pay routes. It keeps no books: the service does.

pub mod client;
mod courier;
pub mod prepaid;
pub mod sales;
mod ticket;
pub mod wallet;
