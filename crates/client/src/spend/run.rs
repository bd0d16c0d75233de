//! [`RunBook`]: a book that keeps some counters in memory only: those of limits that hold for one run of a program, and not
//! for all of them together.

use farthing_protocol::UnixMs;

use super::{Draw, MemoryBook, SpendBook, SpendError, Spent};
use crate::PaymentId;
use crate::policy::RUN_COUNTERS;

/// Counts what `At::ThisRun` limits in memory, and everything else in another book.
#[derive(Debug, Default)]
pub struct RunBook<B> {
    run: MemoryBook,
    lasting: B,
}

impl<B: SpendBook> RunBook<B> {
    /// Counts what lasts in `lasting`.
    pub fn new(lasting: B) -> Self {
        Self { run: MemoryBook::new(), lasting }
    }
}

fn split(draws: &[Draw]) -> (Vec<Draw>, Vec<Draw>) {
    draws.iter().cloned().partition(|draw| draw.counter.starts_with(RUN_COUNTERS))
}

impl<B: SpendBook> SpendBook for RunBook<B> {
    fn hold(&self, payment: &PaymentId, draws: &[Draw], now: UnixMs) -> Result<(), SpendError> {
        let (run, lasting) = split(draws);
        self.run.hold(payment, &run, now)?;
        // Nobody else sees the memory: what is held there for a moment too long refuses this run's own calls at most.
        self.lasting.hold(payment, &lasting, now).inspect_err(|_| {
            let _ = self.run.release(payment);
        })
    }

    fn check(&self, draws: &[Draw], now: UnixMs) -> Result<(), SpendError> {
        let (run, lasting) = split(draws);
        self.run.check(&run, now)?;
        self.lasting.check(&lasting, now)
    }

    fn confirm(&self, payment: &PaymentId, now: UnixMs) -> Result<(), SpendError> {
        self.run.confirm(payment, now)?;
        self.lasting.confirm(payment, now)
    }

    fn release(&self, payment: &PaymentId) -> Result<(), SpendError> {
        self.run.release(payment)?;
        self.lasting.release(payment)
    }

    fn spent(&self, counter: &str, now: UnixMs) -> Result<Spent, SpendError> {
        if counter.starts_with(RUN_COUNTERS) {
            self.run.spent(counter, now)
        } else {
            self.lasting.spent(counter, now)
        }
    }

    fn held(&self) -> Result<Vec<PaymentId>, SpendError> {
        let mut held = self.run.held()?;
        held.extend(self.lasting.held()?);
        held.sort();
        held.dedup();
        Ok(held)
    }
}
