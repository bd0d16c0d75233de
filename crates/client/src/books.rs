//! [`Books`]: where payments are counted, recorded and charged. What becomes of a payment's money is told to the spend book and to
//! the wallet in the same breath. They decide nothing about what is paid.

use std::fmt;
use std::sync::Arc;

use farthing_money::Money;
use farthing_protocol::ports::Clock;

use crate::journal::{JournalEntry, PaymentJournal, Step};
use crate::spend::{Draw, SpendBook};
use crate::wallet::{CallWallet, Captured, WalletCall, WalletError};
use crate::{PaymentId, SpendError};

/// Where payments are counted and recorded.
pub(crate) struct Books {
    pub(crate) spend: Arc<dyn SpendBook>,
    pub(crate) journal: Arc<dyn PaymentJournal>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The wallet that calls are charged to, where there is one.
    pub(crate) wallet: Option<Arc<dyn CallWallet>>,
}

/// Why money was not held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldError {
    #[error(transparent)]
    Spend(#[from] SpendError),
    #[error(transparent)]
    Wallet(#[from] WalletError),
}

impl Books {
    pub(crate) fn write(&self, payment: &PaymentId, step: Step) -> Result<(), String> {
        let entry = JournalEntry { payment: payment.clone(), at_ms: self.clock.now().as_ms(), step };
        self.journal.record(&entry).map_err(|error| error.to_string())
    }

    /// Holds the money: in the limits of this machine first, which cost nothing to ask. All of it, or nothing.
    pub(crate) fn hold(
        &self,
        payment: &PaymentId,
        draws: &[Draw],
        call: &WalletCall,
    ) -> Result<(), HoldError> {
        self.spend.hold(payment, draws, self.clock.now())?;
        let Some(wallet) = self.wallet.as_ref().filter(|_| !call.money.amount().is_zero()) else {
            return Ok(());
        };
        let placed = wallet.place(call);
        if let Err(error) = &placed {
            // What could not be asked may be held all the same.
            if matches!(error, WalletError::Unavailable { .. }) {
                note(payment, "voided in the wallet", wallet.void(payment));
            }
            note(payment, "given back to the budget", self.spend.release(payment));
        }
        Ok(placed?)
    }

    /// The money has certainly moved.
    pub(crate) fn confirm(&self, payment: &PaymentId, reference: Option<&str>) -> Result<(), String> {
        self.end(payment, &Captured { cost: None, reference: reference.map(str::to_owned) })
    }

    /// So much of what is held was certainly spent. Limits count what was held: the most that the call could have cost.
    pub(crate) fn confirm_cost(&self, payment: &PaymentId, cost: Money) -> Result<(), String> {
        self.end(payment, &Captured { cost: Some(cost), reference: None })
    }

    fn end(&self, payment: &PaymentId, captured: &Captured) -> Result<(), String> {
        let confirmed = self.spend.confirm(payment, self.clock.now()).map_err(|error| error.to_string());
        let captured = self
            .wallet
            .as_ref()
            .map_or(Ok(()), |wallet| wallet.capture(payment, captured).map_err(|error| error.to_string()));
        confirmed.and(captured)
    }

    /// The money has certainly not moved, and will not.
    pub(crate) fn release(&self, payment: &PaymentId) -> Result<(), String> {
        let released = self.spend.release(payment).map_err(|error| error.to_string());
        let voided = self
            .wallet
            .as_ref()
            .map_or(Ok(()), |wallet| wallet.void(payment).map_err(|error| error.to_string()));
        released.and(voided)
    }

    /// The payments for which money is held, in either.
    pub(crate) fn held(&self) -> Vec<PaymentId> {
        let mut held = self.spend.held().unwrap_or_default();
        if let Some(wallet) = &self.wallet {
            held.extend(wallet.held().unwrap_or_default());
            held.sort();
            held.dedup();
        }
        held
    }
}

/// Says what could not be undone: it stays held, which counts as much.
fn note<E: fmt::Display>(payment: &PaymentId, what: &str, done: Result<(), E>) {
    if let Err(error) = done {
        tracing::error!(payment = %payment, %error, "money that was not paid could not be {what}");
    }
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").finish_non_exhaustive()
    }
}
