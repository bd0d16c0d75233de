//! What a route asks for and how it serves, as the flow has to know it.

use crate::EncodedJson;
use crate::ports::{Amends, LeaseHolder, StoreEpoch};

/// One way to pay for the requested route, as the route would offer it now.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// [`crate::ports::Verifier::rail`].
    pub rail: &'a str,
    /// The method's name.
    pub method: &'a str,
    /// The intent.
    pub intent: &'a str,
    /// The encoded request.
    pub request: &'a EncodedJson,
    /// [`crate::ports::Verifier::late_ms`] of its rail.
    pub late_ms: u64,
}

/// Whether a payment is settled before the service is called or after it has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum SettleOrder {
    /// Before: the service works for nobody who has not paid.
    #[default]
    Before,
    /// After: a payer whose call fails has paid nothing, and a service may work for a payment that is then refused. Payments
    /// whose money has moved, and those that cannot wait so long, are settled before all the same.
    After,
}

/// What the route promises about a paid call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// What comes first.
    pub settle: SettleOrder,
    /// What the payer of a call that the service failed gets.
    pub amends: Amends,
    /// How often a call is delivered again whose payer left before its end and whose answer is not kept.
    pub redeliveries: u32,
    /// The longest that the service may take to answer, in milliseconds: a payment that cannot be settled so late is settled
    /// first.
    pub service_ms: u64,
}

/// Which request is being made.
#[derive(Debug, Clone, Copy)]
pub struct Requested<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query, in the route's normal form.
    pub target: &'a str,
    /// The `Idempotency-Key` header.
    pub key: Option<&'a str>,
}

/// What the route asks for, and what it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The realm that challenges are issued for: the public host.
    pub realm: &'a str,
    /// Names the route; written into the challenge's opaque slot.
    pub scope: &'a str,
    /// The history that the store has now: challenges of another one are not honoured.
    pub epoch: StoreEpoch,
    /// Every way to pay.
    pub offers: &'a [Offer<'a>],
    /// Who would serve the call: unique for each flow.
    pub holder: LeaseHolder,
    /// How long a delivery may go without a sign of life, in milliseconds.
    pub lease_ms: u64,
    /// What the route promises.
    pub promise: Promise,
    /// The request.
    pub requested: Requested<'a>,
}
