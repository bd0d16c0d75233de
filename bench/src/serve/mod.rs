//! The servers that are measured, each run as a process: all on one runtime, made as `farthing serve` makes its own.

mod bare;
mod fixed;
mod gate;
mod rail;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::Failure;

/// Which server to be.
#[derive(Debug, Subcommand)]
pub(crate) enum Server {
    /// The gateway, with a free route, a Tempo charge and an example charge
    Gate(gate::Args),
    /// Bare hyper, which answers everything with the answer in this file
    Bare {
        /// A whole HTTP/1.1 answer
        answer: PathBuf,
    },
    /// The HTTP stack of the billing API, which answers holds and captures with the body in this file
    Fixed {
        /// A body in JSON
        body: PathBuf,
    },
    /// What stands behind the gateway and behind its peers
    Upstream,
}

/// Serves until standard input closes.
pub(crate) fn run(server: Server) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match server {
            Server::Gate(args) => gate::serve(args).await,
            Server::Bare { answer } => bare::serve(&answer).await,
            Server::Fixed { body } => fixed::serve(&body).await,
            Server::Upstream => upstream::serve().await,
        }
    })?;
    // The read of standard input cannot be cancelled, so the runtime would wait for it.
    std::process::exit(0)
}

/// A listener on a free port.
async fn listen() -> Result<TcpListener, Failure> {
    Ok(TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?)
}

/// Says where the server listens.
fn ready(address: SocketAddr) {
    println!("{}", serde_json::json!({ "ready": true, "url": format!("http://{address}") }));
}

/// Ends when standard input does.
async fn parent_leaves() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 64];
    while input.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}
