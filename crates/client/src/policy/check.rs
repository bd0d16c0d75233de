//! [`Check`]: one rule that was looked at, and what it says.

use farthing_protocol::flow::payer::Refusal;

use super::Source;

/// One rule that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The rule: a key of the policy file, such as `hosts.allow`, or a rule of the protocol, such as `expires`.
    pub rule: String,
    /// Where the rule stands.
    pub source: Source,
    /// What it says.
    pub verdict: CheckVerdict,
    /// Why, for people.
    pub why: String,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckVerdict {
    /// It allows the payment.
    Passed,
    /// It forbids the payment.
    Refused {
        /// The stable code.
        code: &'static str,
    },
}

impl Check {
    pub(crate) fn passed(rule: impl Into<String>, source: &Source, why: String) -> Self {
        Self { rule: rule.into(), source: source.clone(), verdict: CheckVerdict::Passed, why }
    }

    pub(crate) fn refused(rule: impl Into<String>, source: &Source, refusal: Refusal) -> Self {
        let verdict = CheckVerdict::Refused { code: refusal.code };
        Self { rule: rule.into(), source: source.clone(), verdict, why: refusal.why }
    }

    /// Why it forbids the payment, if it does.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self.verdict {
            CheckVerdict::Passed => None,
            CheckVerdict::Refused { code } => Some(Refusal { code, why: self.why.clone() }),
        }
    }

    pub(super) fn into_refusal(self) -> Option<Refusal> {
        self.refusal()
    }
}
