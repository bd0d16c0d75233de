//! [`Attempts`]: how often what was sent for one challenge has been refused. A challenge costs nothing, and looking at a payment
//! costs the rail a question: a challenge whose answers keep failing is not looked at any more, and a fresh one has to be asked
//! for. In memory, bounded, and forgotten once the challenge has expired. No payment that the rail could not look at counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use farthing_protocol::UnixMs;
use farthing_protocol::ports::ClaimId;

/// Refusals by challenge.
#[derive(Debug)]
pub(crate) struct Attempts {
    counts: Mutex<Counts>,
    most_challenges: usize,
}

#[derive(Debug, Default)]
struct Counts {
    by_id: HashMap<ClaimId, Count>,
    /// The least recently refused first.
    by_turn: BTreeMap<u64, ClaimId>,
    turns: u64,
}

#[derive(Debug)]
struct Count {
    refusals: u32,
    turn: u64,
    until: UnixMs,
}

impl Attempts {
    /// So many refusals, and the challenge is used up.
    pub(crate) const MOST_REFUSALS: u32 = 8;
    /// Challenges that are kept; the least recently refused is forgotten first.
    const MOST_CHALLENGES: usize = 100_000;
    /// Counts that have run out and are forgotten at a time: more than are added, so that none stays.
    const SWEPT: usize = 4;

    pub(crate) fn new() -> Self {
        Self::bounded(Self::MOST_CHALLENGES)
    }

    fn bounded(most_challenges: usize) -> Self {
        Self { counts: Mutex::default(), most_challenges }
    }

    /// Whether the rail is not asked about this challenge any more.
    pub(crate) fn exhausted(&self, id: &ClaimId) -> bool {
        self.lock().by_id.get(id).is_some_and(|count| count.refusals >= Self::MOST_REFUSALS)
    }

    /// Counts a refusal. At `until` nothing that answers the challenge is looked at any more.
    pub(crate) fn refused(&self, id: &ClaimId, until: UnixMs, now: UnixMs) {
        let mut counts = self.lock();
        counts.turns += 1;
        let turn = counts.turns;
        let old = counts.by_id.remove(id);
        if let Some(old) = &old {
            counts.by_turn.remove(&old.turn);
        }
        let refusals = old.map_or(0, |old| old.refusals).saturating_add(1);
        counts.by_id.insert(id.clone(), Count { refusals, turn, until });
        counts.by_turn.insert(turn, id.clone());
        counts.sweep(now);
        while counts.by_id.len() > self.most_challenges {
            counts.forget_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Forgets what has expired, from the least recently refused on: challenges live alike, so that those come first.
    fn sweep(&mut self, now: UnixMs) {
        for _ in 0..Attempts::SWEPT {
            let first = self.by_turn.first_key_value().and_then(|(_, id)| self.by_id.get(id));
            if first.is_none_or(|count| count.until > now) {
                return;
            }
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, id)) = self.by_turn.pop_first() {
            self.by_id.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ClaimId {
        ClaimId(name.to_owned())
    }

    #[test]
    fn a_challenge_is_used_up_and_others_are_not() {
        let attempts = Attempts::bounded(3);
        let (now, until) = (UnixMs::from_ms(1), UnixMs::from_ms(9));
        for _ in 0..Attempts::MOST_REFUSALS {
            assert!(!attempts.exhausted(&id("a")));
            attempts.refused(&id("a"), until, now);
        }
        assert!(attempts.exhausted(&id("a")) && !attempts.exhausted(&id("b")));
        // The least recently refused goes first.
        for (name, kept) in [("b", true), ("c", true), ("d", false)] {
            attempts.refused(&id(name), until, now);
            assert_eq!(attempts.exhausted(&id("a")), kept, "after {name}");
        }
        let counts = attempts.lock();
        assert_eq!((counts.by_id.len(), counts.by_turn.len()), (3, 3));
    }

    #[test]
    fn what_has_expired_is_forgotten() {
        let attempts = Attempts::bounded(100);
        for at in 0..20_u64 {
            attempts.refused(&id(&at.to_string()), UnixMs::from_ms(at + 5), UnixMs::from_ms(at));
            let counts = attempts.lock();
            assert_eq!(counts.by_id.len(), counts.by_turn.len());
            assert!(counts.by_id.len() <= 6, "{counts:?}");
        }
    }
}
