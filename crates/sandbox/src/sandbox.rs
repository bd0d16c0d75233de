//! Starting and stopping: the listener, and the task that makes blocks.
//!
//! A running sandbox stops when it is told to, and when it is dropped.

use crate::chain::Chain;
use crate::config::{BlockTime, SandboxConfig};
use crate::error::SandboxError;
use crate::rpc;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often an instant chain looks whether a transaction that it holds has become valid.
const HELD_CHECK: Duration = Duration::from_millis(200);

/// Starts sandboxes.
#[derive(Clone, Copy, Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Starts a chain at its genesis and listens for JSON-RPC. `clock` says what time it is, in Unix milliseconds.
    ///
    /// # Errors
    /// What [`SandboxConfig::check`] refuses, and an address that cannot be listened on.
    pub async fn start(
        config: SandboxConfig,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<RunningSandbox, SandboxError> {
        config.check()?;
        let listen = config.listen;
        let failed = |source| SandboxError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let block_time = config.block_time;
        let chain = Chain::new(config, Box::new(clock));
        let (stop, stopped) = watch::channel(());
        let tasks = vec![
            tokio::spawn(rpc::serve(listener, Arc::clone(&chain), stopped.clone())),
            tokio::spawn(make_blocks(Arc::clone(&chain), block_time, stopped)),
        ];
        tracing::info!(
            %address,
            chain_id = chain.chain_id(),
            "sandbox chain started: a model of Tempo for development, its money is worth nothing"
        );
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the sandbox can be reached from other machines, and anybody can fund themselves");
        }
        Ok(RunningSandbox { address, chain, stop: Some(stop), tasks })
    }
}

/// A chain that answers. Dropping it stops it.
#[derive(Debug)]
pub struct RunningSandbox {
    address: SocketAddr,
    chain: Arc<Chain>,
    stop: Option<watch::Sender<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl RunningSandbox {
    /// Where the JSON-RPC port is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address that is listened on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The chain's id.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain.chain_id()
    }

    /// The chain itself, for calls that need no port.
    #[must_use]
    pub fn chain(&self) -> Arc<Chain> {
        Arc::clone(&self.chain)
    }

    /// Stops listening, lets what is being answered finish, and returns when nothing runs any more.
    pub async fn shutdown(mut self) {
        self.stop.take();
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a sandbox task did not end well");
            }
        }
    }
}

async fn make_blocks(chain: Arc<Chain>, block_time: BlockTime, mut stopped: watch::Receiver<()>) {
    let period = match block_time {
        BlockTime::Instant => HELD_CHECK,
        BlockTime::Every(period) => period,
    };
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            // The sender says nothing; when it is gone the sandbox is to stop.
            _ = stopped.changed() => return,
            _ = ticks.tick() => {}
        }
        match block_time {
            BlockTime::Instant => chain.mine_if_ready(),
            BlockTime::Every(_) => {
                chain.mine();
            }
        }
    }
}
