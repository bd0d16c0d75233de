//! Proving a ledger's file: the journal by its hash chain and by adding it up, and everything beside it by the journal.

use std::collections::{BTreeMap, HashMap};

use farthing_ledger::journal::{Entry, Head};
use farthing_ledger::verify::{Fault, Report, Verifier};
use farthing_ledger::{Account, AccountId, TransferId};
use farthing_money::Amount;
use rusqlite::Connection;

use super::sql::{self, ACCOUNT_COLUMNS, AccountRow, Sql};

/// What a running ledger shows at one moment, to be compared with its file.
pub(super) struct Shown {
    pub(super) head: Head,
    pub(super) accounts: Vec<Account>,
}

/// Proves the file behind `db`, which must not have read anything yet. What is unreadable is a fault like any other.
pub(super) fn audit(db: &Connection, shown: Option<&Shown>) -> Result<Report, Fault> {
    match run(db, shown) {
        Ok(result) => result,
        Err(error) => Err(Fault::Storage { what: error.to_string() }),
    }
}

fn run(db: &Connection, shown: Option<&Shown>) -> Result<Result<Report, Fault>, Sql> {
    // One snapshot of the file, whatever is written meanwhile.
    db.execute_batch("BEGIN")?;
    let result = prove(db, shown);
    db.execute_batch("ROLLBACK")?;
    Ok(match result? {
        Ok(report) => whole(db)?.map(|()| report),
        fault => fault,
    })
}

fn prove(db: &Connection, shown: Option<&Shown>) -> Result<Result<Report, Fault>, Sql> {
    let mut beside = Beside::load(db)?;
    let mut verifier = Verifier::new();
    let mut read =
        db.prepare("SELECT body, hash, id, ends, prev_debit, prev_credit, seq FROM journal ORDER BY seq")?;
    let mut rows = read.query([])?;
    let (mut seq, mut compared) = (0, compare(&verifier, shown, 0));
    while let Some(row) = rows.next()? {
        let (body, hash) = sql::body_and_hash(row)?;
        let entry = match verifier.add_stored(body, hash) {
            Ok(entry) => entry,
            Err(fault) => return Ok(Err(fault)),
        };
        let columns = Columns {
            seq: sql::unsigned(row.get(6)?)?,
            id: blob(row, 2)?,
            ends: blob(row, 3)?,
            before: (integer(row, 4)?, integer(row, 5)?),
        };
        if let Err(what) = beside.follow(&entry, &columns, &verifier) {
            return Ok(Err(Fault::Storage { what }));
        }
        seq = entry.seq;
        compared = compared.and_then(|()| compare(&verifier, shown, seq));
    }
    if let Some(shown) = shown.filter(|shown| shown.head.seq > seq) {
        return Ok(Err(Fault::Ends { seq, expected: shown.head.seq }));
    }
    Ok(compared.and_then(|()| beside.finish(&verifier)).and_then(|()| verifier.finish()))
}

/// Compares what was shown when the journal ended at `seq`. The file may have grown since.
fn compare(verifier: &Verifier, shown: Option<&Shown>, seq: u64) -> Result<(), Fault> {
    let Some(shown) = shown.filter(|shown| shown.head.seq == seq) else { return Ok(()) };
    verifier.ends_at(&shown.head)?;
    verifier.accounts_are(&shown.accounts)
}

/// SQLite's own check of pages and indexes.
fn whole(db: &Connection) -> Result<Result<(), Fault>, Sql> {
    let said: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok(if said == "ok" { Ok(()) } else { Err(Fault::Storage { what: said }) })
}

fn blob(row: &rusqlite::Row<'_>, column: usize) -> Result<Option<u128>, Sql> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        value => sql::number(value).map(Some),
    }
}

fn integer(row: &rusqlite::Row<'_>, column: usize) -> Result<Option<u64>, Sql> {
    row.get::<_, Option<i64>>(column)?.map(sql::unsigned).transpose()
}

/// What a row of the journal says beside body and hash.
struct Columns {
    seq: u64,
    id: Option<u128>,
    ends: Option<u128>,
    before: (Option<u64>, Option<u64>),
}

/// Everything that is stored beside the journal.
struct Beside {
    accounts: BTreeMap<u64, Vec<AccountRow>>,
    old_holds: HashMap<TransferId, (u64, Amount)>,
    last_seq: HashMap<AccountId, u64>,
}

impl Beside {
    fn load(db: &Connection) -> Result<Self, Sql> {
        let mut accounts: BTreeMap<u64, Vec<AccountRow>> = BTreeMap::new();
        let mut read = db.prepare(&format!("SELECT {ACCOUNT_COLUMNS} FROM account"))?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            let row = sql::account(row)?;
            accounts.entry(row.as_of).or_default().push(row);
        }
        let mut read = db.prepare("SELECT id, seq, remaining FROM old_hold")?;
        let mut rows = read.query([])?;
        let mut old_holds = HashMap::new();
        while let Some(row) = rows.next()? {
            let id = TransferId::from_u128(sql::number(row.get_ref(0)?)?);
            let left = Amount::from_base(sql::number(row.get_ref(2)?)?);
            old_holds.insert(id, (sql::unsigned(row.get(1)?)?, left));
        }
        Ok(Self { accounts, old_holds, last_seq: HashMap::new() })
    }

    /// Compares an entry's row with the entry, and account rows that are as of it with what adds up.
    fn follow(&mut self, entry: &Entry, columns: &Columns, verifier: &Verifier) -> Result<(), String> {
        let seq = entry.seq;
        let movement = entry.event.movement();
        let mut before = |id: AccountId| self.last_seq.insert(id, seq).unwrap_or_default();
        let expected = Columns {
            seq,
            id: entry.transfer_id().map(TransferId::as_u128),
            ends: entry.ends().map(TransferId::as_u128),
            before: movement.map_or((None, None), |m| (Some(before(m.debit)), Some(before(m.credit)))),
        };
        let same = columns.seq == expected.seq
            && columns.id == expected.id
            && columns.ends == expected.ends
            && columns.before == expected.before;
        if !same {
            return Err(format!("the row of entry {seq} does not say what the entry says"));
        }
        for row in self.accounts.remove(&seq).unwrap_or_default() {
            let id = row.account.id;
            let told = verifier.replay().get(id);
            let last = self.last_seq.get(&id).copied().unwrap_or_default();
            // Closing is written at once, so that the row may be ahead of its totals in this one thing.
            let alike = told.is_some_and(|told| Account { state: told.state, ..row.account } == *told);
            if !alike || last != row.last_seq {
                return Err(format!(
                    "the row of account {id} is not what the journal adds up to at entry {seq}"
                ));
            }
        }
        Ok(())
    }

    /// Compares what can only be compared at the end: holds that have a row, and rows that are as of no entry.
    fn finish(&self, verifier: &Verifier) -> Result<(), Fault> {
        if let Some(row) = self.accounts.values().flatten().next() {
            let what = format!("the row of account {} is as of an entry that does not exist", row.account.id);
            return Err(Fault::Storage { what });
        }
        let open: HashMap<TransferId, Amount> =
            verifier.replay().open_holds().map(|hold| (hold.new.transfer.id, hold.left)).collect();
        match self.old_holds.iter().find(|(id, (_, left))| open.get(id) != Some(left)) {
            Some((id, _)) => {
                Err(Fault::Storage { what: format!("the row of hold {id} is not what the journal says") })
            }
            None => Ok(()),
        }
    }
}
