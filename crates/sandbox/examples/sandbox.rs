//! Runs a sandbox chain until it is interrupted: `cargo run -p farthing-sandbox --example sandbox -- 8545`.
//!
//! A second argument makes a block every so many milliseconds instead of one on each transaction.
#![allow(clippy::print_stdout, reason = "an example talks to its terminal")]

use farthing_sandbox::{BlockTime, Sandbox, SandboxConfig};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).init();
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(8545), |port| port.parse())?;
    let block_time = match arguments.next() {
        Some(period_ms) => BlockTime::Every(Duration::from_millis(period_ms.parse()?)),
        None => BlockTime::Instant,
    };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let config = SandboxConfig { listen, block_time, ..Default::default() };
    let sandbox = Sandbox::start(config, unix_ms).await?;
    println!("sandbox chain {} on {}", sandbox.chain_id(), sandbox.url());
    tokio::signal::ctrl_c().await?;
    sandbox.shutdown().await;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "an example is its own application, so it reads the clock")]
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
