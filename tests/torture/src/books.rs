//! What a run must come to: money on the chain against calls that were served.

use crate::world::{Kind, World};

/// What is wrong, in sentences. Empty when nothing is.
#[derive(Debug, Default)]
pub struct Findings(Vec<String>);

impl Findings {
    /// Notes a broken rule.
    pub fn broken(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    /// Notes it unless it holds.
    pub fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broken(what());
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.0
    }
}

/// Compares what was earned since `before` with what the served calls cost: more is a payment that was lost, or taken twice;
/// less is a free grant.
///
/// # Errors
/// When the chain does not answer.
pub async fn balance(
    world: &World,
    before: (u128, u128),
    served: &[Kind],
    findings: &mut Findings,
) -> Result<(), String> {
    let after = world.earned().await?;
    let sum = |part: fn((u128, u128)) -> u128| served.iter().map(|kind| part(kind.parts())).sum::<u128>();
    let due = (sum(|parts| parts.0), sum(|parts| parts.1));
    let earned = (after.0 - before.0, after.1 - before.1);
    findings.expect(earned == due, || {
        format!("the seller and the partner earned {earned:?}, and the calls that were served cost {due:?}")
    });
    Ok(())
}
