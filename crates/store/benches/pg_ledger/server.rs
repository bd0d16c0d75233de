//! How long the processes of a PostgreSQL server have been on a CPU, the kernel's part of it included.

use std::time::Duration;

use farthing_store::testkit::postgres::Cluster;

/// Of the server and of every process that it has or had.
pub fn cpu(cluster: &Cluster) -> Duration {
    let pid = std::fs::read_to_string(cluster.home().join("server.pid")).unwrap_or_default();
    let pid = pid.trim();
    let own = stat(pid);
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    // Its own, and that of children that have ended; then of those that live.
    let ticks = own.map_or(0, |of| of.iter().sum())
        + children.split_whitespace().filter_map(stat).map(|of| of[0] + of[1]).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

/// User and system time, and the same of children that were waited for, in ticks of 10 ms.
fn stat(pid: &str) -> Option<[u64; 4]> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after = text.rsplit_once(')')?.1;
    let mut fields = after.split_whitespace().skip(11).map(|field| field.parse().unwrap_or_default());
    Some([fields.next()?, fields.next()?, fields.next()?, fields.next()?])
}
