//! The time, and ids that nobody has had.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use farthing_money::Id;

/// How many milliseconds pass in one: what waits for a minute is to happen within a run.
const FAST: u128 = 100;

static BEGAN: OnceLock<(Instant, u128)> = OnceLock::new();
static PACE: OnceLock<u128> = OnceLock::new();

/// Has the clock go as the machine's does, which is what a process reads that is not ours. Call it first.
pub fn go_slowly() {
    PACE.get_or_init(|| 1);
}

/// Now, in milliseconds since the Unix epoch, on a clock that begins with this process and is fast.
pub fn now_ms() -> u64 {
    let (began, at) = BEGAN.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (Instant::now(), since.as_millis())
    });
    let pace = PACE.get_or_init(|| FAST);
    u64::try_from(at + began.elapsed().as_millis() * pace).unwrap_or(u64::MAX)
}

/// A fresh id. The last byte is the service's.
pub fn fresh_id() -> Id {
    Id::from_parts(now_ms(), rand::random::<u128>() << 8)
}
