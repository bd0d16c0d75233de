//! [`Transaction`]: what happened to a wallet, read from the ledger's history of its accounts, the newest first, in the words of
//! billing. It keeps nothing of its own.

use std::collections::{BTreeMap, BTreeSet};

use farthing_ledger::journal::{Entry, Event};
use farthing_ledger::store::HistoryQuery;
use farthing_ledger::{AccountId, Net, TransferId};
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::signed;
use super::{LoadedWallet, Movement, MovementId};
use crate::Reason;
use crate::grant::Purpose;
use crate::id::{BudgetId, CustomerId, GrantId, GroupId};
use crate::service::document::{record_key, stored};
use crate::service::hold::{Hold, HoldDoc, Receipt};
use crate::service::names::reference;
use crate::service::names::{self, Named as _};
use crate::service::{Billing, Cx, HoldId, Page, PageQuery, ServiceError};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransactionKind {
    /// Money was set aside for a call.
    HoldPlaced,
    /// What was set aside was given back.
    HoldVoided,
    /// What was set aside for too long was given back.
    HoldExpired,
    /// A call was paid for.
    Spend,
    /// A spend was given back.
    Refund,
    /// Money came in.
    Deposit,
    /// Money was granted.
    Grant,
    /// A grant ran out.
    GrantExpired,
    /// A funding source took money back.
    Chargeback,
    /// What was owed was paid.
    Repayment,
    /// An operator corrected the balance.
    Adjustment,
    /// A line of credit was given, changed or taken away.
    Overdraft,
    /// Money became a budget's own.
    Carve,
    /// What a budget had left came back.
    Reclaim,
    /// Something that this version does not know.
    Other,
}

/// Something that happened to a wallet. A call that draws on several grants is one transaction for each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transaction {
    /// Its place in the ledger's journal; higher is later.
    pub seq: u64,
    /// When.
    pub at_ms: u64,
    /// What.
    pub kind: TransactionKind,
    /// How much it is about.
    pub amount: Amount,
    /// What it did to what is settled.
    #[serde(with = "signed")]
    pub settled: Net,
    /// What it did to what is held.
    #[serde(with = "signed")]
    pub held: Net,
    /// The grant, when it is not the paid money.
    #[serde(default, with = "names::maybe")]
    pub grant: Option<GrantId>,
    /// The hold that it belongs to.
    #[serde(default, with = "names::maybe")]
    pub hold: Option<HoldId>,
    /// The budget that spent; none for the wallet itself.
    #[serde(default, with = "names::maybe")]
    pub budget: Option<BudgetId>,
    /// The movement that it is.
    #[serde(default, with = "names::maybe")]
    pub movement: Option<MovementId>,
    /// The unit of work.
    pub subject: Option<String>,
    /// What it refers to outside.
    pub reference: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
}

impl Billing {
    /// What happened to a wallet, the newest first, a page at a time.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`] for the cursor, and the store's.
    pub async fn transactions(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        page: &PageQuery,
    ) -> Result<Page<Transaction>, ServiceError> {
        let mut wallet = self.load_wallet(cx, customer, asset).await?;
        wallet.stored.doc.grants = self.all_grants(cx, &wallet).await?;
        let before = match page.after.as_deref().map(str::parse) {
            None => None,
            Some(Ok(seq)) => Some(seq),
            Some(Err(_)) => return Err(ServiceError::invalid("after", "the cursor of a page of this list")),
        };
        let limit = page.limit.clamp(1, farthing_ledger::store::MAX_PAGE - 1);
        let mut entries: BTreeMap<u64, Entry> = BTreeMap::new();
        for account in wallet.accounts() {
            let query = HistoryQuery { account, before, limit: limit + 1 };
            let found = self.store().history(query).await?;
            // A transfer between two accounts of the wallet is in the history of both.
            entries.extend(found.entries.into_iter().map(|sealed| (sealed.entry.seq, sealed.entry)));
        }
        let more = entries.len() > limit;
        let accounts = Mine::of(&wallet);
        let newest = entries.into_values().rev().take(limit);
        let (mut data, receipts): (Vec<Transaction>, Vec<u128>) =
            newest.filter_map(|entry| Some((accounts.read(&entry)?, receipt(&entry)))).unzip();
        let next = data.last().filter(|_| more).map(|last| last.seq.to_string());
        self.tell_more(cx, &mut data, &receipts).await?;
        Ok(Page { data, next })
    }

    /// Adds what records know of the movements and holds among `data`.
    async fn tell_more(
        &self,
        cx: &Cx,
        data: &mut [Transaction],
        receipts: &[u128],
    ) -> Result<(), ServiceError> {
        let movements: BTreeSet<MovementId> = data.iter().filter_map(|one| one.movement).collect();
        let holds: BTreeSet<HoldId> = data.iter().filter_map(|one| one.hold).collect();
        let keys: Vec<_> = movements
            .iter()
            .map(|id| record_key::<Movement>(cx.tenant, &id.text()))
            .chain(holds.iter().map(|id| record_key::<HoldDoc>(cx.tenant, &id.text())))
            .collect();
        let found = self.store().records(&keys).await?;
        let (of_movements, of_holds) = found.split_at(movements.len().min(found.len()));
        let mut known: BTreeMap<MovementId, Movement> = BTreeMap::new();
        for record in of_movements.iter().flatten() {
            let movement = stored::<Movement>(cx.tenant, record)?.doc;
            known.insert(movement.id, movement);
        }
        let mut placed: BTreeMap<HoldId, Hold> = BTreeMap::new();
        for record in of_holds.iter().flatten() {
            let hold = stored::<HoldDoc>(cx.tenant, record)?.doc.hold;
            placed.insert(hold.id, hold);
        }
        for (one, receipt) in data.iter_mut().zip(receipts) {
            match one.movement.and_then(|id| known.get(&id)) {
                Some(movement) => {
                    one.reference.clone_from(&movement.reference);
                    one.reason.clone_from(&movement.reason);
                }
                None => one.movement = None,
            }
            if let Some(hold) = one.hold.and_then(|id| placed.get(&id)) {
                one.subject.clone_from(&hold.subject);
                one.reason.clone_from(&hold.description);
                one.budget = hold.budget;
                let paid =
                    |of: &&Receipt| of.reference.as_ref().is_some_and(|text| reference(text) == *receipt);
                one.reference = hold.receipts.iter().find(paid).and_then(|receipt| receipt.reference.clone());
            }
        }
        Ok(())
    }
}

/// What an entry says of the receipt of a payment.
const fn receipt(entry: &Entry) -> u128 {
    match &entry.event {
        Event::Posted(posted) => posted.post.reference,
        _ => 0,
    }
}

/// The accounts of one wallet.
struct Mine {
    accounts: BTreeMap<AccountId, Account>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    Paid,
    Overdraft,
    Debt,
    Grant(GrantId),
}

impl Mine {
    fn of(wallet: &LoadedWallet) -> Self {
        let names = wallet.names();
        let own = [
            (names.account(), Account::Paid),
            (names.overdraft_account(), Account::Overdraft),
            (names.debt_account(), Account::Debt),
        ];
        let grants = wallet.grants().into_iter().map(|grant| {
            debug_assert!(grant.purpose != Purpose::Overdraft, "a line of credit is no grant of the record");
            (grant.account, Account::Grant(grant.id))
        });
        Self { accounts: own.into_iter().chain(grants).collect() }
    }

    fn read(&self, entry: &Entry) -> Option<Transaction> {
        let zero = Net::Plus(Amount::ZERO);
        let blank = Transaction {
            seq: entry.seq,
            at_ms: entry.at.unix_ms(),
            kind: TransactionKind::Other,
            amount: Amount::ZERO,
            settled: zero,
            held: zero,
            grant: None,
            hold: None,
            budget: None,
            movement: None,
            subject: None,
            reference: None,
            reason: None,
        };
        let hold = |leg: TransferId| Some(HoldId::of_group(GroupId::of(leg)));
        Some(match &entry.event {
            Event::Transferred(transfer) => Transaction {
                kind: kind(transfer.code),
                amount: transfer.amount,
                settled: if transfer.code == Reason::Overdraft.code() {
                    zero
                } else {
                    self.moved(transfer.debit, transfer.credit, transfer.amount)
                },
                grant: self.grant(transfer.debit, transfer.credit),
                movement: Some(MovementId::from_u128(GroupId::of(transfer.id).as_u128())),
                ..blank
            },
            Event::Held(held) => Transaction {
                kind: TransactionKind::HoldPlaced,
                amount: held.transfer.amount,
                held: Net::Plus(held.transfer.amount),
                grant: self.grant(held.transfer.debit, held.transfer.credit),
                hold: hold(held.transfer.id),
                ..blank
            },
            Event::Posted(posted) => {
                let ended = posted.settlement.posted.checked_add(posted.settlement.released).ok()?;
                Transaction {
                    kind: TransactionKind::Spend,
                    amount: posted.settlement.posted,
                    settled: Net::of(Amount::ZERO, posted.settlement.posted),
                    held: Net::of(Amount::ZERO, ended),
                    grant: self.grant(posted.debit, posted.credit),
                    hold: hold(posted.post.hold),
                    ..blank
                }
            }
            Event::Voided { released, .. } | Event::Expired(released) => Transaction {
                kind: match entry.event {
                    Event::Expired(_) => TransactionKind::HoldExpired,
                    _ => TransactionKind::HoldVoided,
                },
                amount: released.amount,
                held: Net::of(Amount::ZERO, released.amount),
                grant: self.grant(released.debit, released.credit),
                hold: hold(released.hold),
                ..blank
            },
            Event::AssetDefined(_) | Event::AccountOpened(_) | Event::AccountClosed(_) => return None,
        })
    }

    /// What a transfer does to what is settled; a line of credit that is given or taken away does nothing, because the line counts
    /// against what is in it.
    fn moved(&self, debit: AccountId, credit: AccountId, amount: Amount) -> Net {
        let counts = |id: AccountId| self.accounts.contains_key(&id);
        match (counts(debit), counts(credit)) {
            (false, true) => Net::Plus(amount),
            (true, false) => Net::of(Amount::ZERO, amount),
            _ => Net::Plus(Amount::ZERO),
        }
    }

    fn grant(&self, debit: AccountId, credit: AccountId) -> Option<GrantId> {
        [debit, credit].iter().find_map(|id| match self.accounts.get(id) {
            Some(Account::Grant(grant)) => Some(*grant),
            _ => None,
        })
    }
}

const fn kind(code: u32) -> TransactionKind {
    const SPEND: u32 = Reason::Spend.code();
    const REFUND: u32 = Reason::Refund.code();
    const DEPOSIT: u32 = Reason::Deposit.code();
    const GRANT: u32 = Reason::Grant.code();
    const EXPIRED: u32 = Reason::GrantExpired.code();
    const CHARGEBACK: u32 = Reason::Chargeback.code();
    const REPAYMENT: u32 = Reason::Repayment.code();
    const ADJUSTMENT: u32 = Reason::Adjustment.code();
    const OVERDRAFT: u32 = Reason::Overdraft.code();
    const CARVE: u32 = Reason::Carve.code();
    const RECLAIM: u32 = Reason::Reclaim.code();
    match code {
        SPEND => TransactionKind::Spend,
        REFUND => TransactionKind::Refund,
        DEPOSIT => TransactionKind::Deposit,
        GRANT => TransactionKind::Grant,
        EXPIRED => TransactionKind::GrantExpired,
        CHARGEBACK => TransactionKind::Chargeback,
        REPAYMENT => TransactionKind::Repayment,
        ADJUSTMENT => TransactionKind::Adjustment,
        OVERDRAFT => TransactionKind::Overdraft,
        CARVE => TransactionKind::Carve,
        RECLAIM => TransactionKind::Reclaim,
        _ => TransactionKind::Other,
    }
}
