//! Clients and servers that we did not write, against ours, on two chains.
//!
//! Every cell of the table is one paid call: mppx, pympp or the `mpp` crate pays our gateway, or `farthing request` pays a
//! server made with one of them; pull, push, proof, sponsored, splits; on a real Tempo chain (`anvil --network tempo`) and on
//! our sandbox. A cell passes when the call is served, the receipt names a settled payment, and the recipients' balances on
//! the chain have grown by what was asked. Cells that an SDK cannot do are not tried; the table gives the reason.
//!
//! The run writes `target/interop.md`; `cargo xtask interop-page` copies it into `docs/`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests find their counterparts through the environment")]

mod cell;
mod chain;
mod farthing;
mod page;
mod peer;
mod process;

use cell::{Cell, Direction, Kind, Verdict};
use chain::Chain;
use peer::Peer;

#[test]
fn every_counterpart_pays_and_is_paid() {
    let chains: Vec<Chain> = Chain::all();
    let peers: Vec<Peer> = Peer::all();
    let mut cells = Vec::new();
    for chain in &chains {
        let gateway = farthing::Gateway::start(chain);
        for peer in &peers {
            let server = peer.serve(chain);
            for kind in Kind::ALL {
                cells.push(cell::they_pay(chain, *peer, *kind, &gateway));
                cells.push(cell::we_pay(chain, *peer, *kind, &server));
            }
        }
    }
    let page = page::render(&cells);
    std::fs::write(process::target_dir().join("interop.md"), page).unwrap();
    for cell in &cells {
        println!("{cell}");
    }
    let failed: Vec<&Cell> = cells.iter().filter(|cell| matches!(cell.verdict, Verdict::Failed(_))).collect();
    let passed = cells.iter().filter(|cell| cell.verdict == Verdict::Passed).count();
    println!("interop: {passed} passed, {} failed, {} cells", failed.len(), cells.len());
    assert!(failed.is_empty(), "{} cells failed; see above", failed.len());
    // Our own sandbox and the Rust peer need nothing from outside, so this run is never empty.
    assert!(cells.iter().any(|cell| cell.direction == Direction::TheyPay && cell.verdict == Verdict::Passed));
    assert!(cells.iter().any(|cell| cell.direction == Direction::WePay && cell.verdict == Verdict::Passed));
}
