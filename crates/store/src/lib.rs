//! Durable claims: the store that makes a payment usable exactly once and loses none (C21, C24).
//!
//! [`SqliteClaims`] keeps them in a file that one process owns, [`PgClaims`] in a PostgreSQL database that any number of
//! processes share; [`Location`] is either, by one line of configuration. [`MemoryClaims`] is the reference model, for tests and
//! examples; [`testkit`] is what every store has to pass. The contract is [`farthing_protocol::ports::ClaimStore`].
//!
//! It is not a ledger, and it decides nothing about payments: it takes one step at a time, durably, or says why not.
//!
//! ```no_run
//! use farthing_store::SqliteClaims;
//!
//! # fn main() -> Result<(), farthing_store::OpenError> {
//! let store = SqliteClaims::open("claims.db")?;
//! # Ok(())
//! # }
//! ```

mod books;
mod epoch;
pub mod ledger;
mod limits;
mod location;
mod memory;
mod owned_file;
pub mod pg_ledger;
mod postgres;
mod report;
mod row;
mod sqlite;
pub mod testkit;
mod transition;

pub use limits::Limits;
pub use location::{Location, Looker};
pub use memory::MemoryClaims;
pub use owned_file::OpenError;
pub use postgres::{PgClaims, PgUrl, PgUrlError};
pub use report::{Problem, Report};
pub use sqlite::SqliteClaims;
