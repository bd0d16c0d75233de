//! What a hold and its capture cost through `farthing billing serve`: over HTTP/1.1 with API keys and idempotency keys, one process
//! on SQLite and two on PostgreSQL. Beside it in the same rounds the same HTTP stack with a fixed answer of the same size, the
//! service without HTTP, and the ledger alone.

mod direct;
mod load;
mod place;

use std::process::Command;

use crate::Failure;
use crate::load::closed::{Outcome, Until};
use crate::process::{SERVER_CPU, Server};
use crate::report::thousands;
use crate::scenario::{Bench, CONNECTIONS, own};
use crate::stats::{Rounds, float};

use load::{Pairs, Side};
use place::{Database, Shop};

/// Both CPUs: what is not asked what it costs alone.
const ALL_CPUS: &str = "0,1";

/// What one way to hold and capture came to in all rounds.
#[derive(Default)]
struct Row {
    pairs: Rounds,
    /// Microseconds of CPU a request, of which a pair has two: of the processes that answer, and of the database's.
    cpu_us: Rounds,
    database_us: Rounds,
    hold_p50: Rounds,
    hold_p99: Rounds,
    capture_p50: Rounds,
    capture_p99: Rounds,
}

/// What a round came to.
struct Measured {
    holds: Outcome,
    captures: Outcome,
    cpu_ns: u64,
    database_ns: u64,
}

impl Row {
    fn push(&mut self, measured: &Measured) {
        let Measured { holds, captures, cpu_ns, database_ns } = measured;
        let requests = float((holds.answers + captures.answers).max(1));
        self.pairs.push(float(captures.answers) / captures.wall.as_secs_f64());
        self.cpu_us.push(float(*cpu_ns) / 1000.0 / requests);
        self.database_us.push(float(*database_ns) / 1000.0 / requests);
        self.hold_p50.push(holds.latencies.quantile_ms(0.5));
        self.hold_p99.push(holds.latencies.quantile_ms(0.99));
        self.capture_p50.push(captures.latencies.quantile_ms(0.5));
        self.capture_p99.push(captures.latencies.quantile_ms(0.99));
    }

    fn shown(&self, name: &str) -> [String; 7] {
        let ms = |p50: &Rounds, p99: &Rounds| format!("{:.1}, {:.1}", p50.median(), p99.median());
        let database = match self.database_us.median() {
            0.0 => "–".to_owned(),
            us => format!("{us:.0}"),
        };
        [
            name.to_owned(),
            thousands(self.pairs.median()),
            self.cpu_us.show(0).to_string(),
            thousands(1e6 / self.cpu_us.median()),
            database,
            ms(&self.hold_p50, &self.hold_p99),
            ms(&self.capture_p50, &self.capture_p99),
        ]
    }
}

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Failure> {
    eprintln!("billing over HTTP");
    bench.report.heading("Holds and captures over HTTP");
    let Some(program) = bench.args.program.clone() else {
        bench.skip("billing over HTTP: no `farthing` program (--program)");
        return Ok(());
    };
    let mut rows = embedded(bench, &program).await?;
    match Database::start()? {
        Some(database) => rows.push(shared(bench, &program, &database).await?),
        None => bench.skip("billing over HTTP on PostgreSQL: there is none"),
    }
    let head = [
        "what answers",
        "pairs a second",
        "CPU us a request",
        "requests a second of one CPU",
        "the database's CPU us",
        "hold p50, p99, ms",
        "capture p50, p99, ms",
    ];
    let rows: Vec<[String; 7]> = rows.iter().map(|(name, row)| row.shown(name)).collect();
    bench.report.table(head, &rows);
    Ok(())
}

/// One process on SQLite, and what it is compared with, in turns.
async fn embedded(bench: &Bench<'_>, program: &std::path::Path) -> Result<Vec<(&'static str, Row)>, Failure> {
    let store = bench.folder.path().join("billing.db").display().to_string();
    let shop = Shop::make(&store).await?;
    let server = Server::start(&serve(bench, program, &store)?, SERVER_CPU)?;
    let sample = load::sample(server.address, &shop).await?;
    let file = bench.folder.path().join("hold.json");
    std::fs::write(&file, &sample)?;
    let fixed = Server::start(own()?.args(["serve", "fixed"]).arg(&file), SERVER_CPU)?;
    let beside = bench.folder.path().join("direct.db").display().to_string();
    let direct = direct::Service::open(&beside).await?;
    let ledger = direct::Ledger::open(&bench.folder.path().join("ledger.db")).await?;
    let mut rows = [Row::default(), Row::default(), Row::default(), Row::default()];
    for round in 0..bench.billing_rounds() {
        eprintln!("round {} of {}", round + 1, bench.billing_rounds());
        let until = Until::Elapsed(bench.billing_round());
        rows[0].push(&served(&[&server], &shop, until, || 0).await?);
        rows[1].push(&served(&[&fixed], &shop, until, || 0).await?);
        rows[2].push(&direct.run(until).await?);
        rows[3].push(&ledger.run(until).await?);
    }
    let names = [
        "farthing, one process on SQLite",
        "the same HTTP stack, a fixed answer of the same size",
        "the service without HTTP, on SQLite",
        "the ledger alone, on SQLite",
    ];
    Ok(names.into_iter().zip(rows).collect())
}

/// Two processes on PostgreSQL.
async fn shared(
    bench: &Bench<'_>,
    program: &std::path::Path,
    database: &Database,
) -> Result<(&'static str, Row), Failure> {
    let store = database.url();
    let shop = Shop::make(&store).await?;
    let command = serve(bench, program, &store)?;
    let servers = [Server::start(&command, ALL_CPUS)?, Server::start(&command, ALL_CPUS)?];
    let mut row = Row::default();
    for round in 0..bench.billing_rounds() {
        eprintln!("PostgreSQL: round {} of {}", round + 1, bench.billing_rounds());
        let until = Until::Elapsed(bench.billing_round());
        row.push(&served(&[&servers[0], &servers[1]], &shop, until, || database.cpu_ns()).await?);
    }
    Ok(("farthing, two processes on PostgreSQL", row))
}

/// Holds and captures over HTTP, the connections shared between the servers.
async fn served(
    servers: &[&Server],
    shop: &Shop,
    until: Until,
    database_ns: impl Fn() -> u64,
) -> Result<Measured, Failure> {
    let cpu = || servers.iter().map(|server| server.cpu_ns()).sum::<u64>();
    let (before, database) = (cpu(), database_ns());
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let Side { holds, captures } =
        Pairs { addresses: &addresses, shop, connections: CONNECTIONS, until }.run().await?;
    Ok(Measured { holds, captures, cpu_ns: cpu() - before, database_ns: database_ns() - database })
}

fn serve(bench: &Bench<'_>, program: &std::path::Path, store: &str) -> Result<Command, Failure> {
    let config = bench.folder.path().join("billing.toml");
    let text =
        format!("[billing]\nstore = {store:?}\n[limits]\nrequests_per_second = 1000000\nburst = 1000000\n");
    std::fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.args(["billing", "serve", "--listen", "127.0.0.1:0", "--output", "json", "--config"]).arg(config);
    Ok(command)
}
