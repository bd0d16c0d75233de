//! [`Record`]s: documents that are written in the transaction that moves the money, or not at all. What they say is the
//! caller's business: this crate knows a table's name, a key and a text.
//!
//! A ledger has no room for names, prices and rules, and two stores that are written one after the other tear apart in a
//! crash. So a ledger's store keeps documents beside the journal, and [`RecordStore::commit`] changes both as one. Every
//! change may state what it expects of the record, which is how several processes share rules without a lock: whoever read
//! something old is told so and nothing happened.

use async_trait::async_trait;

use crate::store::{LedgerStore, StoreError};
use crate::{Outcome, Step, Timestamp};

/// The longest key, in bytes.
pub const MAX_KEY: usize = 512;

/// The longest body, in bytes.
pub const MAX_BODY: usize = 262_144;

/// The most changes of one commit.
pub const MAX_CHANGES: usize = 1_024;

/// The most numbers of one counter.
pub const MAX_NUMBERS: usize = 8;

/// A kind of record: 1 to 32 characters of `a-z`, `0-9` and `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(&'static str);

impl Table {
    /// The table with this name.
    ///
    /// # Panics
    /// When the name is no name of a table; names are constants.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 32, "a table's name has 1 to 32 characters");
        let mut at = 0;
        while at < bytes.len() {
            assert!(matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'_'), "a-z, 0-9 and _ only");
            at += 1;
        }
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// The name of a record: a table, and a key of 1 to [`MAX_KEY`] bytes without control characters. Keys are ordered by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The table.
    pub table: Table,
    /// The name in it.
    pub key: String,
}

/// A place in the order of commits: 0 before the first, and one more with every commit that changed anything: an entry in the
/// journal (also of a [`Work`] without records, and of [`Committed::Refused`] where a step stood alone), a record written (also
/// with what it said before), or a record gone that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name in its table.
    pub key: String,
    /// The commit that wrote it last. A record that was deleted and written anew has another.
    pub revision: Version,
    /// What it says.
    pub body: String,
}

/// What a change expects of the record as it was before the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// Nothing.
    Anything,
    /// That there is none.
    Absent,
    /// That there is one.
    Present,
    /// That it is the one that this commit wrote.
    Revision(Version),
}

/// What happens to one record. A commit names each record once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordChange {
    /// It says this from now on.
    Put {
        /// Which.
        at: RecordKey,
        /// What it was.
        expect: Expect,
        /// What it says.
        body: String,
    },
    /// It is gone.
    Delete {
        /// Which.
        at: RecordKey,
        /// What it was.
        expect: Expect,
    },
    /// Nothing, but the commit depends on what it was.
    Check {
        /// Which.
        at: RecordKey,
        /// What it was.
        expect: Expect,
    },
    /// So much is added to the numbers of a counter; one that does not exist is all zeros, and so is a number that it does not
    /// have yet. Never a conflict. The body is a JSON array of decimal strings; a sum past 128 bits, or a body that is no
    /// counter, refuses the commit ([`StoreError::Damaged`]).
    Add {
        /// Which.
        at: RecordKey,
        /// What is added, number by number: at most [`MAX_NUMBERS`].
        numbers: Vec<i128>,
    },
}

impl RecordChange {
    /// The record it is about.
    #[must_use]
    pub const fn at(&self) -> &RecordKey {
        match self {
            Self::Put { at, .. }
            | Self::Delete { at, .. }
            | Self::Check { at, .. }
            | Self::Add { at, .. } => at,
        }
    }

    /// What it expects.
    #[must_use]
    pub const fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } | Self::Check { expect, .. } => *expect,
            Self::Add { .. } => Expect::Anything,
        }
    }
}

/// What is to happen as one: steps of the ledger and changes of records.
///
/// 1. Every expectation is checked. One that fails: nothing happens ([`Committed::Conflict`]). Then counters are added up; one
///    that cannot be added to: nothing happens ([`StoreError::Damaged`]).
/// 2. The steps are decided, linked groups as always. One that is rejected: no record changes ([`Committed::Refused`]); steps
///    that stand alone beside it may have been applied.
/// 3. The records change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Work {
    /// The caller's clock.
    pub now: Timestamp,
    /// What is asked of the ledger; may be empty.
    pub steps: Vec<Step>,
    /// What happens to records; may be empty.
    pub records: Vec<RecordChange>,
}

/// What became of a [`Work`]. It is answered when it would survive the end of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Every step was applied or existed, and the records changed.
    Applied {
        /// One outcome a step.
        outcomes: Vec<Outcome>,
        /// The commit. Nothing to do, and it is the last one before.
        version: Version,
    },
    /// A step was rejected. No record changed.
    Refused {
        /// One outcome a step.
        outcomes: Vec<Outcome>,
    },
    /// A record was not as expected. Nothing happened.
    Conflict {
        /// The first change, by its place in [`Work::records`], whose expectation failed.
        at: usize,
    },
}

/// A stretch of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The table.
    pub table: Table,
    /// Keys that begin so.
    pub prefix: String,
    /// Only keys on the far side of this one, in the direction of the scan: the cursor.
    pub after: Option<String>,
    /// The direction.
    pub order: Order,
    /// At most this many, and never more than [`crate::store::MAX_PAGE`].
    pub limit: usize,
}

impl Scan {
    /// Where it begins and where it has ended, for stores that keep keys in the order of their bytes: every key that it finds is
    /// at least the first and less than the second, and between them is no other key. Neither has a null character. `None`
    /// when it finds nothing, whatever is stored.
    #[must_use]
    pub fn span(&self) -> Option<(String, String)> {
        if self.limit == 0 || self.prefix.chars().any(char::is_control) {
            return None;
        }
        let (mut from, mut to) = (self.prefix.clone(), end_of_prefix(&self.prefix));
        if let Some(after) = &self.after {
            // No key has a control character: between a key and itself with one more there is none.
            let key = after.split('\0').next().unwrap_or_default();
            let just_after = format!("{key}\u{1}");
            match self.order {
                Order::Ascending => from = from.max(just_after),
                Order::Descending if key.len() < after.len() => to = to.min(just_after),
                Order::Descending => to = to.min(key.to_owned()),
            }
        }
        (from < to).then_some((from, to))
    }
}

/// The least text after all that begin so. Texts are ordered by their characters as they are by their bytes.
fn end_of_prefix(prefix: &str) -> String {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        if last != char::MAX {
            // What lies between is no character.
            end.push(if last == '\u{d7ff}' { '\u{e000}' } else { (last..).nth(1).unwrap_or(char::MAX) });
            return end.into_iter().collect();
        }
    }
    // Longer than the longest key.
    "\u{10ffff}".repeat(MAX_KEY / 4 + 1)
}

/// The direction of a [`Scan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// The lowest key first.
    Ascending,
    /// The highest key first.
    Descending,
}

/// A durable ledger with documents beside it.
#[async_trait]
pub trait RecordStore: LedgerStore {
    /// Does all of `work`, or says why not, once that is durable.
    ///
    /// # Errors
    /// [`StoreError`]; after [`StoreError::Unknown`] it may have happened. Steps with the same ids tell: they answer `exists`; a
    /// record that was expected to be absent answers [`Committed::Conflict`].
    async fn commit(&self, work: Work) -> Result<Committed, StoreError>;

    /// Records as they are now, in the order asked: what this process committed is among it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn records(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>, StoreError>;

    /// A page of a table.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn scan(&self, scan: Scan) -> Result<Vec<Record>, StoreError>;

    /// Waits until there is a commit after `version`, of whatever process, and gives the last one. `Version(0)` gives the last
    /// one of a store that has any at once. A commit of another process may be seen up to a second late.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn changed(&self, version: Version) -> Result<Version, StoreError>;
}

/// Why a [`Work`] is none, whatever is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadWork {
    /// Too many changes.
    #[error("a commit has at most {MAX_CHANGES} changes of records")]
    TooManyChanges,
    /// A key is empty, too long, or has control characters.
    #[error("a key has 1 to {MAX_KEY} bytes and no control characters")]
    BadKey,
    /// A body is too long, or has a null character.
    #[error("a record's body has at most {MAX_BODY} bytes and no null character")]
    BadBody,
    /// A counter has no number or too many.
    #[error("a counter has 1 to {MAX_NUMBERS} numbers")]
    BadNumbers,
    /// A record is named twice.
    #[error("a commit names each record once")]
    RecordTwice,
}

impl BadWork {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooManyChanges => "commit_too_many_changes",
            Self::BadKey => "record_bad_key",
            Self::BadBody => "record_bad_body",
            Self::BadNumbers => "record_bad_numbers",
            Self::RecordTwice => "record_twice",
        }
    }
}

impl Work {
    /// The rules that every store checks before anything else, in the order of [`BadWork`]; and a batch's length.
    ///
    /// # Errors
    /// [`StoreError::BatchTooLong`], [`StoreError::BadWork`].
    pub fn check(&self) -> Result<(), StoreError> {
        if self.steps.len() > crate::store::MAX_STEPS {
            return Err(StoreError::BatchTooLong { steps: self.steps.len(), max: crate::store::MAX_STEPS });
        }
        self.check_records().map_err(StoreError::BadWork)
    }

    fn check_records(&self) -> Result<(), BadWork> {
        if self.records.len() > MAX_CHANGES {
            return Err(BadWork::TooManyChanges);
        }
        let bad_key = |key: &str| key.is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control);
        if self.records.iter().any(|change| bad_key(&change.at().key)) {
            return Err(BadWork::BadKey);
        }
        let bad_body = |change: &RecordChange| match change {
            RecordChange::Put { body, .. } => body.len() > MAX_BODY || body.contains('\0'),
            _ => false,
        };
        if self.records.iter().any(bad_body) {
            return Err(BadWork::BadBody);
        }
        let bad_numbers = |change: &RecordChange| match change {
            RecordChange::Add { numbers, .. } => numbers.is_empty() || numbers.len() > MAX_NUMBERS,
            _ => false,
        };
        if self.records.iter().any(bad_numbers) {
            return Err(BadWork::BadNumbers);
        }
        let mut names: Vec<&RecordKey> = self.records.iter().map(RecordChange::at).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(BadWork::RecordTwice);
        }
        Ok(())
    }
}

/// Adds to a counter's body.
///
/// # Errors
/// What is wrong with it, in words.
pub fn add_to_counter(body: Option<&str>, numbers: &[i128]) -> Result<String, String> {
    let mut sums = match body {
        None => Vec::new(),
        Some(body) => read_counter(body)?,
    };
    if sums.len() < numbers.len() {
        sums.resize(numbers.len(), 0);
    }
    for (sum, number) in sums.iter_mut().zip(numbers) {
        *sum = sum.checked_add(*number).ok_or("a counter passes 128 bits")?;
    }
    let texts: Vec<String> = sums.iter().map(|sum| format!("\"{sum}\"")).collect();
    Ok(format!("[{}]", texts.join(",")))
}

/// The numbers of a counter's body.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_counter(body: &str) -> Result<Vec<i128>, String> {
    let no_counter = || format!("{:?} is no counter", body.chars().take(40).collect::<String>());
    let inner = body.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or_else(no_counter)?;
    let number = |text: &str| {
        let text = text.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        text.and_then(|text| text.parse().ok()).ok_or_else(no_counter)
    };
    inner.split(',').map(number).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{
        Expect, MAX_CHANGES, Order, RecordChange, RecordKey, Scan, Table, Work, add_to_counter, read_counter,
    };

    #[test]
    fn counters_add_up_number_by_number() {
        let one = add_to_counter(None, &[1, -2]).unwrap();
        assert_eq!(one, r#"["1","-2"]"#);
        let two = add_to_counter(Some(&one), &[1, 2, 3]).unwrap();
        assert_eq!(read_counter(&two).unwrap(), [2, 0, 3]);
        assert_eq!(read_counter(&add_to_counter(Some(&two), &[5]).unwrap()).unwrap(), [7, 0, 3]);
        let full = add_to_counter(None, &[i128::MAX]).unwrap();
        add_to_counter(Some(&full), &[1]).unwrap_err();
        for no_counter in ["", "[]", "{}", "[1]", "[\"x\"]", "[\"1\""] {
            add_to_counter(Some(no_counter), &[1]).unwrap_err();
        }
    }

    #[test]
    fn a_span_ends_where_the_prefix_does() {
        let scan = |prefix: &str, after: Option<&str>, order| Scan {
            table: Table::new("t"),
            prefix: prefix.to_owned(),
            after: after.map(str::to_owned),
            order,
            limit: 1,
        };
        let most = "\u{10ffff}".repeat(129);
        let (up, down) = (Order::Ascending, Order::Descending);
        for (prefix, after, order, expected) in [
            ("", None, up, Some(("", most.as_str()))),
            ("a", None, up, Some(("a", "b"))),
            ("a/", None, down, Some(("a/", "a0"))),
            ("a\u{d7ff}", None, up, Some(("a\u{d7ff}", "a\u{e000}"))),
            ("a\u{10ffff}\u{10ffff}", None, up, Some(("a\u{10ffff}\u{10ffff}", "b"))),
            ("\u{10ffff}", None, up, Some(("\u{10ffff}", most.as_str()))),
            ("a", Some("a1"), up, Some(("a1\u{1}", "b"))),
            ("a", Some("a1"), down, Some(("a", "a1"))),
            ("a", Some("Z"), up, Some(("a", "b"))),
            ("a", Some("b"), up, None),
            ("a", Some("a"), down, None),
            ("a", Some("a\0"), down, Some(("a", "a\u{1}"))),
            ("a", Some("a\0b"), up, Some(("a\u{1}", "b"))),
            ("a\0", None, up, None),
        ] {
            let span = scan(prefix, after, order).span();
            let span = span.as_ref().map(|(from, to)| (from.as_str(), to.as_str()));
            assert_eq!(span, expected, "{prefix:?} {after:?} {order:?}");
        }
        assert_eq!(Scan { limit: 0, ..scan("a", None, up) }.span(), None);
    }

    #[test]
    fn what_cannot_be_work_is_refused_before_anything_is_read() {
        const T: Table = Table::new("t");
        let put = |key: &str, body: &str| RecordChange::Put {
            at: RecordKey { table: T, key: key.to_owned() },
            expect: Expect::Anything,
            body: body.to_owned(),
        };
        let add = |numbers: Vec<i128>| RecordChange::Add {
            at: RecordKey { table: T, key: "n".to_owned() },
            numbers,
        };
        let many = (0..=MAX_CHANGES).map(|n| put(&n.to_string(), "")).collect();
        for (records, code) in [
            (many, "commit_too_many_changes"),
            (vec![put("", "")], "record_bad_key"),
            (vec![put("a\nb", "")], "record_bad_key"),
            (vec![put(&"k".repeat(513), "")], "record_bad_key"),
            (vec![put("k", "\0")], "record_bad_body"),
            (vec![put("k", &"b".repeat(262_145))], "record_bad_body"),
            (vec![add(vec![])], "record_bad_numbers"),
            (vec![add(vec![0; 9])], "record_bad_numbers"),
            (vec![put("k", "1"), put("k", "2")], "record_twice"),
        ] {
            let work = Work { records, ..Work::default() };
            assert_eq!(work.check().unwrap_err().code(), code);
        }
        Work { records: vec![put("k", "1"), add(vec![1])], ..Work::default() }.check().unwrap();
    }
}
