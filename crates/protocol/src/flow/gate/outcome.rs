//! How a paid call is served and how it ended: which step of its claim follows from that.

use farthing_money::Money;

use crate::Receipt;
use crate::ports::{Amends, ClaimId, ClaimStep, LeaseHolder, StoredAnswer};

use super::terms::Promise;

/// A settled payment whose call is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The claim to record the delivery on.
    pub id: ClaimId,
    /// Who delivers.
    pub holder: LeaseHolder,
    /// For the response, on 2xx only (C14).
    pub receipt: Receipt,
    /// Who paid, where the rail knows: never the credential's word alone.
    pub payer: Option<String>,
    /// What was paid, where the store knows.
    pub paid: Option<Money>,
    /// Which delivery of this claim it is, from 1.
    pub deliveries: u32,
    /// Whether the answer is kept after it was delivered, because the payer named the request (C23).
    pub keep: KeepAnswer,
    /// What the route promises.
    pub promise: Promise,
    /// The answer that the service gave before: it is served, and the service is not called.
    pub answer: Option<Box<StoredAnswer>>,
}

/// Whether an answer is kept after it was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAnswer {
    /// It is: the same request gets it again.
    Yes,
    /// It is not.
    No,
}

/// A call that was served before, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The claim.
    pub id: ClaimId,
    /// The receipt that went with the answer.
    pub receipt: Receipt,
    /// The answer.
    pub answer: Box<StoredAnswer>,
}

/// How the delivery of an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Its last byte was handed over. The copy, where there is one.
    Whole(Option<Box<StoredAnswer>>),
    /// Its reader left; the service had answered in full, and this is what.
    LeftKept(Box<StoredAnswer>),
    /// Its reader left, and what the service would have answered is not kept.
    LeftUnkept,
    /// The service gave no answer, a status that is none, or half a body.
    Failed,
}

impl Outcome {
    /// Whether an answer with this status is what was bought. A 2xx is, and so is a redirect: where it leads is what was bought.
    #[must_use]
    pub const fn is_bought(status: u16) -> bool {
        matches!(status, 200..=399)
    }

    /// The step to record when the delivery has ended.
    ///
    /// Whoever leaves before the end may have lost what was bought, so that it is served again; but not for ever: an answer that
    /// is kept costs nobody anything, and one that is not costs the service its work again.
    #[must_use]
    pub fn step(&self, ending: Ending) -> ClaimStep {
        let holder = self.holder;
        // Nothing was paid, so nothing is owed to whoever leaves; else calls that cost nothing would fill the store for ever.
        let is_free = self.paid.as_ref().is_some_and(|paid| paid.amount().is_zero());
        if is_free && matches!(ending, Ending::LeftKept(_) | Ending::LeftUnkept) {
            return ClaimStep::Delivered { holder, answer: None };
        }
        let undelivered = |answer, amends| ClaimStep::Undelivered { holder, answer, amends };
        match ending {
            Ending::Whole(answer) => {
                ClaimStep::Delivered { holder, answer: answer.filter(|_| self.keep == KeepAnswer::Yes) }
            }
            // Never a refund: the service has done its work, and whoever hangs up has perhaps seen it.
            Ending::LeftKept(answer) => undelivered(Some(answer), Amends::Credit),
            Ending::LeftUnkept if self.deliveries <= self.promise.redeliveries => {
                undelivered(None, Amends::Credit)
            }
            Ending::LeftUnkept => ClaimStep::Delivered { holder, answer: None },
            Ending::Failed => undelivered(None, self.promise.amends),
        }
    }
}
