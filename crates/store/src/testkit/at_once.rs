//! Many at once: one of them gets it (C24).

use super::*;

/// Enough that every writer of a store has several of them at once.
const COPIES: u64 = 64;

/// Of 64 copies at once, one claims, one begins each delivery, and one ends it.
pub(super) async fn gives_one_of_many_at_once<S: ClaimStore + 'static>(store: Arc<S>) {
    for round in 0..8 {
        let id = format!("c{round}");
        let claims = (0..COPIES).map(|_| {
            let (store, new) = (Arc::clone(&store), new_claim(&id, &[&format!("k{round}")]));
            tokio::spawn(async move { show_outcome(&store.claim(new, at(1)).await.expect("it answers")) })
        });
        assert_eq!(count(claims, "new").await, 1, "claims of round {round}");
        expect_step(&*store, &id, settle_for_later("r"), 2, "ok").await;
        let step = |step: fn(LeaseHolder) -> ClaimStep, now| {
            let (store, id) = (Arc::clone(&store), ClaimId(id.clone()));
            (0..COPIES).map(move |copy| {
                let (store, id) = (Arc::clone(&store), id.clone());
                let step = step(LeaseHolder(u128::from(copy)));
                tokio::spawn(async move { show_step(&store.advance(&id, step, at(now)).await) })
            })
        };
        let begins = step(|holder| ClaimStep::BeginDelivery(lease_of(holder, at(100))), 3);
        assert_eq!(count(begins, "ok").await, 1, "deliveries of round {round}");
        let ends = step(|holder| ClaimStep::Delivered { holder, answer: None }, 4);
        assert_eq!(count(ends, "ok").await, 1, "ends of round {round}");
    }
}

/// C23: of many payments for one request at once, one is claimed; and of many for one piece of money.
pub(super) async fn gives_a_request_to_one<S: ClaimStore + 'static>(store: Arc<S>) {
    for round in 0..4 {
        for shared in ["request", "money"] {
            let claims = (0..COPIES).map(|copy| {
                let id = format!("{shared} {round} {copy}");
                let own = format!("key {id}");
                let money = format!("money {round}");
                let new = match shared {
                    "request" => same_request(new_claim(&id, &[&own]), &format!("request {round}"), 1),
                    _ => new_claim(&id, &[&own, &money]),
                };
                let store = Arc::clone(&store);
                tokio::spawn(async move { show_outcome(&store.claim(new, at(1)).await.expect("it answers")) })
            });
            assert_eq!(count(claims, "new").await, 1, "{shared} of round {round}");
        }
    }
}

/// TC7: of many that want a part of a budget at once, no more get it than fit; what fails is another one's.
pub(super) async fn keeps_budgets_at_once<S: ClaimStore + 'static>(store: Arc<S>) {
    for round in 0..4_u64 {
        let now = 1_000 + round;
        let claims = (0..COPIES).map(|copy| {
            let mut new = new_claim(&format!("{round} {copy}"), &[&format!("key {round} {copy}")]);
            new.reservation = Some(reservation("fees", 10, 200 + u128::from(round) * 100, 100_000));
            let store = Arc::clone(&store);
            tokio::spawn(async move { show_outcome(&store.claim(new, at(now)).await.expect("it answers")) })
        });
        // The first 200 are for 20; then for the ten that the limit grew by, and the five that failed.
        let fits = if round == 0 { 20 } else { 15 };
        assert_eq!(count(claims, "new").await, fits, "round {round}");
        let mut failing = 0;
        for copy in 0..COPIES {
            let id = ClaimId(format!("{round} {copy}"));
            if failing < 5 && store.get(&id).await.expect("it answers").is_some() {
                expect_step(&*store, &id.0, failed("no"), now, "ok").await;
                failing += 1;
            }
        }
    }
}

async fn count(tasks: impl Iterator<Item = tokio::task::JoinHandle<String>>, wanted: &str) -> usize {
    let tasks: Vec<_> = tasks.collect();
    let mut found = 0;
    for task in tasks {
        found += usize::from(task.await.expect("the task ends") == wanted);
    }
    found
}
