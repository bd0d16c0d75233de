//! Gives money back as a test tells it to.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    RefundError, RefundRequest, Refunder, ReservationFate, Resolution, SettleError, Settled, SettlementPlan,
};
use farthing_protocol::{Problem, ProblemKind};

/// What the next call does, before it goes well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// Plan: never. Send: refused. Resolve: it did not happen.
    No,
    /// Plan: not now. Send: unknown. Resolve: pending.
    NotNow,
    Panic,
}

#[derive(Default)]
pub struct FakeRefunder {
    pub plan: Mutex<VecDeque<Back>>,
    pub send: Mutex<VecDeque<Back>>,
    pub resolve: Mutex<VecDeque<Back>>,
    pub planned: AtomicUsize,
    pub sent: AtomicUsize,
    /// Every claim that money went back for.
    pub moved: Mutex<Vec<String>>,
}

fn next(script: &Mutex<VecDeque<Back>>) -> Option<Back> {
    let next = script.lock().unwrap().pop_front();
    assert_ne!(next, Some(Back::Panic), "the script says so");
    next
}

impl FakeRefunder {
    fn settled(&self, plan: &SettlementPlan, at: UnixMs) -> Settled {
        let claim = plan.data["claim"].as_str().unwrap().to_owned();
        self.moved.lock().unwrap().push(claim);
        Settled { reference: "back".into(), at, external_id: None, extra: serde_json::Map::new() }
    }
}

#[async_trait]
impl Refunder for FakeRefunder {
    fn rail(&self) -> &str {
        "fake:1"
    }

    async fn plan(&self, request: RefundRequest<'_>) -> Result<SettlementPlan, RefundError> {
        let count = self.planned.fetch_add(1, Ordering::SeqCst);
        match next(&self.plan) {
            Some(Back::No) => Err(RefundError::Impossible { code: "never", why: "never".into() }),
            Some(_) => Err(RefundError::Unavailable { code: "not_now", why: "not now".into() }),
            None => {
                let data =
                    serde_json::json!({ "claim": request.claim.0, "to": request.payer, "plan": count });
                Ok(SettlementPlan { rail: "fake:1".into(), data })
            }
        }
    }

    async fn send(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Settled, SettleError> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        match next(&self.send) {
            Some(Back::No) => Err(Problem::new(ProblemKind::VerificationFailed, "back_refused", "no").into()),
            Some(_) => Err(SettleError::Unknown { detail: "no answer".into() }),
            None => Ok(self.settled(plan, now)),
        }
    }

    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String> {
        match next(&self.resolve) {
            Some(Back::No) => {
                Ok(Resolution::Failed { why: "gone".into(), reservation: ReservationFate::Released })
            }
            Some(_) => Ok(Resolution::Pending),
            None => Ok(Resolution::Settled(self.settled(plan, now))),
        }
    }
}
