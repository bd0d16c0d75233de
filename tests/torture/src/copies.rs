//! Many copies of one credential at once, at every gateway: one delivery, one settlement, one call of the API (C21, C24).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use crate::books::{Findings, balance};
use crate::buyer::{Buyer, Call, Reply};
use crate::world::World;

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rounds for each kind.
    pub rounds: usize,
    /// Copies in a round.
    pub copies: usize,
}

/// Runs it.
///
/// # Errors
/// A sentence, when the world does not work at all.
pub async fn run(world: &Arc<World>, plan: Plan, findings: &mut Findings) -> Result<(), String> {
    let gateways = (0..world.gateways()).map(|index| world.serve(index)).collect::<Result<Vec<_>, _>>()?;
    for kind in &world.kinds {
        let before = world.earned().await?;
        let mut served = Vec::new();
        for round in 0..plan.rounds {
            let buyer = Buyer::new(world, round)?;
            let call = Arc::new(Call::new(world, *kind, "&wait=20"));
            let credential: Arc<str> = buyer.credential(world, &call).await?.into();
            let replies = at_once(world, &buyer, &call, &credential, plan.copies).await;
            let count = |wanted: fn(&Reply) -> bool| replies.iter().filter(|reply| wanted(reply)).count();
            let deliveries = count(|reply| *reply == Reply::Served);
            findings.expect(deliveries == 1, || format!("{kind:?} round {round}: {deliveries} deliveries"));
            let others = count(|reply| matches!(reply, Reply::Served | Reply::Used | Reply::Later(_)));
            findings.expect(others == plan.copies, || {
                let odd: Vec<_> = replies
                    .iter()
                    .filter(|reply| !matches!(reply, Reply::Served | Reply::Used | Reply::Later(_)))
                    .collect();
                format!("{kind:?} round {round}: unexpected answers {odd:?}")
            });
            let executions = world.upstream.executions(&call.id);
            findings
                .expect(executions == 1, || format!("{kind:?} round {round}: {executions} calls of the API"));
            let late = buyer.insist(world, &call, &credential, Duration::from_secs(30)).await;
            findings.expect(late == Reply::Used, || format!("{kind:?} round {round}: afterwards {late:?}"));
            served.push(*kind);
        }
        balance(world, before, &served, findings).await?;
        println!("copies {kind:?}: {} rounds of {} copies", plan.rounds, plan.copies);
    }
    drop(gateways);
    Ok(())
}

async fn at_once(
    world: &Arc<World>,
    buyer: &Buyer,
    call: &Arc<Call>,
    credential: &Arc<str>,
    copies: usize,
) -> Vec<Reply> {
    let gun = Arc::new(Barrier::new(copies));
    let presenting: Vec<_> = (0..copies)
        .map(|index| {
            let (world, buyer, gun) = (Arc::clone(world), buyer.clone(), Arc::clone(&gun));
            let (call, credential) = (Arc::clone(call), Arc::clone(credential));
            tokio::spawn(async move {
                gun.wait().await;
                buyer.present(&world, index, &call, &credential).await
            })
        })
        .collect();
    let mut replies = Vec::with_capacity(copies);
    for task in presenting {
        replies.push(task.await.unwrap_or(Reply::Broken));
    }
    replies
}
