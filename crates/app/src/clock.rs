//! The system clock. The only place of the workspace that reads it; everything else is handed a [`Clock`].

use std::time::{SystemTime, UNIX_EPOCH};

use farthing_protocol::UnixMs;
use farthing_protocol::ports::Clock;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> UnixMs {
        // A clock before 1970 reads as 1970: every challenge is then far from expiry, and none is accepted as fresh.
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMs::from_ms(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }
}
