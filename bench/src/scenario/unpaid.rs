//! What a 402 costs, beside bare hyper with an answer of the same bytes, and beside the official SDKs.

use super::{Bench, Contest, own, peers};
use crate::Failure;
use crate::load::{get, whole_answer};
use crate::process::{SERVER_CPU, Server};

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Failure> {
    eprintln!("unpaid requests");
    bench.report.heading("A 402");
    let gate = bench.gate("unpaid", 0)?;
    let answer = whole_answer(gate.address, &get("/paid")).await?;
    let file = bench.folder.path().join("answer");
    std::fs::write(&file, &answer)?;
    let bare = Server::start(own()?.args(["serve", "bare"]).arg(&file), SERVER_CPU)?;
    let mpp = peers::mpp(bench)?;
    let mppx = peers::mppx(bench)?;
    let before = bench.gate_before("unpaid")?;
    let mut contest = Contest {
        servers: vec![("farthing", &gate), ("bare hyper, the same bytes", &bare)],
        request: vec![get("/paid"), get("/paid")],
        status: 402,
    };
    if let Some(mpp) = &mpp {
        contest.servers.push(("`mpp` 0.18.2, its axum extractor", mpp));
        contest.request.push(get("/extractor"));
    }
    if let Some(mppx) = &mppx {
        contest.servers.push(("mppx on node", mppx));
        contest.request.push(get("/charge"));
    }
    if let Some(before) = &before {
        contest.servers.push(("farthing, before", before));
        contest.request.push(get("/paid"));
    }
    let (costs, ratios) = contest.run(bench).await?;
    contest.table(&costs, &ratios, "CPU to farthing's", &mut bench.report);
    let of_bare = ratios[1].map(|ratio| ratio * 100.0);
    bench.report.sentence(&format!("The answer has {} bytes.", answer.len()));
    bench.report.sentence(&format!("Farthing answers {} % of what bare hyper answers.", of_bare.show(0)));
    if mpp.is_none() {
        bench.skip("the `mpp` crate: no `farthing-peer` program");
    }
    if mppx.is_none() {
        bench.skip("mppx: no npm packages");
    }
    Ok(())
}
