//! [`Serving`]: the driver's end of a connection, which reads and writes the socket. Usually a task of its own serves it; it can also be
//! served by whoever asks over it, while they ask.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Nothing moves over the connection but while this is polled.
pub(crate) struct Serving(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Serving").field(&self.0.is_some()).finish()
    }
}

impl Serving {
    /// `connection` ends with the connection, and says itself why.
    pub(crate) fn new(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(connection)))
    }

    /// Until the connection ends, or all that asks over it is gone.
    pub(crate) async fn run(self) {
        if let Some(connection) = self.0 {
            connection.await;
        }
    }

    /// For as long as `work` takes. What was asked and given up is read and dropped by whoever comes next.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let noted = Arc::new(Noted { is_woken: AtomicBool::new(false), task: cx.waker().clone() });
            let waker = Waker::from(Arc::clone(&noted));
            let cx = &mut Context::from_waker(&waker);
            // Each wakes the other. To come back for that would cost a place at the end of the runtime's queue each time.
            for _ in 0..MOST {
                noted.is_woken.store(false, Ordering::Relaxed);
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(done);
                }
                let ended = self.0.as_mut().is_some_and(|connection| connection.as_mut().poll(cx).is_ready());
                if ended {
                    // What waits for an answer learns that none will come.
                    self.0 = None;
                } else if !noted.is_woken.load(Ordering::Relaxed) {
                    break;
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// How often both are looked at before others have their turn.
const MOST: usize = 32;

/// Wakes a task, and remembers that it did.
struct Noted {
    is_woken: AtomicBool,
    task: Waker,
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}
