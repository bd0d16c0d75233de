//! An API that fails in every way there is: each call ends delivered or owed, and what is owed is delivered once the API works.

use std::sync::Arc;
use std::time::Duration;

use crate::books::{Findings, balance};
use crate::buyer::{Buyer, Call, Reply};
use crate::upstream::Failure;
use crate::world::{Kind, World};

/// Calls that are made at once.
const AT_ONCE: usize = 64;
/// How long a call may stay open.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes `calls` calls, each of which fails at first.
///
/// # Errors
/// A sentence, when the world does not work at all.
pub async fn run(world: &Arc<World>, calls: usize, findings: &mut Findings) -> Result<(), String> {
    let gateways = (0..world.gateways()).map(|index| world.serve(index)).collect::<Result<Vec<_>, _>>()?;
    let before = world.earned().await?;
    let buyers = (0..6).map(|index| Buyer::new(world, index)).collect::<Result<Vec<_>, _>>()?;
    let mut served = Vec::new();
    let mut rest: Vec<usize> = (0..calls).collect();
    while !rest.is_empty() {
        let batch: Vec<usize> = rest.split_off(rest.len().saturating_sub(AT_ONCE));
        let making: Vec<_> = batch
            .into_iter()
            .map(|nth| {
                let kind = world.kinds[nth % world.kinds.len()];
                let failure = Failure::ALL[(nth / world.kinds.len()) % Failure::ALL.len()];
                let (world, buyer) = (Arc::clone(world), buyers[nth % buyers.len()].clone());
                (kind, failure, tokio::spawn(async move { one(&world, &buyer, kind, failure).await }))
            })
            .collect();
        for (kind, failure, task) in making {
            match task.await {
                Ok(Ok(())) => served.push(kind),
                Ok(Err(why)) => findings.broken(format!("{kind:?} with {failure:?}: {why}")),
                Err(error) => findings.broken(error.to_string()),
            }
        }
    }
    balance(world, before, &served, findings).await?;
    println!("failures: {} of {calls} calls were served in the end, each paid once", served.len());
    drop(gateways);
    Ok(())
}

async fn one(world: &World, buyer: &Buyer, kind: Kind, failure: Failure) -> Result<(), String> {
    let call = Call::new(world, kind, &format!("&fail={}&times=1", failure.word()));
    let credential = buyer.credential(world, &call).await?;
    let first = buyer.present(world, 0, &call, &credential).await;
    if !matches!(first, Reply::Later(_) | Reply::Broken) {
        return Err(format!("the call that failed was answered with {first:?}"));
    }
    match buyer.insist(world, &call, &credential, PATIENCE).await {
        Reply::Served => {}
        other => return Err(format!("it was not served within a minute: {other:?}")),
    }
    // The first execution failed, the second served; one that the gateway repeated by itself would be a third.
    match world.upstream.executions(&call.id) {
        2 => Ok(()),
        executions => Err(format!("the API was called {executions} times")),
    }
}
