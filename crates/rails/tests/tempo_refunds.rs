//! Giving payments back on a chain: exactly once, whatever is lost, asked twice or forgotten in between.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[macro_use]
mod support;

use alloy_primitives::{Address, B256};
use farthing_money::{Amount, Money};
use farthing_protocol::ports::{
    ClaimId, RefundError, RefundRequest, Refunder, Resolution, SettleError, Settled, SettlementPlan,
};
use farthing_rails::tempo::{PrivateKey, TempoCharge, TempoPayer, TempoRefunder, TempoRpc, tokens};
use support::lossy::{Fault, Lossy};
use support::{Node, balance, challenge, fresh_address, money, now, pass, pay, rpc, settle};

const SEND: &str = "eth_sendRawTransactionSync";
const RECEIPT: &str = "eth_getTransactionReceipt";

on_every_chain!(
    a_payment_is_given_back_exactly,
    two_gateways_give_back_once,
    a_lost_broadcast_is_found_again,
    a_plan_that_was_never_sent,
    the_budget_of_a_day_holds_for_every_process,
    what_cannot_be_given_back_now,
);

/// An account that gives back, with money for it.
async fn account(node: &Node) -> PrivateKey {
    let key = PrivateKey::random(&mut rand::rng());
    support::fund(node, key.address(), 1_000_000).await;
    key
}

fn refunder(node: &Node, rpc: TempoRpc, key: &PrivateKey) -> TempoRefunder {
    TempoRefunder::builder(node.chain_id, rpc, key.clone(), Amount::from_base(500_000)).build()
}

/// A claim that is to be given back.
struct Due {
    claim: ClaimId,
    payer: String,
    paid: Money,
    settled: Settled,
}

impl Due {
    fn new(node: &Node, payer: Address, base: u128) -> Self {
        let settled = Settled {
            reference: B256::repeat_byte(1).to_string(),
            at: now(),
            external_id: None,
            extra: serde_json::Map::new(),
        };
        let claim = ClaimId(format!("id-{:032x}", rand::random::<u128>()));
        Self { claim, payer: support::did_of(node, payer), paid: money(node, base), settled }
    }

    async fn plan(&self, refunder: &TempoRefunder) -> Result<SettlementPlan, RefundError> {
        let Self { claim, payer, paid, settled } = self;
        refunder.plan(RefundRequest { claim, payer, paid, settled, now: now() }).await
    }

    async fn give_back(&self, refunder: &TempoRefunder) -> Settled {
        let plan = self.plan(refunder).await.unwrap();
        refunder.send(&plan, now()).await.unwrap()
    }
}

fn code(planned: &Result<SettlementPlan, RefundError>) -> &'static str {
    match planned {
        Err(RefundError::Unavailable { code, .. } | RefundError::Impossible { code, .. }) => code,
        Err(_) => "other",
        Ok(_) => "planned",
    }
}

async fn resolve(refunder: &TempoRefunder, plan: &SettlementPlan) -> Resolution {
    for _ in 0..100 {
        let resolution = refunder.resolve(plan, now()).await.unwrap();
        if resolution != Resolution::Pending {
            return resolution;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Resolution::Pending
}

async fn a_payment_is_given_back_exactly(node: Node) {
    // A whole call: paid, not delivered, given back with all its splits.
    let recipient = fresh_address();
    let split = farthing_rails::tempo::Split {
        recipient: fresh_address(),
        amount: Amount::from_base(250),
        memo: None,
    };
    let terms = TempoCharge::builder(node.chain_id, rpc(&node), recipient, tokens::PATH_USD);
    let seller = terms.splits(vec![split]).build().unwrap();
    let buyer_key = account(&node).await;
    let buyer = TempoPayer::builder(buyer_key).chain(node.chain_id, rpc(&node)).build();
    let asked = challenge(&seller, money(&node, 1_250), 300);
    let verified = pay(&buyer, &asked, money(&node, 1_250)).await.unwrap().verify(&seller).await.unwrap();
    let settled = settle(&seller, &verified).await.unwrap();
    let paid_out = balance(&node, buyer.address()).await;

    let key = account(&node).await;
    let refunder = refunder(&node, rpc(&node), &key);
    let due = Due {
        claim: ClaimId(asked.id.clone()),
        payer: verified.payer.clone().unwrap(),
        paid: verified.paid.clone(),
        settled,
    };
    let plan = due.plan(&refunder).await.unwrap();
    assert_eq!((plan.rail.as_str(), balance(&node, buyer.address()).await), (refunder.rail(), paid_out));
    let refund = refunder.send(&plan, now()).await.unwrap();
    assert_eq!(balance(&node, buyer.address()).await, paid_out + 1_250, "to the base unit, splits included");
    let left = balance(&node, key.address()).await;
    assert!(left < 1_000_000 - 1_250, "the account pays the fee: {left}");
    assert_eq!(balance(&node, recipient).await, 1_000, "the recipient's own account is not touched");

    // Again, in every way: the same answer, and nothing moves.
    assert_eq!(refunder.send(&plan, now()).await.unwrap().reference, refund.reference);
    let resolved = refunder.resolve(&plan, now()).await.unwrap();
    assert!(matches!(resolved, Resolution::Settled(again) if again.reference == refund.reference));
    // A store that was restored from a backup asks as if nothing had been.
    let again = due.plan(&refunder).await.unwrap();
    assert_eq!(refunder.send(&again, now()).await.unwrap().reference, refund.reference);
    assert!(matches!(refunder.resolve(&again, now()).await.unwrap(), Resolution::Settled(_)));
    assert_eq!(balance(&node, buyer.address()).await, paid_out + 1_250);
    assert_eq!(balance(&node, key.address()).await, left);
}

async fn two_gateways_give_back_once(node: Node) {
    let key = account(&node).await;
    let (one, two) = (refunder(&node, rpc(&node), &key), refunder(&node, rpc(&node), &key));
    let payer = fresh_address();
    // The same claim, planned by both before either sends.
    let due = Due::new(&node, payer, 700);
    let (a, b) = (due.plan(&one).await.unwrap(), due.plan(&two).await.unwrap());
    let (sent_a, sent_b) = tokio::join!(one.send(&a, now()), two.send(&b, now()));
    let done: Vec<&Settled> = [&sent_a, &sent_b].into_iter().filter_map(|sent| sent.as_ref().ok()).collect();
    // Within one second both may have signed the very same bytes: then it is one transaction, and both are right.
    assert!(
        !done.is_empty() && done.iter().all(|it| it.reference == done[0].reference),
        "{sent_a:?} {sent_b:?}"
    );
    assert_eq!(balance(&node, payer).await, 700, "one claim is given back once");
    let reference = done[0].reference.clone();
    for (refunder, plan, sent) in [(&one, &a, &sent_a), (&two, &b, &sent_b)] {
        if let Err(error) = sent {
            assert!(
                matches!(error, SettleError::Rejected(problem) if problem.code == "refund_overtaken"),
                "{error}"
            );
            assert_ne!(resolve(refunder, plan).await, Resolution::Pending, "unless its window is open");
        }
        assert_eq!(due.give_back(refunder).await.reference, reference);
    }

    // Two claims: one goes first, and the other is made after it.
    let (first, second) = (Due::new(&node, payer, 10), Due::new(&node, payer, 20));
    let (a, b) = (first.plan(&one).await.unwrap(), second.plan(&two).await.unwrap());
    let (sent_a, sent_b) = tokio::join!(one.send(&a, now()), two.send(&b, now()));
    assert_eq!(usize::from(sent_a.is_ok()) + usize::from(sent_b.is_ok()), 1, "{sent_a:?} {sent_b:?}");
    first.give_back(&one).await;
    second.give_back(&two).await;
    assert_eq!(balance(&node, payer).await, 730);
}

async fn a_lost_broadcast_is_found_again(node: Node) {
    let key = account(&node).await;
    let proxy = Lossy::start(&node.url).await;
    let refunder = refunder(&node, TempoRpc::new(&proxy.url).unwrap(), &key);
    let payer = fresh_address();

    // The answer is lost, the receipt is found.
    proxy.inject(Fault::LoseAnswer, SEND);
    Due::new(&node, payer, 5).give_back(&refunder).await;
    assert_eq!(balance(&node, payer).await, 5);

    // Everything is lost, or lied about: unknown, and resolved when the node is back.
    for (fault, total) in [(Fault::LoseAnswer, 10), (Fault::Lie, 15)] {
        let due = Due::new(&node, payer, 5);
        let plan = due.plan(&refunder).await.unwrap();
        proxy.inject(fault, SEND);
        proxy.inject(Fault::LoseAnswer, RECEIPT);
        let outcome = refunder.send(&plan, now()).await;
        assert!(matches!(outcome, Err(SettleError::Unknown { .. })), "{outcome:?}");
        assert!(refunder.resolve(&plan, now()).await.is_err(), "nobody to ask");
        proxy.heal();
        let resolved = resolve(&refunder, &plan).await;
        assert!(matches!(resolved, Resolution::Settled(_)), "{resolved:?}");
        assert_eq!(balance(&node, payer).await, total);
    }

    // The request is lost: resolving sends the same transaction.
    let plan = Due::new(&node, payer, 5).plan(&refunder).await.unwrap();
    proxy.inject(Fault::LoseRequest, SEND);
    let outcome = refunder.send(&plan, now()).await;
    assert!(matches!(outcome, Err(SettleError::Unknown { .. })), "{outcome:?}");
    assert_eq!(balance(&node, payer).await, 15);
    proxy.heal();
    let resolved = resolve(&refunder, &plan).await;
    assert!(matches!(resolved, Resolution::Settled(_)), "{resolved:?}");
    assert_eq!(balance(&node, payer).await, 20);
}

async fn a_plan_that_was_never_sent(node: Node) {
    let key = account(&node).await;
    let payer = fresh_address();
    let (due, other) = (Due::new(&node, payer, 40), Due::new(&node, payer, 2));

    // The process ends between plan and send; the next one has the plan from the store.
    let plan = due.plan(&refunder(&node, rpc(&node), &key)).await.unwrap();
    let next = refunder(&node, rpc(&node), &key);
    assert_eq!(next.resolve(&plan, now()).await.unwrap(), Resolution::Pending, "sent, and not waited for");
    assert!(matches!(resolve(&next, &plan).await, Resolution::Settled(_)));
    assert_eq!(balance(&node, payer).await, 40);

    // Nobody sends it, and its window passes: failed, for good, and only then made anew.
    let proxy = Lossy::start(&node.url).await;
    let mute = refunder(&node, TempoRpc::new(&proxy.url).unwrap(), &key);
    let due = Due::new(&node, payer, 50);
    let plan = due.plan(&mute).await.unwrap();
    assert_eq!(code(&other.plan(&mute).await), "refund_in_line");
    proxy.inject(Fault::LoseRequest, SEND);
    proxy.inject(Fault::LoseRequest, "eth_sendRawTransaction");
    assert_eq!(mute.resolve(&plan, now()).await.unwrap(), Resolution::Pending, "it can still be executed");
    pass(&node, 28).await;
    assert_eq!(mute.resolve(&plan, now()).await.unwrap(), Resolution::Pending, "a block may still turn up");
    pass(&node, 30).await;
    let resolved = mute.resolve(&plan, now()).await.unwrap();
    assert!(matches!(resolved, Resolution::Failed { .. }), "{resolved:?}");
    proxy.heal();
    let late = mute.send(&plan, now()).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(balance(&node, payer).await, 40, "what has ended moves nothing");
    due.give_back(&mute).await;
    other.give_back(&mute).await;
    assert_eq!(balance(&node, payer).await, 92);
}

async fn the_budget_of_a_day_holds_for_every_process(node: Node) {
    let key = account(&node).await;
    let payer = fresh_address();
    let with_budget = |base| {
        TempoRefunder::builder(node.chain_id, rpc(&node), key.clone(), Amount::from_base(base)).build()
    };
    Due::new(&node, payer, 600).give_back(&with_budget(1_000)).await;
    // What the account sends otherwise is no refund.
    support::send(&node, &key, fresh_address(), 5_000).await;
    // A process that knows nothing but the chain.
    let other = with_budget(1_000);
    let due = Due::new(&node, payer, 401);
    assert_eq!(code(&due.plan(&other).await), "refund_over_budget");
    Due::new(&node, payer, 400).give_back(&other).await;
    assert_eq!(code(&Due::new(&node, payer, 1).plan(&other).await), "refund_over_budget");
    pass(&node, 24 * 60 * 60 + 5).await;
    due.give_back(&other).await;
    assert_eq!(balance(&node, payer).await, 1_401);
}

async fn what_cannot_be_given_back_now(node: Node) {
    let payer = fresh_address();
    let due = Due::new(&node, payer, 5);
    let empty = PrivateKey::random(&mut rand::rng());
    assert_eq!(code(&due.plan(&refunder(&node, rpc(&node), &empty)).await), "refund_account_empty");
    // Enough for the refund and not for its fee.
    support::fund(&node, empty.address(), 10).await;
    assert_eq!(code(&due.plan(&refunder(&node, rpc(&node), &empty)).await), "refund_account_empty");

    let key = account(&node).await;
    let elsewhere = TempoRefunder::builder(4217, rpc(&node), key.clone(), Amount::MAX).build();
    assert_eq!(code(&due.plan(&elsewhere).await), "refund_other_asset");
    let proxy = Lossy::start(&node.url).await;
    let refunder = refunder(&node, TempoRpc::new(&proxy.url).unwrap(), &key);
    for method in ["eth_getTransactionCount", "eth_getLogs", "eth_getBlockByNumber", "eth_estimateGas"] {
        proxy.inject(Fault::LoseAnswer, method);
        assert_eq!(code(&due.plan(&refunder).await), "rpc_unknown", "{method}");
        proxy.heal();
    }
    // To the token itself nothing can be sent: it may be another day, or never, and nobody pays a fee to find out.
    let stuck = Due::new(&node, tokens::PATH_USD, 5);
    assert_eq!(code(&stuck.plan(&refunder).await), "refund_would_fail");
    assert_eq!(balance(&node, payer).await, 0);
}
