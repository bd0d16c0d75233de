//! [`MemoryLedger`]: the reference model. It keeps nothing but the journal, and answers every question by reading all of it.
//!
//! It is slow on purpose: there is no running total that could drift, no index that could be stale, no undo that could
//! forget something. Where it and the engine differ, one of them is wrong.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use farthing_money::{Amount, Asset};

use crate::journal::{Chain, Event, Head, Posted, Released, Sealed};
use crate::rejection::Field;
use crate::store::{HistoryQuery, LedgerStore, MAX_PAGE, MAX_STEPS, Page, StoreError};
use crate::verify::{Fault, Report, Verifier};
use crate::{
    Account, AccountId, AccountState, AssetId, Command, Expiry, Hold, HoldState, Known, Limit, Link, NewHold,
    Outcome, PostAmount, Rejection, Remainder, Settlement, Step, Timestamp, Transfer, TransferId, VoidHold,
};

/// A journal in memory, and nothing else.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    journal: Mutex<Vec<Sealed>>,
}

impl MemoryLedger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides `steps`, without a store's ceremony.
    pub fn decide(&self, now: Timestamp, steps: &[Step]) -> Vec<Outcome> {
        let mut scan = self.scan();
        let now = now.max(scan.head().at);
        let mut outcomes = Vec::new();
        for group in steps.split_inclusive(|step| step.link == Link::End) {
            outcomes.extend(scan.group(now, group));
        }
        *self.locked() = scan.journal;
        outcomes
    }

    /// The end of the journal.
    pub(super) fn last(&self) -> Head {
        head_of(&self.locked())
    }

    /// How many entries there are.
    pub(super) fn length(&self) -> usize {
        self.locked().len()
    }

    /// Takes over what somebody else decided.
    pub(super) fn append(&self, entries: impl Iterator<Item = Sealed>) {
        self.locked().extend(entries);
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Sealed>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the journal, to ask questions of.
    #[must_use]
    pub fn scan(&self) -> Scan {
        Scan { journal: self.locked().clone() }
    }
}

/// A journal and the questions it answers.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Every entry, in order.
    pub journal: Vec<Sealed>,
}

impl Scan {
    /// The end of the journal.
    #[must_use]
    pub fn head(&self) -> Head {
        head_of(&self.journal)
    }

    /// What asset `id` is.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<Asset> {
        self.events().find_map(|event| match event {
            Event::AssetDefined(new) if new.id == id => Some(new.asset.clone()),
            _ => None,
        })
    }

    /// The account, with totals added up from the first entry to the last.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<Account> {
        let mut account = None;
        for event in self.events() {
            match event {
                Event::AccountOpened(new) if new.id == id => account = Some(Account::open(*new)),
                Event::AccountClosed(closed) if *closed == id => {
                    account = account.map(|open| Account { state: AccountState::Closed, ..open });
                }
                _ => {}
            }
        }
        let mut account: Account = account?;
        let side = |of: fn(&Event) -> Option<AccountId>| {
            let mine = || self.events().filter(|event| of(event) == Some(id));
            // All that was ever held may pass 128 bits although what is pending never does: these sums wrap.
            let sum = |by: fn(&Event) -> u128| mine().map(by).fold(0, u128::wrapping_add);
            let pending = sum(held_by).wrapping_sub(sum(ended_by));
            crate::Sums { posted: Amount::from_base(sum(posted_by)), pending: Amount::from_base(pending) }
        };
        account.totals.debits = side(|event| parties(event).map(|(debit, _)| debit));
        account.totals.credits = side(|event| parties(event).map(|(_, credit)| credit));
        Some(account)
    }

    /// What `id` was used for.
    #[must_use]
    pub fn known(&self, id: TransferId) -> Option<Known> {
        self.events().find_map(|event| match event {
            Event::Transferred(transfer) if transfer.id == id => Some(Known::Transfer(*transfer)),
            Event::Held(new) if new.transfer.id == id => Some(Known::Hold(self.hold(new))),
            Event::Posted(Posted { post, .. }) if post.id == id => Some(Known::Post(*post)),
            Event::Voided { id: void, reference, released } if *void == id => {
                Some(Known::Void(VoidHold { id, hold: released.hold, reference: *reference }))
            }
            _ => None,
        })
    }

    /// Holds that are open.
    #[must_use]
    pub fn open_holds(&self) -> Vec<Hold> {
        let holds = self.events().filter_map(|event| match event {
            Event::Held(new) => Some(self.hold(new)),
            _ => None,
        });
        holds.filter(|hold| hold.state == HoldState::Open).collect()
    }

    fn hold(&self, new: &NewHold) -> Hold {
        let id = new.transfer.id;
        let mut hold = Hold { new: *new, left: new.transfer.amount, state: HoldState::Open };
        for event in self.events() {
            match event {
                Event::Posted(posted) if posted.post.hold == id => {
                    let gone = posted.settlement.posted.base() + posted.settlement.released.base();
                    hold.left = Amount::from_base(hold.left.base() - gone);
                    if hold.left.is_zero() {
                        hold.state = HoldState::Posted;
                    }
                }
                Event::Voided { released, .. } if released.hold == id => {
                    hold = Hold { left: Amount::ZERO, state: HoldState::Voided, ..hold };
                }
                Event::Expired(released) if released.hold == id => {
                    hold = Hold { left: Amount::ZERO, state: HoldState::Expired, ..hold };
                }
                _ => {}
            }
        }
        hold
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.journal.iter().map(|sealed| &sealed.entry.event)
    }

    fn group(&mut self, now: Timestamp, steps: &[Step]) -> Vec<Outcome> {
        let before = self.journal.len();
        let refuse = |at: usize, rejection: Rejection| {
            let other = Rejection::LinkedGroupFailed;
            (0..steps.len()).map(|i| Outcome::Rejected(if i == at { rejection } else { other })).collect()
        };
        if steps.last().is_some_and(|step| step.link == Link::WithNext) {
            return refuse(steps.len() - 1, Rejection::LinkedGroupOpen);
        }
        let (mut outcomes, mut existing, mut new) = (Vec::new(), 0, 0);
        for (at, step) in steps.iter().enumerate() {
            let judged = self.judge(now, &step.command, (existing, new));
            if is_money(&step.command) {
                existing += usize::from(judged == Ok(None));
                new += usize::from(matches!(judged, Ok(Some(_))));
            }
            match judged {
                Ok(Some(event)) => {
                    let head = self.head();
                    let mut chain = Chain::after(head);
                    let entry = event.after(&head, now);
                    let hash = chain.seal(&entry).1;
                    self.journal.push(Sealed { entry, hash });
                    outcomes.push(Outcome::Applied);
                }
                Ok(None) => outcomes.push(Outcome::Exists),
                Err(rejection) => {
                    self.journal.truncate(before);
                    return refuse(at, rejection);
                }
            }
        }
        outcomes
    }

    /// The event that a command comes to, `None` when it happened before, or the first rule that it breaks.
    fn judge(
        &self,
        now: Timestamp,
        command: &Command,
        group: (usize, usize),
    ) -> Result<Option<Event>, Rejection> {
        match command {
            Command::DefineAsset(_) | Command::OpenAccount(_) | Command::CloseAccount(_) => {
                self.judge_nouns(command)
            }
            Command::Transfer(new) => {
                if self.transfer_shape(new, command, group)? {
                    return Ok(None);
                }
                self.may_move(new)?;
                Ok(Some(Event::Transferred(*new)))
            }
            Command::Hold(new) => {
                if self.transfer_shape(&new.transfer, command, group)? {
                    return Ok(None);
                }
                refuse(has_run_out(new.expiry, now), Rejection::ExpiryNotInFuture)?;
                self.may_move(&new.transfer)?;
                Ok(Some(Event::Held(*new)))
            }
            Command::Post(new) => {
                refuse(new.id.is_reserved(), Rejection::IdReserved)?;
                if self.existed(new.id, command, group)? {
                    return Ok(None);
                }
                let hold = self.open_hold(new.hold)?;
                refuse(has_run_out(hold.new.expiry, now), Rejection::HoldExpired)?;
                let left = hold.left.base();
                let posted = match new.amount {
                    PostAmount::Exact(amount) => amount.base(),
                    PostAmount::Rest => left,
                };
                let required = Amount::from_base(posted);
                refuse(posted > left, Rejection::ExceedsHold { left: hold.left, required })?;
                let released = if new.remainder == Remainder::Release { left - posted } else { 0 };
                let settlement = Settlement { posted: required, released: Amount::from_base(released) };
                let Transfer { debit, credit, asset, .. } = hold.new.transfer;
                let left = Amount::from_base(left - posted - released);
                Ok(Some(Event::Posted(Posted { post: *new, debit, credit, asset, settlement, left })))
            }
            Command::Void(new) => {
                refuse(new.id.is_reserved(), Rejection::IdReserved)?;
                if self.existed(new.id, command, group)? {
                    return Ok(None);
                }
                let released = release(&self.open_hold(new.hold)?);
                Ok(Some(Event::Voided { id: new.id, reference: new.reference, released }))
            }
            Command::Expire(id) => {
                if let Some(Known::Hold(Hold { state: HoldState::Expired, .. })) = self.known(*id) {
                    return Ok(None);
                }
                let hold = self.open_hold(*id)?;
                refuse(!has_run_out(hold.new.expiry, now), Rejection::HoldNotDue)?;
                Ok(Some(Event::Expired(release(&hold))))
            }
        }
    }

    /// Judges what is asked of assets and accounts.
    fn judge_nouns(&self, command: &Command) -> Result<Option<Event>, Rejection> {
        match command {
            Command::DefineAsset(new) => {
                refuse(new.id.is_reserved(), Rejection::IdReserved)?;
                refuse(!new.fits(), Rejection::AssetTooLong)?;
                let Some(first) = self.asset(new.id) else {
                    return Ok(Some(Event::AssetDefined(new.clone())));
                };
                refuse(first != new.asset, Rejection::ExistsWithDifferent(Field::Asset))?;
                Ok(None)
            }
            Command::OpenAccount(new) => {
                refuse(new.id.is_reserved(), Rejection::IdReserved)?;
                if let Some(first) = self.account(new.id) {
                    refuse(first.asset != new.asset, Rejection::ExistsWithDifferent(Field::Asset))?;
                    refuse(first.limit != new.limit, Rejection::ExistsWithDifferent(Field::Limit))?;
                    return Ok(None);
                }
                refuse(self.asset(new.asset).is_none(), Rejection::AssetNotFound)?;
                Ok(Some(Event::AccountOpened(*new)))
            }
            Command::CloseAccount(id) => {
                let account = self.account(*id).ok_or(Rejection::AccountNotFound)?;
                if account.state == AccountState::Closed {
                    return Ok(None);
                }
                refuse(account.has_pending(), Rejection::AccountHasHolds)?;
                Ok(Some(Event::AccountClosed(*id)))
            }
            _ => Ok(None),
        }
    }

    fn transfer_shape(
        &self,
        new: &Transfer,
        command: &Command,
        group: (usize, usize),
    ) -> Result<bool, Rejection> {
        refuse(new.id.is_reserved(), Rejection::IdReserved)?;
        refuse(new.debit == new.credit, Rejection::AccountsSame)?;
        refuse(new.amount.is_zero(), Rejection::AmountZero)?;
        self.existed(new.id, command, group)
    }

    /// Whether exactly this happened before.
    fn existed(&self, id: TransferId, command: &Command, group: (usize, usize)) -> Result<bool, Rejection> {
        let (existing, new) = group;
        let Some(known) = self.known(id) else {
            refuse(existing > 0, Rejection::LinkedGroupPartlyExists)?;
            return Ok(false);
        };
        let first = match known {
            Known::Transfer(transfer) => Command::Transfer(transfer),
            Known::Hold(hold) => Command::Hold(hold.new),
            Known::Post(post) => Command::Post(post),
            Known::Void(void) => Command::Void(void),
        };
        if let Some(field) = difference(&first, command) {
            return Err(Rejection::ExistsWithDifferent(field));
        }
        refuse(new > 0, Rejection::LinkedGroupPartlyExists)?;
        Ok(true)
    }

    fn open_hold(&self, id: TransferId) -> Result<Hold, Rejection> {
        match self.known(id).ok_or(Rejection::HoldNotFound)? {
            Known::Hold(hold) => match hold.state {
                HoldState::Open => Ok(hold),
                HoldState::Posted => Err(Rejection::HoldPosted),
                HoldState::Voided => Err(Rejection::HoldVoided),
                HoldState::Expired => Err(Rejection::HoldExpired),
            },
            _ => Err(Rejection::NotAHold),
        }
    }

    fn may_move(&self, new: &Transfer) -> Result<(), Rejection> {
        let from = self.account(new.debit).ok_or(Rejection::DebitAccountNotFound)?;
        let to = self.account(new.credit).ok_or(Rejection::CreditAccountNotFound)?;
        refuse(from.asset != new.asset || to.asset != new.asset, Rejection::AssetMismatch)?;
        refuse(from.state == AccountState::Closed, Rejection::DebitAccountClosed)?;
        refuse(to.state == AccountState::Closed, Rejection::CreditAccountClosed)?;
        let required = new.amount;
        let all = |sums: crate::Sums| sums.posted.base().checked_add(sums.pending.base());
        let fits = |sums| all(sums).and_then(|all| all.checked_add(required.base())).is_some();
        refuse(!fits(from.totals.debits), Rejection::DebitsOverflow)?;
        refuse(!fits(to.totals.credits), Rejection::CreditsOverflow)?;
        let available = |income: crate::Sums, outgo: crate::Sums| {
            let committed = outgo.posted.base() + outgo.pending.base();
            Amount::from_base(income.posted.base().saturating_sub(committed))
        };
        if from.limit == Limit::DebitsMustNotExceedCredits {
            let available = available(from.totals.credits, from.totals.debits);
            refuse(required > available, Rejection::ExceedsCredits { available, required })?;
        }
        if to.limit == Limit::CreditsMustNotExceedDebits {
            let available = available(to.totals.debits, to.totals.credits);
            refuse(required > available, Rejection::ExceedsDebits { available, required })?;
        }
        Ok(())
    }
}

fn head_of(journal: &[Sealed]) -> Head {
    journal.last().map_or_else(Head::genesis, |last| Head {
        seq: last.entry.seq,
        at: last.entry.at,
        hash: last.hash,
    })
}

fn refuse(broken: bool, rejection: Rejection) -> Result<(), Rejection> {
    if broken { Err(rejection) } else { Ok(()) }
}

fn has_run_out(expiry: Expiry, now: Timestamp) -> bool {
    match expiry {
        Expiry::At(at) => now >= at,
        Expiry::Never => false,
    }
}

fn release(hold: &Hold) -> Released {
    let Transfer { id, debit, credit, asset, .. } = hold.new.transfer;
    Released { hold: id, debit, credit, asset, amount: hold.left }
}

fn is_money(command: &Command) -> bool {
    matches!(command, Command::Transfer(_) | Command::Hold(_) | Command::Post(_) | Command::Void(_))
}

/// The first field in which two uses of an id differ.
fn difference(first: &Command, again: &Command) -> Option<Field> {
    let fields: Vec<(bool, Field)> = match (first, again) {
        (Command::Transfer(a), Command::Transfer(b)) => transfer_fields(a, b),
        (Command::Hold(a), Command::Hold(b)) => {
            let mut fields = transfer_fields(&a.transfer, &b.transfer);
            fields.push((a.expiry == b.expiry, Field::Expiry));
            fields
        }
        (Command::Post(a), Command::Post(b)) => vec![
            (a.hold == b.hold, Field::Hold),
            (a.amount == b.amount, Field::Amount),
            (a.remainder == b.remainder, Field::Remainder),
            (a.reference == b.reference, Field::Reference),
        ],
        (Command::Void(a), Command::Void(b)) => {
            vec![(a.hold == b.hold, Field::Hold), (a.reference == b.reference, Field::Reference)]
        }
        _ => vec![(false, Field::Kind)],
    };
    fields.into_iter().find_map(|(same, field)| (!same).then_some(field))
}

fn transfer_fields(a: &Transfer, b: &Transfer) -> Vec<(bool, Field)> {
    vec![
        (a.debit == b.debit, Field::DebitAccount),
        (a.credit == b.credit, Field::CreditAccount),
        (a.asset == b.asset, Field::Asset),
        (a.amount == b.amount, Field::Amount),
        (a.code == b.code, Field::Code),
        (a.tag.subject == b.tag.subject, Field::Subject),
        (a.tag.reference == b.tag.reference, Field::Reference),
    ]
}

fn parties(event: &Event) -> Option<(AccountId, AccountId)> {
    match event {
        Event::Transferred(t) | Event::Held(NewHold { transfer: t, .. }) => Some((t.debit, t.credit)),
        Event::Posted(posted) => Some((posted.debit, posted.credit)),
        Event::Voided { released, .. } | Event::Expired(released) => Some((released.debit, released.credit)),
        Event::AssetDefined(_) | Event::AccountOpened(_) | Event::AccountClosed(_) => None,
    }
}

fn posted_by(event: &Event) -> u128 {
    match event {
        Event::Transferred(transfer) => transfer.amount.base(),
        Event::Posted(posted) => posted.settlement.posted.base(),
        _ => 0,
    }
}

fn held_by(event: &Event) -> u128 {
    match event {
        Event::Held(new) => new.transfer.amount.base(),
        _ => 0,
    }
}

fn ended_by(event: &Event) -> u128 {
    match event {
        Event::Posted(posted) => posted.settlement.posted.base() + posted.settlement.released.base(),
        Event::Voided { released, .. } | Event::Expired(released) => released.amount.base(),
        _ => 0,
    }
}

#[async_trait]
impl LedgerStore for MemoryLedger {
    async fn transact(&self, now: Timestamp, steps: Vec<Step>) -> Result<Vec<Outcome>, StoreError> {
        if steps.len() > MAX_STEPS {
            return Err(StoreError::BatchTooLong { steps: steps.len(), max: MAX_STEPS });
        }
        Ok(self.decide(now, &steps))
    }

    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError> {
        let scan = self.scan();
        Ok(ids.iter().map(|id| scan.account(*id)).collect())
    }

    async fn account_at(&self, id: AccountId, at: Timestamp) -> Result<Option<Account>, StoreError> {
        let mut scan = self.scan();
        scan.journal.retain(|sealed| sealed.entry.at <= at);
        Ok(scan.account(id))
    }

    async fn asset(&self, id: AssetId) -> Result<Option<Asset>, StoreError> {
        Ok(self.scan().asset(id))
    }

    async fn known(&self, id: TransferId) -> Result<Option<Known>, StoreError> {
        Ok(self.scan().known(id))
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<TransferId>, StoreError> {
        let mut due: Vec<Hold> = self.scan().open_holds();
        due.retain(|hold| has_run_out(hold.new.expiry, now));
        due.sort_by_key(|hold| match hold.new.expiry {
            Expiry::At(at) => (at, hold.new.transfer.id),
            Expiry::Never => (Timestamp::from_unix_ms(u64::MAX), hold.new.transfer.id),
        });
        Ok(due.iter().take(limit).map(|hold| hold.new.transfer.id).collect())
    }

    async fn history(&self, query: HistoryQuery) -> Result<Page, StoreError> {
        let before = query.before.unwrap_or(u64::MAX);
        let touches = |sealed: &&Sealed| match parties(&sealed.entry.event) {
            Some((debit, credit)) => debit == query.account || credit == query.account,
            None => false,
        };
        let journal = self.scan().journal;
        let mut found = journal.iter().rev().filter(|sealed| sealed.entry.seq < before).filter(touches);
        let entries: Vec<Sealed> = found.by_ref().take(query.limit.min(MAX_PAGE)).cloned().collect();
        let before = found.next().and_then(|_| entries.last()).map(|last| last.entry.seq);
        Ok(Page { entries, before })
    }

    async fn journal(&self, seq: u64, limit: usize) -> Result<Vec<Sealed>, StoreError> {
        let journal = self.scan().journal;
        let after = journal.iter().filter(|sealed| sealed.entry.seq > seq);
        Ok(after.take(limit.min(MAX_PAGE)).cloned().collect())
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.scan().head())
    }

    async fn verify(&self) -> Result<Result<Report, Fault>, StoreError> {
        let mut verifier = Verifier::new();
        let all = self.scan().journal.iter().try_for_each(|sealed| verifier.add(sealed));
        Ok(all.and_then(|()| verifier.finish()))
    }
}
