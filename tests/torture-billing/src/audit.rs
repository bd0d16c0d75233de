//! What a run must come to: the journal proves itself, and everything that was answered is there, once.

use std::collections::BTreeMap;

use farthing_billing::SubjectId;
use farthing_billing::service::event::Event;
use farthing_billing::service::hold::{Hold, HoldFilter, HoldState};
use farthing_billing::service::topup::AttemptState;
use farthing_billing::service::usage::UsageDoc;
use farthing_billing::service::{
    Authority, Billing, Document as _, Named as _, Page, PageQuery, ServiceError,
};
use farthing_ledger::record::{Order, Scan, Table};
use farthing_ledger::{HoldState as LegState, Known, Net};
use farthing_money::Amount;

use crate::Findings;
use crate::job::{Answers, Seen};
use crate::place::{self, Place};
use crate::world::{ASSET, TOKEN, World, cx};

/// What happened outside of the service.
#[derive(Debug)]
pub struct Outside {
    /// What the card processor took.
    pub payments: BTreeMap<String, u128>,
    /// What was deposited on a chain for each customer, and stands there.
    pub deposited: Vec<u128>,
    /// Whether events are taken from the outbox.
    pub is_fanned_out: bool,
}

/// What clients told of deposits.
pub fn deposited(world: &World, answers: &[Answers]) -> Vec<u128> {
    let of = |index: usize| answers.iter().filter_map(|answers| answers.deposited.get(&index)).sum();
    (0..world.customers.len()).map(of).collect()
}

/// Compares the store with what the clients were answered. What there was, in a sentence.
///
/// # Errors
/// A sentence, when the store cannot be read.
pub async fn run(
    place: &Place,
    (world, money): (&World, u128),
    (answers, outside): (&[Answers], Outside),
    findings: &mut Findings,
) -> Result<String, String> {
    let proof = place.prove().await?;
    let entries = match proof {
        Ok(report) => {
            findings.expect(report.open_holds == 0, || format!("{} legs are open", report.open_holds));
            report.entries
        }
        Err(fault) => {
            findings.expect(false, || format!("the ledger is broken: {fault}"));
            return Ok("the ledger is broken".to_owned());
        }
    };
    for odd in answers.iter().flat_map(|answers| &answers.odd) {
        findings.expect(false, || odd.clone());
    }
    let billing = Billing::new(place::open(&place.name()).await?);
    let audit = Audit { billing: &billing, world, answers, outside };
    let told = audit.all(money, findings).await.map_err(|error| error.to_string())?;
    Ok(format!("{entries} entries, {told}"))
}

struct Audit<'a> {
    billing: &'a Billing,
    world: &'a World,
    answers: &'a [Answers],
    outside: Outside,
}

impl Audit<'_> {
    async fn all(&self, money: u128, findings: &mut Findings) -> Result<String, ServiceError> {
        let holds = self.holds().await?;
        let usage = self.usage().await?;
        let topped_up = self.top_ups(findings).await?;
        self.wallets((money, &topped_up), findings).await?;
        self.deposits(findings).await?;
        self.budgets(findings).await?;
        self.compare_holds(&holds, findings).await?;
        self.compare_usage(&usage, findings).await?;
        self.events(&holds, usage.len(), findings).await?;
        let credits: usize = self.answers.iter().map(|answers| answers.credits).sum();
        let refused: usize = self.answers.iter().map(|answers| answers.refused).sum();
        Ok(format!(
            "{} holds, {} usage events, {} top-ups, {credits} credits, {refused} refused for want of money",
            holds.len(),
            usage.len(),
            self.outside.payments.len()
        ))
    }

    async fn holds(&self) -> Result<Vec<Hold>, ServiceError> {
        let (mut all, mut page) = (Vec::new(), PageQuery { limit: 500, ..PageQuery::default() });
        loop {
            let cx = cx(self.world.tenant);
            let found: Page<Hold> =
                self.billing.list_holds(&cx, &Authority::Owner, &HoldFilter::default(), &page).await?;
            all.extend(found.data);
            page.after = found.next;
            if page.after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn usage(&self) -> Result<Vec<UsageDoc>, ServiceError> {
        let (mut all, mut page) = (Vec::new(), PageQuery { limit: 500, ..PageQuery::default() });
        loop {
            let found = self.billing.list_usage(&cx(self.world.tenant), &page).await?;
            all.extend(found.data);
            page.after = found.next;
            if page.after.is_none() {
                return Ok(all);
            }
        }
    }

    /// Each wallet has what came less what went, to the unit.
    async fn wallets(
        &self,
        (money, topped_up): (u128, &[u128]),
        findings: &mut Findings,
    ) -> Result<(), ServiceError> {
        for (index, customer) in self.world.customers.iter().enumerate() {
            let sum = |part: fn(&Answers) -> &BTreeMap<usize, u128>| {
                self.answers.iter().filter_map(|answers| part(answers).get(&index)).sum::<u128>()
            };
            let expected = (money + topped_up[index] + sum(|answers| &answers.came))
                .checked_sub(sum(|answers| &answers.went));
            let wallet = self.billing.wallet(&cx(self.world.tenant), *customer, ASSET).await?;
            let settled = match wallet.settled {
                Net::Plus(amount) => Some(amount.base()),
                Net::Minus(_) => None,
            };
            findings.expect(settled == expected && settled.is_some(), || {
                format!(
                    "wallet {index} has {:?}, and what was answered comes to {expected:?}",
                    wallet.settled
                )
            });
            findings.expect(wallet.held.is_zero(), || format!("wallet {index} still holds {}", wallet.held));
        }
        Ok(())
    }

    /// Every payment that the processor took is one top-up that is in the wallet, and the other way round. What each wallet got.
    async fn top_ups(&self, findings: &mut Findings) -> Result<Vec<u128>, ServiceError> {
        let mut payments = self.outside.payments.clone();
        let mut sums = Vec::new();
        for customer in &self.world.customers {
            let (mut sum, mut page) = (0, PageQuery { limit: 500, ..PageQuery::default() });
            loop {
                let found =
                    self.billing.list_topups(&cx(self.world.tenant), (*customer, ASSET), &page).await?;
                for attempt in found.data {
                    let paid = payments.remove(&attempt.id);
                    let (state, amount) = (attempt.state, attempt.amount.base());
                    let holds = match state {
                        AttemptState::Succeeded => paid == Some(amount),
                        _ => paid.is_none(),
                    };
                    findings.expect(holds, || {
                        format!("{} is {state:?} with {amount}, and the processor took {paid:?}", attempt.id)
                    });
                    sum += if state == AttemptState::Succeeded { amount } else { 0 };
                }
                page.after = found.next;
                if page.after.is_none() {
                    break;
                }
            }
            sums.push(sum);
        }
        findings.expect(payments.is_empty(), || {
            format!("the processor took what nobody asked for: {payments:?}")
        });
        Ok(sums)
    }

    /// Every deposit is in its wallet, once.
    async fn deposits(&self, findings: &mut Findings) -> Result<(), ServiceError> {
        for (index, customer) in self.world.customers.iter().enumerate() {
            let expected = self.outside.deposited[index];
            let wallet = self.billing.wallet(&cx(self.world.tenant), *customer, TOKEN).await?;
            findings.expect(wallet.settled == Net::Plus(Amount::from_base(expected)), || {
                format!("{:?} was deposited for {index}, not {expected}", wallet.settled)
            });
        }
        Ok(())
    }

    /// Each budget has spent what its holds, and those of the budget below it, came to.
    async fn budgets(&self, findings: &mut Findings) -> Result<(), ServiceError> {
        let mut spent: BTreeMap<(usize, usize), u128> = BTreeMap::new();
        for answers in self.answers {
            for (hold, (customer, level)) in &answers.budgeted {
                let net =
                    answers.holds.get(hold).map_or(0, |seen| seen.captured.saturating_sub(seen.refunded));
                for above in 0..=*level {
                    *spent.entry((*customer, above)).or_default() += net;
                }
            }
        }
        for (index, pair) in self.world.budgets.iter().enumerate() {
            for (level, id) in pair.iter().enumerate() {
                let view = self.billing.budget(&cx(self.world.tenant), &Authority::Owner, *id).await?;
                let expected = spent.get(&(index, level)).copied().unwrap_or(0);
                findings.expect(view.spent.base() == expected && view.held.is_zero(), || {
                    let (spent, held) = (view.spent, view.held);
                    format!(
                        "budget {level} of {index} spent {spent} and holds {held}; {expected} was answered"
                    )
                });
            }
        }
        Ok(())
    }

    /// Every hold has ended, says what was answered, and says what the ledger says.
    async fn compare_holds(&self, holds: &[Hold], findings: &mut Findings) -> Result<(), ServiceError> {
        let mut answered: BTreeMap<&String, &Seen> =
            self.answers.iter().flat_map(|answers| &answers.holds).collect();
        for hold in holds {
            let shown =
                Seen { state: hold.state, captured: hold.captured.base(), refunded: hold.refunded.base() };
            let expected = answered.remove(&hold.id.text()).map(|seen| match seen.state {
                // It was left alone, and has run out.
                HoldState::Open => Seen { state: HoldState::Expired, ..seen.clone() },
                _ => seen.clone(),
            });
            findings.expect(Some(&shown) == expected.as_ref(), || {
                format!("{}: {shown:?}, and {expected:?} was answered", hold.id.text())
            });
            let (mut legs, mut open) = (0, 0);
            while let Some(known) = self.billing.store().known(hold.id.group().leg(legs)).await? {
                open += usize::from(matches!(known, Known::Hold(leg) if leg.state == LegState::Open));
                legs += 1;
            }
            findings.expect(legs > 0 && open == 0, || {
                format!("{} is {:?} with {legs} legs, {open} of them open", hold.id.text(), hold.state)
            });
        }
        let lost: Vec<_> = answered.keys().take(5).collect();
        findings.expect(lost.is_empty(), || format!("holds that were answered are not there: {lost:?}"));
        Ok(())
    }

    /// Every usage event is there once, and the counters are what the events add up to.
    async fn compare_usage(&self, usage: &[UsageDoc], findings: &mut Findings) -> Result<(), ServiceError> {
        let mut answered: BTreeMap<&String, u128> = self
            .answers
            .iter()
            .flat_map(|answers| &answers.usage)
            .map(|(name, price)| (name, *price))
            .collect();
        let mut sums: BTreeMap<SubjectId, (u64, u128, u128)> = BTreeMap::new();
        for doc in usage {
            let expected = answered.remove(&doc.event_id);
            findings.expect(expected == Some(doc.price.base()), || {
                format!("{} was charged {}, and {expected:?} was answered", doc.event_id, doc.price)
            });
            if let Some(subject) = doc.subject {
                let sum = sums.entry(subject).or_default();
                *sum = (sum.0 + 1, sum.1 + doc.price.base(), sum.2 + doc.cost.base());
            }
        }
        let lost: Vec<_> = answered.keys().take(5).collect();
        findings.expect(lost.is_empty(), || format!("usage that was answered is not there: {lost:?}"));
        for (subject, expected) in sums {
            let shown = self.billing.subject(&cx(self.world.tenant), subject).await?;
            let total = shown.totals.iter().find(|total| total.asset == ASSET);
            let counted = total.map(|total| {
                let figures = &total.figures;
                (figures.events, figures.revenue.base(), figures.cost.base())
            });
            findings.expect(counted == Some(expected), || {
                format!("{}: counted {counted:?}, and its events are {expected:?}", shown.subject.name)
            });
        }
        Ok(())
    }

    /// Every event was told once, and each is still in the outbox where nobody has fanned them out.
    async fn events(
        &self,
        holds: &[Hold],
        usage: usize,
        findings: &mut Findings,
    ) -> Result<(), ServiceError> {
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        let all = self.keys(Event::TABLE, |body| {
            let kind = serde_json::from_str::<serde_json::Value>(body).ok();
            let kind = kind.and_then(|event| event["type"].as_str().map(str::to_owned)).unwrap_or_default();
            *told.entry(kind).or_default() += 1;
        });
        let all = all.await?;
        let twins = self.keys(Table::new("outbox"), |_| {}).await?;
        let is_right = if self.outside.is_fanned_out { twins <= all } else { twins == all };
        findings.expect(is_right, || format!("{all} events and {twins} in the outbox"));
        let ended = |state| holds.iter().filter(|hold| hold.state == state).count();
        for (kind, expected) in [
            ("hold.placed", holds.len()),
            ("hold.voided", ended(HoldState::Voided)),
            ("hold.expired", ended(HoldState::Expired)),
            ("usage.recorded", usage),
        ] {
            let count = told.get(kind).copied().unwrap_or(0);
            findings.expect(count == expected, || format!("{kind} was told {count} times, not {expected}"));
        }
        Ok(())
    }

    /// How many records a table has for the tenant.
    async fn keys(&self, table: Table, mut each: impl FnMut(&str)) -> Result<usize, ServiceError> {
        let (mut count, mut after) = (0, None);
        loop {
            let prefix = format!("{}/", self.world.tenant);
            let scan = Scan { table, prefix, after, order: Order::Ascending, limit: 1_000 };
            let found = self.billing.store().scan(scan).await?;
            let Some(last) = found.last() else { return Ok(count) };
            after = Some(last.key.clone());
            count += found.len();
            found.iter().for_each(|record| each(&record.body));
        }
    }
}
