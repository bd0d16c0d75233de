//! What the gateway adds to a settled charge: the paid request through it, less the rail's own time, less the same request
//! sent to the upstream directly.

use std::time::Duration;

use super::Bench;
use crate::Failure;
use crate::load::closed::Outcome;
use crate::load::get;
use crate::load::open::Open;
use crate::load::paid::{PaidCalls, Vouchers};
use crate::report::thousands;
use crate::stats::{Rounds, float};

const IN_FLIGHT: u32 = 64;
/// What a rail may take to settle: half a second is about what a chain takes.
const RAILS_MS: [u32; 3] = [500, 100, 0];

#[derive(Default)]
struct Added {
    p50_ms: Rounds,
    p99_ms: Rounds,
    rate: Rounds,
    cpu_us: Rounds,
}

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Failure> {
    eprintln!("settled charges");
    bench.report.heading("A settled charge");
    let mut rows = Vec::new();
    for settle_ms in RAILS_MS {
        let added = one_rail(bench, settle_ms).await?;
        rows.push([
            if settle_ms == 0 {
                "at once, a closed loop".to_owned()
            } else {
                format!("after {settle_ms} ms")
            },
            thousands(added.rate.median()),
            added.p50_ms.show(2).to_string(),
            added.p99_ms.show(2).to_string(),
            added.cpu_us.show(0).to_string(),
        ]);
    }
    let head =
        ["the rail settles", "charges a second", "added at p50, ms", "added at p99, ms", "CPU us a charge"];
    bench.report.table(head, &rows);
    bench.report.sentence(&format!(
        "{IN_FLIGHT} charges are in flight; they begin evenly spread, but for the rail that settles at once, where each begins when \
         one has ended. Claims are on disk (SQLite, `synchronous=FULL`). The CPU time is that of the 402 and of the paid call."
    ));
    Ok(())
}

async fn one_rail(bench: &Bench<'_>, settle_ms: u32) -> Result<Added, Failure> {
    let gate = bench.gate(&format!("charge-{settle_ms}"), u64::from(settle_ms))?;
    let lasting = bench.round() * 2 + Duration::from_millis(u64::from(settle_ms) * 2);
    let rate = (IN_FLIGHT * 1000).checked_div(settle_ms);
    let calls = PaidCalls {
        address: gate.address,
        path: "/charge",
        vouchers: Vouchers::default(),
        // At the rate that keeps so many in flight, one more may begin before the last has ended.
        connections: if rate.is_some() { IN_FLIGHT * 2 } else { IN_FLIGHT },
        lasting,
    };
    let request = get("/charge");
    let direct = Open {
        address: bench.upstream.address,
        request: &request,
        status: 200,
        connections: IN_FLIGHT,
        rate: rate.unwrap_or(1000),
        lasting: bench.round() / 2,
    };
    paid(&calls, rate).await?;
    let mut added = Added::default();
    for round in 0..bench.rounds().div_ceil(2) {
        eprintln!("rail of {settle_ms} ms, round {}", round + 1);
        let without = direct.run().await?.latencies;
        let before = gate.cpu_ns();
        let Outcome { answers, wall, latencies } = paid(&calls, rate).await?;
        let rail = f64::from(settle_ms);
        added.cpu_us.push(float(gate.cpu_ns() - before) / 1000.0 / float(answers));
        added.rate.push(float(answers) / wall.as_secs_f64());
        added.p50_ms.push(latencies.quantile_ms(0.5) - rail - without.quantile_ms(0.5));
        added.p99_ms.push(latencies.quantile_ms(0.99) - rail - without.quantile_ms(0.99));
    }
    Ok(added)
}

async fn paid(calls: &PaidCalls, rate: Option<u32>) -> Result<Outcome, Failure> {
    match rate {
        Some(rate) => calls.clone().open(rate).await,
        None => calls.clone().closed().await,
    }
}
