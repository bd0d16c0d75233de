//! Several dispatchers on one store: one works, and when it dies another goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use farthing_api::webhook::Load;
use farthing_billing::service::webhook::DeliveryState;

use crate::receiver::{Received, Receiver, status};
use crate::world::{Bench, loopback, sender};

const SHORT: Load = Load { in_flight: 4, per_endpoint: 4, lease: Duration::from_millis(600) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_dispatchers_tell_everything_once_while_both_live() {
    let (bench, receiver) = (Bench::new(), Receiver::start(|_| status(200)).await);
    let endpoint = bench.endpoint(&receiver.url).await;
    let both = [bench.dispatch(loopback()), bench.dispatch(loopback())];
    for n in 0..100 {
        bench.tell(["cus_a", "cus_b"][usize::from(n % 2 == 0)], n).await;
    }
    bench.until(&endpoint, DeliveryState::Delivered, 100).await;
    for running in both {
        running.stop().await;
    }
    assert_eq!(receiver.received().len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatchers_that_are_cut_off_lose_nothing_and_keep_the_order() {
    let (bench, receiver) = (Bench::new(), Receiver::start(|_| status(200)).await);
    let endpoint = bench.endpoint(&receiver.url).await;
    for n in 0..300 {
        bench.tell(["cus_a", "cus_b", "cus_c"][usize::try_from(n % 3).unwrap()], n).await;
    }
    // Each is cut off in the middle of whatever it does, once the receiver has heard so much more.
    for goal in [3, 40, 90, 150] {
        let running = bench.dispatch_with(sender(loopback()), SHORT);
        tokio::time::timeout(Duration::from_secs(20), async {
            while receiver.received().len() < goal {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("whoever comes next takes over");
        running.task.abort();
        running.task.await.unwrap_err();
    }
    let running = bench.dispatch_with(sender(loopback()), SHORT);
    bench.until(&endpoint, DeliveryState::Delivered, 300).await;
    running.stop().await;
    let mut all = BTreeSet::new();
    for customer in ["cus_a", "cus_b", "cus_c"] {
        let mut told = Vec::new();
        for n in receiver.told(customer) {
            if all.insert(n) {
                told.push(n);
            }
        }
        assert!(told.is_sorted(), "{customer}: {told:?}");
    }
    assert_eq!(all.len(), 300);
    let again = receiver.received().len() - 300;
    assert!(again <= 4 * SHORT.in_flight, "{again} were told again: more than could be under way");
    let name = |one: &Received| (one.n(), one.header("webhook-id").to_owned());
    let names: BTreeSet<_> = receiver.received().iter().map(name).collect();
    assert_eq!(names.len(), 300, "a webhook keeps its name");
}
