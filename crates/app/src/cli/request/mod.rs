//! `farthing request`: curl, with a purse.

use std::time::Duration;

use farthing_client::journal::{PaymentRecord, PaymentState};
use farthing_client::{Agent, AgentError, Payment, PaymentMiddleware};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::Clock;
use reqwest::{Request, Response};
use url::Url;

use crate::clock::SystemClock;
use crate::error::{CliError, Exit};
use crate::output::{Notes, Output, can_ask};
use crate::wire::buyer;
use args::Args;
use file::OutFile;
use trace::Trace;

mod again;
pub mod answer;
pub mod args;
pub mod ask;
mod content;
mod dry_run;
mod file;
mod terminal;
mod trace;

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let output = if args.silent { Output { notes: Notes::Hide, ..output } } else { output };
    super::log::start_at(output, "error");
    let request = content::build(&args)?;
    // Found out before anything is paid.
    let file = args.out.as_deref().map(OutFile::prepare).transpose()?;
    let result = match &args.paying.payment {
        Some(id) => again::run(id, request, &args, output).await,
        None => pay(request, &args, output).await,
    };
    if let (Err(_), Some(file)) = (&result, file) {
        file.discard();
    }
    result
}

async fn pay(request: Request, args: &Args, output: Output) -> Result<Exit, CliError> {
    let agent = buyer::agent(args, output).await?;
    let attempt = Attempt { began: SystemClock.now(), url: request.url().clone() };
    let call = call(&agent, request, args, output);
    match args.max_time {
        None => call.await,
        Some(time) => match tokio::time::timeout(time, call).await {
            Ok(result) => result,
            Err(_) => Err(attempt.timed_out(&agent, time)),
        },
    }
}

async fn call(agent: &Agent, request: Request, args: &Args, output: Output) -> Result<Exit, CliError> {
    let host = request.url().host_str().unwrap_or_default().to_owned();
    if args.paying.dry_run {
        let preview = output.progress(format!("asking {host}"), agent.preview(request)).await?;
        return dry_run::write(&preview, output);
    }
    // A spinner would write over a question, and over a trace.
    let may_ask = args.paying.password.asks() || (can_ask() && agent.asks());
    let response = if args.verbose || may_ask {
        send(agent, request, args, output).await?
    } else {
        output.progress(format!("calling {host}"), send(agent, request, args, output)).await?
    };
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

/// A call that may be cut short.
struct Attempt {
    began: UnixMs,
    url: Url,
}

impl Attempt {
    /// Whether money may have moved is in the journal: every step is there before it is taken.
    fn timed_out(&self, agent: &Agent, time: Duration) -> CliError {
        let payments = agent.journal().payments().unwrap_or_default();
        let ours = |payment: &&PaymentRecord| {
            // An earlier payment that was presented again has changed, and not begun.
            payment.changed >= self.began
                && payment.state != PaymentState::NotPaid
                && Url::parse(&payment.target.url).is_ok_and(|url| url.origin() == self.url.origin())
        };
        let Some(payment) = payments.iter().rev().find(ours) else {
            return CliError::network("timed_out", format!("no answer within {time:?}; nothing was paid"))
                .help("allow more with --max-time, or check the address");
        };
        let (exit, what) = match payment.state {
            PaymentState::Served => (Exit::NotServed, "the call was paid, and its answer had begun"),
            _ => (Exit::Unknown, "a payment had begun; do not pay again"),
        };
        CliError::new(exit, "timed_out", format!("no whole answer within {time:?}; {what}"))
            .help(format!("see what became of it: farthing payments {}", payment.id))
            .details(serde_json::json!({ "payment": payment.id.as_str(), "may_have_paid": true }))
    }
}
