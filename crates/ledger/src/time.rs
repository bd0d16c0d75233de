//! [`Timestamp`]: an instant that a caller passes in. This crate reads no clock.

use std::fmt;

use serde::Serialize;

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch: before everything a ledger holds.
    pub const EPOCH: Self = Self(0);

    /// The instant `unix_ms` milliseconds after the epoch.
    #[must_use]
    pub const fn from_unix_ms(unix_ms: u64) -> Self {
        Self(unix_ms)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Until when a hold keeps its money aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// From this instant on it can no longer be posted, and may be expired.
    At(Timestamp),
    /// Until it is posted or voided: for money whose fate somebody else decides.
    Never,
}

impl Expiry {
    /// Whether the hold has run out at `now`: the instant itself is too late.
    #[must_use]
    pub fn is_due(self, now: Timestamp) -> bool {
        matches!(self, Self::At(at) if at <= now)
    }
}
