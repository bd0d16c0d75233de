//! [`World`]: the clock and the randomness that the API is given; and [`Settings`]: its limits.

use std::time::Duration;

use farthing_ledger::Timestamp;
use farthing_money::Id;

/// What comes from outside: only `app` has a clock and randomness.
pub trait World: Send + Sync {
    /// The clock.
    fn now(&self) -> Timestamp;
    /// 256 bits that nobody can guess.
    fn random(&self) -> [u8; 32];

    /// A fresh time-ordered id.
    fn id(&self) -> Id {
        let mut bits = [0; 16];
        bits.copy_from_slice(&self.random()[..16]);
        Id::from_parts(self.now().unix_ms(), u128::from_be_bytes(bits))
    }
}

/// How much the API takes on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The longest body, in bytes.
    pub max_body: usize,
    /// How long a request may take, reading its body included. Streams and exports go on for longer.
    pub timeout: Duration,
    /// How many requests are worked on at once; more are told to come back.
    pub max_requests: usize,
    /// How many live streams are open at once.
    pub max_streams: usize,
    /// How many requests a second one key or token may make.
    pub rate: u32,
    /// How many it may make at once before that counts.
    pub burst: u32,
    /// How often a silent stream says that it is alive.
    pub heartbeat: Duration,
    /// How long changes of balances are gathered before streams are told.
    pub gather: Duration,
    /// What the address of a problem's type begins with; the code follows.
    pub problem_types: String,
    /// Which addresses webhooks may be sent to.
    pub webhooks: crate::webhook::Reach,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_body: 1 << 20,
            timeout: Duration::from_secs(15),
            max_requests: 1_024,
            max_streams: 1_000,
            rate: 1_000,
            burst: 2_000,
            heartbeat: Duration::from_secs(15),
            gather: Duration::from_millis(20),
            problem_types: "urn:farthing:problem:".to_owned(),
            webhooks: crate::webhook::Reach::default(),
        }
    }
}
