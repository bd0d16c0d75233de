//! Sliding windows of budgets, kept in memory beside their table: a claim costs the same however much the window holds.
//!
//! The table is the truth. A window is loaded when it is first needed and again after anything unusual (a rollback, a clock
//! that went back, another window length), so nothing here has to be undone.

use std::collections::{BTreeMap, HashMap};

use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimId, Reservation};
use rusqlite::{Connection, params};

use super::row::SqlError;
use super::sql;
use crate::Limits;
use crate::row::{Corrupt, ms, outside};

/// The budgets that were asked for since the last [`Budgets::clear`].
#[derive(Debug, Default)]
pub(super) struct Budgets {
    windows: HashMap<String, Window>,
}

#[derive(Debug)]
struct Window {
    window_ms: u64,
    as_of: UnixMs,
    entries: BTreeMap<(i64, Holder), Amount>,
    total: Amount,
}

/// What a part of a window is of.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    /// A claim: given back when it fails without spending.
    Claim(String),
    /// A row of what failed settlements spent all the same.
    Spent(i64),
}

impl Budgets {
    /// The most budgets that are kept; more than any gateway has, and a bound.
    const MAX: usize = 1024;

    /// Forgets what is in memory.
    pub(super) fn clear(&mut self) {
        self.windows.clear();
    }

    /// Reserves within the budget, or says that it does not fit.
    pub(super) fn reserve(
        &mut self,
        db: &Connection,
        id: &ClaimId,
        wanted: &Reservation,
        now: UnixMs,
    ) -> Result<bool, SqlError> {
        let Some(window) = self.window(db, wanted, now)? else { return Ok(false) };
        let Ok(total) = window.total.checked_add(wanted.amount) else { return Ok(false) };
        if total > wanted.limit {
            return Ok(false);
        }
        let until = ms(UnixMs::from_ms(now.plus_ms(wanted.window_ms).as_ms().min(Limits::LAST_MS)));
        let amount = wanted.amount.base().to_string();
        db.prepare_cached(sql::RESERVE)?.execute(params![wanted.budget, ms(now), id.0, amount, until])?;
        window.entries.insert((ms(now), Holder::Claim(id.0.clone())), wanted.amount);
        window.total = total;
        Ok(true)
    }

    /// Gives back what `id` reserved.
    pub(super) fn free(&mut self, db: &Connection, id: &ClaimId) -> Result<(), SqlError> {
        let mut reserved_by = db.prepare_cached(sql::RESERVED_BY)?;
        let mut rows = reserved_by.query([&id.0])?;
        while let Some(row) = rows.next()? {
            let (budget, at): (String, i64) = (row.get(0)?, row.get(1)?);
            let Some(window) = self.windows.get_mut(&budget) else { continue };
            if let Some(amount) = window.entries.remove(&(at, Holder::Claim(id.0.clone()))) {
                window.total = window.total.checked_sub(amount).unwrap_or(Amount::ZERO);
            }
        }
        db.prepare_cached(sql::UNRESERVE)?.execute([&id.0])?;
        Ok(())
    }

    /// Keeps what `id` reserved as spent: no later failure of the same id gives it back.
    pub(super) fn spend(&mut self, db: &Connection, id: &ClaimId) -> Result<(), SqlError> {
        let mut reserved_by = db.prepare_cached(sql::RESERVED_BY)?;
        let mut rows = reserved_by.query([&id.0])?;
        while let Some(row) = rows.next()? {
            let (budget, at): (String, i64) = (row.get(0)?, row.get(1)?);
            let (amount, until): (String, i64) = (row.get(2)?, row.get(3)?);
            db.prepare_cached(sql::SPEND)?.execute(params![budget, at, amount, until])?;
            let spent = Holder::Spent(db.last_insert_rowid());
            let Some(window) = self.windows.get_mut(&budget) else { continue };
            if let Some(amount) = window.entries.remove(&(at, Holder::Claim(id.0.clone()))) {
                window.entries.insert((at, spent), amount);
            }
        }
        db.prepare_cached(sql::UNRESERVE)?.execute([&id.0])?;
        Ok(())
    }

    /// The window as of `now`; `None` when what it holds does not fit 128 bits, which is over any budget.
    fn window(
        &mut self,
        db: &Connection,
        wanted: &Reservation,
        now: UnixMs,
    ) -> Result<Option<&mut Window>, SqlError> {
        let fresh = |window: &Window| window.window_ms == wanted.window_ms && window.as_of <= now;
        if !self.windows.get(&wanted.budget).is_some_and(fresh) {
            if self.windows.len() >= Self::MAX {
                self.windows.clear();
            }
            let Some(window) = Window::load(db, wanted, now)? else { return Ok(None) };
            self.windows.insert(wanted.budget.clone(), window);
        }
        let Some(window) = self.windows.get_mut(&wanted.budget) else { return Ok(None) };
        window.slide(now);
        Ok(Some(window))
    }
}

impl Window {
    fn load(db: &Connection, wanted: &Reservation, now: UnixMs) -> Result<Option<Self>, SqlError> {
        let mut entries = BTreeMap::new();
        let after = params![wanted.budget, outside(now, wanted.window_ms)];
        let mut reserved = db.prepare_cached(sql::RESERVED)?;
        let mut rows = reserved.query(after)?;
        while let Some(row) = rows.next()? {
            let id: String = row.get(1)?;
            let amount = read_amount(&row.get::<_, String>(2)?, &id)?;
            entries.insert((row.get(0)?, Holder::Claim(id)), amount);
        }
        let mut spent = db.prepare_cached(sql::SPENT)?;
        let mut rows = spent.query(after)?;
        while let Some(row) = rows.next()? {
            let amount = read_amount(&row.get::<_, String>(2)?, "(spent)")?;
            entries.insert((row.get(0)?, Holder::Spent(row.get(1)?)), amount);
        }
        let Ok(total) = Amount::sum(entries.values().copied()) else { return Ok(None) };
        Ok(Some(Self { window_ms: wanted.window_ms, as_of: now, entries, total }))
    }

    fn slide(&mut self, now: UnixMs) {
        let last_outside = outside(now, self.window_ms);
        while let Some(entry) = self.entries.first_entry() {
            if entry.key().0 > last_outside {
                break;
            }
            self.total = self.total.checked_sub(entry.remove()).unwrap_or(Amount::ZERO);
        }
        self.as_of = now;
    }
}

fn read_amount(text: &str, id: &str) -> Result<Amount, SqlError> {
    Amount::from_base_str(text).map_err(|error| Corrupt { id: id.to_owned(), why: error.to_string() }.into())
}
