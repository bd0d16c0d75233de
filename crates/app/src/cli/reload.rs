//! Takes a gateway's configuration in again while it serves (SIGHUP): routes, prices, upstream, secrets, certificates and limits
//! change between two requests. A file that is wrong, or that changes what cannot change, changes nothing.
//!
//! It does not watch the file: whoever writes it says when it is whole.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farthing_gate::server::{Front, ServerOptions, Switch};
use farthing_gate::{GateBuilder, RateLimiter, RateLimits};
use farthing_protocol::ports::{ClaimStore, Clock as _};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::clock::SystemClock;
use crate::config::GatewayConfig;
use crate::config::rotation;
use crate::error::CliError;
use crate::observe::Observers;
use crate::output::Output;
use crate::wire::seller::{self, Seller};

/// A gateway that serves, and everything that a reload needs.
pub struct Serving {
    standing: Standing,
    limiter: Arc<RateLimiter>,
    config: GatewayConfig,
    switch: Switch,
    resolver: Option<JoinHandle<()>>,
    sales: Option<JoinHandle<()>>,
    /// The longest life that a challenge had since the start.
    longest_ttl: Duration,
}

/// What outlives every reload.
pub struct Standing {
    /// The configuration file.
    pub file: PathBuf,
    /// What remembers payments.
    pub store: Arc<dyn ClaimStore>,
    /// Who is told what happens.
    pub observers: Observers,
    /// Who hears of reloads.
    pub output: Output,
}

impl Standing {
    fn build(
        &self,
        config: &GatewayConfig,
        adjust: impl FnOnce(GateBuilder) -> GateBuilder,
    ) -> Result<Seller, CliError> {
        seller::build_with(config, Arc::clone(&self.store), (self.observers)(config), adjust)
    }
}

impl Serving {
    /// A gateway with this configuration, which serves nothing yet.
    ///
    /// # Errors
    /// [`CliError`] for what the configuration file alone could not tell.
    pub fn new(config: GatewayConfig, standing: Standing) -> Result<(Self, Seller), CliError> {
        let limiter = Arc::new(RateLimiter::new(&rates(&config)));
        let seller = standing.build(&config, |gate| gate.rate_limiter(Arc::clone(&limiter)))?;
        let switch = Switch::new(front(&config, &seller));
        let longest_ttl = config.challenge_ttl;
        Ok((Self { standing, limiter, config, switch, resolver: None, sales: None, longest_ttl }, seller))
    }

    /// The configuration that is served.
    pub const fn config(&self) -> &GatewayConfig {
        &self.config
    }

    /// What serves now, and whatever will.
    pub fn switch(&self) -> Switch {
        self.switch.clone()
    }

    /// Asks about payments whose outcome is not known, beside serving.
    pub fn resolve(&mut self) {
        let (gate, options) = (self.switch.gate(), self.config.limits.resolver);
        let task = tokio::spawn(async move { gate.resolver(options).await });
        if let Some(old) = self.resolver.replace(task) {
            // Between two questions or within one: asking is repeated, and recording is one step.
            old.abort();
        }
        self.tell_sales();
    }

    /// Tells the billing service what was earned, where there is one.
    fn tell_sales(&mut self) {
        if let Some(old) = self.sales.take() {
            // A call that is told again is booked once.
            old.abort();
        }
        match seller::sales(&self.config, Arc::clone(&self.standing.store)) {
            Ok(sales) => self.sales = sales.map(|sales| tokio::spawn(sales.run())),
            Err(error) => self.standing.output.error(&error),
        }
    }

    /// Reloads whenever somebody asks. Never returns.
    pub async fn reload_when_asked(mut self, mut hangup: Hangup) {
        loop {
            hangup.next().await;
            match self.reload().await {
                Ok(()) => self.say_reloaded(),
                Err(error) => self.standing.output.error(&CliError {
                    message: format!("not reloaded, and serving as before: {}", error.message),
                    ..error
                }),
            }
        }
    }

    fn say_reloaded(&self) {
        let (Standing { file, output, .. }, config) = (&self.standing, &self.config);
        config.warnings.iter().for_each(|warning| output.warn(warning));
        let routes = config.routes.len();
        if output.is_json() {
            output.note_json(&json!({ "reloaded": file, "routes": routes }));
        } else {
            output.note(format_args!("reloaded {}: {routes} routes", file.display()));
        }
    }

    async fn reload(&mut self) -> Result<(), CliError> {
        let mut config = super::serve::load(&self.standing.file)?;
        refuse_what_cannot_change(&self.config, &config)?;
        rotation::keep_old(&self.config, &mut config, self.longest_ttl, SystemClock.now());
        let (old, new) = (&self.config.tempo, &config.tempo);
        if old.rpc_url != new.rpc_url || old.currency.address != new.currency.address {
            seller::check_chain(new).await?;
        }
        // A key may have to be unlocked, which takes a second.
        let before = self.switch.gate();
        let unlocking = || self.standing.build(&config, |gate| gate.succeeds(&before));
        let seller = tokio::task::block_in_place(unlocking)?;
        self.limiter.set(&rates(&config));
        self.switch.replace(front(&config, &seller));
        self.longest_ttl = self.longest_ttl.max(config.challenge_ttl);
        self.config = config;
        self.resolve();
        Ok(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(resolver) = &self.resolver {
            resolver.abort();
        }
    }
}

fn rates(config: &GatewayConfig) -> RateLimits {
    RateLimits { forwarded: config.upstream.forwarded, ..config.limits.rates }
}

fn front(config: &GatewayConfig, seller: &Seller) -> Front {
    let mut options: ServerOptions = config.limits.server;
    let Some(tls) = &config.tls else {
        return Front::new(seller.gate.clone(), seller.proxy.clone(), options);
    };
    options.handshake_timeout_ms = u64::try_from(tls.handshake_timeout.as_millis()).unwrap_or(u64::MAX);
    Front::new(seller.gate.clone(), seller.proxy.clone(), options).tls(tls.tls.clone())
}

/// The listener and the store are held by what serves, and payments of a chain are only settled on it.
fn refuse_what_cannot_change(old: &GatewayConfig, new: &GatewayConfig) -> Result<(), CliError> {
    let admin = |config: &GatewayConfig| config.admin.map(|admin| admin.listen);
    let changed = [
        ("gateway.listen", old.listen != new.listen),
        ("gateway.store", old.store != new.store),
        ("tempo.chain_id", old.tempo.chain_id != new.tempo.chain_id),
        ("admin.listen", admin(old) != admin(new)),
    ];
    match changed.iter().find(|(_, changed)| *changed) {
        None => Ok(()),
        Some((key, _)) => {
            let error =
                CliError::usage("reload_refused", format!("{key} cannot change while the gateway runs"));
            Err(error.help("put it back, or stop the gateway and start it again"))
        }
    }
}

/// Learns that somebody asks for a reload: SIGHUP. Listens from when it is made.
#[derive(Debug)]
pub struct Hangup {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangup {
    /// Begins to listen.
    ///
    /// # Errors
    /// When signals cannot be listened for.
    pub fn listen() -> Result<Self, CliError> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let failed =
                |error| CliError::unexpected("signals", format!("cannot listen for signals: {error}"));
            Ok(Self { signal: signal(SignalKind::hangup()).map_err(failed)? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        // No signal will ever come.
        std::future::pending::<()>().await;
    }
}
