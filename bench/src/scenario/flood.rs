//! How long paid calls wait while ten times as many unpaid requests come in.

use super::{Bench, SERVER_CPU};
use crate::Failure;
use crate::load::get;
use crate::load::open::Open;
use crate::load::paid::{PaidCalls, Vouchers};
use crate::stats::Rounds;

const CONNECTIONS: u32 = 64;
/// Paid calls a second.
const PAID: [u32; 2] = [200, 500];
const TIMES: u32 = 10;

#[derive(Default)]
struct Side {
    p50_ms: Rounds,
    p99_ms: Rounds,
}

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Failure> {
    eprintln!("paid calls in a flood of unpaid requests, server on CPU {SERVER_CPU}");
    bench.report.heading("Paid calls in a flood of unpaid requests");
    let mut rows = Vec::new();
    for rate in PAID {
        let (alone, flooded, ratios) = one_rate(bench, rate).await?;
        for (what, side) in [("alone", &alone), ("in the flood", &flooded)] {
            rows.push([
                format!("{rate} paid a second, {what}"),
                side.p50_ms.show(2).to_string(),
                side.p99_ms.show(2).to_string(),
                if what == "alone" { String::new() } else { ratios.show(2).to_string() },
            ]);
        }
    }
    bench.report.table(["load", "paid p50, ms", "paid p99, ms", "p99 to p99 alone"], &rows);
    bench.report.sentence(&format!(
        "An open loop: latencies count from when a request was due. The flood is {TIMES} times the paid rate."
    ));
    Ok(())
}

async fn one_rate(bench: &Bench<'_>, rate: u32) -> Result<(Side, Side, Rounds), Failure> {
    let gate = bench.gate(&format!("flood-{rate}"), 0)?;
    let lasting = bench.round() * 2;
    let calls = PaidCalls {
        address: gate.address,
        path: "/charge",
        vouchers: Vouchers::default(),
        connections: CONNECTIONS,
        lasting,
    };
    let request = get("/paid");
    let flood = Open {
        address: gate.address,
        request: &request,
        status: 402,
        connections: CONNECTIONS,
        rate: rate * TIMES,
        lasting,
    };
    calls.clone().open(rate).await?;
    let (mut alone, mut flooded, mut ratios) = (Side::default(), Side::default(), Rounds::default());
    for round in 0..bench.rounds() {
        eprintln!("{rate} paid a second, round {} of {}", round + 1, bench.rounds());
        let without = calls.clone().open(rate).await?.latencies;
        let (with, unpaid) = tokio::join!(calls.clone().open(rate), flood.run());
        let (with, _) = (with?.latencies, unpaid?);
        for (side, latencies) in [(&mut alone, &without), (&mut flooded, &with)] {
            side.p50_ms.push(latencies.quantile_ms(0.5));
            side.p99_ms.push(latencies.quantile_ms(0.99));
        }
        ratios.push(with.quantile_ms(0.99) / without.quantile_ms(0.99));
    }
    Ok((alone, flooded, ratios))
}
