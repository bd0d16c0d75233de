//! [`Probe`]: two stores compared, operation by operation.

use super::*;

/// One operation on a store: what a property test draws at random.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Claim.
    Claim(Box<NewClaim>),
    /// Take a step.
    Advance(ClaimId, ClaimStep),
    /// Give leases back.
    Release,
    /// Forget final claims.
    Prune {
        /// Of challenges that expired before this instant.
        expired_before: UnixMs,
        /// At most so many.
        limit: usize,
    },
}

/// Does things to a store and shows everything that can be observed of it.
#[derive(Debug)]
pub struct Probe<'a, S>(pub &'a S);

impl<S: ClaimStore> Probe<'_, S> {
    /// Does it, and shows the answer.
    pub async fn run(&self, operation: Operation, now: UnixMs) -> String {
        match operation {
            Operation::Claim(new) => match self.0.claim(*new, now).await {
                Ok(ClaimOutcome::Existing(claim)) => format!("existing {claim:?}"),
                Ok(ClaimOutcome::SameRequest(claim)) => format!("same request {claim:?}"),
                Ok(outcome) => show_outcome(&outcome),
                Err(error) => format!("error: {error}"),
            },
            Operation::Advance(id, step) => show_step(&self.0.advance(&id, step, now).await),
            Operation::Release => format!("{:?}", self.0.release_leases(now).await),
            Operation::Prune { expired_before, limit } => {
                format!("{:?}", self.0.prune(expired_before, limit).await)
            }
        }
    }

    /// Every claim with one of these ids, what it was answered, and every list, two a page.
    ///
    /// # Panics
    /// When the store does not answer.
    pub async fn look(&self, ids: &[&str], now: UnixMs) -> String {
        let mut shown = String::new();
        let text = "a string takes everything";
        for id in ids.iter().map(|id| ClaimId((*id).to_owned())) {
            let claim = self.0.get(&id).await.expect("the store answers");
            if claim.as_ref().is_some_and(|claim| claim.answered) {
                let answer =
                    self.0.answer(&id).await.expect("the store answers").expect("it says it has one");
                writeln!(shown, "{}", String::from_utf8_lossy(&answer.body)).expect(text);
            }
            writeln!(shown, "{claim:?}").expect(text);
        }
        let kinds = [
            Listed::Settling,
            Listed::Abandoned,
            Listed::Interrupted,
            Listed::Credit,
            Listed::RefundDue,
            Listed::Refunding,
            Listed::Delivered,
        ];
        for listed in kinds {
            let by_lease = matches!(listed, Listed::Abandoned | Listed::Interrupted);
            let before = if by_lease { now } else { at(u64::MAX) };
            let mut after = None;
            loop {
                let page = Page { before, after, limit: 2 };
                let page = self.0.list(listed, page).await.expect("the store answers");
                for claim in &page {
                    writeln!(shown, "{listed:?} {}", claim.new.id).expect(text);
                }
                let Some(last) = page.last() else { break };
                after = Some((last.changed, last.new.id.clone()));
            }
        }
        shown
    }
}
