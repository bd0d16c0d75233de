//! [`Processor`]: who takes the money of top-ups. [`Source`]: a card processor that is a file. It takes a payment once for each name, tells what it took, and does not always say so
//! at once. It outlives the processes that ask it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use farthing_billing::service::topup::{Attempt, Outcome};
use farthing_billing::topup::Decline;

/// A card processor that is asked by name.
pub trait Processor: Sync {
    /// Takes the money, or does not, or does not say.
    fn charge(&self, attempt: &Attempt) -> Outcome;

    /// What became of an attempt.
    fn look_up(&self, attempt: &str) -> Outcome;
}

/// A processor.
#[derive(Debug)]
pub struct Source {
    file: PathBuf,
}

impl Source {
    /// The one whose payments are in `file`.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned() }
    }

    /// What it took, by the names of the attempts. A payment that is written twice has one name: it was asked for twice.
    pub fn payments(&self) -> BTreeMap<String, u128> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        // The last line may be cut off: that payment did not happen.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let payment = |line: &str| {
            let (name, amount) = line.split_once(' ')?;
            Some((name.to_owned(), amount.parse().ok()?))
        };
        whole.lines().filter_map(payment).collect()
    }
}

impl Processor for Source {
    /// Takes the money, unless it declines; and sometimes takes it without saying so. What it does follows from the name.
    fn charge(&self, attempt: &Attempt) -> Outcome {
        let choice = attempt.id.bytes().map(u32::from).sum::<u32>() % 10;
        if choice == 0 {
            let (code, message) = ("insufficient_funds".to_owned(), "try again later".to_owned());
            return Outcome::Declined { class: Decline::Soft, code, message };
        }
        let line = format!("{} {}\n", attempt.id, attempt.amount.base());
        let mut options = std::fs::OpenOptions::new();
        let written = options
            .create(true)
            .append(true)
            .open(&self.file)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        match written {
            Ok(()) if choice > 2 => Outcome::Charged { reference: format!("payment of {}", attempt.id) },
            Ok(()) => Outcome::Unknown { why: "it does not say".to_owned() },
            Err(error) => Outcome::Unknown { why: error.to_string() },
        }
    }

    fn look_up(&self, attempt: &str) -> Outcome {
        match self.payments().contains_key(attempt) {
            true => Outcome::Charged { reference: format!("payment of {attempt}") },
            false => Outcome::NotFound,
        }
    }
}
