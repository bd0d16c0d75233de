//! The system clock. The only place of the workspace that reads it; everything else is handed a [`Clock`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farthing_protocol::UnixMs;
use farthing_protocol::ports::Clock;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Nanoseconds since 1970, for traces.
    pub fn unix_ns() -> u64 {
        u64::try_from(since_1970().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMs {
        UnixMs::from_ms(u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX))
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn since_1970() -> Duration {
    // A clock before 1970 reads as 1970: every challenge is then far from expiry, and none is accepted as fresh.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
