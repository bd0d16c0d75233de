//! [`Paid`]: an answer, and what was paid for it.

use farthing_protocol::Receipt;
use farthing_protocol::ports::Quote;

use crate::PaymentId;

/// An answer, with the payment that bought it; `None` when nothing was paid.
#[derive(Debug)]
pub struct Paid<T> {
    /// The seller's answer, as it came.
    pub response: T,
    /// What was paid.
    pub payment: Option<Payment>,
}

/// Whether the seller's answer shows that the payment was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// A 2xx answer: paid and served.
    Served,
    /// Any other answer to the credential (a redirect, an error of the API behind the seller): the payment may have been
    /// taken, counts as spent, and is kept in the journal as unknown. The same credential may still buy the call.
    Unconfirmed,
}

/// A payment that was made for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Names it in the journal.
    pub id: PaymentId,
    /// The challenge's id.
    pub challenge_id: String,
    /// What was agreed to.
    pub quote: Quote,
    /// The seller's receipt, when it sent one that reads well.
    pub receipt: Option<Receipt>,
    /// What the answer says about it.
    pub outcome: PaymentOutcome,
}
