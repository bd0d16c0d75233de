//! The `mpp` crate as a client and as a server, for the interop tests.
//!
//! `farthing-peer client '<json>'` pays for a URL, `farthing-peer server '<json>'` sells one; the
//! configuration and the printed lines are those of the JavaScript and Python peers, described in
//! `tests/interop/README.md`. Nothing of Farthing is linked in: that is the point of it.

mod client;
mod config;
mod line;
mod server;

use std::process::ExitCode;

/// What the peer was asked to be, or what was wrong with the call.
async fn run(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [side, json] if side == "client" => client::run(&config::parse(json)?).await,
        [side, json] if side == "server" => server::run(config::parse(json)?).await,
        _ => Err("usage: farthing-peer client|server '<json>'".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            line::complain(&message);
            ExitCode::from(2)
        }
    }
}
