//! `farthing billing serve`: the API over a store, until it is asked to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use farthing_api::Api;
use farthing_billing::service::Billing;
use serde_json::json;
use tokio::net::TcpListener;

use super::Place;
use super::work::Workers;
use super::world::System;
use crate::cli::log::{self, LogFormat, Logging};
use crate::cli::stop::Stop;
use crate::config::value;
use crate::error::{CliError, Exit};
use crate::output::{Output, paint, style};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Where to listen, instead of what the configuration says
    #[arg(long, value_name = "IP:PORT", value_parser = value::listen)]
    listen: Option<SocketAddr>,
    /// How the log is written, if not like the results
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let mut config = args.place.config()?;
    if let Some(listen) = args.listen {
        config.set_listen(listen)?;
    }
    log::start_with(output, Logging { default: "warn", format: args.log_format, traces: None });
    config.warnings.iter().for_each(|warning| output.warn(warning));
    let store = output.progress("opening the store", config.open()).await?;
    let billing = Billing::new(store);
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        let why = crate::error::plain_io(&error);
        CliError::usage("listen", format!("cannot listen on {}: {why}", config.listen))
            .help("choose another port with --listen, or stop what listens there")
    })?;
    let stop = Stop::listen()?;
    let workers = Workers::start(&billing, &config)?;
    let mut api = Api::new(billing, Arc::new(System), config.settings.clone());
    if let Some(addresses) = workers.addresses() {
        api = api.with_addresses(addresses);
    }
    let nudge = workers.nudge();
    api = api.with_topups(Arc::new(move |rule| nudge.look(rule)));
    announce(
        &format!("http://{}", listener.local_addr().unwrap_or(config.listen)),
        &config.store.to_string(),
        output,
    )?;
    let router = api.router();
    let served = axum::serve(listener, router).with_graceful_shutdown(async move {
        stop.asked().await;
        output.note("stopping; requests in flight may finish");
        api.stop();
    });
    let served = served.await;
    workers.finish().await;
    served.map_err(|error| CliError::unexpected("listen", format!("the listener broke: {error}")))?;
    Ok(Exit::Ok)
}

fn announce(url: &str, store: &str, output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(&json!({ "ready": true, "url": url, "store": store }));
    }
    output.line(format_args!("{}  over {store}", paint(style::TITLE, "Farthing billing")))?;
    output.line(format_args!("The API's document is at {url}/v1/openapi.json"))?;
    output.line(format_args!("{} {url}", paint(style::GOOD, "Ready")))
}
