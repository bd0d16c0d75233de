//! Placing a hold: on the wallet's money and on every limit of the budget and all above it, in one commit with its record.

use farthing_ledger::{Command, Expiry, Rejection, Timestamp};
use farthing_money::{Amount, MoneyError};
use serde::{Deserialize, Serialize};

use super::doc::HoldDoc;
use super::list::index;
use super::{DrawKind, Hold, HoldDraw, HoldState};
use crate::Reason;
use crate::budget::delegation::Wish;
use crate::budget::{BudgetRejection, Draw, Plan, Spend};
use crate::grant::GrantError;
use crate::id::{BudgetId, CounterpartyId, CustomerId, SubjectId};
use crate::service::budget::{Budget, LoadedBudget, above_keys};
use crate::service::document::{record_key, stored};
use crate::service::event::EventKind;
use crate::service::names::{self, Named as _};
use crate::service::wallet::wallet_keys;
use crate::service::{
    ATTEMPTS, Authority, Billing, Cx, Draft, Fate, HoldId, Metadata, ServiceError, Stored, cx, input, refused,
};

/// A hold to be placed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewHold {
    /// Its name, when the caller chooses it, ending in `00`: the same name with the same wish is the same hold.
    #[serde(default, with = "names::maybe")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::service::schema::IdText<HoldId>>"))]
    pub id: Option<HoldId>,
    /// Whose wallet; may be left out when a budget is given.
    #[serde(default, with = "names::maybe")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::service::schema::IdText<CustomerId>>"))]
    pub customer: Option<CustomerId>,
    /// The code of the asset; may be left out when a budget is given.
    #[serde(default)]
    pub asset: Option<String>,
    /// The budget that spends; left out for the wallet itself.
    #[serde(default, with = "names::maybe")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::service::schema::IdText<BudgetId>>"))]
    pub budget: Option<BudgetId>,
    /// The most that the call may cost.
    pub amount: Amount,
    /// Who is paid, as limits tell them apart: a host, a recipient, a vendor.
    #[serde(default)]
    pub counterparty: Option<String>,
    /// The unit of work, as the customer knows it.
    #[serde(default)]
    pub subject: Option<String>,
    /// What it is for, for people.
    #[serde(default)]
    pub description: Option<String>,
    /// What the tenant keeps with it.
    #[serde(default)]
    pub metadata: Metadata,
    /// From this instant on nothing is paid from it; left out for never.
    #[serde(default)]
    pub expires_ms: Option<u64>,
}

impl NewHold {
    fn check(&self) -> Result<(), ServiceError> {
        input::maybe("counterparty", self.counterparty.as_ref(), 200)?;
        input::maybe("subject", self.subject.as_ref(), 200)?;
        input::maybe("description", self.description.as_ref(), 500)?;
        input::metadata(&self.metadata)?;
        if self.id.is_some_and(|id| id.group().as_u128() != id.as_u128() || id.is_reserved()) {
            return Err(ServiceError::invalid("id", "ends in 00, and is not all zeros"));
        }
        if self.budget.is_none() {
            self.wallet()?;
        }
        Ok(())
    }

    /// The wallet, when no budget is given.
    fn wallet(&self) -> Result<(CustomerId, &str), ServiceError> {
        let missing = |field| ServiceError::invalid(field, "a customer and an asset, or a budget");
        let customer = self.customer.ok_or_else(|| missing("customer"))?;
        Ok((customer, self.asset.as_deref().ok_or_else(|| missing("asset"))?))
    }

    /// A hash of the wish.
    fn hash(&self) -> Result<String, ServiceError> {
        let text = serde_json::to_string(self).map_err(|error| ServiceError::unreadable("hold", &error))?;
        Ok(format!("{:032x}", crate::id::of_text("hold wish", &[], &text)))
    }

    fn who(&self) -> CounterpartyId {
        CounterpartyId::named(self.counterparty.as_deref().unwrap_or_default())
    }
}

/// What the first reading found.
enum First {
    /// The answer: it was placed before.
    Done(Box<Hold>),
    /// What the hold is placed on.
    On(Box<LoadedBudget>),
}

impl Billing {
    /// Sets money aside for a call.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`]; [`ServiceError::AlreadyExists`] for a name that another hold has;
    /// [`ServiceError::WrongState`] for a closed wallet or an archived customer; [`ServiceError::Delegation`] for what the token
    /// does not allow; [`ServiceError::Budget`] and [`ServiceError::Grant`] for what budgets and the wallet do not; and the store's.
    pub async fn place_hold(&self, cx: &Cx, by: &Authority, new: &NewHold) -> Result<Hold, ServiceError> {
        new.check()?;
        let id = new.id.unwrap_or(HoldId::of_group(cx.id.into()));
        for _ in 0..ATTEMPTS {
            let on = match self.first_reading(cx, new, id).await? {
                First::Done(hold) => {
                    self.may_see(cx, by, hold.budget).await?;
                    return Ok(*hold);
                }
                First::On(on) => on,
            };
            by.check(&on.path, &Wish::Spend { amount: new.amount, counterparty: new.who() }, cx.now)?;
            on.wallet.active()?;
            match self.try_place(cx, (by, new, id), &on).await? {
                Some(hold) => return Ok(hold),
                None => continue,
            }
        }
        Err(ServiceError::Contention)
    }

    /// One attempt; `None` when what was read has changed.
    async fn try_place(
        &self,
        cx: &Cx,
        (by, new, id): (&Authority, &NewHold, HoldId),
        on: &LoadedBudget,
    ) -> Result<Option<Hold>, ServiceError> {
        let spend = Spend {
            group: id.group(),
            to: on.wallet.asset.outside().revenue,
            amount: new.amount,
            counterparty: new.who(),
            subject: new
                .subject
                .as_ref()
                .map_or(SubjectId::from_u128(0), |subject| SubjectId::named(on.wallet.customer.id, subject)),
            now: cx.now,
            expiry: new.expires_ms.map_or(Expiry::Never, |at| Expiry::At(Timestamp::from_unix_ms(at))),
        };
        let (plan, draws) = self.plan(cx, on, &spend).await?;
        self.prepare(cx, &plan, on, &spend).await?;
        let doc = doc(cx, (by, new, id), on, (&plan, &draws))?;
        let mut draft = Draft::new();
        draft.steps(plan.steps.iter().cloned()).create(cx, &id.text(), &doc)?;
        index(cx, &mut draft, &doc)?;
        draft.tell(cx, EventKind::HoldPlaced, &doc.hold)?;
        match self.commit(cx, draft, &doc.hold).await? {
            Fate::Applied { .. } => Ok(Some(doc.hold)),
            Fate::Again => Ok(None),
            Fate::Refused { outcomes } => match plan.read(&outcomes) {
                // What was drawn from several places was read before; others were faster. Reading again tells how much is left.
                Err(BudgetRejection::InsufficientFunds { .. }) if on.draws_several(cx.now) => {
                    self.draws(cx, &on.wallet, new.amount).await?;
                    Ok(None)
                }
                // Another tenant's hold has the name, or something else in the ledger.
                Err(BudgetRejection::Ledger(Rejection::ExistsWithDifferent(_))) => {
                    Err(ServiceError::AlreadyExists { what: "hold", id: id.text() })
                }
                Err(rejection) => Err(rejection.into()),
                Ok(()) => Err(refused(&outcomes)),
            },
        }
    }

    /// The legs, and where the money comes from.
    async fn plan(
        &self,
        cx: &Cx,
        on: &LoadedBudget,
        spend: &Spend,
    ) -> Result<(Plan, Vec<Draw>), ServiceError> {
        if on.path.payer().is_some() || spend.amount.is_zero() {
            let draws = vec![Draw { account: on.path.money(), amount: spend.amount }];
            return Ok((on.path.spend(spend)?, draws));
        }
        // Rules of the call alone come before the money.
        let whole = [Draw { account: on.path.money(), amount: spend.amount }];
        let plan = on.path.spend_drawn(spend, &whole)?;
        match self.draws(cx, &on.wallet, spend.amount).await {
            Ok(draws) if draws == whole => Ok((plan, draws)),
            Ok(draws) => Ok((on.path.spend_drawn(spend, &draws)?, draws)),
            // The money is not there, and an agent learns its own limits before anything about the wallet: the ledger is asked
            // all the same, and says which limit it is, or that it is the money.
            Err(ServiceError::Grant(GrantError::InsufficientFunds { .. })) if on.leaf().is_some() => {
                Ok((plan, whole.to_vec()))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens what counts the windows that run, as a batch of its own: whoever opened one before, with whatever limit, was first.
    async fn prepare(
        &self,
        cx: &Cx,
        plan: &Plan,
        on: &LoadedBudget,
        spend: &Spend,
    ) -> Result<(), ServiceError> {
        if plan.prepare.is_empty() {
            return Ok(());
        }
        let windows = on.windows(cx.now, spend.counterparty);
        if self.seen.are_open(&windows) {
            return Ok(());
        }
        let found = self.store().accounts(&windows).await?;
        if found.iter().any(Option::is_none) {
            self.store().transact(cx.now, plan.prepare.clone()).await?;
        } else {
            self.seen.open(&windows);
        }
        Ok(())
    }

    /// Reads everything that a hold needs, at once. Only a budget that this process has not seen yet takes a second reading,
    /// because what is above it is in its record.
    async fn first_reading(&self, cx: &Cx, new: &NewHold, id: HoldId) -> Result<First, ServiceError> {
        let place = new.budget.and_then(|budget| self.seen.place(cx.tenant, budget));
        let mut keys = vec![record_key::<HoldDoc>(cx.tenant, &id.text())];
        match new.budget {
            Some(budget) => {
                keys.push(record_key::<Budget>(cx.tenant, &budget.text()));
                keys.extend(place.iter().flat_map(|place| above_keys(cx, place)));
            }
            None => {
                let (customer, asset) = new.wallet()?;
                keys.extend(wallet_keys(cx, customer, asset)?);
            }
        }
        keys.extend(cx::replay_key(cx));
        let mut found = self.store().records(&keys).await?;
        let replay = if cx.idempotency.is_some() { found.pop().flatten() } else { None };
        if let Some(done) = self.replay_of::<Hold>(cx, replay.as_ref())? {
            return Ok(First::Done(Box::new(done)));
        }
        let (hold, on) = found.split_at(1);
        if let Some(hold) = hold.iter().flatten().next() {
            let was = stored::<HoldDoc>(cx.tenant, hold)?.doc;
            let taken = || ServiceError::AlreadyExists { what: "hold", id: id.text() };
            return if was.wish == new.hash()? { Ok(First::Done(Box::new(was.hold))) } else { Err(taken()) };
        }
        let on = match new.budget {
            Some(budget) => {
                let not_found = || ServiceError::NotFound { what: "budget", id: budget.text() };
                let (leaf, above) = on.split_at(1);
                let leaf = leaf.iter().flatten().next().ok_or_else(not_found)?;
                let leaf: Stored<Budget> = stored(cx.tenant, leaf)?;
                same_wallet(new, &leaf.doc)?;
                match place {
                    Some(_) => self.hang(cx, leaf, above).await?,
                    None => self.load_above(cx, leaf).await?,
                }
            }
            None => LoadedBudget::wallet(self.ensure_found(cx, new.wallet()?, on).await?),
        };
        Ok(First::On(Box::new(on)))
    }
}

impl LoadedBudget {
    /// Whether a spend may draw on more than the paid money.
    fn draws_several(&self, now: Timestamp) -> bool {
        let wallet = &self.wallet;
        self.path.payer().is_none()
            && (!wallet.doc().overdraft.is_zero() || wallet.grants().iter().any(|grant| grant.is_live(now)))
    }
}

/// That the customer and the asset, when they are given, are those of the budget.
fn same_wallet(new: &NewHold, budget: &Budget) -> Result<(), ServiceError> {
    if new.customer.is_some_and(|customer| customer != budget.customer) {
        return Err(ServiceError::invalid("customer", "the customer of the budget, or left out"));
    }
    match &new.asset {
        Some(asset) if *asset != budget.asset => {
            Err(MoneyError::AssetMismatch { left: asset.clone(), right: budget.asset.clone() }.into())
        }
        _ => Ok(()),
    }
}

/// The record of a hold whose legs are `plan`.
fn doc(
    cx: &Cx,
    (by, new, id): (&Authority, &NewHold, HoldId),
    on: &LoadedBudget,
    (plan, draws): (&Plan, &[Draw]),
) -> Result<HoldDoc, ServiceError> {
    let limits = plan.steps.iter().filter_map(|step| match &step.command {
        Command::Hold(hold) if hold.transfer.code == Reason::Limit.code() => Some(hold.transfer.debit),
        _ => None,
    });
    let chart = on.wallet.asset.chart();
    let hold = Hold {
        id,
        customer: on.wallet.customer.id,
        asset: on.wallet.asset.code().to_owned(),
        budget: new.budget,
        token: by.token(),
        state: HoldState::Open,
        amount: new.amount,
        held: new.amount,
        captured: Amount::ZERO,
        refunded: Amount::ZERO,
        counterparty: new.counterparty.clone(),
        subject: new.subject.clone(),
        description: new.description.clone(),
        metadata: new.metadata.clone(),
        draws: draws.iter().filter(|draw| !draw.amount.is_zero()).map(|draw| drawn(on, draw)).collect(),
        receipts: Vec::new(),
        expires_ms: new.expires_ms,
        created_ms: cx.now.unix_ms(),
        updated_ms: cx.now.unix_ms(),
    };
    Ok(HoldDoc {
        hold,
        limits: limits.collect(),
        assets: [chart.money.as_u32(), chart.allowance.as_u32(), chart.seats.as_u32()],
        paid: on.wallet.asset.outside().revenue,
        refunds: 0,
        wish: new.hash()?,
    })
}

/// What a draw is, in words.
fn drawn(on: &LoadedBudget, draw: &Draw) -> HoldDraw {
    let names = on.wallet.names();
    let grants = on.wallet.grants();
    let grant = grants.iter().find(|grant| grant.account == draw.account).map(|grant| grant.id);
    let kind = if let Some(grant) = grant {
        (DrawKind::Grant, Some(grant), None)
    } else if draw.account == names.overdraft_account() {
        (DrawKind::Overdraft, None, None)
    } else {
        match on.path.payer() {
            Some(payer) => (DrawKind::Budget, None, Some(payer)),
            None => (DrawKind::Paid, None, None),
        }
    };
    let (kind, grant, budget) = kind;
    let Draw { amount, .. } = *draw;
    HoldDraw { kind, grant, budget, amount, held: amount, captured: Amount::ZERO, refunded: Amount::ZERO }
}
