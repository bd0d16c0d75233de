//! CPU time: what other programs on the machine disturb far less than the clock on the wall.

use std::path::Path;
use std::time::Duration;

/// How long the threads of this process have been on a CPU, the kernel's part of it included.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub all: Duration,
    /// Of it, the ledger's own threads: the one that decides and the one that writes.
    pub writer: Duration,
}

impl Cpu {
    /// So far, of the threads that live.
    pub fn now() -> Self {
        let mut cpu = Self::default();
        for thread in std::fs::read_dir("/proc/self/task").unwrap() {
            let folder = thread.unwrap().path();
            let spent = spent(&folder.join("schedstat"));
            cpu.all += spent;
            let name = std::fs::read_to_string(folder.join("comm")).unwrap_or_default();
            if ["ledger-writer", "ledger-disk"].contains(&name.trim()) {
                cpu.writer += spent;
            }
        }
        cpu
    }

    pub fn of_this_thread() -> Duration {
        spent(Path::new("/proc/thread-self/schedstat"))
    }

    pub fn since(self, before: Self) -> Self {
        Self { all: self.all.saturating_sub(before.all), writer: self.writer.saturating_sub(before.writer) }
    }
}

fn spent(schedstat: &Path) -> Duration {
    let text = std::fs::read_to_string(schedstat).unwrap_or_default();
    let first = text.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(first.unwrap_or_default())
}
