//! What the protocol needs from the outside, as traits: payment rails on both sides, and the store of claims.
//!
//! Nothing here knows a chain, a database or a socket. `gate` and `client` hold these as trait objects.

mod claims;
mod clock;
mod payer;
mod verifier;

pub use claims::{
    AdvanceError, Claim, ClaimId, ClaimKey, ClaimOutcome, ClaimState, ClaimStep, ClaimStore, Delivery,
    NewClaim, Reservation, ReservationFate, StoreError,
};
pub use clock::Clock;
pub use payer::{Declined, FeeBearer, PayContext, PayError, Payer, Quote, Share, Witness};
pub use verifier::{
    OfferError, Price, Resolution, SettleError, Settled, SettlementPlan, Timing, Verified, Verifier,
    VerifyError, VerifyRequest,
};
