//! The clock and the randomness that billing is given.

use farthing_api::World;
use farthing_billing::service::{Cx, TenantId};
use farthing_ledger::Timestamp;
use farthing_protocol::ports::Clock;
use rand::RngCore;

use crate::clock::SystemClock;

/// The machine's.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl World for System {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(SystemClock.now().as_ms())
    }

    fn random(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        bytes
    }
}

/// A call in the operator's name, about no tenant's own.
pub fn operator() -> Cx {
    Cx { tenant: TenantId::from_u128(0), now: System.now(), id: System.id(), idempotency: None }
}
