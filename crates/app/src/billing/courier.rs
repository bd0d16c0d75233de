//! [`Courier`]: a thread that asks the billing service for callers who may not wait in an async context: what becomes of a payment
//! is told from destructors too.

use std::sync::mpsc;
use std::thread;

type Job = Box<dyn FnOnce(&tokio::runtime::Runtime) + Send>;

/// Carries questions to the service, one at a time.
#[derive(Debug)]
pub(super) struct Courier {
    jobs: mpsc::Sender<Job>,
}

impl Courier {
    /// A courier of its own thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (jobs, waiting) = mpsc::channel::<Job>();
        thread::Builder::new().name("farthing-billing".to_owned()).spawn(move || {
            while let Ok(job) = waiting.recv() {
                job(&runtime);
            }
        })?;
        Ok(Self { jobs })
    }

    /// Does what `ask` says and waits for it. `None` when the courier is gone.
    pub(super) fn ask<T, F>(&self, ask: F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (reply, answer) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |runtime| drop(reply.send(runtime.block_on(ask))));
        self.jobs.send(job).ok()?;
        answer.recv().ok()
    }
}
