//! Many calls at once against a wallet that can pay for some of them: exactly those succeed, and what is available is never below
//! zero.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use farthing_billing::service::hold::{NewCapture, NewHold};
use farthing_billing::service::wallet::Wallet;
use farthing_billing::service::{HoldId, Named as _};
use farthing_ledger::Net;
use farthing_money::Amount;
use tokio::sync::Barrier;

use crate::Findings;
use crate::call::{Call, Reply};
use crate::clock::fresh_id;
use crate::place::Place;
use crate::pool::{Pool, Program};
use crate::world::{ASSET, NETWORK, World};

/// What a call costs, in base units.
const PRICE: u128 = 25;

/// How many calls.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// At once.
    pub calls: usize,
    /// How many the wallet can pay for.
    pub enough_for: usize,
}

/// Runs it.
///
/// # Errors
/// A sentence, when it does not work at all.
pub async fn run(place: &Place, plan: Plan, findings: &mut Findings) -> Result<(), String> {
    let store = place.name();
    let enough = u128::try_from(plan.enough_for).unwrap_or(0) * PRICE;
    // Not a whole number of calls: what is left over pays for none.
    let world = Arc::new(World::make(&store, NETWORK, (1, enough + PRICE - 1)).await?);
    let pool = Arc::new(Pool::start(place, Program::worker(place, &world)).await?);
    let (done, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let watching =
        tokio::spawn(watch(Arc::clone(&pool), world.customer(0), Arc::clone(&done), Arc::clone(&reads)));
    let together = Arc::new(Barrier::new(plan.calls));
    let calls: Vec<_> = (0..plan.calls)
        .map(|_| {
            let (pool, world, together) = (Arc::clone(&pool), Arc::clone(&world), Arc::clone(&together));
            tokio::spawn(async move {
                together.wait().await;
                pay(&pool, &world).await
            })
        })
        .collect();
    let (mut paid, mut refused) = (0, 0);
    for call in calls {
        match call.await.map_err(|error| error.to_string())?? {
            None => paid += 1,
            Some(code) => {
                refused += 1;
                findings.expect(code == "insufficient_funds", || format!("a call was refused with {code}"));
            }
        }
    }
    done.store(true, Ordering::SeqCst);
    let lowest = watching.await.map_err(|error| error.to_string())??;
    findings
        .expect(paid == plan.enough_for, || format!("{paid} calls were paid for, not {}", plan.enough_for));
    findings.expect(lowest.is_none(), || format!("available was {lowest:?}"));
    let left = wallet(&pool, &world.customer(0)).await?;
    let rest = Net::Plus(Amount::from_base(PRICE - 1));
    findings.expect(left.settled == rest && left.available == rest && left.held.is_zero(), || {
        format!("the wallet has {left:?}")
    });
    drop(pool);
    let proof = place.prove().await?;
    findings.expect(proof.is_ok(), || format!("the ledger is broken: {proof:?}"));
    println!(
        "race: {} calls by {} process(es) at once, {paid} paid for, {refused} refused; the wallet was read {} times meanwhile",
        plan.calls,
        place.processes(),
        reads.load(Ordering::SeqCst)
    );
    Ok(())
}

/// A hold and its capture. The code, when it is refused.
async fn pay(pool: &Pool, world: &World) -> Result<Option<String>, String> {
    let id = HoldId::of_group(fresh_id().into());
    let new = NewHold {
        id: Some(id),
        customer: Some(world.customers[0]),
        asset: Some(ASSET.to_owned()),
        amount: Amount::from_base(PRICE),
        ..NewHold::default()
    };
    match pool.ask(Some(&id.text()), &Call::Place { new }).await? {
        Reply::Done(_) => {}
        Reply::Refused(code) | Reply::Later(code) => return Ok(Some(code)),
    }
    let call = Call::Capture { hold: id.text(), capture: NewCapture::default() };
    match pool.ask(Some(&format!("capture-{}", id.text())), &call).await? {
        Reply::Done(_) => Ok(None),
        Reply::Refused(code) | Reply::Later(code) => Err(format!("a hold could not be captured: {code}")),
    }
}

async fn wallet(pool: &Pool, customer: &str) -> Result<Wallet, String> {
    match pool.ask(None, &Call::Wallet { customer: customer.to_owned() }).await? {
        Reply::Done(value) => serde_json::from_value(value).map_err(|error| error.to_string()),
        Reply::Refused(code) | Reply::Later(code) => Err(code),
    }
}

/// Reads the wallet all the time. What was below zero, if anything was.
async fn watch(
    pool: Arc<Pool>,
    customer: String,
    done: Arc<AtomicBool>,
    reads: Arc<AtomicUsize>,
) -> Result<Option<Net>, String> {
    let mut lowest = None;
    while !done.load(Ordering::SeqCst) {
        let Wallet { available, .. } = wallet(&pool, &customer).await?;
        if matches!(available, Net::Minus(_)) {
            lowest = Some(available);
        }
        reads.fetch_add(1, Ordering::SeqCst);
    }
    Ok(lowest)
}
