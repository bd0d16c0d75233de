//! What a free request costs on its way to the upstream and back, beside nginx.

use super::{Bench, Contest, peers};
use crate::Failure;
use crate::load::get;

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Failure> {
    eprintln!("free requests, proxied");
    bench.report.heading("A free request, proxied");
    let gate = bench.gate("proxied", 0)?;
    let Some(nginx) = peers::nginx(bench)? else {
        bench.skip("nginx is not there");
        return Ok(());
    };
    let before = bench.gate_before("proxied")?;
    let mut servers = vec![("nginx, one worker", &nginx), ("farthing", &gate)];
    servers.extend(before.as_ref().map(|before| ("farthing, before", before)));
    let request = vec![get("/free"); servers.len()];
    let contest = Contest { servers, request, status: 200 };
    let (costs, ratios) = contest.run(bench).await?;
    contest.table(&costs, &ratios, "CPU to nginx's", &mut bench.report);
    Ok(())
}
