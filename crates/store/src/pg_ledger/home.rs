//! [`Home`]: a thread for whatever answers readers. When a batch is durable, hundreds of callers wake at once in the process's own
//! runtime; a question that had to pass through it would queue behind them at each step on its way.

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A runtime of one thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Home {
    handle: Handle,
    _stop: oneshot::Sender<()>,
}

impl Home {
    pub(super) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            // Its sender is dropped, never used.
            drop(runtime.block_on(stopped));
        };
        std::thread::Builder::new().name("ledger-readers".to_owned()).spawn(run)?;
        Ok(Self { handle, _stop: stop })
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }
}
