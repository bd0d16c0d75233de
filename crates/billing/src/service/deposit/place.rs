//! [`Place`]: up to which block a watcher has looked, and which blocks it looked at, so that it notices when they are replaced.

use farthing_ledger::record::{Table, Version};
use serde::{Deserialize, Serialize};

use crate::service::{Billing, Cx, Document, Draft, Fate, ServiceError, Stored};

/// A block that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mark {
    /// Its number.
    pub block: u64,
    /// Its hash.
    pub hash: String,
}

/// How many of the newest marks are all kept. Before them, every second, every fourth and so on.
const DENSE: usize = 64;
/// The most marks.
const MOST: usize = 128;

/// Up to where a network was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Place {
    /// The first block that was not looked at.
    pub next: u64,
    /// Blocks that were, the oldest first.
    pub marks: Vec<Mark>,
    /// When it moved last.
    pub updated_ms: u64,
}

impl Document for Place {
    const TABLE: Table = Table::new("deposit_place");
    const NAME: &'static str = "place of a watcher";
}

impl Place {
    /// The place of a watcher that begins at `next`.
    #[must_use]
    pub const fn beginning(next: u64) -> Self {
        Self { next, marks: Vec::new(), updated_ms: 0 }
    }

    /// After all blocks up to `mark` were looked at.
    #[must_use]
    pub fn after(mut self, mark: Mark) -> Self {
        self.next = mark.block.saturating_add(1);
        self.marks.push(mark);
        self.thin();
        self
    }

    /// Back to the block that is still there: `ancestor`.
    #[must_use]
    pub fn back_to(mut self, ancestor: u64) -> Self {
        self.next = ancestor.saturating_add(1);
        self.marks.retain(|mark| mark.block <= ancestor);
        self
    }

    /// Keeps old marks further and further apart, so that a long reorganisation still finds one and the record stays small.
    fn thin(&mut self) {
        if self.marks.len() <= MOST {
            return;
        }
        let old = self.marks.len() - DENSE;
        let mut at = 0;
        // Every second of the old ones goes; the very first stays as long as anything does.
        self.marks.retain(|_| {
            at += 1;
            at > old || at % 2 == 1
        });
    }
}

impl Billing {
    /// Where the watcher of a network is.
    ///
    /// # Errors
    /// The store's.
    pub async fn deposit_place(&self, cx: &Cx, network: &str) -> Result<Option<Stored<Place>>, ServiceError> {
        self.find::<Place>(&cx.operator(), network).await
    }

    /// Moves the watcher of a network on or back. `None`: somebody else moved it, and nothing happened.
    ///
    /// # Errors
    /// The store's.
    pub async fn move_deposit_place(
        &self,
        cx: &Cx,
        network: &str,
        (was, place): (Option<&Stored<Place>>, &Place),
    ) -> Result<Option<Stored<Place>>, ServiceError> {
        let operator = &cx.operator();
        let place = Place { updated_ms: cx.now.unix_ms(), ..place.clone() };
        let mut draft = Draft::new();
        match was {
            Some(was) => draft.replace(operator, was, &place)?,
            None => draft.create(operator, network, &place)?,
        };
        let fate = self.commit(operator, draft, &()).await?;
        let stored = |revision: Version| Stored { key: network.to_owned(), revision, doc: place };
        Ok(match fate {
            Fate::Applied { version, .. } => Some(stored(version)),
            Fate::Refused { .. } | Fate::Again => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Mark, Place};

    #[test]
    fn old_marks_thin_out_and_the_first_stays() {
        let mark = |block: u64| Mark { block, hash: format!("{block}") };
        let place = (10..5_000).fold(Place::beginning(10), |place, block| place.after(mark(block)));
        assert_eq!((place.next, place.marks.first().map(|mark| mark.block)), (5_000, Some(10)));
        assert!(place.marks.len() <= MOST);
        assert!(place.marks.is_sorted_by_key(|mark| mark.block));
        let newest: Vec<u64> = place.marks.iter().rev().take(60).map(|mark| mark.block).collect();
        assert_eq!(newest, (4_940..5_000).rev().collect::<Vec<_>>());
        let back = place.back_to(4_950);
        assert_eq!((back.next, back.marks.last().map(|mark| mark.block)), (4_951, Some(4_950)));
    }
}
