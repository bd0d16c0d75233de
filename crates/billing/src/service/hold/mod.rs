//! [`Hold`]: money set aside for one call, as the service keeps and shows it. Its record changes in the commit in which the ledger's
//! legs do, so that it always says what the ledger says and nobody has to read the legs.
//!
//! ```text
//!            ┌── capture, not final: a part is paid ──┐
//!            ▼                                        │
//! place ──▶ open ─────────────────────────────────────┘
//!            ├── capture, final, or nothing left ──▶ captured ◀──┐
//!            ├── void ─────────────────────────────▶ voided ◀────┤ refund: what was paid, or a part
//!            └── its expiry has come ──────────────▶ expired ◀───┘
//! ```
//!
//! The state says how a hold ended; [`Hold::captured`] says what was paid, also of one that was voided or expired afterwards. From
//! the instant of its expiry on nothing is paid from a hold; it may still be voided until a worker ends it
//! ([`Billing::expire_due`]). A refund changes no state.
//!
//! What may be spent, and in which order it is refused, is [`crate::budget`]'s; which grants it comes from is [`crate::grant`]'s.

mod doc;
mod end;
mod expire;
mod list;
mod place;
mod refund;

use farthing_ledger::record::Table;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::names::{self, Named as _};
use super::{Authority, Billing, Cx, Document, HoldId, Metadata, ServiceError, Stored};
use crate::budget::delegation::Wish;
use crate::id::{BudgetId, CustomerId, DelegationId, GrantId};

pub use doc::HoldDoc;
pub(super) use end::{Ended, why_refused};
pub use end::{NewCapture, NewVoid};
pub use list::HoldFilter;
pub use place::NewHold;
pub use refund::NewRefund;
pub(super) use refund::{Part, again, drawn_from, stale_or};

/// How many captures a hold remembers one by one; all of them are events.
const MAX_RECEIPTS: usize = 50;

/// How a hold stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// Something is set aside.
    Open,
    /// A capture ended it.
    Captured,
    /// A void ended it.
    Voided,
    /// Time ended it.
    Expired,
}

impl HoldState {
    /// As it is written.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Expired => "expired",
        }
    }
}

/// What kind of money a part of a hold is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DrawKind {
    /// The wallet's paid money.
    Paid,
    /// A grant.
    Grant,
    /// The line of credit.
    Overdraft,
    /// The money that was carved out for a budget.
    Budget,
}

/// What of a hold comes from one place. `amount = held + captured + released`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HoldDraw {
    /// What kind of money.
    pub kind: DrawKind,
    /// Which grant.
    #[serde(default, with = "names::maybe", skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// Whose money, when it is a budget's.
    #[serde(default, with = "names::maybe", skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetId>,
    /// How much was set aside.
    pub amount: Amount,
    /// What still is.
    pub held: Amount,
    /// What was paid.
    pub captured: Amount,
    /// What was given back of that.
    pub refunded: Amount,
}

/// What was paid at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Receipt {
    /// How much.
    pub amount: Amount,
    /// What proves it outside, such as the hash of a transaction.
    pub reference: Option<String>,
    /// When.
    pub at_ms: u64,
}

/// Money set aside for one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hold {
    /// Its name. It ends in `00`.
    #[serde(with = "names::text")]
    pub id: HoldId,
    /// Whose wallet.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// The code of the asset.
    pub asset: String,
    /// The budget that spends; none when it is the wallet itself.
    #[serde(default, with = "names::maybe")]
    pub budget: Option<BudgetId>,
    /// The token with which it was placed; none when the owner did.
    #[serde(default, with = "names::maybe")]
    pub token: Option<DelegationId>,
    /// How it stands.
    pub state: HoldState,
    /// How much was set aside.
    pub amount: Amount,
    /// What still is.
    pub held: Amount,
    /// What was paid.
    pub captured: Amount,
    /// What was given back of that.
    pub refunded: Amount,
    /// Who is paid.
    pub counterparty: Option<String>,
    /// The unit of work, as the customer knows it.
    pub subject: Option<String>,
    /// What it is for, for people.
    pub description: Option<String>,
    /// What the tenant keeps with it.
    pub metadata: Metadata,
    /// Where the money comes from, in the order in which it is drawn.
    pub draws: Vec<HoldDraw>,
    /// What was paid, the latest 50 times.
    pub receipts: Vec<Receipt>,
    /// From this instant on nothing is paid from it; missing for never.
    pub expires_ms: Option<u64>,
    /// When it was placed.
    pub created_ms: u64,
    /// When it was changed last.
    pub updated_ms: u64,
}

impl Hold {
    /// Its amount less what was paid and what still is set aside.
    ///
    /// # Errors
    /// [`ServiceError::Money`] never for a hold that was read.
    pub fn released(&self) -> Result<Amount, ServiceError> {
        Ok(self.amount.checked_sub(self.held)?.checked_sub(self.captured)?)
    }
}

impl Billing {
    /// The hold.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Delegation`] for a token of another budget, and the store's.
    pub async fn hold(&self, cx: &Cx, by: &Authority, id: HoldId) -> Result<Hold, ServiceError> {
        let found = self.hold_doc(cx, id).await?.doc.hold;
        self.may_see(cx, by, found.budget).await?;
        Ok(found)
    }

    pub(super) async fn hold_doc(&self, cx: &Cx, id: HoldId) -> Result<Stored<HoldDoc>, ServiceError> {
        self.get(cx, &id.text()).await
    }

    /// That whoever asks may see what `budget` spends.
    async fn may_see(&self, cx: &Cx, by: &Authority, budget: Option<BudgetId>) -> Result<(), ServiceError> {
        match (by, budget) {
            (Authority::Owner, _) => Ok(()),
            (Authority::Token(_), Some(budget)) => {
                by.check(&self.load_budget(cx, budget).await?.path, &Wish::Read, cx.now)
            }
            (Authority::Token(_), None) => by.owner(),
        }
    }
}

/// A counter of what one budget, or a wallet without budget, spent for one subject: paid, given back, and how many holds were paid
/// from. It is added to in the commit that pays.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spent(pub(super) Vec<String>);

impl Document for Spent {
    const TABLE: Table = Table::new("spent");
    const NAME: &'static str = "counter of what was spent";
}
