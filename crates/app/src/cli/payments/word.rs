//! A person's word about a metered call whose outcome no rail knows: what the vendor took, and why it is said.

use farthing_client::journal::PaymentRecord;
use farthing_client::{Charge, Verdict};
use farthing_money::Amount;

use crate::error::CliError;

/// The longest note, in bytes.
const MAX_NOTE: usize = 500;

#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Deciding what only the vendor knows")]
pub struct WordArgs {
    /// The vendor took so much for the call, as its own records say; at most what is held
    #[arg(long, value_name = "AMOUNT", conflicts_with_all = ["charged", "not_charged", "all"], requires = "id")]
    cost: Option<String>,
    /// The vendor took all that is held
    #[arg(long, conflicts_with_all = ["not_charged", "all"], requires = "id")]
    charged: bool,
    /// The vendor took nothing: what is held is free again
    #[arg(long, conflicts_with = "all", requires = "id")]
    not_charged: bool,
    /// Why, for the payment journal
    #[arg(long, value_name = "TEXT", conflicts_with = "all", requires = "id")]
    note: Option<String>,
}

impl WordArgs {
    /// What is said of the payment, if anything is.
    ///
    /// # Errors
    /// An amount that is none, and a note without a word.
    pub fn verdict(self, record: &PaymentRecord) -> Result<Option<Verdict>, CliError> {
        let charge = match &self.cost {
            Some(text) => Some(Charge::Part(amount(text, record)?)),
            None if self.charged => Some(Charge::All),
            None if self.not_charged => Some(Charge::Nothing),
            None => None,
        };
        if charge.is_none() && self.note.is_some() {
            let message = "a note says why, and nothing says what the vendor took";
            return Err(
                CliError::usage("usage", message).help("add --cost AMOUNT, --charged or --not-charged")
            );
        }
        if self.note.as_ref().is_some_and(|note| note.len() > MAX_NOTE || note.chars().any(char::is_control))
        {
            let message = format!("a note is one line of at most {MAX_NOTE} bytes");
            return Err(CliError::usage("usage", message));
        }
        Ok(charge.map(|charge| Verdict { charge, note: self.note }))
    }
}

/// What to do about a payment that only its vendor knows of.
pub fn how(record: &PaymentRecord) -> String {
    format!(
        "look up what the vendor counted, then: farthing payments resolve {} --cost AMOUNT (or --charged, --not-charged)",
        record.id
    )
}

fn amount(text: &str, record: &PaymentRecord) -> Result<Amount, CliError> {
    let agreed = &record.agreed;
    Amount::from_decimal(text, agreed.scale).map_err(|error| {
        CliError::usage("usage", format!("--cost {text:?}: {error}"))
            .help(format!("write what the vendor took in {}, such as 0.006", agreed.asset))
    })
}
