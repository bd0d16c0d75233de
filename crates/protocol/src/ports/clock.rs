//! The clock, as whoever owns one hands it in.

use crate::UnixMs;

/// Tells the time. Only `app` and tests implement it.
pub trait Clock: Send + Sync {
    /// The current instant.
    fn now(&self) -> UnixMs;
}

impl<F: Fn() -> UnixMs + Send + Sync> Clock for F {
    fn now(&self) -> UnixMs {
        self()
    }
}
