//! [`Ticket`]: what this machine knows of money that it holds in a wallet, in a file of its own until the wallet knows the end.
//!
//! It is written before the service is asked, and says what is to be told; it is gone once that was told. So nothing is
//! forgotten by a crash, or by a service that does not answer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use farthing_client::PaymentId;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use crate::private_file;

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// Nothing yet: the payment is under way.
    Held,
    /// The payment was made.
    Capture {
        /// What the call cost, in the wallet's base units.
        amount: Amount,
        /// The receipt's reference.
        reference: Option<String>,
    },
    /// The payment was not made.
    Void,
}

/// Money that is held for one payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ticket {
    /// The payment.
    pub(super) payment: PaymentId,
    /// The service: one with another address is not told.
    pub(super) service: String,
    /// The hold.
    pub(super) hold: String,
    /// What the seller asks for, in the wallet's base units.
    pub(super) cost: Amount,
    /// The decimals of the wallet's asset.
    pub(super) scale: u8,
    /// Who is paid.
    pub(super) vendor: String,
    /// What for.
    pub(super) offer: String,
    /// Whose wallet.
    pub(super) customer: String,
    /// Under which unit of work.
    pub(super) subject: Option<String>,
    /// What the customer buys, where a product prices it.
    pub(super) product: Option<String>,
    /// What is to be told.
    #[serde(flatten)]
    pub(super) step: Step,
}

/// The directory of tickets.
#[derive(Debug, Clone)]
pub(super) struct Tickets(PathBuf);

impl Tickets {
    /// Those in `directory`, which the first one makes.
    pub(super) const fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Writes a ticket, durably, in place of an older one.
    pub(super) fn write(&self, ticket: &Ticket) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        private_file::replace(&self.path(&ticket.payment), &serde_json::to_vec(ticket)?)
    }

    /// The ticket of a payment.
    pub(super) fn read(&self, payment: &PaymentId) -> io::Result<Option<Ticket>> {
        read(&self.path(payment))
    }

    /// Every ticket.
    pub(super) fn all(&self) -> io::Result<Vec<Ticket>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut tickets = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "json") {
                tickets.extend(read(&path)?);
            }
        }
        tickets.sort_by(|a, b| a.payment.cmp(&b.payment));
        Ok(tickets)
    }

    /// What it said was told.
    pub(super) fn remove(&self, payment: &PaymentId) -> io::Result<()> {
        match fs::remove_file(self.path(payment)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, payment: &PaymentId) -> PathBuf {
        self.0.join(format!("{payment}.json"))
    }
}

fn read(path: &Path) -> io::Result<Option<Ticket>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use farthing_client::PaymentId;
    use farthing_money::Amount;

    use super::{Step, Ticket, Tickets};

    #[test]
    fn a_ticket_is_there_until_it_is_removed_and_says_the_last_thing() {
        let home = tempfile::tempdir().unwrap();
        let tickets = Tickets::new(home.path().join("wallet-holds"));
        assert!(tickets.all().unwrap().is_empty());
        let payment = PaymentId::parse("0190-a").unwrap();
        let mut ticket = Ticket {
            payment: payment.clone(),
            service: "http://127.0.0.1/".into(),
            hold: "hold_1".into(),
            cost: Amount::from_base(7),
            scale: 6,
            vendor: "v".into(),
            offer: "GET /".into(),
            customer: "cus_1".into(),
            subject: Some("task 47".into()),
            product: None,
            step: Step::Held,
        };
        tickets.write(&ticket).unwrap();
        ticket.step = Step::Capture { amount: Amount::from_base(5), reference: Some("0xab".into()) };
        tickets.write(&ticket).unwrap();
        assert_eq!(tickets.read(&payment).unwrap(), Some(ticket.clone()));
        assert_eq!(tickets.all().unwrap(), [ticket]);
        tickets.remove(&payment).unwrap();
        tickets.remove(&payment).unwrap();
        assert!(tickets.all().unwrap().is_empty() && tickets.read(&payment).unwrap().is_none());
    }
}
