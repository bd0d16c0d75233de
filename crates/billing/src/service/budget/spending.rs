//! Who spent it: what a budget and each one below it spent, for which unit of work. It adds nothing up on the way: the counters were
//! added to in the commits that paid.

use std::collections::BTreeMap;

use farthing_ledger::record::{Order, read_counter};
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::Budget;
use crate::budget::delegation::Wish;
use crate::id::{BudgetId, CustomerId, SubjectId};
use crate::service::hold::Spent;
use crate::service::names::{self, Named as _};
use crate::service::wallet::wallet_key;
use crate::service::{Authority, Billing, Cx, PageQuery, ServiceError};

/// The most rows of one answer.
const MAX_ROWS: usize = 2_000;

/// What one budget spent for one unit of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SpentRow {
    /// The budget that spent; none for the wallet itself.
    #[serde(default, with = "names::maybe")]
    pub budget: Option<BudgetId>,
    /// Its name for people.
    pub budget_name: Option<String>,
    /// The unit of work; none when the holds named none.
    #[serde(default, with = "names::maybe")]
    pub subject: Option<SubjectId>,
    /// As the customer knows it.
    pub subject_name: Option<String>,
    /// What was paid.
    pub captured: Amount,
    /// What was given back of that.
    pub refunded: Amount,
    /// `captured - refunded`.
    pub spent: Amount,
    /// How many holds were paid from.
    pub holds: u64,
}

/// Who spent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Spending {
    /// The code of the asset.
    pub asset: String,
    /// `captured - refunded` of all rows.
    pub spent: Amount,
    /// The budget's own first, then those below it level by level.
    pub rows: Vec<SpentRow>,
    /// Whether there is more than is shown: more than 500 budgets, or 2,000 rows.
    pub truncated: bool,
}

impl Billing {
    /// What a budget and those below it spent, by budget and unit of work.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Delegation`], and the store's.
    pub async fn budget_spending(
        &self,
        cx: &Cx,
        by: &Authority,
        id: BudgetId,
    ) -> Result<Spending, ServiceError> {
        let on = self.load_budget(cx, id).await?;
        by.check(&on.path, &Wish::Read, cx.now)?;
        let Some(leaf) = on.budgets.into_iter().next().map(|leaf| leaf.doc) else {
            return Err(ServiceError::NotFound { what: "budget", id: id.text() });
        };
        let below = self.below(cx, &leaf, None).await?;
        let truncated = below.len() >= super::list::MAX_TREE;
        let asset = leaf.asset.clone();
        let budgets: Vec<Budget> = std::iter::once(leaf).chain(below).collect();
        let mut rows = Vec::new();
        for budget in &budgets {
            self.rows(cx, &mut rows, &format!("{}/", budget.id.text()), Some(budget)).await?;
        }
        total(asset, rows, truncated)
    }

    /// What was spent of a wallet without any budget, by unit of work.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn wallet_spending(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
    ) -> Result<Spending, ServiceError> {
        self.load_wallet(cx, customer, asset).await?;
        let mut rows = Vec::new();
        self.rows(cx, &mut rows, &format!("{}/", wallet_key(customer, asset)), None).await?;
        total(asset.to_owned(), rows, false)
    }

    /// The rows of one budget.
    async fn rows(
        &self,
        cx: &Cx,
        rows: &mut Vec<SpentRow>,
        prefix: &str,
        budget: Option<&Budget>,
    ) -> Result<(), ServiceError> {
        let mut page = PageQuery { after: None, limit: 500, order: Order::Ascending };
        let mut names: BTreeMap<SubjectId, Option<String>> = BTreeMap::new();
        while rows.len() <= MAX_ROWS {
            let found = self.list::<Spent>(cx, prefix, &page).await?;
            for counter in &found.data {
                let subject = counter.key.rsplit('/').next().unwrap_or_default();
                let subject = SubjectId::read(subject).ok().filter(|subject| subject.as_u128() != 0);
                let [captured, refunded, holds] = counter.doc.numbers()?;
                let name = match subject {
                    None => None,
                    Some(subject) => match names.get(&subject) {
                        Some(name) => name.clone(),
                        None => {
                            let name = self.name_of(cx, subject).await?;
                            names.insert(subject, name.clone());
                            name
                        }
                    },
                };
                rows.push(SpentRow {
                    budget: budget.map(|budget| budget.id),
                    budget_name: budget.and_then(|budget| budget.name.clone()),
                    subject,
                    subject_name: name,
                    captured: Amount::from_base(captured),
                    refunded: Amount::from_base(refunded),
                    spent: Amount::from_base(captured).checked_sub(Amount::from_base(refunded))?,
                    holds: u64::try_from(holds).unwrap_or(u64::MAX),
                });
            }
            page.after = found.next;
            if page.after.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// As the customer knows a unit of work: any hold for it says so.
    async fn name_of(&self, cx: &Cx, subject: SubjectId) -> Result<Option<String>, ServiceError> {
        let page = PageQuery { limit: 1, ..PageQuery::default() };
        let found = self.holds_for(cx, subject, &page).await?;
        Ok(found.into_iter().find_map(|hold| hold.subject))
    }
}

impl Spent {
    /// Paid, given back, holds.
    fn numbers(&self) -> Result<[u128; 3], ServiceError> {
        let unreadable = |why: String| ServiceError::Unreadable { what: "counter of what was spent", why };
        let text = serde_json::to_string(&self.0).map_err(|error| unreadable(error.to_string()))?;
        let numbers = read_counter(&text).map_err(unreadable)?;
        let number = |at: usize| u128::try_from(numbers.get(at).copied().unwrap_or(0)).unwrap_or(0);
        Ok([number(0), number(1), number(2)])
    }
}

fn total(asset: String, mut rows: Vec<SpentRow>, truncated: bool) -> Result<Spending, ServiceError> {
    let truncated = truncated || rows.len() > MAX_ROWS;
    rows.truncate(MAX_ROWS);
    let spent = Amount::sum(rows.iter().map(|row| row.spent))?;
    Ok(Spending { asset, spent, rows, truncated })
}
