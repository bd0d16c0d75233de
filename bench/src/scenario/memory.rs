//! What stays in memory: over a long body each way, and over many challenges.

use super::{Bench, CONNECTIONS};
use crate::Failure;
use crate::load::closed::{Closed, Until};
use crate::load::{Connection, get};
use crate::process::Server;

const PIECE: usize = 64 * 1024;

pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<(), Failure> {
    eprintln!("memory");
    let (bytes, challenges) = if bench.args.quick { (10 << 20, 10_000) } else { (1_u64 << 30, 1_000_000) };
    let gate = bench.gate("memory", 0)?;
    // What a gateway has that has been at work: buffers of connections, pages of the allocator.
    unpaid(&gate, 20_000).await?;
    Connection::open(gate.address).await?.exchange(&get("/free")).await?;

    let mut rows = Vec::new();
    let before = start(&gate)?;
    let reply = Connection::open(gate.address).await?.exchange(&get(&format!("/stream/{bytes}"))).await?;
    expect(reply.status, 200)?;
    rows.push(row(&format!("{} MiB down", bytes >> 20), before, &gate));
    let before = start(&gate)?;
    upload(&gate, bytes).await?;
    rows.push(row(&format!("{} MiB up", bytes >> 20), before, &gate));
    let before = start(&gate)?;
    unpaid(&gate, challenges).await?;
    rows.push(row(&format!("{challenges} answers 402"), before, &gate));
    bench.report.heading("Memory");
    bench.report.table(["load", "resident before, KiB", "at most", "after"], &rows);
    Ok(())
}

fn start(gate: &Server) -> Result<u64, Failure> {
    gate.forget_peak()?;
    Ok(gate.resident_kib())
}

fn row(load: &str, before: u64, gate: &Server) -> [String; 4] {
    [load.to_owned(), before.to_string(), gate.peak_kib().to_string(), gate.resident_kib().to_string()]
}

async fn unpaid(gate: &Server, answers: u64) -> Result<(), Failure> {
    let until = Until::Answered(answers);
    let request = get("/paid");
    let load =
        Closed { address: gate.address, request: &request, status: 402, connections: CONNECTIONS, until };
    load.run().await.map(drop)
}

async fn upload(gate: &Server, bytes: u64) -> Result<(), Failure> {
    let mut connection = Connection::open(gate.address).await?;
    let head = format!("POST /free HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: {bytes}\r\n\r\n");
    connection.send(head.as_bytes()).await?;
    let piece = [0x5a; PIECE];
    let mut left = usize::try_from(bytes)?;
    while left > 0 {
        let length = left.min(PIECE);
        connection.send(&piece[..length]).await?;
        left -= length;
    }
    expect(connection.receive().await?.status, 200)
}

fn expect(status: u16, expected: u16) -> Result<(), Failure> {
    if status == expected { Ok(()) } else { Err(format!("{status}, not {expected}").into()) }
}
