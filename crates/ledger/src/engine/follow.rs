//! Following a journal that another engine writes: every entry is decided again, and has to come out the same.

use super::{Decision, Engine};
use crate::journal::{Entry, Event};
use crate::{Command, Outcome};

/// An entry is not what this engine would have written in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq} is not what follows from those before it")]
pub struct Diverged {
    /// Its place.
    pub seq: u64,
}

impl Engine {
    /// Takes over an entry that another engine decided with the same books. It is final after [`Engine::commit`], like what this
    /// engine decides itself. `scratch` is what it is worked out in.
    ///
    /// # Errors
    /// [`Diverged`]; what the entry did is then to be rolled back.
    pub fn follow(&mut self, entry: &Entry, scratch: &mut Decision) -> Result<(), Diverged> {
        scratch.clear();
        self.decide(entry.at, &[entry.event.command().into()], scratch);
        let same = scratch.outcomes == [Outcome::Applied] && scratch.entries.first() == Some(entry);
        if same { Ok(()) } else { Err(Diverged { seq: entry.seq }) }
    }
}

impl Event {
    /// What was asked for.
    #[must_use]
    pub fn command(&self) -> Command {
        match self {
            Self::AssetDefined(new) => Command::DefineAsset(new.clone()),
            Self::AccountOpened(new) => Command::OpenAccount(*new),
            Self::AccountClosed(id) => Command::CloseAccount(*id),
            Self::Transferred(transfer) => Command::Transfer(*transfer),
            Self::Held(new) => Command::Hold(*new),
            Self::Posted(posted) => Command::Post(posted.post),
            Self::Voided { id, reference, released } => {
                Command::Void(crate::VoidHold { id: *id, hold: released.hold, reference: *reference })
            }
            Self::Expired(released) => Command::Expire(released.hold),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use crate::testkit::Workload;
    use crate::{Decision, Engine, Timestamp};

    /// One engine decides, the other follows: they never differ, and each could go on in the other's place.
    #[test]
    fn a_follower_has_the_same_books() {
        for seed in 1..=8 {
            let mut engines = [Engine::new(1, 0, Timestamp::EPOCH), Engine::new(2, 0, Timestamp::EPOCH)];
            let (mut workload, mut decision, mut scratch) =
                (Workload::new(seed), Decision::default(), Decision::default());
            for round in 0..80 {
                let (now, steps) = workload.batch();
                let [leader, follower] = &mut engines;
                decision.clear();
                leader.decide(now, &steps, &mut decision);
                leader.commit();
                workload.learn(&steps, &decision.outcomes);
                for entry in &decision.entries {
                    follower.follow(entry, &mut scratch).unwrap();
                }
                follower.commit();
                assert_eq!(leader.accounts(), follower.accounts(), "seed {seed}, round {round}");
                assert_eq!(leader.open_holds().count(), follower.open_holds().count());
                leader.forget(4);
                follower.forget(4);
                engines.swap(0, 1);
            }
        }
    }

    #[test]
    fn what_does_not_follow_is_refused() {
        let mut leader = Engine::new(1, 0, Timestamp::EPOCH);
        let mut decision = Decision::default();
        let steps = crate::testkit::conformance::opening(1_000);
        leader.decide(Timestamp::from_unix_ms(5), &steps, &mut decision);
        let entries = decision.entries;
        let (mut follower, mut scratch) = (Engine::new(1, 0, Timestamp::EPOCH), Decision::default());
        assert_eq!(follower.follow(&entries[1], &mut scratch).unwrap_err().seq, 2, "out of turn");
        follower.roll_back();
        for entry in &entries {
            follower.follow(entry, &mut scratch).unwrap();
        }
        follower.commit();
        assert_eq!(follower.follow(&entries[4], &mut scratch).unwrap_err().seq, 5, "a second time");
    }
}
