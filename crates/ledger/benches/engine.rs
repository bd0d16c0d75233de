//! The engine alone: pairs of a hold and its capture a second, decided, and decided and sealed, in batches.
//!
//! `cargo bench -p farthing-ledger`. No disk is involved: this is the ceiling of every store.
#![allow(missing_docs, reason = "criterion's macro makes undocumented functions")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use farthing_ledger::journal::{Chain, Head};
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::{
    AccountId, AssetId, Command, Decision, Engine, Expiry, Limit, NewAccount, NewAsset, NewHold, Outcome,
    PostAmount, PostHold, Remainder, Step, Tag, Timestamp, Transfer, TransferId,
};
use farthing_money::{Amount, Asset, AssetKind};

const UNIT: AssetId = AssetId::from_u32(1);
const WORLD: AccountId = AccountId::from_u128(1);
const VENDORS: u128 = 16;
const FIRST_WALLET: u128 = 1_000;
const REMEMBERED: usize = 1 << 17;
const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

struct Bench {
    engine: Engine,
    chain: Chain,
    decision: Decision,
    steps: Vec<Step>,
    dice: Dice,
    wallets: u64,
    ids: u128,
}

impl Bench {
    fn new(wallets: u64) -> Self {
        let engine = Engine::new(0x5eed, 0, Timestamp::EPOCH);
        let chain = Chain::after(Head::genesis());
        let mut bench = Self {
            engine,
            chain,
            decision: Decision::default(),
            steps: Vec::new(),
            dice: Dice::new(1),
            wallets,
            // Ids look like UUIDv7: time in the high bits.
            ids: 0x018f_2c3e_7b1a_u128 << 80,
        };
        let asset = Asset::new("UNIT", 6, AssetKind::Custom).expect("a short code");
        let open = |id, limit| Command::OpenAccount(NewAccount { id, asset: UNIT, limit });
        let mut commands = vec![Command::DefineAsset(NewAsset { id: UNIT, asset }), open(WORLD, Limit::None)];
        commands.extend((2..2 + VENDORS).map(|id| open(AccountId::from_u128(id), Limit::None)));
        for wallet in 0..u128::from(wallets) {
            let id = AccountId::from_u128(FIRST_WALLET + wallet);
            commands.push(open(id, Limit::DebitsMustNotExceedCredits));
            commands.push(Command::Transfer(bench.transfer((WORLD, id), 1 << 80)));
        }
        bench.steps.extend(commands.into_iter().map(Step::single));
        bench.run();
        bench.seal();
        bench
    }

    fn transfer(&mut self, (debit, credit): (AccountId, AccountId), amount: u128) -> Transfer {
        self.ids += 1;
        let (id, amount) = (TransferId::from_u128(self.ids), Amount::from_base(amount));
        Transfer { id, debit, credit, asset: UNIT, amount, code: 1, tag: Tag { subject: 47, reference: 0 } }
    }

    /// Half a batch of holds, then their captures: in a store they come from callers that wait for their hold.
    fn fill(&mut self, pairs: usize) {
        self.steps.clear();
        for _ in 0..pairs {
            let wallet = AccountId::from_u128(FIRST_WALLET + u128::from(self.dice.below(self.wallets)));
            let vendor = AccountId::from_u128(2 + u128::from(self.dice.below(16)));
            let transfer = self.transfer((wallet, vendor), 1_000);
            let expiry = Expiry::At(Timestamp::from_unix_ms(NOW.unix_ms() + 300_000));
            self.steps.push(Step::single(Command::Hold(NewHold { transfer, expiry })));
        }
        for at in 0..pairs {
            let Command::Hold(hold) = &self.steps[at].command else { continue };
            let hold = hold.transfer.id;
            self.ids += 1;
            let post = PostHold {
                id: TransferId::from_u128(self.ids),
                hold,
                amount: PostAmount::Exact(Amount::from_base(700)),
                remainder: Remainder::Release,
                reference: 0,
            };
            self.steps.push(Step::single(Command::Post(post)));
        }
    }

    fn run(&mut self) {
        self.decision.clear();
        self.engine.decide(NOW, &self.steps, &mut self.decision);
        assert!(self.decision.outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
        self.engine.commit();
        self.engine.forget(REMEMBERED);
    }

    fn seal(&mut self) {
        for entry in &self.decision.entries {
            black_box(self.chain.seal(entry));
        }
    }
}

fn pairs(c: &mut Criterion) {
    for (accounts, wallets) in [("10000 accounts", 10_000), ("one hot account", 1)] {
        let mut group = c.benchmark_group(format!("hold+capture pairs, {accounts}"));
        for batch in [64_usize, 1_024] {
            group.throughput(Throughput::Elements(u64::try_from(batch).unwrap_or(u64::MAX)));
            for sealed in ["decided", "decided and sealed"] {
                let mut bench = Bench::new(wallets);
                // A process that has run for a while remembers all it may: nothing is measured on an empty one.
                for _ in 0..REMEMBERED / batch {
                    bench.fill(batch);
                    bench.run();
                    bench.seal();
                }
                group.bench_function(BenchmarkId::new(sealed, batch), |b| {
                    b.iter_custom(|rounds| {
                        let mut spent = std::time::Duration::ZERO;
                        for _ in 0..rounds {
                            bench.fill(batch);
                            let started = std::time::Instant::now();
                            bench.run();
                            if sealed == "decided and sealed" {
                                bench.seal();
                            }
                            spent += started.elapsed();
                        }
                        spent
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, pairs);
criterion_main!(benches);
