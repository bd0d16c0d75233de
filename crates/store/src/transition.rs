//! The steps of a claim's life as a function: from a state and a step to the next state, or the reason why not. Shared by
//! the SQL stores; the memory model has its own, so that each checks the other. It reads and writes nothing.

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimState, ClaimStep, Delivery};

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transition {
    /// The claim goes to this state.
    To(ClaimState),
    /// The step was taken before with the same content.
    Already,
    /// The step does not lead from the present state.
    Wrong,
}

/// Where `step` leads from `state` at `now`.
pub(crate) fn transition(state: &ClaimState, step: ClaimStep, now: UnixMs) -> Transition {
    use Transition::{Already, To, Wrong};
    match (state, step) {
        (ClaimState::Settling, ClaimStep::Settled { settled, delivery }) => To(match delivery {
            Delivery::Begin { lease_until } => ClaimState::Delivering { settled, lease_until },
            Delivery::Later => ClaimState::Credit(settled),
        }),
        // The same content includes the lease: a second caller who wants to deliver must not be told that it may.
        (ClaimState::Credit(old), ClaimStep::Settled { settled, delivery: Delivery::Later })
            if *old == settled =>
        {
            Already
        }
        (
            ClaimState::Delivering { settled: old, lease_until: leased },
            ClaimStep::Settled { settled, delivery: Delivery::Begin { lease_until } },
        ) if *old == settled && *leased == lease_until => Already,
        (ClaimState::Settling, ClaimStep::Failed { why, .. }) => To(ClaimState::Failed { why }),
        // What became of the reservation was decided the first time.
        (ClaimState::Failed { why: old }, ClaimStep::Failed { why, .. }) if *old == why => Already,
        (ClaimState::Credit(settled), ClaimStep::BeginDelivery { lease_until }) => {
            To(ClaimState::Delivering { settled: settled.clone(), lease_until })
        }
        (
            ClaimState::Delivering { settled, lease_until: leased },
            ClaimStep::BeginDelivery { lease_until },
        ) if *leased <= now => To(ClaimState::Delivering { settled: settled.clone(), lease_until }),
        (ClaimState::Delivering { settled, .. }, ClaimStep::Delivered) => {
            To(ClaimState::Delivered(settled.clone()))
        }
        (ClaimState::Delivered(_), ClaimStep::Delivered) => Already,
        (ClaimState::Delivering { settled, .. }, ClaimStep::Undelivered) => {
            To(ClaimState::Credit(settled.clone()))
        }
        _ => Wrong,
    }
}
