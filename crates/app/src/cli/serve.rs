//! `farthing serve`: a gateway, from its configuration file until it is told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anstyle::Style;
use farthing_gate::Recovered;
use farthing_gate::observe::Unobserved;
use farthing_gate::server::serve_switch;
use farthing_store::SqliteClaims;
use serde_json::json;
use tokio::net::TcpListener;

use super::log::LogFormat;
use super::reload::{Hangup, Serving, Standing};
use super::stop::Stop;
use crate::config::route::{Fees, Priced, RouteTerms};
use crate::config::{GatewayConfig, env, network, value};
use crate::error::{CliError, Exit};
use crate::observe::Watched;
use crate::output::{Align, Output, Table, paint, style};
use crate::wire::seller::{self, Seller};

#[derive(Debug, clap::Args)]
#[command(after_long_help = include_str!("../help/serve.txt"))]
pub struct Args {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", required_unless_present = "init")]
    config: Option<PathBuf>,
    /// Check the configuration and the chain, and end
    #[arg(long)]
    check: bool,
    /// Print a commented configuration to start from, and end
    #[arg(long, conflicts_with_all = ["config", "check"])]
    init: bool,
    /// How the log is written, if not like the results
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let Some(file) = args.config else { return super::config::print_example(output) };
    let config = load(&file)?;
    let mut watched = Watched::start(&config, output, args.log_format)?;
    config.warnings.iter().for_each(|warning| output.warn(warning));
    if args.check {
        return check(&config, &file, output).await;
    }
    let store = output.progress("opening the store", config.store.open()).await?;
    let standing = Standing { file, store: Arc::clone(&store), observers: watched.observers(), output };
    let (serving, seller) = Serving::new(config, standing)?;
    let config = serving.config();
    output.progress("asking the chain", seller::check_chain(&config.tempo)).await?;
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        let why = crate::error::plain_io(&error);
        CliError::usage("listen", format!("gateway.listen: cannot listen on {}: {why}", config.listen))
            .help("choose another port, or stop what listens there")
    })?;
    let admin = watched.listen(config, Arc::clone(&store)).await?;
    let recovered = output.progress("looking up payments that were in flight", seller.gate.recover()).await;
    let recovered = recovered.map_err(|error| CliError::unexpected("store", error.to_string()))?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", listener.local_addr().unwrap_or(config.listen));
    let signals = (Stop::listen()?, Hangup::listen()?);
    announce(config, &seller, &Started { url, admin, recovered }, output)?;
    // What served first is let go with the first reload.
    drop(seller);
    let served = serve_until(signals, listener, serving, output).await;
    watched.finish().await;
    served?;
    drop(store);
    Ok(Exit::Ok)
}

/// Reads and checks a configuration file.
///
/// # Errors
/// With everything that is wrong with it.
pub fn load(file: &Path) -> Result<GatewayConfig, CliError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        CliError::file("read the configuration", file, &error)
            .help("make one to start from: farthing serve --init > gateway.toml")
    })?;
    Ok(GatewayConfig::parse(file, &text, &env::read)?)
}

async fn check(config: &GatewayConfig, file: &Path, output: Output) -> Result<Exit, CliError> {
    // A store in memory: the real one may be in use by the gateway that runs.
    let store = SqliteClaims::open_in_memory()?;
    let seller = seller::build(config, Arc::new(store), Arc::new(Unobserved))?;
    output.progress("asking the chain", seller::check_chain(&config.tempo)).await?;
    if output.is_json() {
        output.json(&json!({ "ok": true, "warnings": config.warnings, "routes": routes_json(config) }))?;
    } else {
        summary(config, &seller, output)?;
        output.line(format_args!("{} {} is right", paint(style::GOOD, "ok"), file.display()))?;
    }
    Ok(Exit::Ok)
}

async fn serve_until(
    (stop, hangup): (Stop, Hangup),
    listener: TcpListener,
    mut serving: Serving,
    output: Output,
) -> Result<(), CliError> {
    let switch = serving.switch();
    serving.resolve();
    let reloads = tokio::spawn(serving.reload_when_asked(hangup));
    let stop = async move {
        stop.asked().await;
        output.note("stopping; requests in flight may finish");
    };
    let served = serve_switch(listener, switch, stop).await;
    reloads.abort();
    // What it holds of the store is gone once it has ended.
    let _ = reloads.await;
    served.map_err(|error| CliError::unexpected("listen", format!("the listener broke: {error}")))
}

/// What there is to tell once a gateway is ready.
struct Started {
    url: String,
    /// Where operators look.
    admin: Option<SocketAddr>,
    recovered: Recovered,
}

fn announce(
    config: &GatewayConfig,
    seller: &Seller,
    started: &Started,
    output: Output,
) -> Result<(), CliError> {
    let Started { url, admin, recovered } = started;
    if output.is_json() {
        return output.json(&json!({
            "ready": true, "url": url, "admin": admin.map(|admin| format!("http://{admin}")), "realm": config.realm, "chain_id": config.tempo.chain_id,
            "recipient": config.tempo.recipient, "currency": config.tempo.currency.address,
            "routes": routes_json(config),
            "recovered": {
                "released": recovered.released, "settled": recovered.settled,
                "failed": recovered.failed, "pending": recovered.pending,
            },
        }));
    }
    summary(config, seller, output)?;
    if *recovered != Recovered::default() {
        output.line(format_args!(
            "Payments in flight when it last stopped: {} settled, {} failed, {} not known yet; {} interrupted deliveries are owed.",
            recovered.settled, recovered.failed, recovered.pending, recovered.released
        ))?;
    }
    if let Some(admin) = admin {
        output.line(format_args!("Metrics and health at http://{admin}"))?;
    }
    output.line(format_args!("{} {url}", paint(style::GOOD, "Ready")))
}

fn summary(config: &GatewayConfig, seller: &Seller, output: Output) -> Result<(), CliError> {
    let tempo = &config.tempo;
    output.line(format_args!(
        "{}  for {}, in front of {}",
        paint(style::TITLE, "Farthing gateway"),
        config.realm,
        config.upstream.url
    ))?;
    output.line(format_args!(
        "Takes {} on {} for {}",
        tempo.currency.asset.code(),
        network::name(tempo.chain_id),
        tempo.recipient
    ))?;
    if let (Some(address), Some(sponsor)) = (seller.sponsor, &tempo.sponsor) {
        let budget = sponsor.budget_per_day.to_decimal(value::USD_SCALE);
        output.line(format_args!("Pays fees of sponsored routes from {address}, at most {budget} a day"))?;
    }
    let mut table = Table::default();
    for route in &config.routes {
        let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
        let methods = if methods.is_empty() { "*".to_owned() } else { methods.join(",") };
        let (price, note) = match &route.terms {
            RouteTerms::Free => ("free".to_owned(), String::new()),
            RouteTerms::Priced(priced) => (priced.amount.to_decimal(value::USD_SCALE), describe(priced)),
        };
        table.row([
            (methods, style::DIM, Align::Left),
            (route.path.clone(), Style::new(), Align::Left),
            (price, style::MONEY, Align::Right),
            (note, style::DIM, Align::Left),
        ]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))
}

fn describe(priced: &Priced) -> String {
    let mut words: Vec<String> = priced.description.iter().cloned().collect();
    if priced.amount.is_zero() {
        words.push("proof of identity".into());
    }
    match priced.splits.len() {
        0 => {}
        1 => words.push("a part goes to another account".into()),
        parts => words.push(format!("parts go to {parts} other accounts")),
    }
    if priced.fees == Fees::Sponsored {
        words.push("fees paid by the seller".into());
    }
    words.join(", ")
}

fn routes_json(config: &GatewayConfig) -> serde_json::Value {
    let route = |route: &crate::config::route::RouteConfig| {
        let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
        let price = match &route.terms {
            RouteTerms::Free => None,
            RouteTerms::Priced(priced) => Some(priced.amount.to_decimal(value::USD_SCALE)),
        };
        json!({ "path": route.path, "methods": methods, "price": price })
    };
    config.routes.iter().map(route).collect()
}
