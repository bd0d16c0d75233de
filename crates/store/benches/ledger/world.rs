//! Accounts, ids and commands of the load: the same for the benchmarks of both ledgers.

use std::time::{SystemTime, UNIX_EPOCH};

use farthing_ledger::journal::{Event, Posted};
use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::{
    AccountId, AssetId, Command, Expiry, Limit, NewAccount, NewAsset, NewHold, Outcome, PostAmount, PostHold,
    Remainder, Settlement, Step, Tag, Timestamp, Transfer, TransferId,
};
use farthing_money::{Amount, Asset, AssetKind, Id};

pub const UNIT: AssetId = AssetId::from_u32(1);
const WORLD: AccountId = AccountId::from_u128(1);
const VENDORS: u64 = 16;
const FIRST_WALLET: u64 = 1_000;
pub const NOW_MS: u64 = 1_800_000_000_000;

/// Ids as callers would make them: UUIDv7, many a millisecond. Those of loads and processes that come later are later.
pub struct Ids(Dice);

impl Ids {
    pub fn new(seed: u64) -> Self {
        Self(Dice::new(seed))
    }

    pub fn next(&mut self) -> TransferId {
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let random = (u128::from(self.0.next_u64()) << 64) | u128::from(self.0.next_u64());
        Id::from_parts(u64::try_from(ms).unwrap(), random).into()
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

fn transfer(ids: &mut Ids, credit: AccountId) -> Command {
    let (id, amount, tag) = (ids.next(), Amount::from_base(1 << 80), Tag::default());
    Command::Transfer(Transfer { id, debit: WORLD, credit, asset: UNIT, amount, code: 0, tag })
}

/// A hold and its capture, as they stand in the journal.
pub fn pair(ids: &mut Ids, dice: &mut Dice) -> [Event; 2] {
    let held = hold(ids, dice, 10_000);
    let Transfer { id, debit, credit, asset, .. } = held.transfer;
    let amount = Amount::from_base;
    let posted = Posted {
        post: capture(ids, id),
        debit,
        credit,
        asset,
        settlement: Settlement { posted: amount(700), released: amount(300) },
        left: Amount::ZERO,
    };
    [Event::Held(held), Event::Posted(posted)]
}

/// Opens the accounts in a new ledger, and gives each wallet more than it will ever spend.
pub async fn open_accounts(ledger: &impl LedgerStore, wallets: u64) {
    let mut ids = Ids::new(1);
    let asset = Asset::new("UNIT", 6, AssetKind::Custom).unwrap();
    let open = |id, limit| Command::OpenAccount(NewAccount { id, asset: UNIT, limit });
    let mut commands = vec![Command::DefineAsset(NewAsset { id: UNIT, asset }), open(WORLD, Limit::None)];
    commands.extend((2..2 + VENDORS).map(|number| open(account(number), Limit::None)));
    for wallet in 0..wallets {
        let credit = account(FIRST_WALLET + wallet);
        commands.push(open(credit, Limit::DebitsMustNotExceedCredits));
        commands.push(transfer(&mut ids, credit));
    }
    for part in commands.chunks(4_096) {
        let steps = part.iter().cloned().map(Step::single).collect();
        let outcomes = ledger.transact(Timestamp::from_unix_ms(NOW_MS), steps).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
    }
}
