//! The clock that a measured gateway has: this tool stands where the `farthing` binary stands otherwise.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farthing_protocol::UnixMs;
use farthing_protocol::ports::Clock;

/// The system's clock, read as `farthing serve` reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "stands in for `app`, which alone reads the clock")]
    fn now(&self) -> UnixMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        UnixMs::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The same, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    SystemClock.now().as_ms()
}
