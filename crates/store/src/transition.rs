//! The steps of a claim's life as a function: from a state and a step to the next state, or the reason why not. Shared by
//! the SQL stores; the memory model has its own, so that each checks the other. It reads and writes nothing.

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    Amends, ClaimState, ClaimStep, Delivery, Lease, LeaseHolder, Settled, SettlementPlan, StoreError,
    StoredAnswer,
};
use sha2::{Digest, Sha256};

use crate::limits::json;

/// Why a claim whose process went away before it asked for money has failed.
pub(crate) const ABANDONED: &str = "the process that held the lease ended before the payment was asked for";

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one lives at a time, for as long as a step takes")]
pub(crate) enum Transition {
    /// The claim goes to this state.
    To(ClaimState),
    /// The step was taken before with the same content, or asks for nothing that is not so.
    Already,
    /// The step does not lead from the present state.
    Wrong,
}

/// Where `step` leads from `state` at `now`. Whether it is the step that was taken last, callers have asked before
/// ([`fingerprint`]).
pub(crate) fn transition(state: &ClaimState, step: &ClaimStep, now: UnixMs) -> Transition {
    use Transition::{Already, To};
    match (state, step) {
        (ClaimState::Reserved { lease }, ClaimStep::BeginSettlement { holder, .. })
            if lease.holder == *holder && now < lease.until =>
        {
            To(ClaimState::Settling)
        }
        (ClaimState::Settling, ClaimStep::Settled { settled, delivery }) => To(match delivery {
            Delivery::Begin(lease) => ClaimState::Delivering { settled: settled.clone(), lease: *lease },
            Delivery::Later => ClaimState::Credit(settled.clone()),
        }),
        (ClaimState::Settling, ClaimStep::Failed { why, holder: None, .. }) => {
            To(ClaimState::Failed { why: why.clone() })
        }
        (ClaimState::Reserved { lease }, ClaimStep::Failed { why, holder, .. })
            if holder.map_or(lease.until <= now, |holder| holder == lease.holder) =>
        {
            To(ClaimState::Failed { why: why.clone() })
        }
        // What became of the reservation was decided the first time.
        (ClaimState::Failed { why: old }, ClaimStep::Failed { why, .. }) if old == why => Already,
        (ClaimState::Credit(settled) | ClaimState::RefundDue(settled), ClaimStep::BeginDelivery(lease)) => {
            To(ClaimState::Delivering { settled: settled.clone(), lease: *lease })
        }
        (ClaimState::Delivering { settled, lease: old }, ClaimStep::BeginDelivery(lease))
            if old.until <= now =>
        {
            To(ClaimState::Delivering { settled: settled.clone(), lease: *lease })
        }
        (ClaimState::Reserved { lease: old }, ClaimStep::Renew(lease)) => {
            renewed(old, lease, |lease| ClaimState::Reserved { lease })
        }
        (ClaimState::Delivering { settled, lease: old }, ClaimStep::Renew(lease)) => {
            renewed(old, lease, |lease| ClaimState::Delivering { settled: settled.clone(), lease })
        }
        (ClaimState::Delivering { settled, lease }, ClaimStep::Delivered { holder, .. })
            if lease.holder == *holder =>
        {
            To(ClaimState::Delivered(settled.clone()))
        }
        (ClaimState::Delivering { settled, lease }, ClaimStep::Undelivered { holder, amends, .. })
            if lease.holder == *holder =>
        {
            To(match amends {
                Amends::Credit => ClaimState::Credit(settled.clone()),
                Amends::Refund => ClaimState::RefundDue(settled.clone()),
            })
        }
        (ClaimState::Delivering { settled, lease }, ClaimStep::Interrupted { holder })
            if lease.holder == *holder && lease.until <= now =>
        {
            To(ClaimState::Credit(settled.clone()))
        }
        (state, step) => refund(state, step),
    }
}

/// The steps by which money is given back.
fn refund(state: &ClaimState, step: &ClaimStep) -> Transition {
    use Transition::{To, Wrong};
    match (state, step) {
        (ClaimState::RefundDue(settled), ClaimStep::BeginRefund { plan }) => {
            To(ClaimState::Refunding { settled: settled.clone(), plan: plan.clone() })
        }
        (ClaimState::Refunding { settled, .. }, ClaimStep::Refunded { refund }) => {
            To(ClaimState::Refunded { settled: settled.clone(), refund: refund.clone() })
        }
        (ClaimState::Refunding { settled, .. }, ClaimStep::RefundFailed) => {
            To(ClaimState::RefundDue(settled.clone()))
        }
        (ClaimState::RefundDue(settled), ClaimStep::KeepCredit) => To(ClaimState::Credit(settled.clone())),
        _ => Wrong,
    }
}

/// A lease never ends earlier than its holder was told before: renewals may overtake each other.
fn renewed(old: &Lease, new: &Lease, to: impl FnOnce(Lease) -> ClaimState) -> Transition {
    if old.holder != new.holder {
        Transition::Wrong
    } else if new.until <= old.until {
        Transition::Already
    } else {
        Transition::To(to(*new))
    }
}

/// The service's answer that a step carries.
pub(crate) fn answer_of(step: &ClaimStep) -> Option<&StoredAnswer> {
    match step {
        ClaimStep::BeginSettlement { answer, .. }
        | ClaimStep::Delivered { answer, .. }
        | ClaimStep::Undelivered { answer, .. } => answer.as_deref(),
        _ => None,
    }
}

/// What a step says, in 32 bytes: kept with the claim, so that the step that was taken last is known when it comes again.
pub(crate) fn fingerprint(step: &ClaimStep) -> Result<[u8; 32], StoreError> {
    let mut print = Print(Sha256::new());
    match step {
        ClaimStep::BeginSettlement { holder, answer } => {
            print.tag(1).holder(*holder).answer(answer.as_deref());
        }
        ClaimStep::Settled { settled, delivery: Delivery::Begin(lease) } => {
            print.tag(2).settled(settled)?.lease(lease);
        }
        ClaimStep::Settled { settled, delivery: Delivery::Later } => {
            print.tag(3).settled(settled)?;
        }
        // Neither what became of the reservation nor who held it is asked again.
        ClaimStep::Failed { why, .. } => {
            print.tag(4).bytes(why.as_bytes());
        }
        ClaimStep::BeginDelivery(lease) => {
            print.tag(5).lease(lease);
        }
        ClaimStep::Renew(lease) => {
            print.tag(6).lease(lease);
        }
        ClaimStep::Delivered { holder, answer } => {
            print.tag(7).holder(*holder).answer(answer.as_deref());
        }
        ClaimStep::Undelivered { holder, answer, amends } => {
            let amends = match amends {
                Amends::Credit => 0,
                Amends::Refund => 1,
            };
            print.tag(8).holder(*holder).tag(amends).answer(answer.as_deref());
        }
        ClaimStep::BeginRefund { plan } => {
            print.tag(9).plan(plan)?;
        }
        ClaimStep::Refunded { refund } => {
            print.tag(10).settled(refund)?;
        }
        ClaimStep::RefundFailed => {
            print.tag(11);
        }
        ClaimStep::KeepCredit => {
            print.tag(12);
        }
        ClaimStep::Interrupted { holder } => {
            print.tag(13).holder(*holder);
        }
    }
    Ok(print.0.finalize().into())
}

/// Everything with its length before it, so that no two steps are written alike.
struct Print(Sha256);

impl Print {
    fn tag(&mut self, tag: u8) -> &mut Self {
        self.0.update([tag]);
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn holder(&mut self, holder: LeaseHolder) -> &mut Self {
        self.0.update(holder.0.to_be_bytes());
        self
    }

    fn lease(&mut self, lease: &Lease) -> &mut Self {
        self.0.update(lease.until.as_ms().to_be_bytes());
        self.holder(lease.holder)
    }

    fn settled(&mut self, settled: &Settled) -> Result<&mut Self, StoreError> {
        Ok(self.bytes(json(settled)?.as_bytes()))
    }

    fn plan(&mut self, plan: &SettlementPlan) -> Result<&mut Self, StoreError> {
        Ok(self.bytes(json(plan)?.as_bytes()))
    }

    fn answer(&mut self, answer: Option<&StoredAnswer>) -> &mut Self {
        let Some(answer) = answer else { return self.tag(0) };
        self.tag(1).0.update(answer.status.to_be_bytes());
        self.0.update((answer.headers.len() as u64).to_be_bytes());
        for (name, value) in &answer.headers {
            self.bytes(name.as_bytes()).bytes(value);
        }
        self.bytes(&answer.body)
    }
}

/// Whether a step that is taken begins a delivery.
pub(crate) const fn begins_delivery(step: &ClaimStep) -> bool {
    matches!(step, ClaimStep::BeginDelivery(_) | ClaimStep::Settled { delivery: Delivery::Begin(_), .. })
}
