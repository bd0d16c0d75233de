//! Accounts, ids and commands of the load.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use farthing_ledger::record::{Expect, RecordChange, RecordKey, Table, Work};
use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::{
    AccountId, AssetId, Command, Expiry, Limit, NewAccount, NewAsset, NewHold, Outcome, PostAmount, PostHold,
    Remainder, Step, Tag, Timestamp, Transfer, TransferId,
};
use farthing_money::{Amount, Asset, AssetKind, Id};
use farthing_store::ledger::SqliteLedger;

pub const UNIT: AssetId = AssetId::from_u32(1);
const WORLD: AccountId = AccountId::from_u128(1);
const VENDORS: u64 = 16;
const FIRST_WALLET: u64 = 1_000;
pub const NOW_MS: u64 = 1_800_000_000_000;
const HOLDS: Table = Table::new("hold");
const COUNTERS: Table = Table::new("counter");

/// Ids as callers would make them: UUIDv7, many a millisecond.
pub struct Ids {
    started: Instant,
    dice: Dice,
}

impl Ids {
    /// They grow with time through all loads of a process, as ids of callers do through all of theirs.
    pub fn new(seed: u64) -> Self {
        static STARTED: OnceLock<Instant> = OnceLock::new();
        Self { started: *STARTED.get_or_init(Instant::now), dice: Dice::new(seed) }
    }

    pub fn next(&mut self) -> TransferId {
        let ms = NOW_MS + u64::try_from(self.started.elapsed().as_millis()).unwrap();
        let random = (u128::from(self.dice.next_u64()) << 64) | u128::from(self.dice.next_u64());
        Id::from_parts(ms, random).into()
    }
}

fn account(number: u64) -> AccountId {
    AccountId::from_u128(u128::from(number))
}

pub fn wallet(dice: &mut Dice, wallets: u64) -> AccountId {
    account(FIRST_WALLET + dice.below(wallets))
}

pub fn hold(ids: &mut Ids, dice: &mut Dice, wallets: u64) -> NewHold {
    let transfer = Transfer {
        id: ids.next(),
        debit: wallet(dice, wallets),
        credit: account(2 + dice.below(VENDORS)),
        asset: UNIT,
        amount: Amount::from_base(1_000),
        code: 1,
        tag: Tag { subject: 47, reference: 0 },
    };
    NewHold { transfer, expiry: Expiry::At(Timestamp::from_unix_ms(NOW_MS + 300_000)) }
}

pub fn capture(ids: &mut Ids, hold: TransferId) -> PostHold {
    let amount = PostAmount::Exact(Amount::from_base(700));
    PostHold { id: ids.next(), hold, amount, remainder: Remainder::Release, reference: 0 }
}

/// What a service writes with a hold, and with its capture: a document of half a kilobyte, and four counters.
pub fn works(hold: NewHold, post: PostHold) -> [Work; 2] {
    let (id, now) = (hold.transfer.id.as_u128(), Timestamp::from_unix_ms(NOW_MS));
    let at = |table, key: String| RecordKey { table, key };
    let document = |expect, state: &str| RecordChange::Put {
        at: at(HOLDS, format!("tenant/{id:032x}")),
        expect,
        body: format!("{{\"state\":\"{state}\",\"subject\":\"{}\"}}", "x".repeat(450)),
    };
    let counters = (0..4_u8).map(|n| RecordChange::Add {
        at: at(COUNTERS, format!("tenant/2027-01-15/{n}/{}", hold.transfer.credit.as_u128())),
        numbers: vec![1, 700],
    });
    let placed = vec![document(Expect::Absent, "open")];
    let captured = std::iter::once(document(Expect::Present, "captured")).chain(counters).collect();
    let step = |command| vec![Step::single(command)];
    [
        Work { now, steps: step(Command::Hold(hold)), records: placed },
        Work { now, steps: step(Command::Post(post)), records: captured },
    ]
}

pub async fn open(path: &Path, wallets: u64) -> SqliteLedger {
    let ledger = SqliteLedger::open(path, 0x5eed).unwrap();
    let mut ids = Ids::new(1);
    let asset = Asset::new("UNIT", 6, AssetKind::Custom).unwrap();
    let open = |id, limit| Command::OpenAccount(NewAccount { id, asset: UNIT, limit });
    let mut commands = vec![Command::DefineAsset(NewAsset { id: UNIT, asset }), open(WORLD, Limit::None)];
    commands.extend((2..2 + VENDORS).map(|number| open(account(number), Limit::None)));
    for wallet in 0..wallets {
        let credit = account(FIRST_WALLET + wallet);
        commands.push(open(credit, Limit::DebitsMustNotExceedCredits));
        let amount = Amount::from_base(1 << 80);
        let (id, tag) = (ids.next(), Tag::default());
        let (debit, asset) = (WORLD, UNIT);
        commands.push(Command::Transfer(Transfer { id, debit, credit, asset, amount, code: 0, tag }));
    }
    for part in commands.chunks(4_096) {
        let steps = part.iter().cloned().map(Step::single).collect();
        let outcomes = ledger.transact(Timestamp::from_unix_ms(NOW_MS), steps).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
    }
    ledger
}
