//! Starts what watches a gateway, and ends it: the log, the exporter of traces, the hook for panics, the operator's listener.

use std::net::SocketAddr;
use std::sync::Arc;

use farthing_gate::observe::Observer;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimStore, Clock};
use farthing_rails::tempo::TempoRpc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::admin::{self, Needs};
use super::exported::Exported;
use super::otlp::Exporter;
use super::trace::Traces;
use super::{Watch, panics};
use crate::cli::log::{self, LogFormat, Logging};
use crate::clock::SystemClock;
use crate::config::GatewayConfig;
use crate::error::CliError;
use crate::output::Output;

/// What is logged where `FARTHING_LOG` says nothing: what goes wrong, and every paid call.
const LOGGED: &str = "warn,access=info";

/// Makes the observer of a gate with this configuration.
pub type Observers = Box<dyn Fn(&GatewayConfig) -> Arc<dyn Observer> + Send + Sync>;

/// Everything that watches one gateway.
pub struct Watched {
    exported: Arc<Exported>,
    exporter: Option<Exporter>,
    admin: Option<JoinHandle<()>>,
}

impl Watched {
    /// Starts the log, the traces and the hook for panics.
    ///
    /// # Errors
    /// When TLS to the collector cannot be set up.
    pub fn start(
        config: &GatewayConfig,
        output: Output,
        format: Option<LogFormat>,
    ) -> Result<Self, CliError> {
        let exported = Arc::new(Exported::new());
        exported.build.with([env!("CARGO_PKG_VERSION")]).set(1);
        exported.started.with([]).set(seconds(SystemClock.now()));
        // What has not happened is 0, and not unknown: alerts look at it.
        exported.panics.with([]).add(0);
        for outcome in ["exported", "dropped"] {
            exported.spans.with([outcome]).add(0);
        }
        let (mut traces, mut exporter) = (None, None);
        if let Some(config) = &config.observe.traces {
            let started = Exporter::start(config, Arc::clone(&exported))
                .map_err(|_| CliError::unexpected("traces", "observe.otlp_endpoint: TLS cannot be set up"))?;
            traces = Some(Traces::new(started.0, config.one_in, Arc::clone(&exported)));
            exporter = Some(started.1);
        }
        log::start_with(output, Logging { default: LOGGED, format, traces });
        panics::install(Arc::clone(&exported));
        Ok(Self { exported, exporter, admin: None })
    }

    /// What a gate tells of itself goes to what this makes of its configuration.
    pub fn observers(&self) -> Observers {
        let exported = Arc::clone(&self.exported);
        Box::new(move |config| Arc::new(Watch::new(Arc::clone(&exported), config.observe.payers)))
    }

    /// Opens the operator's listener, where one is configured; where it listens.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn listen(
        &mut self,
        config: &GatewayConfig,
        store: Arc<dyn ClaimStore>,
    ) -> Result<Option<SocketAddr>, CliError> {
        let Some(admin) = config.admin else { return Ok(None) };
        let listen = admin.listen;
        let failed = |error: &std::io::Error| {
            let why = crate::error::plain_io(error);
            CliError::usage("listen", format!("admin.listen: cannot listen on {listen}: {why}"))
                .help("choose another port, or stop what listens there")
        };
        let listener = TcpListener::bind(listen).await.map_err(|error| failed(&error))?;
        let address = listener.local_addr().map_err(|error| failed(&error))?;
        let rpc = TempoRpc::new(config.tempo.rpc_url.as_str())?;
        let needs = Needs { store, rpc, chain_id: config.tempo.chain_id };
        let served = admin::serve(listener, Arc::clone(&self.exported), needs);
        self.admin = Some(tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the operator's listener broke");
            }
        }));
        Ok(Some(address))
    }

    /// Closes the listener and sends the last spans.
    pub async fn finish(self) {
        if let Some(admin) = self.admin {
            admin.abort();
            // What it holds of the store is gone once it has ended.
            let _ = admin.await;
        }
        if let Some(exporter) = self.exporter {
            exporter.finish().await;
        }
    }
}

fn seconds(at: UnixMs) -> i64 {
    i64::try_from(at.as_ms() / 1000).unwrap_or(i64::MAX)
}
