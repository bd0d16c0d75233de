//! [`Chain`]: seals entries one after the other. A change to any byte of the past changes every hash after it.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Entry, Event};
use crate::Timestamp;

/// What the first entry's hash covers instead of an entry before it: it names the format, so that bytes of another
/// version never verify.
const GENESIS: &[u8] = b"farthing journal 1";

/// A SHA-256 over the hash before it and an entry's canonical bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash that stands before the first entry.
    #[must_use]
    pub fn genesis() -> Self {
        Self(Sha256::digest(GENESIS).into())
    }

    /// The hash with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash of an entry whose canonical bytes are `body` and that follows `self`.
    #[must_use]
    pub fn next(&self, body: &[u8]) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(body).finalize().into())
    }
}

impl fmt::Display for Hash {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An entry and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What happened.
    pub entry: Entry,
    /// The hash over the hash before it and the entry's canonical bytes.
    pub hash: Hash,
}

/// The end of a journal: everything that the next entry has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Entries so far.
    pub seq: u64,
    /// When the last of them happened.
    pub at: Timestamp,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// The head of an empty journal.
    #[must_use]
    pub fn genesis() -> Self {
        Self { seq: 0, at: Timestamp::EPOCH, hash: Hash::genesis() }
    }
}

/// Seals entries in order.
#[derive(Debug, Clone)]
pub struct Chain {
    head: Head,
    body: Vec<u8>,
}

impl Chain {
    /// Continues after `head`.
    #[must_use]
    pub const fn after(head: Head) -> Self {
        Self { head, body: Vec::new() }
    }

    /// The last entry that was sealed.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Seals the entry that follows, and gives its canonical bytes and its hash.
    ///
    /// # Panics
    /// When the entry is not the next one, or lies before the last: whoever made it is broken, and nothing must be
    /// written.
    pub fn seal(&mut self, entry: &Entry) -> (&[u8], Hash) {
        assert!(
            entry.seq == self.head.seq + 1,
            "entry {} does not follow entry {}",
            entry.seq,
            self.head.seq
        );
        assert!(entry.at >= self.head.at, "entry {} lies before the one before it", entry.seq);
        self.body.clear();
        entry.encode(&mut self.body);
        let hash = self.head.hash.next(&self.body);
        self.head = Head { seq: entry.seq, at: entry.at, hash };
        (&self.body, hash)
    }

    /// Goes back to `head`, for a writer whose batch did not reach the disk.
    pub const fn rewind(&mut self, head: Head) {
        self.head = head;
    }
}

impl Event {
    /// The event as an entry that follows `head` and happened at `now`, or with the last entry if the clock went back.
    #[must_use]
    pub fn after(self, head: &Head, now: Timestamp) -> Entry {
        Entry { seq: head.seq + 1, at: now.max(head.at), event: self }
    }
}
