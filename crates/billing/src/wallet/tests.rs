#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_ledger::{Decision, Engine, NewAsset, Outcome};
use farthing_money::{Asset, AssetKind};

use super::*;
use crate::budget::{Path, Root, Spend};
use crate::grant::{Available, Sweep, Taken, refund_group};
use crate::id::{CounterpartyId, SubjectId};

const USD: AssetId = AssetId::from_u32(1);
const CHART: Chart = Chart { money: USD, allowance: AssetId::from_u32(2), seats: AssetId::from_u32(3) };
const WALLET: Wallet = Wallet { customer: CustomerId::from_u128(7), chart: CHART };
const BANK: AccountId = AccountId::from_u128(1);
const VENDOR: AccountId = AccountId::from_u128(2);

fn amount(base: u128) -> Amount {
    Amount::from_base(base)
}

fn plus(base: u128) -> Net {
    Net::Plus(amount(base))
}

fn by(n: u128, base: u128) -> Move {
    Move { group: GroupId::from_u128(n << 8), other: BANK, amount: amount(base), reference: n }
}

struct World {
    engine: Engine,
    gift: Grant,
    overdraft_limit: Amount,
}

impl World {
    fn new() -> Self {
        let mut engine = Engine::new(1, 0, Timestamp::EPOCH);
        let usd = Asset::new("USD", 2, AssetKind::Fiat).unwrap();
        let open = |id| Command::OpenAccount(NewAccount { id, asset: USD, limit: Limit::None });
        let mut steps = vec![Command::DefineAsset(NewAsset { id: USD, asset: usd.clone() })];
        steps.extend(CHART.define(&usd).unwrap());
        steps.extend([open(BANK), open(VENDOR)]);
        let gift = Grant::new(GrantId::from_u128(5), Purpose::Promotional, Timestamp::EPOCH);
        let gift = Grant { expires: Some(Timestamp::from_unix_ms(1_000)), ..gift };
        let mut steps: Vec<Step> = steps.into_iter().map(Step::single).collect();
        steps.extend(WALLET.open());
        steps.extend(gift.fill(USD, (BANK, amount(30))));
        let mut decision = Decision::default();
        engine.decide(Timestamp::from_unix_ms(1), &steps, &mut decision);
        engine.commit();
        assert!(decision.outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
        Self { engine, gift, overdraft_limit: Amount::ZERO }
    }

    fn apply(&mut self, steps: &[Step]) -> Vec<&'static str> {
        let mut decision = Decision::default();
        self.engine.decide(Timestamp::from_unix_ms(10), steps, &mut decision);
        self.engine.commit();
        decision.outcomes.iter().map(Outcome::code).collect()
    }

    fn balances(&self, now: u64) -> WalletBalances {
        let account = |id| self.engine.account(id).unwrap();
        let accounts = Accounts {
            paid: account(WALLET.account()),
            overdraft: account(WALLET.overdraft_account()),
            overdraft_limit: self.overdraft_limit,
            debt: account(WALLET.debt_account()),
            grants: &[(self.gift, account(self.gift.account))],
        };
        WalletBalances::of(&accounts, Timestamp::from_unix_ms(now)).unwrap()
    }

    fn available(&self) -> Vec<Available> {
        [self.gift, WALLET.paid(), WALLET.overdraft()]
            .map(|grant| {
                let amount = self.engine.account(grant.account).unwrap().balances().available.or_zero();
                Available { grant, amount }
            })
            .to_vec()
    }

    fn hold(&mut self, n: u128, base: u128) -> Vec<&'static str> {
        let now = Timestamp::from_unix_ms(10);
        let spend = Spend {
            group: GroupId::from_u128(n << 8),
            to: VENDOR,
            amount: amount(base),
            counterparty: CounterpartyId::from_u128(1),
            subject: SubjectId::from_u128(1),
            now,
            expiry: farthing_ledger::Expiry::Never,
        };
        let draws = draw(&self.available(), amount(base), now).unwrap();
        let path = Path::wallet(Root { wallet: WALLET.account(), chart: CHART });
        self.apply(&path.spend_drawn(&spend, &draws).unwrap().steps)
    }
}

#[test]
fn balances_add_up_what_stands_under_the_account() {
    let mut world = World::new();
    assert_eq!(world.apply(&[WALLET.deposit(&by(10, 100))]), ["applied"]);
    assert_eq!(world.apply(&[WALLET.deposit(&by(10, 100))]), ["exists"]);
    world.hold(11, 50);
    let got = world.balances(20);
    assert_eq!(
        (got.settled, got.held, got.available, got.spendable),
        (plus(130), amount(50), plus(80), amount(80))
    );
    // The gift runs out: what was held of it stays held.
    let sweep = Sweep {
        group: GroupId::from_u128(99 << 8),
        available: amount(1),
        now: Timestamp::from_unix_ms(1_000),
    };
    let swept = world.gift.sweep(USD, BANK, &sweep).unwrap();
    assert_eq!(world.apply(&[swept]), ["exceeds_credits"]);
    assert_eq!(world.balances(1_000).held, amount(50));
}

#[test]
fn a_chargeback_never_fails_and_is_paid_from_the_next_money() {
    let mut world = World::new();
    world.apply(&[WALLET.deposit(&by(10, 100))]);
    world.hold(11, 90);
    // 30 of the gift and 60 of the paid money are held: 40 are there to be taken.
    assert_eq!(world.apply(&[WALLET.chargeback(&by(12, 100))]), ["applied"]);
    let got = world.balances(20);
    assert_eq!((got.settled, got.available), (plus(30), Net::Minus(amount(60))));
    assert_eq!(got.owing, Owing { available: amount(40), debt: amount(100), overdraft_used: amount(0) });
    let repay = WALLET.repay(by(13, 0).group, &got.owing);
    assert_eq!(world.apply(&repay), ["applied"]);
    assert_eq!(world.balances(20).spendable, Amount::ZERO);
    // Two that both saw the same debt: the ledger takes one.
    world.apply(&[WALLET.deposit(&by(14, 200))]);
    let owing = world.balances(20).owing;
    assert_eq!(world.apply(&WALLET.repay(by(15, 0).group, &owing)), ["applied"]);
    assert_eq!(world.apply(&WALLET.repay(by(16, 0).group, &owing)), ["exceeds_debits"]);
    let got = world.balances(20);
    assert_eq!((got.owing.debt, got.spendable, got.available), (amount(0), amount(140), plus(140)));
    assert!(WALLET.repay(by(17, 0).group, &got.owing).is_empty());
}

#[test]
fn a_line_of_credit_is_drawn_last_and_paid_back() {
    let mut world = World::new();
    world.apply(&[WALLET.amend_overdraft(&by(10, 50), Amount::ZERO).unwrap()]);
    world.overdraft_limit = amount(50);
    let got = world.balances(20);
    assert_eq!((got.settled, got.spendable), (plus(30), amount(80)));
    assert_eq!(world.hold(11, 70), ["applied", "applied"]);
    let got = world.balances(20);
    assert_eq!((got.settled, got.available, got.spendable), (plus(30), Net::Minus(amount(40)), amount(10)));
    assert_eq!(world.apply(&[WALLET.amend_overdraft(&by(12, 39), amount(50)).unwrap()]), ["exceeds_credits"]);
    assert!(WALLET.amend_overdraft(&by(12, 50), amount(50)).is_none());
    // Spent for good, it is owed, and the next money pays it first.
    let spent = Move { other: VENDOR, ..by(13, 10) };
    let overdraft = WALLET.overdraft_account();
    let take = WALLET.step((overdraft, VENDOR), &spent, Reason::Spend);
    world.apply(&[take, WALLET.deposit(&by(14, 100))]);
    let owing = world.balances(20).owing;
    assert_eq!((owing.overdraft_used, owing.available), (amount(10), amount(100)));
    assert_eq!(world.apply(&WALLET.repay(by(15, 0).group, &owing)), ["applied"]);
    assert_eq!(world.balances(20).owing.overdraft_used, Amount::ZERO);
}

#[test]
fn adjustments_and_refunds() {
    let mut world = World::new();
    assert_eq!(world.apply(&[WALLET.adjust(Adjustment::Debit, &by(10, 1))]), ["exceeds_credits"]);
    assert_eq!(world.apply(&[WALLET.adjust(Adjustment::Credit, &by(11, 5))]), ["applied"]);
    assert_eq!(world.apply(&[WALLET.adjust(Adjustment::Debit, &by(12, 5))]), ["applied"]);
    let taken = |refunded: u128| {
        [(world.gift, 30), (WALLET.paid(), 10)].map(|(grant, spent)| {
            let refunded = if grant.purpose == Purpose::Paid { amount(refunded) } else { Amount::ZERO };
            Taken { grant, spent: amount(spent), refunded }
        })
    };
    let back = |refunded, base| {
        refund_draws(&taken(refunded), amount(base))
            .map(|draws| draws.iter().map(|d| d.amount.base()).collect::<Vec<_>>())
    };
    assert_eq!(back(0, 15), Ok(vec![10, 5]), "what was paid for comes back first");
    assert_eq!(back(10, 30), Ok(vec![30]));
    assert_eq!(back(10, 31).unwrap_err().code(), "refund_exceeds_spent");
    let spend = GroupId::from_u128(5 << 8);
    assert_eq!(refund_group(spend, 1), refund_group(spend, 1));
    assert_ne!(refund_group(spend, 1), refund_group(spend, 2));
}

#[test]
fn external_ids_are_bounded() {
    let id = CustomerId::from_u128(1);
    for (external, fits) in
        [("acme", true), ("", false), ("a\nb", false), (&*"x".repeat(129), false), ("Zürich 1", true)]
    {
        assert_eq!(Customer::new(id, external).is_ok(), fits, "{external:?}");
    }
}
