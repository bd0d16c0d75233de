//! [`Places`]: how many connections there are. The most that there may be is asked for each time, because it may change while
//! the server runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::Notify;

/// Open connections.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: AtomicUsize,
    left: Notify,
}

/// One connection's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Places>);

impl Places {
    /// A place among at most `most`, once there is one. Asked for by one task at a time.
    pub(super) async fn take(self: &Arc<Self>, most: usize) -> Place {
        loop {
            // One that is given back between the look and the wait is kept for us.
            if self.taken.load(SeqCst) < most {
                self.taken.fetch_add(1, SeqCst);
                return Place(Arc::clone(self));
            }
            self.left.notified().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, SeqCst);
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn there_are_so_many_and_the_number_may_change() {
        let places = Arc::new(Places::default());
        let first = poll(places.take(2));
        let second = poll(places.take(2));
        assert!(first.is_some() && second.is_some() && poll(places.take(2)).is_none());
        let third = poll(places.take(3));
        assert!(third.is_some(), "the most has grown");
        drop(first);
        assert!(poll(places.take(2)).is_none(), "the most has shrunk below what is there");
        drop(second);
        assert!(poll(places.take(2)).is_some());
        drop(third);
        assert_eq!(places.taken.load(SeqCst), 0);
    }
}
