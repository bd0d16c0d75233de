//! Random histories with a seed, and an auditor that believes nobody.
//!
//! [`Workload`] makes batches that are likely to collide: few accounts, few ids, amounts near what is available, retries
//! with and without a difference, linked groups, time that passes and sometimes goes back. [`Auditor`] looks only at what
//! an engine shows after a batch, and checks what must always hold.

use std::collections::HashMap;

use farthing_money::{Amount, Asset, AssetKind};

use crate::{
    Account, AccountId, AssetId, Command, Expiry, Hold, HoldState, Limit, Link, Net, NewAccount, NewAsset,
    NewHold, Outcome, PostAmount, PostHold, Rejection, Remainder, Step, Tag, Timestamp, Transfer, TransferId,
    VoidHold,
};

/// A small random generator (SplitMix64): good enough to choose commands, the same everywhere for one seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be zero.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// Whether an event that happens `of` times in a hundred happens now.
    pub const fn percent(&mut self, of: u64) -> bool {
        self.below(100) < of
    }
}

/// A source of batches.
#[derive(Debug)]
pub struct Workload {
    dice: Dice,
    now: u64,
    batches: u64,
    ids: u128,
    past: Vec<Command>,
    holds: Vec<TransferId>,
}

const ASSETS: u64 = 3;
/// Accounts in use at a time.
const ACCOUNTS: u64 = 9;
/// Batches after which the oldest account goes out of use: closed and full ones must not stop a long history.
const GENERATION: u64 = 12;
const LONGEST_BATCH: u64 = 9;
const PAST: usize = 200;

impl Workload {
    /// The history of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), now: 1_000, batches: 0, ids: 1, past: Vec::new(), holds: Vec::new() }
    }

    /// Ids of every account that it may have opened so far.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountId> {
        (1..=u128::from(self.batches / GENERATION + ACCOUNTS)).map(AccountId::from_u128).collect()
    }

    /// Tells it what became of a batch, so that it comes back to what happened rather than to what was refused.
    pub fn learn(&mut self, steps: &[Step], outcomes: &[Outcome]) {
        for (step, outcome) in steps.iter().zip(outcomes) {
            if *outcome != Outcome::Applied {
                continue;
            }
            if let Command::Hold(hold) = &step.command {
                self.holds.push(hold.transfer.id);
            }
            if self.past.len() < PAST {
                self.past.push(step.command.clone());
            } else {
                let at = self.index(PAST);
                self.past[at] = step.command.clone();
            }
        }
    }

    /// The next batch, and the instant at which it is decided.
    pub fn batch(&mut self) -> (Timestamp, Vec<Step>) {
        self.now += self.dice.below(20);
        self.batches += 1;
        let back = if self.dice.percent(5) { self.dice.below(50) } else { 0 };
        let steps = (0..=self.dice.below(LONGEST_BATCH))
            .map(|_| {
                let link = if self.dice.percent(25) { Link::WithNext } else { Link::End };
                Step { command: self.command(), link }
            })
            .collect();
        (Timestamp::from_unix_ms(self.now.saturating_sub(back)), steps)
    }

    fn command(&mut self) -> Command {
        match self.dice.below(100) {
            0..5 => self.define(),
            5..17 => self.open(),
            17..18 => Command::CloseAccount(self.account()),
            18..35 => Command::Transfer(self.transfer()),
            35..55 => self.hold(),
            55..72 => self.post(),
            72..78 => self.void(),
            78..84 => Command::Expire(self.some_hold()),
            _ => self.again(),
        }
    }

    fn index(&mut self, len: usize) -> usize {
        let len = u64::try_from(len).expect("a length of a few hundred");
        usize::try_from(self.dice.below(len)).expect("below a length")
    }

    fn define(&mut self) -> Command {
        let number = self.asset();
        let code = if self.dice.percent(10) { "OTHER" } else { "UNIT" };
        let asset = Asset::new(code, 2, AssetKind::Custom).expect("a short code");
        Command::DefineAsset(NewAsset { id: number, asset })
    }

    fn open(&mut self) -> Command {
        let id = self.account();
        // The id mostly decides the asset and the limit, so that most attempts agree with the first.
        let usual = id.as_u128() % 3;
        let other = id.as_u128().is_multiple_of(4);
        let asset =
            if self.dice.percent(10) { self.asset() } else { AssetId::from_u32(1 + u32::from(other)) };
        let limit = match (usual + u128::from(self.dice.percent(5))) % 3 {
            0 => Limit::None,
            1 => Limit::DebitsMustNotExceedCredits,
            _ => Limit::CreditsMustNotExceedDebits,
        };
        Command::OpenAccount(NewAccount { id, asset, limit })
    }

    fn asset(&mut self) -> AssetId {
        AssetId::from_u32(match self.dice.below(ASSETS + 1) {
            0 => 0,
            1 => 1,
            2 => 2,
            _ => 3,
        })
    }

    fn account(&mut self) -> AccountId {
        let oldest = self.batches / GENERATION;
        AccountId::from_u128(u128::from(oldest + self.dice.below(ACCOUNTS + 1)))
    }

    fn id(&mut self) -> TransferId {
        if self.dice.percent(2) {
            return TransferId::from_u128(if self.dice.percent(50) { 0 } else { u128::MAX });
        }
        if self.dice.percent(5)
            && let Some(id) = self.past_id()
        {
            return id;
        }
        self.ids += 1;
        TransferId::from_u128(self.ids)
    }

    /// An id that was used, for whatever it was.
    fn past_id(&mut self) -> Option<TransferId> {
        if self.past.is_empty() {
            return None;
        }
        let at = self.index(self.past.len());
        match &self.past[at] {
            Command::Transfer(transfer) | Command::Hold(NewHold { transfer, .. }) => Some(transfer.id),
            Command::Post(post) => Some(post.id),
            Command::Void(void) => Some(void.id),
            _ => None,
        }
    }

    fn amount(&mut self) -> Amount {
        Amount::from_base(match self.dice.below(100) {
            0..3 => 0,
            3..5 => u128::MAX,
            5..7 => u128::MAX - u128::from(self.dice.below(1_000)),
            7..60 => u128::from(self.dice.below(50)),
            _ => u128::from(self.dice.below(1_000)),
        })
    }

    fn transfer(&mut self) -> Transfer {
        Transfer {
            id: self.id(),
            debit: self.account(),
            credit: self.account(),
            asset: if self.dice.percent(70) { AssetId::from_u32(1) } else { self.asset() },
            amount: self.amount(),
            code: u32::from(self.dice.percent(50)),
            tag: Tag { subject: u128::from(self.dice.below(3)), reference: u128::from(self.dice.below(3)) },
        }
    }

    fn hold(&mut self) -> Command {
        let transfer = self.transfer();
        let expiry = match self.dice.below(10) {
            0 => Expiry::Never,
            1 => Expiry::At(Timestamp::from_unix_ms(self.now)),
            _ => Expiry::At(Timestamp::from_unix_ms(self.now + self.dice.below(300))),
        };
        Command::Hold(NewHold { transfer, expiry })
    }

    /// A hold of the last dozen, most of the time.
    fn some_hold(&mut self) -> TransferId {
        if self.holds.is_empty() || self.dice.percent(5) {
            return self.past_id().unwrap_or(TransferId::from_u128(u128::MAX));
        }
        let recent = self.holds.len().min(12);
        let at = self.holds.len() - 1 - self.index(recent);
        self.holds[at]
    }

    fn post(&mut self) -> Command {
        let amount = if self.dice.percent(30) { PostAmount::Rest } else { PostAmount::Exact(self.amount()) };
        let remainder = if self.dice.percent(50) { Remainder::Keep } else { Remainder::Release };
        let reference = u128::from(self.dice.below(3));
        Command::Post(PostHold { id: self.id(), hold: self.some_hold(), amount, remainder, reference })
    }

    fn void(&mut self) -> Command {
        let reference = u128::from(self.dice.below(3));
        Command::Void(VoidHold { id: self.id(), hold: self.some_hold(), reference })
    }

    /// Something that was asked before: as it was, or with one thing changed.
    fn again(&mut self) -> Command {
        if self.past.is_empty() {
            return self.define();
        }
        let at = self.index(self.past.len());
        let mut command = self.past[at].clone();
        if self.dice.percent(50) {
            return command;
        }
        self.change(&mut command);
        command
    }

    fn change(&mut self, command: &mut Command) {
        match command {
            Command::Hold(hold) if self.dice.percent(15) => hold.expiry = Expiry::Never,
            Command::Transfer(transfer) | Command::Hold(NewHold { transfer, .. }) => match self.dice.below(7)
            {
                0 => transfer.debit = self.account(),
                1 => transfer.credit = self.account(),
                2 => transfer.asset = self.asset(),
                3 => transfer.amount = self.amount(),
                4 => transfer.code += 1,
                5 => transfer.tag.subject += 1,
                _ => transfer.tag.reference += 1,
            },
            Command::Post(post) => match self.dice.below(4) {
                0 => post.hold = self.some_hold(),
                1 => post.amount = PostAmount::Exact(self.amount()),
                2 => {
                    post.remainder = match post.remainder {
                        Remainder::Keep => Remainder::Release,
                        Remainder::Release => Remainder::Keep,
                    };
                }
                _ => post.reference += 1,
            },
            Command::Void(void) if self.dice.percent(50) => void.hold = self.some_hold(),
            Command::Void(void) => void.reference += 1,
            Command::Expire(hold) => *hold = self.id(),
            Command::OpenAccount(new) => new.asset = self.asset(),
            Command::DefineAsset(_) | Command::CloseAccount(_) => {}
        }
    }
}

/// Checks what an engine shows after each batch.
#[derive(Debug, Default)]
pub struct Auditor {
    accounts: HashMap<AccountId, Account>,
}

impl Auditor {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at everything after a batch.
    ///
    /// # Panics
    /// When an invariant does not hold.
    pub fn look(&mut self, steps: &[Step], outcomes: &[Outcome], accounts: &[Account], holds: &[&Hold]) {
        assert_eq!(steps.len(), outcomes.len(), "one outcome a step");
        whole_groups(steps, outcomes);
        conserved(accounts);
        holds_add_up(accounts, holds);
        for account in accounts {
            let overdrawn = matches!(account.balances().available, Net::Minus(_));
            assert!(account.limit == Limit::None || !overdrawn, "{account:?} broke its limit");
        }
        let now: HashMap<AccountId, Account> =
            accounts.iter().map(|account| (account.id, *account)).collect();
        if outcomes.iter().all(|outcome| !matches!(outcome, Outcome::Applied)) {
            assert_eq!(now, self.accounts, "nothing was applied, and something changed");
        }
        for (id, before) in &self.accounts {
            let after = now.get(id).unwrap_or_else(|| panic!("account {id} is gone"));
            assert!(after.totals.debits.posted >= before.totals.debits.posted, "{id}: posted debits shrank");
            assert!(
                after.totals.credits.posted >= before.totals.credits.posted,
                "{id}: posted credits shrank"
            );
        }
        self.accounts = now;
    }
}

/// Every linked group was accepted whole or refused whole, with one rejection that says why.
fn whole_groups(steps: &[Step], outcomes: &[Outcome]) {
    let mut rest = outcomes;
    for group in steps.split_inclusive(|step| step.link == Link::End) {
        let (mine, after) = rest.split_at(group.len());
        rest = after;
        let rejected = mine.iter().filter(|outcome| matches!(outcome, Outcome::Rejected(_))).count();
        assert!(rejected == 0 || rejected == mine.len(), "a group was torn: {mine:?}");
        let followers =
            mine.iter().filter(|o| **o == Outcome::Rejected(Rejection::LinkedGroupFailed)).count();
        assert!(rejected == 0 || followers + 1 == mine.len(), "a group has one reason: {mine:?}");
    }
}

/// Debits equal credits in every asset, posted and pending. Sums wrap: equal numbers stay equal.
fn conserved(accounts: &[Account]) {
    let mut sums: HashMap<AssetId, (u128, u128)> = HashMap::new();
    for account in accounts {
        let (posted, pending) = sums.entry(account.asset).or_default();
        let (debits, credits) = (account.totals.debits, account.totals.credits);
        *posted = posted.wrapping_add(debits.posted.base()).wrapping_sub(credits.posted.base());
        *pending = pending.wrapping_add(debits.pending.base()).wrapping_sub(credits.pending.base());
    }
    assert!(sums.values().all(|sum| *sum == (0, 0)), "debits and credits differ: {sums:?}");
}

/// What is pending on an account is what its open holds have left.
fn holds_add_up(accounts: &[Account], holds: &[&Hold]) {
    let mut pending: HashMap<AccountId, (u128, u128)> = HashMap::new();
    for hold in holds {
        assert_eq!(hold.state, HoldState::Open, "{hold:?}");
        assert!(!hold.left.is_zero() && hold.left <= hold.new.transfer.amount, "{hold:?}");
        pending.entry(hold.new.transfer.debit).or_default().0 += hold.left.base();
        pending.entry(hold.new.transfer.credit).or_default().1 += hold.left.base();
    }
    for account in accounts {
        let (debits, credits) = pending.remove(&account.id).unwrap_or_default();
        assert_eq!(account.totals.debits.pending.base(), debits, "{account:?}");
        assert_eq!(account.totals.credits.pending.base(), credits, "{account:?}");
    }
    assert!(pending.is_empty(), "holds on accounts that do not exist: {pending:?}");
}
