//! `farthing demo`: a seller and a buyer at work, in one process, ending with books that add up.

use farthing_protocol::UnixMs;
use farthing_protocol::ports::Clock;
use farthing_rails::tempo::tokens::PATH_USD;
use serde_json::json;

use super::stop::Stop;
use crate::clock::SystemClock;
use crate::error::{CliError, Exit};
use crate::output::Output;
use books::{Books, Snapshot};
use keep::Invitation;
use script::{Outcome, STEPS};
use world::World;

mod books;
mod keep;
mod script;
mod show;
mod upstream;
mod world;

#[derive(Debug, clap::Args)]
#[command(after_long_help = include_str!("../../help/demo.txt"))]
pub struct Args {
    /// Leave everything running, and print lines to try
    #[arg(long)]
    keep: bool,
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    super::log::start(output);
    let began = SystemClock.now();
    let world = output.progress("starting a chain, an API and a gateway", World::start()).await?;
    let result = show_and_keep(&world, &args, output, began).await;
    world.stop().await;
    result.map(|()| Exit::Ok)
}

async fn show_and_keep(world: &World, args: &Args, output: Output, began: UnixMs) -> Result<(), CliError> {
    if !args.keep {
        return show_everything(world, None, output, began).await;
    }
    let stop = Stop::listen()?;
    let invitation = Invitation::prepare(world)?;
    show_everything(world, Some(&invitation), output, began).await?;
    if !output.is_json() {
        invitation.print(output)?;
    }
    stop.asked().await;
    output.note("stopping");
    Ok(())
}

async fn show_everything(
    world: &World,
    invitation: Option<&Invitation>,
    output: Output,
    began: UnixMs,
) -> Result<(), CliError> {
    if !output.is_json() {
        show::introduction(world, output)?;
    }
    let before = Snapshot::take(&world.rpc, PATH_USD, &world.accounts).await?;
    let outcomes = play(world, output).await?;
    let after = Snapshot::take(&world.rpc, PATH_USD, &world.accounts).await?;
    let books = Books::new(&before, &after, script::agreed(&outcomes)?);
    let took_ms = began.until_ms(SystemClock.now());
    if output.is_json() {
        let calls: Vec<_> = outcomes.iter().map(Outcome::to_json).collect();
        output.json(&json!({
            "sandbox": true,
            "chain": { "id": world.sandbox.chain_id(), "rpc_url": world.sandbox.url() },
            "gateway": format!("http://{}", world.gateway),
            "calls": calls,
            "upstream": { "calls": world.upstream.counts.calls(), "failures": world.upstream.counts.failures() },
            "books": books.to_json(),
            "took_ms": took_ms,
            "try": invitation.map(Invitation::to_json),
        }))?;
        return books.check();
    }
    show::books(&books, output)?;
    books.check()?;
    show::conclusion(&books, &outcomes, took_ms, output)
}

async fn play(world: &World, output: Output) -> Result<Vec<Outcome>, CliError> {
    let mut outcomes = Vec::with_capacity(STEPS.len());
    for (index, step) in STEPS.into_iter().enumerate() {
        let number = index + 1;
        let outcome = output.progress(show::waiting(number), script::play(step, world)).await?;
        if !output.is_json() {
            show::call(number, &outcome, output)?;
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}
