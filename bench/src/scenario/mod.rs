//! What is measured: one module a figure of the table.

mod billing;
mod charge;
mod flood;
mod memory;
mod peers;
mod proxied;
mod unpaid;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::LocalSet;

use crate::Failure;
use crate::load::closed::{Closed, Outcome, Until};
use crate::process::{self, LOAD_CPU, SERVER_CPU, Server};
use crate::report::{Report, thousands};
use crate::stats::{Rounds, float};

/// What to measure, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Short rounds and a hundredth of the memory load: to see that it works
    #[arg(long)]
    quick: bool,
    /// Only the parts whose name contains this: unpaid, proxied, memory, charge, flood, billing
    #[arg(long)]
    only: Option<String>,
    /// Before all other programs of the machine, with real-time priority: on a machine that others use too
    #[arg(long)]
    realtime: bool,
    /// Where the gateways' stores are: beside the program unless said. A folder in memory shows what the disk adds
    #[arg(long)]
    stores: Option<PathBuf>,
    /// Rounds of each server. Many short ones: what else the machine does then meets every server alike
    #[arg(long, default_value_t = 25)]
    rounds: u32,
    /// Milliseconds of a round
    #[arg(long, default_value_t = 800)]
    round_ms: u64,
    /// Another build of this program, whose gateway is measured too
    #[arg(long)]
    before: Option<PathBuf>,
    /// The `farthing` program, whose billing service is measured
    #[arg(long)]
    program: Option<PathBuf>,
    /// The `farthing-peer` program, for the `mpp` crate
    #[arg(long)]
    peer: Option<PathBuf>,
    /// The folder of `server.mjs` and its `node_modules`, for mppx
    #[arg(long)]
    js: Option<PathBuf>,
}

/// What every part needs.
pub(crate) struct Bench<'a> {
    args: &'a RunArgs,
    folder: TempDir,
    upstream: Server,
    report: Report,
}

/// Connections of a closed loop.
const CONNECTIONS: u64 = 64;

/// Measures, and prints the tables.
pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    process::pin_self()?;
    if args.realtime {
        process::go_before_others()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        let upstream = Server::start(own()?.arg("serve").arg("upstream"), LOAD_CPU)?;
        // Beside the program: on a disk, where a temporary folder may be in memory.
        let beside = std::env::current_exe()?;
        let beside = args.stores.as_deref().or(beside.parent()).unwrap_or(Path::new("."));
        let folder = TempDir::new_in(beside)?;
        let mut bench = Bench { args, folder, upstream, report: Report::default() };
        bench.all().await?;
        println!("{}", bench.report.text());
        Ok(())
    }))
}

impl Bench<'_> {
    async fn all(&mut self) -> Result<(), Failure> {
        let only = self.args.only.clone();
        let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
        if wanted("unpaid") {
            unpaid::measure(self).await?;
        }
        if wanted("proxied") {
            proxied::measure(self).await?;
        }
        if wanted("memory") {
            memory::measure(self).await?;
        }
        if wanted("charge") {
            charge::measure(self).await?;
        }
        if wanted("flood") {
            flood::measure(self).await?;
        }
        if wanted("billing") {
            billing::measure(self).await?;
        }
        Ok(())
    }

    fn rounds(&self) -> u32 {
        if self.args.quick { 3 } else { self.args.rounds }
    }

    fn round(&self) -> Duration {
        Duration::from_millis(if self.args.quick { 400 } else { self.args.round_ms })
    }

    /// Rounds of billing: a store has to sync, and its caches to fill, so they are longer and fewer.
    fn billing_rounds(&self) -> u32 {
        if self.args.quick { 1 } else { self.args.rounds.div_ceil(4) }
    }

    fn billing_round(&self) -> Duration {
        self.round() * 4
    }

    /// A gateway in front of the upstream, with a store of its own on disk.
    fn gate(&self, name: &str, settle_ms: u64) -> Result<Server, Failure> {
        self.gate_of(own()?, name, settle_ms)
    }

    /// The same, of the build to compare with.
    fn gate_before(&self, name: &str) -> Result<Option<Server>, Failure> {
        let before = self.args.before.as_ref();
        before.map(|program| self.gate_of(Command::new(program), &format!("{name}-before"), 0)).transpose()
    }

    fn gate_of(&self, mut command: Command, name: &str, settle_ms: u64) -> Result<Server, Failure> {
        let store = self.folder.path().join(format!("{name}.db"));
        command.args(["serve", "gate", "--settle-ms", &settle_ms.to_string()]);
        command.arg("--upstream").arg(self.upstream.address.to_string()).arg("--store").arg(store);
        Server::start(&command, SERVER_CPU)
    }

    fn skip(&mut self, what: &str) {
        eprintln!("SKIPPED {what}");
        self.report.sentence(&format!("Skipped: {what}.\n"));
    }
}

/// This program.
fn own() -> Result<Command, Failure> {
    Ok(Command::new(std::env::current_exe()?))
}

/// What one server did in all rounds.
#[derive(Default)]
struct Cost {
    /// CPU time of the server for each request, in microseconds.
    cpu_us: Rounds,
    /// Requests a second by the clock on the wall, disturbed by everything else.
    wall_rate: Rounds,
    /// Which part of a CPU the server had, in percent.
    busy: Rounds,
    p99_ms: Rounds,
}

impl Cost {
    /// Requests a second that one CPU would do that did nothing else.
    fn rate(&self) -> Rounds {
        self.cpu_us.map(|us| 1e6 / us)
    }
}

/// A closed loop against `server`, and what it cost.
async fn costing(server: &Server, load: Closed<'_>, cost: &mut Cost) -> Result<f64, Failure> {
    let before = server.cpu_ns();
    let Outcome { answers, wall, latencies } = load.run().await?;
    let spent = float(server.cpu_ns() - before);
    let cpu_us = spent / 1000.0 / float(answers);
    cost.cpu_us.push(cpu_us);
    cost.wall_rate.push(float(answers) / wall.as_secs_f64());
    cost.busy.push(spent / 1e7 / wall.as_secs_f64());
    cost.p99_ms.push(latencies.quantile_ms(0.99));
    Ok(cpu_us)
}

/// Rounds of several servers in turn. The ratios are of each round's own figures, to the first server's.
struct Contest<'a> {
    servers: Vec<(&'a str, &'a Server)>,
    request: Vec<Vec<u8>>,
    status: u16,
}

impl Contest<'_> {
    async fn run(&self, bench: &Bench<'_>) -> Result<(Vec<Cost>, Vec<Rounds>), Failure> {
        let load = |index: usize, until| Closed {
            address: self.servers[index].1.address,
            request: &self.request[index],
            status: self.status,
            connections: CONNECTIONS,
            until,
        };
        for index in 0..self.servers.len() {
            load(index, Until::Elapsed(bench.round() / 2)).run().await?;
        }
        let mut costs: Vec<Cost> = self.servers.iter().map(|_| Cost::default()).collect();
        let mut ratios = vec![Rounds::default(); self.servers.len()];
        for round in 0..bench.rounds() {
            eprintln!("round {} of {}", round + 1, bench.rounds());
            let mut first = None;
            for (index, (_, server)) in self.servers.iter().enumerate() {
                let load = load(index, Until::Elapsed(bench.round()));
                let cpu_us = costing(server, load, &mut costs[index]).await?;
                ratios[index].push(cpu_us / *first.get_or_insert(cpu_us));
            }
        }
        Ok((costs, ratios))
    }

    /// A table of it; `ratio` is the head of the column that compares with the first server.
    fn table(&self, costs: &[Cost], ratios: &[Rounds], ratio: &str, report: &mut Report) {
        let rows: Vec<[String; 6]> = self
            .servers
            .iter()
            .zip(costs.iter().zip(ratios))
            .map(|((name, _), (cost, ratios))| {
                [
                    (*name).to_owned(),
                    cost.cpu_us.show(2).to_string(),
                    thousands(cost.rate().median()),
                    ratios.show(2).to_string(),
                    thousands(cost.wall_rate.median()),
                    cost.busy.show(0).to_string(),
                ]
            })
            .collect();
        let head =
            ["server", "CPU us a request", "so a second", ratio, "a second by the clock", "% of its CPU"];
        report.table(head, &rows);
    }
}
