//! Lists of holds: by customer, by unit of work, and those that are open. The lists are records of their own, written with the hold.

use farthing_ledger::record::Table;
use serde::{Deserialize, Serialize};

use super::doc::HoldDoc;
use super::{Hold, HoldState};
use crate::budget::delegation::Wish;
use crate::id::{BudgetId, CustomerId, SubjectId};
use crate::service::document::{record_key, stored};
use crate::service::names::{self, Named as _};
use crate::service::{Authority, Billing, Cx, Document, Draft, HoldId, Page, PageQuery, ServiceError};

/// Which holds. A budget, or else a unit of work, or else a customer, or else all of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HoldFilter {
    /// Of this customer.
    #[serde(default, with = "names::maybe")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::service::schema::IdText<CustomerId>>"))]
    pub customer: Option<CustomerId>,
    /// For this unit of work of the customer.
    #[serde(default)]
    pub subject: Option<String>,
    /// Placed by this very budget, not by those below it.
    #[serde(default, with = "names::maybe")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::service::schema::IdText<BudgetId>>"))]
    pub budget: Option<BudgetId>,
    /// In this state. A page may then have fewer than were asked for although there are more: follow the cursor.
    #[serde(default)]
    pub state: Option<HoldState>,
}

/// That a hold is in a list. The keys say all.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Listed {}

impl Document for Listed {
    const TABLE: Table = Table::new("hold_list");
    const NAME: &'static str = "list of holds";
}

fn lists(doc: &HoldDoc) -> Vec<String> {
    let customer = of_customer(doc.hold.customer);
    let subject = doc.subject().map(of_subject);
    let budget = doc.hold.budget.map(of_budget);
    std::iter::once(customer).chain(subject).chain(budget).collect()
}

fn of_customer(customer: CustomerId) -> String {
    format!("{}/", customer.text())
}

fn of_subject(subject: SubjectId) -> String {
    format!("{}/", subject.text())
}

fn of_budget(budget: BudgetId) -> String {
    format!("{}/", budget.text())
}

fn of_open(customer: CustomerId) -> String {
    format!("open/{}/", customer.text())
}

/// Adds a new hold to its lists.
pub(super) fn index(cx: &Cx, draft: &mut Draft, doc: &HoldDoc) -> Result<(), ServiceError> {
    let open = of_open(doc.hold.customer);
    for list in lists(doc).into_iter().chain([open]) {
        draft.create(cx, &format!("{list}{}", doc.hold.id.text()), &Listed {})?;
    }
    Ok(())
}

/// Takes a hold that ended from the list of those that are open.
pub(super) fn ended(cx: &Cx, draft: &mut Draft, doc: &HoldDoc) {
    draft.forget::<Listed>(cx, &format!("{}{}", of_open(doc.hold.customer), doc.hold.id.text()));
}

impl Billing {
    /// Holds, the newest first unless the page says otherwise.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a unit of work without a customer, [`ServiceError::Delegation`] for a token that asks for
    /// another budget's, and the store's.
    pub async fn list_holds(
        &self,
        cx: &Cx,
        by: &Authority,
        filter: &HoldFilter,
        page: &PageQuery,
    ) -> Result<Page<Hold>, ServiceError> {
        if let Authority::Token(_) = by {
            let budget =
                filter.budget.ok_or_else(|| ServiceError::invalid("budget", "the budget of the token"))?;
            by.check(&self.load_budget(cx, budget).await?.path, &Wish::Read, cx.now)?;
        }
        let list = match filter {
            HoldFilter { budget: Some(budget), .. } => Some(of_budget(*budget)),
            HoldFilter { subject: Some(subject), customer: Some(customer), .. } => {
                Some(of_subject(SubjectId::named(*customer, subject)))
            }
            HoldFilter { subject: Some(_), customer: None, .. } => {
                return Err(ServiceError::invalid("customer", "a unit of work is a customer's"));
            }
            HoldFilter { customer: Some(customer), state: Some(HoldState::Open), .. } => {
                Some(of_open(*customer))
            }
            HoldFilter { customer: Some(customer), .. } => Some(of_customer(*customer)),
            HoldFilter { customer: None, .. } => None,
        };
        let (found, next) = match list {
            Some(list) => self.listed(cx, &list, page).await?,
            None => {
                let found = self.list::<HoldDoc>(cx, "", page).await?.map(|doc| doc.hold);
                (found.data, found.next)
            }
        };
        let fits = |hold: &Hold| {
            filter.state.is_none_or(|state| hold.state == state)
                && filter.customer.is_none_or(|customer| hold.customer == customer)
                && filter.subject.as_ref().is_none_or(|subject| hold.subject.as_ref() == Some(subject))
        };
        Ok(Page { data: found.into_iter().filter(fits).collect(), next })
    }

    /// Holds for one unit of work.
    pub(in crate::service) async fn holds_for(
        &self,
        cx: &Cx,
        subject: SubjectId,
        page: &PageQuery,
    ) -> Result<Vec<Hold>, ServiceError> {
        Ok(self.listed(cx, &of_subject(subject), page).await?.0)
    }

    /// The holds of one list. The cursor is the hold's name.
    async fn listed(
        &self,
        cx: &Cx,
        list: &str,
        page: &PageQuery,
    ) -> Result<(Vec<Hold>, Option<String>), ServiceError> {
        let after = page.after.as_ref().map(|after| format!("{list}{after}"));
        let query = PageQuery { after, limit: page.limit.min(500), order: page.order };
        let found = self.list::<Listed>(cx, list, &query).await?;
        let ids = found.data.iter().filter_map(|listed| listed.key.rsplit('/').next());
        let ids: Vec<HoldId> = ids.filter_map(|id| HoldId::read(id).ok()).collect();
        let keys: Vec<_> = ids.iter().map(|id| record_key::<HoldDoc>(cx.tenant, &id.text())).collect();
        let mut holds = Vec::with_capacity(keys.len());
        for record in self.store().records(&keys).await?.into_iter().flatten() {
            holds.push(stored::<HoldDoc>(cx.tenant, &record)?.doc.hold);
        }
        let next = found.next.and_then(|next| next.rsplit('/').next().map(str::to_owned));
        Ok((holds, next))
    }
}
