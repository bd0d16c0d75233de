//! What the protocol needs from the outside, as traits: payment rails on both sides, and the store of claims.
//!
//! Nothing here knows a chain, a database or a socket. `gate` and `client` hold these as trait objects.

mod claims;
mod clock;
mod payer;
mod refunder;
mod verifier;

pub use claims::{
    AdvanceError, Amends, Claim, ClaimId, ClaimKey, ClaimOutcome, ClaimState, ClaimStep, ClaimStore,
    Delivery, First, IdempotencyKey, Lease, LeaseHolder, Listed, NewClaim, Page, Reservation,
    ReservationFate, StoreEpoch, StoreError, StoredAnswer,
};
pub use clock::Clock;
pub use payer::{
    Declined, FeeBearer, PayContext, PayError, Payer, PaymentFate, Quote, SentPayment, Share, Witness,
};
pub use refunder::{RefundError, RefundRequest, Refunder};
pub use verifier::{
    Funds, OfferError, Price, Resolution, SettleError, Settled, SettlementPlan, Timing, Verified, Verifier,
    VerifyError, VerifyRequest,
};
