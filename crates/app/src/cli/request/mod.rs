//! `farthing request`: curl, with a purse.

use farthing_client::{Agent, AgentError, Payment, PaymentMiddleware};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::Clock;
use reqwest::{Request, Response};

use crate::clock::SystemClock;
use crate::error::{CliError, Exit};
use crate::output::{Notes, Output};
use crate::wire::buyer;
use args::Args;
use trace::Trace;

mod answer;
pub mod args;
mod content;
mod dry_run;
mod trace;

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let output = if args.silent { Output { notes: Notes::Hide, ..output } } else { output };
    super::log::start_at(output, "error");
    let request = content::build(&args)?;
    let agent = buyer::agent(&args).await?;
    let began = SystemClock.now();
    let call = call(&agent, request, &args, output);
    match args.max_time {
        None => call.await,
        Some(time) => match tokio::time::timeout(time, call).await {
            Ok(result) => result,
            Err(_) => Err(timed_out(&agent, began, time)),
        },
    }
}

async fn call(agent: &Agent, request: Request, args: &Args, output: Output) -> Result<Exit, CliError> {
    let host = request.url().host_str().unwrap_or_default().to_owned();
    if args.paying.dry_run {
        let preview = output.progress(format!("asking {host}"), agent.preview(request)).await?;
        return dry_run::write(&preview, output);
    }
    let response = output.progress(format!("calling {host}"), send(agent, request, args, output)).await?;
    let payment = response.extensions().get::<Payment>().cloned();
    answer::write(response, payment.as_ref(), args, output).await
}

async fn send(agent: &Agent, request: Request, args: &Args, output: Output) -> Result<Response, CliError> {
    let mut client = PaymentMiddleware::client(agent.clone());
    if args.verbose {
        client = client.with(Trace { output });
    }
    client.build().execute(request).await.map_err(|error| match error {
        reqwest_middleware::Error::Middleware(error) => match error.downcast::<AgentError>() {
            Ok(error) => error.into(),
            Err(error) => CliError::unexpected("request", error.to_string()),
        },
        reqwest_middleware::Error::Reqwest(error) => {
            CliError::network("transport_failed", error.without_url().to_string())
        }
    })
}

/// Whether money may have moved is in the journal: every step is there before it is taken.
fn timed_out(agent: &Agent, began: UnixMs, time: std::time::Duration) -> CliError {
    let message = format!("no answer within {time:?}");
    let open = agent.journal().payments().ok().and_then(|payments| {
        payments.into_iter().rev().find(|payment| payment.began >= began && !payment.state.is_final())
    });
    match open {
        Some(payment) => CliError::new(Exit::Unknown, "timed_out", format!("{message}; a payment had begun"))
            .help(format!("do not pay again; see what became of it: farthing payments {}", payment.id))
            .details(serde_json::json!({ "payment": payment.id.as_str(), "may_have_paid": true })),
        None => CliError::network("timed_out", format!("{message}; nothing was paid"))
            .help("allow more with --max-time, or check the address"),
    }
}
