//! What a client does: one job after the other, each to its end, whoever dies meanwhile. It keeps what it was answered.

use std::collections::BTreeMap;

use farthing_billing::service::deposit::Sighting;
use farthing_billing::service::hold::{Hold, HoldState, NewCapture, NewHold, NewRefund, NewVoid};
use farthing_billing::service::usage::{CostForm, NewUsage, Recorded, Rest};
use farthing_billing::service::wallet::Credit;
use farthing_billing::service::{HoldId, Named as _};
use farthing_money::Amount;
use rand::Rng;
use rand::rngs::StdRng;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::call::{Call, Reply};
use crate::clock::{fresh_id, now_ms};
use crate::pool::Pool;
use crate::world::{NETWORK, TOKEN_ADDRESS, UNIT, World};

/// The refusal that has nothing to do with crashes.
const POOR: &str = "insufficient_funds";

/// What one client was answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// What came into each wallet, and what was paid from it for good: base units.
    pub came: BTreeMap<usize, u128>,
    /// See [`Answers::came`].
    pub went: BTreeMap<usize, u128>,
    /// What was deposited on a chain.
    pub deposited: BTreeMap<usize, u128>,
    /// How often money was put in.
    pub credits: usize,
    /// Every hold, as it was seen last; one that was left alone runs out.
    pub holds: BTreeMap<String, Seen>,
    /// Holds that a budget placed: whose, and which of the two.
    pub budgeted: BTreeMap<String, (usize, usize)>,
    /// Usage events: their own names, and what each was charged.
    pub usage: BTreeMap<String, u128>,
    /// Calls that were refused for want of money.
    pub refused: usize,
    /// Answers that say something else than was asked for.
    pub odd: Vec<String>,
}

/// A hold as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How it ended.
    pub state: HoldState,
    /// What was paid, in base units.
    pub captured: u128,
    /// What of it was given back.
    pub refunded: u128,
}

/// What clients do that depends on whom they ask.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// A hold that is left alone runs out after so long, in milliseconds.
    pub leave_ms: u64,
    /// Clients tell of deposits, or a chain does.
    pub tell_deposits: bool,
}

/// A client.
pub struct Client<'a> {
    /// Whom it asks.
    pub pool: &'a Pool,
    /// What there is.
    pub world: &'a World,
    /// What it does about them.
    pub habits: Habits,
    /// Its choices.
    pub dice: StdRng,
    /// Which client it is.
    pub index: usize,
    /// How many calls it has made.
    pub calls: u64,
    /// What it was answered.
    pub answers: Answers,
}

fn base(amount: u128) -> Amount {
    Amount::from_base(amount)
}

impl Client<'_> {
    /// One job.
    ///
    /// # Errors
    /// A sentence, when nobody answers any more.
    pub async fn job(&mut self) -> Result<(), String> {
        let customer = self.dice.random_range(0..self.world.customers.len());
        match self.dice.random_range(0..10) {
            0 => self.credit(customer).await,
            1 if self.habits.tell_deposits => self.deposit(customer).await,
            2 | 3 => {
                let subject = self.subject();
                self.usage(customer, (None, subject)).await
            }
            _ => self.hold(customer).await,
        }
    }

    fn subject(&mut self) -> String {
        format!("task-{}", self.dice.random_range(0..4))
    }

    async fn credit(&mut self, customer: usize) -> Result<(), String> {
        let amount = self.dice.random_range(1..200);
        let reference = Some(format!("deposit-{}-{}", self.index, self.calls));
        let credit = Credit { amount: base(amount), reference, reason: None };
        let call = Call::Credit { customer: self.world.customer(customer), credit };
        if self.ask::<Value>(&call).await?.is_some() {
            self.answers.credits += 1;
            *self.answers.came.entry(customer).or_default() += amount;
        }
        Ok(())
    }

    /// A transfer on the chain, which the watcher sees once or twice.
    async fn deposit(&mut self, customer: usize) -> Result<(), String> {
        let amount = self.dice.random_range(1..5_000_u128);
        let seen = Sighting {
            network: NETWORK.to_owned(),
            token: TOKEN_ADDRESS.to_owned(),
            tx_hash: format!("0x{:032x}{:032x}", self.index, self.calls),
            log: 0,
            block: self.calls,
            block_hash: format!("0x{:064x}", self.calls),
            from: "0x00000000000000000000000000000000000000aa".to_owned(),
            to: self.world.addresses[customer].clone(),
            amount: base(amount),
            minimum: base(1),
        };
        let call = Call::Deposit { seen };
        for _ in 0..self.dice.random_range(1..3) {
            let told = self.ask::<String>(&call).await?;
            let known = told.as_deref() == Some("credited") || told.as_deref() == Some("known");
            self.expect(known, || format!("{call:?} became {told:?}"));
        }
        *self.answers.deposited.entry(customer).or_default() += amount;
        Ok(())
    }

    /// Usage that is paid from the wallet, or from a hold; what it was charged, when it was.
    async fn usage(
        &mut self,
        customer: usize,
        (hold, subject): (Option<HoldId>, String),
    ) -> Result<(), String> {
        let quantity: u64 = self.dice.random_range(1..20);
        let name = format!("usage-{}-{}", self.index, self.calls);
        let cost = CostForm { vendor: "v.example".to_owned(), amount: base(u128::from(quantity)) };
        let new = NewUsage {
            event_id: name.clone(),
            customer: self.world.customers[customer],
            subject_parent: None,
            subject: Some(subject),
            product: self.world.product,
            event_type: "search".to_owned(),
            dimensions: BTreeMap::new(),
            quantity,
            costs: vec![cost],
            occurred_ms: None,
            hold,
            rest: Rest::Release,
        };
        let Some(done) = self.ask::<Recorded>(&Call::Usage { new: Box::new(new) }).await? else {
            return Ok(());
        };
        let (price, expected) = (done.usage.price.base(), u128::from(quantity) * UNIT);
        self.expect(price == expected, || format!("{name} was charged {price}, not {expected}"));
        self.answers.usage.insert(name, price);
        *self.answers.went.entry(customer).or_default() += price;
        if let Some(id) = hold {
            self.saw(id, &Seen { state: HoldState::Captured, captured: price, refunded: 0 });
        }
        Ok(())
    }

    async fn hold(&mut self, customer: usize) -> Result<(), String> {
        let id = HoldId::of_group(fresh_id().into());
        let (subject, amount) = (self.subject(), self.dice.random_range(60..600_u128));
        let level = [None, Some(0), Some(1)][self.dice.random_range(0..3)];
        let leaves = self.dice.random_range(0..100) < 15;
        let expires_ms = if leaves { now_ms() + self.habits.leave_ms } else { now_ms() + 2_592_000_000 };
        let new = NewHold {
            id: Some(id),
            customer: Some(self.world.customers[customer]),
            asset: Some(crate::world::ASSET.to_owned()),
            budget: level.map(|level| self.world.budgets[customer][level]),
            amount: base(amount),
            counterparty: Some("v.example".to_owned()),
            subject: Some(subject.clone()),
            expires_ms: Some(expires_ms),
            ..NewHold::default()
        };
        // One that was left alone for too long, because nobody answered, may have run out before it was placed.
        let allowed = if leaves { "expiry_not_in_future" } else { POOR };
        if self.ask_or::<Hold>(&Call::Place { new }, allowed).await?.is_none() {
            return Ok(());
        }
        if let Some(level) = level {
            self.answers.budgeted.insert(id.text(), (customer, level));
        }
        let open = Seen { state: HoldState::Open, captured: 0, refunded: 0 };
        self.saw(id, &open);
        if leaves {
            return Ok(());
        }
        match self.dice.random_range(0..100) {
            0..=19 => {
                let call = Call::Void { hold: id.text(), void: NewVoid::default() };
                if let Some(hold) = self.ask::<Hold>(&call).await? {
                    self.saw(id, &Seen { state: HoldState::Voided, ..open });
                    self.agree(id, &hold);
                }
                Ok(())
            }
            20..=39 => self.usage(customer, (Some(id), subject)).await,
            // In two parts.
            40..=54 => {
                let first = self.dice.random_range(1..amount / 2);
                self.capture(customer, id, first, false).await?;
                let second = self.dice.random_range(1..amount / 2);
                self.capture(customer, id, second, true).await
            }
            55..=74 => {
                let part = self.dice.random_range(1..=amount);
                self.capture(customer, id, part, true).await?;
                self.refund(customer, id, part).await
            }
            _ => self.capture(customer, id, amount, true).await,
        }
    }

    async fn capture(&mut self, customer: usize, id: HoldId, amount: u128, last: bool) -> Result<(), String> {
        let capture = NewCapture { amount: Some(base(amount)), last, reference: None };
        let call = Call::Capture { hold: id.text(), capture };
        let Some(hold) = self.ask::<Hold>(&call).await? else {
            self.expect(false, || format!("{} could not be captured", id.text()));
            return Ok(());
        };
        *self.answers.went.entry(customer).or_default() += amount;
        let before = self.answers.holds.get(&id.text()).cloned();
        let captured = before.map_or(0, |seen| seen.captured) + amount;
        let state = if last { HoldState::Captured } else { HoldState::Open };
        self.saw(id, &Seen { state, captured, refunded: 0 });
        self.agree(id, &hold);
        Ok(())
    }

    async fn refund(&mut self, customer: usize, id: HoldId, paid: u128) -> Result<(), String> {
        let amount = self.dice.random_range(1..=paid);
        let refund = NewRefund { amount: Some(base(amount)), reference: None, reason: None };
        let Some(hold) = self.ask::<Hold>(&Call::Refund { hold: id.text(), refund }).await? else {
            self.expect(false, || format!("{} could not be given back", id.text()));
            return Ok(());
        };
        *self.answers.came.entry(customer).or_default() += amount;
        if let Some(seen) = self.answers.holds.get_mut(&id.text()) {
            seen.refunded += amount;
        }
        self.agree(id, &hold);
        Ok(())
    }

    /// Asks until it is answered. `None` when it was refused, for want of money.
    async fn ask<T: DeserializeOwned>(&mut self, call: &Call) -> Result<Option<T>, String> {
        self.ask_or(call, POOR).await
    }

    /// The same, which may be refused for one reason more.
    async fn ask_or<T: DeserializeOwned>(&mut self, call: &Call, allowed: &str) -> Result<Option<T>, String> {
        self.calls += 1;
        let key = format!("{}-{}", self.index, self.calls);
        match self.pool.ask(Some(&key), call).await? {
            Reply::Done(value) => {
                serde_json::from_value(value).map(Some).map_err(|error| format!("{call:?}: {error}"))
            }
            Reply::Refused(code) => {
                self.answers.refused += 1;
                self.expect(code == POOR || code == allowed, || format!("{call:?} was refused: {code}"));
                Ok(None)
            }
            Reply::Later(code) => Err(format!("{call:?} was put off for ever: {code}")),
        }
    }

    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.answers.odd.push(what());
        }
    }

    fn saw(&mut self, id: HoldId, seen: &Seen) {
        self.answers.holds.insert(id.text(), seen.clone());
    }

    /// That an answer says what was asked for.
    fn agree(&mut self, id: HoldId, hold: &Hold) {
        let shown =
            Seen { state: hold.state, captured: hold.captured.base(), refunded: hold.refunded.base() };
        let seen = self.answers.holds.get(&id.text()).cloned();
        self.expect(seen.as_ref() == Some(&shown), || format!("{}: {shown:?}, not {seen:?}", id.text()));
    }
}
