//! [`Pace`]: how an answer is read. Whoever lets a service wait until it gives up has broken the answer itself, and is not given
//! the money back for it. It has no clock: whoever asks says when.

use std::time::Duration;

use tokio::time::Instant;

/// How an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The reader has had a part since then, and has not asked for the next one.
    Has(Instant),
    /// It waits for the service.
    Waits,
    /// It has let the service wait once, for so long that the service may have given up.
    Stalled,
}

impl Pace {
    /// Longer than a reader that reads makes an answer wait, and shorter than services wait for one that does not.
    const STALL: Duration = Duration::from_secs(5);

    /// The reader has the head.
    pub(crate) const fn begin(now: Instant) -> Self {
        Self::Has(now)
    }

    /// It asks for the next part, perhaps again.
    pub(crate) fn asks(&mut self, now: Instant) {
        if let Self::Has(since) = *self {
            let late = now.saturating_duration_since(since) > Self::STALL;
            *self = if late { Self::Stalled } else { Self::Waits };
        }
    }

    /// It has the next part.
    pub(crate) fn has(&mut self, now: Instant) {
        if *self != Self::Stalled {
            *self = Self::Has(now);
        }
    }

    /// Whether it has ever let the service wait for long.
    pub(crate) fn has_stalled(self) -> bool {
        self == Self::Stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reader_s_own_pauses_count() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        // When it asks and when it has a part, in turn.
        for (turns, stalled) in [
            (vec![0, 1, 2, 3], false),
            (vec![5, 6, 11], false),
            // The service may take its time.
            (vec![0, 100, 101, 200], false),
            (vec![6], true),
            (vec![0, 1, 7], true),
            (vec![0, 1, 7, 8, 9, 10], true),
        ] {
            let mut pace = Pace::begin(begun);
            for (turn, second) in turns.iter().enumerate() {
                if turn.is_multiple_of(2) {
                    pace.asks(at(*second));
                    pace.asks(at(*second + 60));
                } else {
                    pace.has(at(*second));
                }
            }
            assert_eq!(pace.has_stalled(), stalled, "{turns:?}");
        }
    }
}
