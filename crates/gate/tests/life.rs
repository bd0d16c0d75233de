//! The whole life of a payment against the model of the store: any number of requests of one payer's, in any order of their steps,
//! with crashes, lost answers, leases that run out and resolvers beside them. Whatever happens, the money moves at most once,
//! nothing is delivered unsettled, nothing settled is lost, and no call is delivered or given back twice.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use farthing_protocol::dialect::mpp::{Issue, OfferTerms, PreparedOffer, nonce};
use farthing_protocol::digest::Sha256Digest;
use farthing_protocol::flow::gate::{
    Action, Ending, Event, GateFlow, Offer, Outcome, Promise, Requested, ServeAction, ServeEvent, ServeFlow,
    SettleOrder, Terms,
};
use farthing_protocol::ports::{
    Amends, Claim, ClaimId, ClaimKey, ClaimState, ClaimStep, ClaimStore, Delivery, Funds, Lease, LeaseHolder,
    Listed, Page, ReservationFate, SettleError, Settled, SettlementPlan, StoreEpoch, StoredAnswer, Verified,
};
use farthing_protocol::{
    Binder, Challenge, Credential, CredentialBuf, CredentialHeader, EncodedJson, Intent, MethodId,
    PaymentProof, Problem, ProblemKind, Secret, UnixMs,
};
use farthing_store::MemoryClaims;
use proptest::prelude::*;

const LEASE: u64 = 100;
const EPOCH: StoreEpoch = StoreEpoch(3);
/// Credentials of one payer for one route.
const CREDENTIALS: usize = 2;

struct Setup {
    binder: Binder,
    offers: Vec<Offer<'static>>,
    credentials: Vec<Credential<'static>>,
}

fn setup() -> &'static Setup {
    static SETUP: OnceLock<&'static Setup> = OnceLock::new();
    SETUP.get_or_init(|| {
        let binder = Binder::new(Secret::new(vec![7; 32]).unwrap(), None);
        let request: &'static EncodedJson =
            Box::leak(Box::new(EncodedJson::encode(&serde_json::json!({ "amount": "10" })).unwrap()));
        let prepared = PreparedOffer::new(&OfferTerms {
            realm: "shop",
            scope: "GET /a",
            method: &MethodId::new("fake").unwrap(),
            intent: &Intent::charge(),
            request,
            description: None,
            header: CredentialHeader::Authorization,
        })
        .unwrap();
        let credentials = (0..CREDENTIALS).map(|n| {
            let mut header = String::new();
            let expires = UnixMs::from_ms(2_000_000_000_000);
            let nonce = nonce(EPOCH, 1, u64::try_from(n).unwrap());
            prepared.issue(&binder, &Issue { expires, nonce, digest: None }, &mut header);
            let payload = serde_json::value::to_raw_value(&serde_json::json!({ "tx": n })).unwrap();
            let answered =
                Challenge::parse(&header).unwrap().answer(&PaymentProof { payload, source: None }).unwrap();
            let decoded: &'static CredentialBuf =
                Box::leak(Box::new(CredentialBuf::decode(&answered).unwrap()));
            decoded.view().unwrap()
        });
        let offers = vec![Offer { rail: "fake:1", method: "fake", intent: "charge", request, late_ms: 0 }];
        Box::leak(Box::new(Setup { credentials: credentials.collect(), binder, offers }))
    })
}

/// What a rail knows of one payment.
#[derive(Debug, Default, Clone, Copy)]
struct Money {
    /// Settling was asked for, and may have happened.
    asked: bool,
    moved: bool,
    /// It can no longer happen.
    dead: bool,
}

#[expect(clippy::large_enum_variant, reason = "tests")]
enum Actor {
    Gate(usize, GateFlow<'static>, Action),
    Serving(usize, Box<ServeFlow>, Option<ServeAction>),
    Delivering(Box<Outcome>),
}

/// How the cases of one run differ.
#[derive(Debug, Clone, Copy)]
struct Case {
    settle: SettleOrder,
    funds: Funds,
    amends: Amends,
    keyed: bool,
}

struct World {
    case: Case,
    store: MemoryClaims,
    now: u64,
    holders: u128,
    money: [Money; CREDENTIALS],
    actors: Vec<Actor>,
    delivered: BTreeMap<String, u32>,
    given_back: BTreeMap<String, u32>,
    plans: u64,
}

fn tx(plan: &SettlementPlan) -> usize {
    usize::try_from(plan.data["tx"].as_u64().unwrap()).unwrap()
}

fn settled(tx: usize) -> Settled {
    let at = UnixMs::from_ms(1);
    Settled { reference: format!("ref-{tx}"), at, external_id: None, extra: serde_json::Map::new() }
}

fn rejected() -> SettleError {
    SettleError::Rejected(Problem::new(ProblemKind::VerificationFailed, "no", "no"))
}

impl World {
    fn new(case: Case) -> Self {
        let (store, actors) = (MemoryClaims::new(), Vec::new());
        let (delivered, given_back) = (BTreeMap::new(), BTreeMap::new());
        let money = [Money::default(); CREDENTIALS];
        Self { case, store, now: 1_000, holders: 0, money, actors, delivered, given_back, plans: 0 }
    }

    fn at(&self) -> UnixMs {
        UnixMs::from_ms(self.now)
    }

    fn verified(&self, n: usize) -> Verified {
        let asset = farthing_money::Asset::new("USD", 6, farthing_money::AssetKind::Fiat).unwrap();
        Verified {
            keys: vec![ClaimKey(format!("tx:{n}"))],
            payer: Some("did:a".into()),
            paid: farthing_money::Money::new(farthing_money::Amount::from_base(10), asset),
            funds: self.case.funds,
            settle_by: None,
            reservation: None,
            plan: SettlementPlan { rail: "fake:1".into(), data: serde_json::json!({ "tx": n }) },
        }
    }

    fn begin(&mut self, n: usize) {
        let setup = setup();
        self.holders += 1;
        let Case { settle, amends, keyed, .. } = self.case;
        let terms = Terms {
            realm: "shop",
            scope: "GET /a",
            epoch: EPOCH,
            offers: &setup.offers,
            holder: LeaseHolder(self.holders),
            lease_ms: LEASE,
            promise: Promise { settle, amends, redeliveries: 1, service_ms: 10 },
            requested: Requested { method: "GET", target: "/a", key: keyed.then_some("k") },
        };
        let mut flow = GateFlow::new(terms, &setup.credentials[n]);
        let action = flow.start(&setup.binder);
        self.actors.push(Actor::Gate(n, flow, action));
    }

    /// The rail settles, or does not, and says so or not.
    fn settle(&mut self, n: usize, choice: u8) -> Result<Settled, SettleError> {
        let money = &mut self.money[n];
        assert!(!money.asked, "a payment is settled once");
        if money.dead {
            return Err(rejected());
        }
        match choice % 6 {
            0 => Err(rejected()),
            1 => {
                (money.asked, money.moved) = (true, true);
                Err(SettleError::Unknown { detail: String::new() })
            }
            2 => {
                money.asked = true;
                Err(SettleError::Unknown { detail: String::new() })
            }
            _ => {
                (money.asked, money.moved) = (true, true);
                Ok(settled(n))
            }
        }
    }

    async fn advance(
        &mut self,
        id: &ClaimId,
        step: ClaimStep,
    ) -> Result<(), farthing_protocol::ports::AdvanceError> {
        let ends = matches!(step, ClaimStep::Delivered { .. });
        let taken = self.store.advance(id, step, self.at()).await;
        if ends && taken.is_ok() {
            *self.delivered.entry(id.0.clone()).or_default() += 1;
        }
        taken
    }

    async fn claim_of(&self, id: &ClaimId) -> Claim {
        self.store.get(id).await.unwrap().unwrap()
    }

    /// Whoever delivers has the money, and the lease.
    async fn check_delivery(&self, outcome: &Outcome) {
        let claim = self.claim_of(&outcome.id).await;
        assert!(self.money[tx(&claim.new.plan)].moved, "delivered unsettled");
        let ClaimState::Delivering { lease, .. } = claim.state else { panic!("{:?}", claim.state) };
        assert_eq!(lease.holder, outcome.holder);
    }

    async fn step(&mut self, index: usize, choice: u8) {
        if self.actors.is_empty() {
            return;
        }
        let index = index % self.actors.len();
        match self.actors.swap_remove(index) {
            Actor::Gate(n, flow, action) => self.step_gate(n, flow, action, choice).await,
            Actor::Serving(n, flow, action) => self.step_serving(n, flow, action, choice).await,
            Actor::Delivering(outcome) => self.step_delivering(*outcome, choice).await,
        }
    }

    async fn step_gate(&mut self, n: usize, mut flow: GateFlow<'static>, action: Action, choice: u8) {
        let event = match action {
            Action::ReadBody => Event::Body(Ok(Sha256Digest::of(b"body"))),
            Action::Recall { id, .. } => {
                let claim = self.store.get(&id).await;
                Event::Recalled { keys: Ok(vec![ClaimKey(format!("tx:{n}"))]), claim }
            }
            Action::Verify { .. } => Event::Verified(Ok(self.verified(n))),
            Action::Claim(new) => Event::Claimed(self.store.claim(*new, self.at()).await),
            Action::Settle { plan, .. } => Event::Settlement(self.settle(tx(&plan), choice)),
            Action::Record { id, step } => Event::Recorded(self.advance(&id, step).await),
            Action::FetchAnswer { id } => Event::Answer(self.store.answer(&id).await),
            Action::Deliver(outcome) => {
                self.check_delivery(&outcome).await;
                return self.actors.push(Actor::Delivering(outcome));
            }
            Action::Serve(serve) => return self.actors.push(Actor::Serving(n, serve, None)),
            Action::Replay(replay) => {
                let claim = self.claim_of(&replay.id).await;
                assert!(matches!(claim.state, ClaimState::Delivered(_)));
                return;
            }
            Action::Challenge(_) | Action::Refuse { .. } => return,
        };
        let action = flow.handle(event, self.at());
        // What is begun is checked before anything else happens.
        if let Action::Deliver(outcome) = &action {
            self.check_delivery(outcome).await;
            let Action::Deliver(outcome) = action else { unreachable!() };
            return self.actors.push(Actor::Delivering(outcome));
        }
        self.actors.push(Actor::Gate(n, flow, action));
    }

    async fn step_serving(
        &mut self,
        n: usize,
        mut flow: Box<ServeFlow>,
        action: Option<ServeAction>,
        choice: u8,
    ) {
        let event = match action {
            None => match choice % 4 {
                0 => ServeEvent::NoAnswer,
                1 => ServeEvent::Answered { status: 500, answer: None },
                2 => ServeEvent::Answered { status: 200, answer: None },
                _ => ServeEvent::Answered { status: 200, answer: Some(answer()) },
            },
            Some(ServeAction::Record { id, step }) => ServeEvent::Recorded(self.advance(&id, step).await),
            Some(ServeAction::Settle { plan, .. }) => ServeEvent::Settlement(self.settle(tx(&plan), choice)),
            Some(ServeAction::Deliver(_)) => unreachable!("taken below"),
            Some(ServeAction::Uncharged) => {
                let reserved = flow.reserved();
                let claim = self.claim_of(&reserved.id).await;
                // Ours was given up; whoever has taken it over may have been paid.
                if !matches!(
                    &claim.state,
                    ClaimState::Delivered(_) | ClaimState::Delivering { .. } | ClaimState::Settling
                ) && claim.state.settled().is_none()
                {
                    assert!(!self.money[n].moved, "{:?}", claim.state);
                }
                return;
            }
            Some(ServeAction::Challenge(_)) => {
                return;
            }
            Some(ServeAction::Withhold { .. }) => return,
        };
        match flow.handle(event, self.at()) {
            ServeAction::Deliver(outcome) => {
                self.check_delivery(&outcome).await;
                self.actors.push(Actor::Delivering(outcome));
            }
            action => self.actors.push(Actor::Serving(n, flow, Some(action))),
        }
    }

    async fn step_delivering(&mut self, outcome: Outcome, choice: u8) {
        let ending = match choice % 6 {
            0 => {
                let until = self.at().plus_ms(LEASE);
                let renewed = ClaimStep::Renew(Lease { holder: outcome.holder, until });
                let _ = self.advance(&outcome.id, renewed).await;
                return self.actors.push(Actor::Delivering(Box::new(outcome)));
            }
            1 => Ending::Whole(None),
            2 => Ending::Whole(Some(answer())),
            3 => Ending::LeftKept(answer()),
            4 => Ending::LeftUnkept,
            _ => Ending::Failed,
        };
        let _ = self.advance(&outcome.id, outcome.step(ending)).await;
    }

    /// What a resolver does with one payment.
    async fn resolve(&mut self, listed: Listed, choice: u8) {
        let page = Page { before: self.at(), after: None, limit: 10 };
        for claim in self.store.list(listed, page).await.unwrap() {
            let (id, n) = (claim.new.id.clone(), tx(&claim.new.plan));
            let step = match listed {
                Listed::Settling if self.money[n].moved => {
                    ClaimStep::Settled { settled: settled(n), delivery: Delivery::Later }
                }
                Listed::Settling if choice.is_multiple_of(2) => {
                    self.money[n] = Money { dead: true, ..Money::default() };
                    let reservation = ReservationFate::Released;
                    ClaimStep::Failed { why: "gone".into(), reservation, holder: None }
                }
                Listed::Abandoned => {
                    let reservation = ReservationFate::Released;
                    ClaimStep::Failed { why: "abandoned".into(), reservation, holder: None }
                }
                Listed::Interrupted => {
                    let ClaimState::Delivering { lease, .. } = claim.state else { continue };
                    ClaimStep::Interrupted { holder: lease.holder }
                }
                Listed::RefundDue => {
                    self.plans += 1;
                    let data = serde_json::json!({ "tx": n, "plan": self.plans });
                    ClaimStep::BeginRefund { plan: SettlementPlan { rail: "fake:1".into(), data } }
                }
                Listed::Refunding if choice.is_multiple_of(2) => ClaimStep::RefundFailed,
                Listed::Refunding => ClaimStep::Refunded { refund: settled(n) },
                _ => continue,
            };
            let back = matches!(step, ClaimStep::Refunded { .. });
            if self.advance(&id, step).await.is_ok() && back {
                *self.given_back.entry(id.0).or_default() += 1;
            }
        }
    }

    /// Everybody has gone; what is left is resolved, and every payment is where its payer can use it.
    async fn end(&mut self) {
        self.actors.clear();
        self.now += 10 * LEASE;
        for listed in [Listed::Abandoned, Listed::Interrupted, Listed::Settling] {
            self.resolve(listed, 0).await;
        }
        for n in 0..CREDENTIALS {
            let id = ClaimId(setup().credentials[n].challenge.id.clone().into_owned());
            let claim = self.store.get(&id).await.unwrap();
            let settled = claim.as_ref().is_some_and(|claim| claim.state.settled().is_some());
            let leased = |claim: &Claim| {
                matches!(claim.state, ClaimState::Delivering { .. } | ClaimState::Reserved { .. })
            };
            assert!(!claim.as_ref().is_some_and(leased), "nobody serves it: {claim:?}");
            assert_eq!(
                settled,
                self.money[n].moved,
                "{:?} {:?}",
                claim.map(|claim| claim.state),
                self.money[n]
            );
            let count = |of: &BTreeMap<String, u32>| of.get(&id.0).copied().unwrap_or_default();
            assert!(count(&self.delivered) + count(&self.given_back) <= 1, "once, one way or the other");
        }
    }
}

fn answer() -> Box<StoredAnswer> {
    Box::new(StoredAnswer { status: 200, headers: Vec::new(), body: b"x".to_vec() })
}

fn case() -> impl Strategy<Value = Case> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(after, moved, refund, keyed)| {
        Case {
            settle: if after { SettleOrder::After } else { SettleOrder::Before },
            funds: if moved { Funds::Moved } else { Funds::Authorised },
            amends: if refund { Amends::Refund } else { Amends::Credit },
            keyed,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn money_moves_once_and_is_never_lost(case in case(), events in prop::collection::vec((0_u8..20, any::<u8>(), any::<u8>()), 0..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(case);
            for (kind, index, choice) in events {
                let index = usize::from(index);
                match kind {
                    0 | 1 => world.begin(index % CREDENTIALS),
                    2 if !world.actors.is_empty() => {
                        let crashed = index % world.actors.len();
                        drop(world.actors.swap_remove(crashed));
                    }
                    3 => world.now += LEASE / 2,
                    4 => world.now += LEASE + 1,
                    5 => {
                        let kinds = [Listed::Abandoned, Listed::Interrupted, Listed::RefundDue, Listed::Refunding];
                        world.resolve(kinds[index % 4], choice).await;
                    }
                    6 if world.actors.is_empty() => world.resolve(Listed::Settling, choice).await,
                    _ => world.step(index, choice).await,
                }
            }
            world.end().await;
        });
    }
}
