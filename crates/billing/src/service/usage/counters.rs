//! Counters of revenue, cost and what was given back: of each subject, customer, product and vendor, by day, by month and in all.
//! Every event and every refund adds to them in its commit and no report scans events.
//!
//! What is beneath a subject has a counter of its own, in all: every event and every refund adds to those of all ancestors.
//!
//! A counter's key is `what/asset/period/start/id`, so that all of one window are next to each other, and one thing's windows are
//! known by name. Adding never conflicts: events of one tenant do not wait for each other here.

use std::collections::BTreeMap;

use farthing_ledger::Timestamp;
use farthing_ledger::record::Table;
use farthing_money::{Amount, MoneyError};
use serde::{Deserialize, Serialize};

use crate::Period;
use crate::id::{CustomerId, SubjectId};
use crate::service::{Cx, Document, Draft, ServiceError};
use crate::usage::rollup::{Counter, Of, Tally};

/// What is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Units of work.
    Subject,
    /// Customers.
    Customer,
    /// Products.
    Product,
    /// Vendors, which share the revenue of an event by their cost.
    Vendor,
}

/// How long the windows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Days of the calendar, UTC.
    Day,
    /// Months of the calendar, UTC.
    Month,
    /// All there ever was.
    All,
}

/// The numbers of a counter, as the store adds them up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CounterDoc(Vec<String>);

impl CounterDoc {
    /// What the counter shows.
    ///
    /// # Errors
    /// [`ServiceError::Unreadable`].
    pub(crate) fn tally(&self) -> Result<Tally, ServiceError> {
        let number = |at: usize| {
            let number = self.0.get(at).map_or(Ok(0), |text| text.parse::<u128>());
            number.map_err(|error| ServiceError::Unreadable { what: Self::NAME, why: error.to_string() })
        };
        Ok(Tally {
            events: u64::try_from(number(0)?).unwrap_or(u64::MAX),
            quantity: number(1)?,
            revenue: Amount::from_base(number(2)?),
            cost: Amount::from_base(number(3)?),
            // Counters that nothing was given back in since this was counted are shorter.
            refunded: Amount::from_base(number(4)?),
            charged_back: Amount::from_base(number(5)?),
        })
    }
}

impl Document for CounterDoc {
    const TABLE: Table = Table::new("counter");
    const NAME: &'static str = "counter";
}

impl By {
    const fn letter(self) -> char {
        match self {
            Self::Subject => 's',
            Self::Customer => 'c',
            Self::Product => 'p',
            Self::Vendor => 'v',
        }
    }

    /// What a counter of the pure half counts, and its name in keys.
    fn of(of: Of) -> (Self, String) {
        match of {
            Of::Subject(id) => (Self::Subject, id.to_string()),
            Of::Customer(id) => (Self::Customer, id.to_string()),
            Of::Product(id) => (Self::Product, id.to_string()),
            Of::Vendor(id) => (Self::Vendor, id.to_string()),
        }
    }
}

impl Over {
    /// As the calendar has it.
    #[must_use]
    pub const fn period(self) -> Period {
        match self {
            Self::Day => Period::Day,
            Self::Month => Period::Month,
            Self::All => Period::Total,
        }
    }

    const fn of(period: Period) -> Option<Self> {
        match period {
            Period::Day => Some(Self::Day),
            Period::Month => Some(Self::Month),
            Period::Total => Some(Self::All),
            Period::Hour => None,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Day => 'd',
            Self::Month => 'm',
            Self::All => 't',
        }
    }
}

/// The beginning of the keys of all counters of one window.
pub(crate) fn prefix((by, asset): (By, &str), (over, start): (Over, Timestamp)) -> String {
    format!("{}/{asset}/{}/{:012x}/", by.letter(), over.letter(), start.unix_ms())
}

/// The key of one counter.
pub(crate) fn key(of: (By, &str), window: (Over, Timestamp), id: &str) -> String {
    format!("{}{id}", prefix(of, window))
}

/// The key of the counter of all that is beneath a subject.
pub(crate) fn beneath_key(asset: &str, subject: SubjectId) -> String {
    format!("b/{asset}/{}/{:012x}/{subject}", Over::All.letter(), 0)
}

/// What one commit adds to counters, each of which it names once.
#[derive(Debug, Default)]
pub(in crate::service) struct Sums(BTreeMap<String, Tally>);

impl Sums {
    /// Adds what the pure half counts; what it counts for a subject in all, to those above it too. What belongs to no subject counts
    /// for none.
    ///
    /// # Errors
    /// [`ServiceError::Money`].
    pub(in crate::service) fn add(
        &mut self,
        asset: &str,
        counts: Vec<(Counter, Tally)>,
        ancestors: &[SubjectId],
    ) -> Result<(), ServiceError> {
        for (counter, tally) in counts {
            let (by, id) = By::of(counter.of);
            let Some(over) = Over::of(counter.window.period) else { continue };
            if matches!(counter.of, Of::Subject(_)) && over == Over::All {
                for ancestor in ancestors {
                    self.add_to(beneath_key(asset, *ancestor), tally)?;
                }
            }
            if !matches!(counter.of, Of::Subject(none) if none.as_u128() == 0) {
                self.add_to(key((by, asset), (over, counter.window.start), &id), tally)?;
            }
        }
        Ok(())
    }

    /// Adds what a funding source took back from a customer at `at`.
    ///
    /// # Errors
    /// [`ServiceError::Money`].
    pub(in crate::service) fn charged_back(
        &mut self,
        (customer, asset): (CustomerId, &str),
        (charged_back, at): (Amount, Timestamp),
    ) -> Result<(), ServiceError> {
        for over in [Over::Day, Over::Month, Over::All] {
            let window = (over, over.period().window(at).start);
            let tally = Tally { charged_back, ..Tally::default() };
            self.add_to(key((By::Customer, asset), window, &customer.to_string()), tally)?;
        }
        Ok(())
    }

    fn add_to(&mut self, key: String, tally: Tally) -> Result<(), ServiceError> {
        let sum = self.0.entry(key).or_default();
        *sum = sum.checked_add(tally)?;
        Ok(())
    }

    /// Puts all of it into the draft.
    ///
    /// # Errors
    /// [`ServiceError::Money`].
    pub(in crate::service) fn write(self, cx: &Cx, draft: &mut Draft) -> Result<(), ServiceError> {
        let number = |base: u128| i128::try_from(base).map_err(|_| MoneyError::Overflow);
        for (key, tally) in self.0 {
            let Tally { events, quantity, revenue, cost, refunded, charged_back } = tally;
            let mut numbers = vec![i128::from(events), number(quantity)?];
            for amount in [revenue, cost, refunded, charged_back] {
                numbers.push(number(amount.base())?);
            }
            // Most commits give nothing back: what is not said is nothing.
            while numbers.len() > 1 && numbers.last() == Some(&0) {
                numbers.pop();
            }
            draft.add::<CounterDoc>(cx, &key, numbers);
        }
        Ok(())
    }
}
