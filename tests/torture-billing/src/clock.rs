//! The time, and ids that nobody has had.

use std::time::{SystemTime, UNIX_EPOCH};

use farthing_money::Id;

/// Now, in milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A fresh id. The last byte is the service's.
pub fn fresh_id() -> Id {
    Id::from_parts(now_ms(), rand::random::<u128>() << 8)
}
