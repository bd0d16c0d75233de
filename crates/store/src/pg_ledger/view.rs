//! [`View`]: accounts and open holds as of the last entry that is known to be on disk, for readers. It follows the log by itself
//! and shares nothing with the engine: while a batch is being decided or the log is held by others, it answers.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use farthing_ledger::journal::{Chain, Checkpoint, Head, Replay, Sealed};
use farthing_ledger::{Account, AccountId, Expiry, Hold, Known, Timestamp, TransferId};

use crate::books::Books;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct View {
    chain: Chain,
    replay: Replay,
    last_seq: HashMap<AccountId, u64>,
}

/// Whether an entry could be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Taken,
    /// Entries before it are missing.
    Gap,
    /// It does not follow: the log is another one, or damaged.
    Diverged,
}

impl View {
    /// What books show that are as of the end of the log.
    pub(super) fn of(books: &Books) -> Self {
        let engine = &books.engine;
        let accounts = engine.accounts().to_vec();
        let last_seq =
            accounts.iter().zip(&books.last_seq).map(|(account, last)| (account.id, *last)).collect();
        let checkpoint = Checkpoint {
            assets: engine
                .assets()
                .map(|(id, asset)| farthing_ledger::NewAsset { id, asset: asset.clone() })
                .collect(),
            accounts,
            holds: engine.open_holds().copied().collect(),
        };
        Self { chain: books.chain.clone(), replay: Replay::resume(checkpoint), last_seq }
    }

    pub(super) const fn head(&self) -> Head {
        self.chain.head()
    }

    /// Takes the next entry over; one that it has is left.
    pub(super) fn take(&mut self, sealed: &Sealed) -> Step {
        let (before, entry) = (self.head(), &sealed.entry);
        if entry.seq <= before.seq {
            return Step::Taken;
        }
        if entry.seq > before.seq + 1 {
            return Step::Gap;
        }
        if entry.at < before.at || self.chain.seal(entry).1 != sealed.hash {
            self.chain.rewind(before);
            return Step::Diverged;
        }
        self.add(sealed, before)
    }

    /// Takes entries over that follow each other, as whoever read or sealed them has made sure. What they follow is looked at here.
    fn take_run(&mut self, run: &[Sealed]) -> Step {
        let seq = self.head().seq;
        let mut news = run.iter().skip_while(|sealed| sealed.entry.seq <= seq);
        let first = news.next().map_or(Step::Taken, |first| self.take(first));
        if first != Step::Taken {
            return first;
        }
        for sealed in news {
            let before = self.head();
            if sealed.entry.seq != before.seq + 1 {
                return Step::Gap;
            }
            if self.add(sealed, before) != Step::Taken {
                return Step::Diverged;
            }
        }
        Step::Taken
    }

    /// Adds the next entry up.
    fn add(&mut self, sealed: &Sealed, before: Head) -> Step {
        let Sealed { entry, hash } = sealed;
        if self.replay.add(entry).is_err() {
            // Stays where it was, so that whoever comes next finds out too, and the view is made anew.
            self.chain.rewind(before);
            return Step::Diverged;
        }
        self.chain.rewind(Head { seq: entry.seq, at: entry.at, hash: *hash });
        if let Some(movement) = entry.event.movement() {
            self.last_seq.insert(movement.debit, entry.seq);
            self.last_seq.insert(movement.credit, entry.seq);
        }
        Step::Taken
    }

    /// The account, and the last entry that touched it; 0 for none.
    pub(super) fn account(&self, id: AccountId) -> Option<(Account, u64)> {
        let account = self.replay.get(id)?;
        Some((*account, self.last_seq.get(&id).copied().unwrap_or_default()))
    }

    pub(super) fn accounts(&self) -> Vec<Account> {
        self.replay.accounts().copied().collect()
    }

    pub(super) fn asset(&self, id: farthing_ledger::AssetId) -> Option<&farthing_money::Asset> {
        self.replay.asset(id)
    }

    pub(super) fn open_hold(&self, id: TransferId) -> Option<Known> {
        self.replay.open_hold(id).map(|hold: &Hold| Known::Hold(*hold))
    }

    /// At most `limit` open holds that have run out at `now`, the longest overdue first.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<TransferId> {
        let overdue = |hold: &Hold| match hold.new.expiry {
            Expiry::At(at) if at <= now => Some((at, hold.new.transfer.id)),
            _ => None,
        };
        let mut due: Vec<(Timestamp, TransferId)> = self.replay.open_holds().filter_map(overdue).collect();
        due.sort_unstable();
        due.truncate(limit);
        due.into_iter().map(|(_, id)| id).collect()
    }
}

/// The most entries that are taken over before readers have their turn: a big batch takes a millisecond.
const AT_ONCE: usize = 32;

/// A view that a few change and many read.
#[derive(Debug, Clone)]
pub(super) struct SharedView(Arc<RwLock<View>>);

impl SharedView {
    pub(super) fn new(view: View) -> Self {
        Self(Arc::new(RwLock::new(view)))
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, View> {
        // A panic elsewhere leaves it whole: entries are taken one by one.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes entries over, as far as they follow. What is missing is read from the log by whoever asks next.
    pub(super) fn take(&self, news: &[Sealed]) {
        for some in news.chunks(AT_ONCE) {
            if self.write().take_run(some) != Step::Taken {
                return;
            }
        }
    }
}
