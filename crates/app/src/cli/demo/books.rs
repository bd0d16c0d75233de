//! The demo's books: what every party held before and after, and whether it adds up. It reads balances from the chain and
//! believes nobody else.

use alloy_primitives::{Address, address};
use farthing_money::{Amount, MoneyError};
use farthing_rails::tempo::TempoRpc;
use serde_json::{Value, json};

use crate::error::CliError;

/// Where a Tempo chain collects fees.
const FEE_MANAGER: Address = address!("0xfeEC000000000000000000000000000000000000");

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Buys.
    Agent,
    /// Sells.
    Seller,
    /// Receives a part of some prices.
    Partner,
    /// Pays some fees.
    Sponsor,
    /// Collects fees.
    Network,
}

impl Role {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent, who buys",
            Self::Seller => "seller",
            Self::Partner => "partner, who has a share",
            Self::Sponsor => "sponsor, who pays some fees",
            Self::Network => "network, which takes fees",
        }
    }

    /// For programs.
    const fn key(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Seller => "seller",
            Self::Partner => "partner",
            Self::Sponsor => "sponsor",
            Self::Network => "network",
        }
    }
}

/// The accounts of the parties.
#[derive(Debug, Clone, Copy)]
pub struct Accounts {
    /// Buys.
    pub agent: Address,
    /// Sells.
    pub seller: Address,
    /// Receives a part of some prices.
    pub partner: Address,
    /// Pays some fees.
    pub sponsor: Address,
}

/// What everybody held at one time.
#[derive(Debug, Clone)]
pub struct Snapshot(Vec<(Role, Amount)>);

impl Snapshot {
    /// Asks the chain.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn take(rpc: &TempoRpc, token: Address, accounts: &Accounts) -> Result<Self, CliError> {
        let mut held = Vec::new();
        for (role, account) in [
            (Role::Agent, accounts.agent),
            (Role::Seller, accounts.seller),
            (Role::Partner, accounts.partner),
            (Role::Sponsor, accounts.sponsor),
            (Role::Network, FEE_MANAGER),
        ] {
            let balance = rpc.balance(token, account).await?;
            held.push((role, Amount::from_base(balance.saturating_to())));
        }
        Ok(Self(held))
    }
}

/// What was agreed to in all the calls that were served.
#[derive(Debug, Clone, Copy, Default)]
pub struct Agreed {
    /// Every price.
    pub prices: Amount,
    /// What of them goes to the partner.
    pub shares: Amount,
}

/// A difference of two balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// More than before.
    Gained(Amount),
    /// Less than before.
    Lost(Amount),
}

impl Change {
    fn between(before: Amount, after: Amount) -> Self {
        match after.checked_sub(before) {
            Ok(gained) => Self::Gained(gained),
            Err(_) => Self::Lost(before.checked_sub(after).unwrap_or(Amount::ZERO)),
        }
    }

    /// With its sign: `+0.5`, `-0.25`, `0`.
    pub fn to_decimal(self, scale: u8) -> String {
        match self {
            Self::Gained(Amount::ZERO) => "0".to_owned(),
            Self::Gained(amount) => format!("+{}", amount.to_decimal(scale)),
            Self::Lost(amount) => format!("-{}", amount.to_decimal(scale)),
        }
    }
}

/// One party's line.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// Who.
    pub role: Role,
    /// What they held.
    pub before: Amount,
    /// What they hold.
    pub after: Amount,
    /// The difference.
    pub change: Change,
}

/// Balances before and after.
#[derive(Debug, Clone)]
pub struct Books {
    /// A line a party.
    pub lines: Vec<Line>,
    /// What was agreed to.
    pub agreed: Agreed,
}

impl Books {
    /// Compares two snapshots with what was agreed to.
    pub fn new(before: &Snapshot, after: &Snapshot, agreed: Agreed) -> Self {
        let line = |((role, before), (_, after)): (&(Role, Amount), &(Role, Amount))| Line {
            role: *role,
            before: *before,
            after: *after,
            change: Change::between(*before, *after),
        };
        Self { lines: before.0.iter().zip(&after.0).map(line).collect(), agreed }
    }

    fn change(&self, role: Role) -> Change {
        let line = self.lines.iter().find(|line| line.role == role);
        line.map_or(Change::Gained(Amount::ZERO), |line| line.change)
    }

    /// The fees that the network took.
    pub fn fees(&self) -> Amount {
        match self.change(Role::Network) {
            Change::Gained(fees) => fees,
            Change::Lost(_) => Amount::ZERO,
        }
    }

    /// Whether everything that left somebody arrived somewhere, and what arrived is what was agreed to.
    ///
    /// # Errors
    /// What does not add up.
    pub fn check(&self) -> Result<(), CliError> {
        let wrong = |what: String| CliError::unexpected("books", format!("the books do not add up: {what}"));
        let sums = self.sums().map_err(|error| wrong(error.to_string()))?;
        if sums.gained != sums.lost {
            return Err(wrong(format!(
                "{} base units left their accounts, and {} arrived",
                sums.lost, sums.gained
            )));
        }
        let Agreed { prices, shares } = self.agreed;
        let kept = prices.checked_sub(shares).map_err(|error| wrong(error.to_string()))?;
        for (role, expected) in [(Role::Seller, kept), (Role::Partner, shares)] {
            if self.change(role) != Change::Gained(expected) {
                return Err(wrong(format!(
                    "the {} was to receive {expected} base units, and the change is {}",
                    role.key(),
                    self.change(role).to_decimal(0)
                )));
            }
        }
        let spent = prices.checked_add(self.fees()).map_err(|error| wrong(error.to_string()))?;
        if sums.lost != spent {
            return Err(wrong(format!(
                "prices and fees come to {spent} base units, and {} were spent",
                sums.lost
            )));
        }
        Ok(())
    }

    fn sums(&self) -> Result<Sums, MoneyError> {
        let gained = self.lines.iter().filter_map(|line| match line.change {
            Change::Gained(amount) => Some(amount),
            Change::Lost(_) => None,
        });
        let lost = self.lines.iter().filter_map(|line| match line.change {
            Change::Lost(amount) => Some(amount),
            Change::Gained(_) => None,
        });
        Ok(Sums { gained: Amount::sum(gained)?, lost: Amount::sum(lost)? })
    }

    /// For programs. Amounts are base units.
    pub fn to_json(&self) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "party": line.role.key(), "before": line.before, "after": line.after,
                    "change": line.change.to_decimal(0),
                })
            })
            .collect();
        json!({
            "parties": lines, "prices": self.agreed.prices, "shares": self.agreed.shares, "fees": self.fees(),
            "add_up": self.check().is_ok(),
        })
    }
}

struct Sums {
    gained: Amount,
    lost: Amount,
}

#[cfg(test)]
mod tests {
    use super::{Agreed, Amount, Books, Role, Snapshot};

    fn snapshot(held: [u128; 5]) -> Snapshot {
        let roles = [Role::Agent, Role::Seller, Role::Partner, Role::Sponsor, Role::Network];
        Snapshot(roles.into_iter().zip(held.map(Amount::from_base)).collect())
    }

    #[test]
    fn only_books_that_add_up_pass() {
        let agreed = Agreed { prices: Amount::from_base(30), shares: Amount::from_base(5) };
        let before = [100, 0, 0, 50, 7];
        let cases = [
            ([68, 25, 5, 49, 10], true, "30 paid, 3 fees of which the sponsor pays 1"),
            ([69, 25, 5, 49, 10], false, "a unit came from nowhere"),
            ([68, 24, 6, 49, 10], false, "the partner has the seller's"),
            ([67, 26, 5, 49, 10], false, "the seller was paid twice"),
            ([68, 25, 5, 49, 9], false, "a fee is lost"),
            ([100, 0, 0, 50, 7], false, "nothing happened"),
        ];
        for (after, expected, what) in cases {
            let books = Books::new(&snapshot(before), &snapshot(after), agreed);
            assert_eq!(books.check().is_ok(), expected, "{what}");
        }
    }
}
