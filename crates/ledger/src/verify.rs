//! [`Verifier`]: proves a ledger from its journal, and names the first entry that is broken. It repairs nothing.
//!
//! It proves that every entry is spelled canonically, follows the one before it in place, time and hash, and can follow
//! what the entries so far add up to; that no id was used twice; that debits equal credits in every asset, posted and
//! pending; that no account broke its limit at any time; and that the accounts that a store shows are those that the
//! journal adds up to.

use std::collections::{BTreeMap, HashSet};

use farthing_money::Amount;
use serde::Serialize;

use crate::journal::{Broken, DecodeError, Entry, Hash, Head, Replay, Sealed, read_sealed};
use crate::{Account, AccountId, AssetId, TransferId};

/// What is wrong with a ledger: the first fault that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// An entry cannot be read.
    #[error("entry {seq} cannot be read: {cause}")]
    Unreadable {
        /// Its place.
        seq: u64,
        /// Why.
        cause: DecodeError,
    },
    /// An entry is not where it should be, or lies before the one before it.
    #[error("entry {seq} is out of order")]
    OutOfOrder {
        /// The place at which it was found.
        seq: u64,
    },
    /// An entry is not the one that was sealed, or one before it is not.
    #[error("the hash of entry {seq} does not match its content")]
    HashMismatch {
        /// Its place.
        seq: u64,
    },
    /// An entry cannot follow those before it.
    #[error("entry {seq} cannot follow those before it: {cause}")]
    Broken {
        /// Its place.
        seq: u64,
        /// Why.
        cause: Broken,
    },
    /// An entry uses an id that an entry before it used.
    #[error("entry {seq} uses the id {id} for a second time")]
    IdTwice {
        /// Its place.
        seq: u64,
        /// The id.
        id: TransferId,
    },
    /// The journal ends before it should.
    #[error("the journal ends at entry {seq}, not at entry {expected}")]
    Ends {
        /// Where it ends.
        seq: u64,
        /// Where it should.
        expected: u64,
    },
    /// Debits and credits of an asset differ.
    #[error("debits and credits of asset {asset} differ")]
    Unbalanced {
        /// The asset.
        asset: AssetId,
    },
    /// What a store keeps beside the journal, or how it keeps it, is damaged.
    #[error("the store is damaged: {what}")]
    Storage {
        /// What is.
        what: String,
    },
    /// A store shows an account otherwise than its journal.
    #[error("account {account} is not what the journal adds up to")]
    AccountDiffers {
        /// The account.
        account: AccountId,
    },
}

impl Fault {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "entry_unreadable",
            Self::OutOfOrder { .. } => "entry_out_of_order",
            Self::HashMismatch { .. } => "entry_hash_mismatch",
            Self::Broken { .. } => "entry_broken",
            Self::IdTwice { .. } => "entry_id_twice",
            Self::Ends { .. } => "journal_ends",
            Self::Unbalanced { .. } => "asset_unbalanced",
            Self::Storage { .. } => "storage_damaged",
            Self::AccountDiffers { .. } => "account_differs",
        }
    }

    /// The place of the broken entry, when the fault lies in one.
    #[must_use]
    pub const fn seq(&self) -> Option<u64> {
        match self {
            Self::Unreadable { seq, .. }
            | Self::OutOfOrder { seq }
            | Self::HashMismatch { seq }
            | Self::Broken { seq, .. }
            | Self::IdTwice { seq, .. } => Some(*seq),
            Self::Ends { .. }
            | Self::Unbalanced { .. }
            | Self::Storage { .. }
            | Self::AccountDiffers { .. } => None,
        }
    }
}

/// What a sound ledger comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries in the journal.
    pub entries: u64,
    /// The hash of the last, in hexadecimal: kept elsewhere, it proves that nothing was cut off the end.
    pub hash: String,
    /// Accounts.
    pub accounts: usize,
    /// Holds that are open.
    pub open_holds: usize,
    /// What was posted, an asset; the sums of debits, which equal those of credits.
    pub assets: BTreeMap<AssetId, AssetReport>,
}

/// What was posted and is pending in one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AssetReport {
    /// Accounts that hold it.
    pub accounts: usize,
    /// Sum of all posted debits. A sum of many 128-bit totals may need more: `None` then.
    pub posted: Option<Amount>,
    /// Sum of all pending debits.
    pub pending: Option<Amount>,
}

/// Takes a journal entry by entry.
#[derive(Debug)]
pub struct Verifier {
    head: Head,
    body: Vec<u8>,
    ids: HashSet<TransferId>,
    replay: Replay,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { head: Head::genesis(), body: Vec::new(), ids: HashSet::new(), replay: Replay::new() }
    }
}

impl Verifier {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next entry, as it is stored; gives what it says.
    ///
    /// # Errors
    /// [`Fault`], after which nothing may be added.
    pub fn add_stored(&mut self, body: &[u8], hash: Hash) -> Result<Entry, Fault> {
        let seq = self.head.seq + 1;
        // The hash first: it covers every byte, and a change anywhere is best reported as what it is.
        if self.head.hash.next(body) != hash {
            return Err(Fault::HashMismatch { seq });
        }
        let entry = Entry::decode(body).map_err(|cause| Fault::Unreadable { seq, cause })?;
        self.follow(&entry, hash)?;
        Ok(entry)
    }

    /// The next entry.
    ///
    /// # Errors
    /// [`Fault`], after which nothing may be added.
    pub fn add(&mut self, sealed: &Sealed) -> Result<(), Fault> {
        let seq = self.head.seq + 1;
        self.body.clear();
        sealed.entry.encode(&mut self.body);
        if self.head.hash.next(&self.body) != sealed.hash {
            return Err(Fault::HashMismatch { seq });
        }
        self.follow(&sealed.entry, sealed.hash)
    }

    /// All entries of a serialized journal ([`crate::journal::write_sealed`]).
    ///
    /// # Errors
    /// [`Fault`].
    pub fn add_serialized(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let seq = self.head.seq + 1;
            let sealed = read_sealed(&mut bytes).map_err(|cause| Fault::Unreadable { seq, cause })?;
            self.add(&sealed)?;
        }
        Ok(())
    }

    /// What the entries so far add up to.
    #[must_use]
    pub const fn replay(&self) -> &Replay {
        &self.replay
    }

    /// Checks that the journal ends at `head`.
    ///
    /// # Errors
    /// [`Fault::Ends`], or [`Fault::HashMismatch`] when the last entry is another one.
    pub fn ends_at(&self, head: &Head) -> Result<(), Fault> {
        if self.head.seq != head.seq {
            return Err(Fault::Ends { seq: self.head.seq, expected: head.seq });
        }
        if self.head.hash != head.hash {
            return Err(Fault::HashMismatch { seq: head.seq });
        }
        Ok(())
    }

    /// Checks that `shown` is every account, exactly as the journal adds them up.
    ///
    /// # Errors
    /// [`Fault::AccountDiffers`] with the lowest id that differs.
    pub fn accounts_are<'a>(&self, shown: impl IntoIterator<Item = &'a Account>) -> Result<(), Fault> {
        let shown: BTreeMap<AccountId, &Account> =
            shown.into_iter().map(|account| (account.id, account)).collect();
        let told: BTreeMap<AccountId, &Account> =
            self.replay.accounts().map(|account| (account.id, account)).collect();
        let ids = shown.keys().chain(told.keys());
        match ids.filter(|id| shown.get(id) != told.get(id)).min() {
            Some(account) => Err(Fault::AccountDiffers { account: *account }),
            None => Ok(()),
        }
    }

    /// Checks that debits equal credits, and reports.
    ///
    /// # Errors
    /// [`Fault::Unbalanced`].
    pub fn finish(&self) -> Result<Report, Fault> {
        let mut sums: BTreeMap<AssetId, AssetSums> = BTreeMap::new();
        for account in self.replay.accounts() {
            let sums = sums.entry(account.asset).or_default();
            sums.accounts += 1;
            sums.debits.add(account.totals.debits.posted, account.totals.debits.pending);
            sums.credits.add(account.totals.credits.posted, account.totals.credits.pending);
        }
        if let Some((asset, _)) = sums.iter().find(|(_, sums)| sums.debits != sums.credits) {
            return Err(Fault::Unbalanced { asset: *asset });
        }
        let assets = sums
            .into_iter()
            .map(|(id, AssetSums { accounts, debits, .. })| {
                let (posted, pending) = (debits.posted.amount(), debits.pending.amount());
                (id, AssetReport { accounts, posted, pending })
            })
            .collect();
        Ok(Report {
            entries: self.head.seq,
            hash: self.head.hash.to_string(),
            accounts: self.replay.accounts().count(),
            open_holds: self.replay.open_holds().count(),
            assets,
        })
    }

    fn follow(&mut self, entry: &Entry, hash: Hash) -> Result<(), Fault> {
        let seq = self.head.seq + 1;
        if entry.seq != seq || entry.at < self.head.at {
            return Err(Fault::OutOfOrder { seq });
        }
        if let Some(id) = entry.transfer_id()
            && !self.ids.insert(id)
        {
            return Err(Fault::IdTwice { seq, id });
        }
        self.replay.add(entry).map_err(|cause| Fault::Broken { seq, cause })?;
        self.head = Head { seq, at: entry.at, hash };
        Ok(())
    }
}

#[derive(Debug, Default)]
struct AssetSums {
    accounts: usize,
    debits: WideSums,
    credits: WideSums,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct WideSums {
    posted: Wide,
    pending: Wide,
}

impl WideSums {
    fn add(&mut self, posted: Amount, pending: Amount) {
        self.posted.add(posted);
        self.pending.add(pending);
    }
}

/// A sum of up to 2^64 amounts: many totals of one asset may pass 128 bits although none of them does.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wide {
    carried: u64,
    low: u128,
}

impl Wide {
    fn add(&mut self, amount: Amount) {
        let (low, carry) = self.low.overflowing_add(amount.base());
        self.low = low;
        self.carried += u64::from(carry);
    }

    const fn amount(&self) -> Option<Amount> {
        if self.carried == 0 { Some(Amount::from_base(self.low)) } else { None }
    }
}

#[cfg(test)]
mod tests;
