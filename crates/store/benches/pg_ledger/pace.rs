//! [`Pace`]: pairs fall due one after the other, evenly spread, whatever the ledger does. A thread of its own keeps the time: the
//! runtime's clock ticks once a millisecond, and all that is due by then would begin at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

#[derive(Debug)]
pub struct Pace {
    begun: Instant,
    a_second: u64,
    /// Those that are due and that nobody has begun.
    due: Semaphore,
    taken: AtomicU64,
}

impl Pace {
    /// So many a second from now on; the first one after `after`.
    pub fn start(a_second: u64, after: Duration) -> Arc<Self> {
        let begun = Instant::now() + after;
        let pace = Arc::new(Self { begun, a_second, due: Semaphore::new(0), taken: AtomicU64::new(0) });
        let clock = Arc::clone(&pace);
        std::thread::spawn(move || {
            for place in 0.. {
                std::thread::sleep(clock.at(place).saturating_duration_since(Instant::now()));
                if clock.due.is_closed() {
                    return;
                }
                clock.due.add_permits(1);
            }
        });
        pace
    }

    /// When this one is due.
    fn at(&self, place: u64) -> Instant {
        self.begun + Duration::from_nanos(place * 1_000_000_000 / self.a_second)
    }

    /// Waits for the next one, and tells when it was due; none when no more are to begin.
    pub async fn next(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        Some(self.at(self.taken.fetch_add(1, Ordering::Relaxed)))
    }

    /// No more of them begin.
    pub fn stop(&self) {
        self.due.close();
    }
}
