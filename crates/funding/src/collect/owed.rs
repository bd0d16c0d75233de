//! [`Owed`]: what came to the addresses and nobody was credited for. What is collected and what is owed to customers are two different
//! things; this says where they differ.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use farthing_billing::service::deposit::{Deposit, DepositState};
use farthing_billing::service::{PageQuery, TenantId};
use farthing_ledger::record::Order;
use farthing_money::Amount;

use super::{At, CollectError, Collector};
use crate::deposit::chain::Wanted;

/// Deposits in one reading.
const PAGE: usize = 900;

/// A transfer in a block that no watcher has read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The address that it came to.
    pub address: Address,
    /// The token.
    pub token: Address,
    /// How much.
    pub amount: Amount,
}

/// What nobody was credited for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owed {
    /// Deposits that wait for a person, wherever their money lies now.
    pub exceptions: Vec<Deposit>,
    /// Transfers that no watcher has read yet: it will credit them, whether or not they are collected.
    pub unread: Vec<Unread>,
}

impl Owed {
    /// What of a token at an address waits for a person.
    #[must_use]
    pub fn exceptions_at(&self, address: Address, token: Address) -> Amount {
        let is_there = |it: &&Deposit| it.to.parse() == Ok(address) && it.token.parse() == Ok(token);
        sum(self.exceptions.iter().filter(is_there).map(|it| it.amount))
    }

    /// What of a token at an address no watcher has read yet.
    #[must_use]
    pub fn unread_at(&self, address: Address, token: Address) -> Amount {
        let is_there = |it: &&Unread| it.address == address && it.token == token;
        sum(self.unread.iter().filter(is_there).map(|it| it.amount))
    }
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    amounts.fold(Amount::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(Amount::MAX))
}

impl Collector {
    pub(super) async fn owed(&self, addresses: &[At]) -> Result<Owed, CollectError> {
        let mut tenants: BTreeSet<TenantId> =
            addresses.iter().filter_map(|at| at.owner.as_ref()).map(|(tenant, ..)| *tenant).collect();
        // Exceptions of nobody's.
        tenants.insert(self.cx().tenant);
        let mut owed = Owed { exceptions: Vec::new(), unread: self.unread(addresses).await? };
        for tenant in tenants {
            owed.exceptions.extend(self.exceptions(tenant).await?);
        }
        Ok(owed)
    }

    async fn exceptions(&self, tenant: TenantId) -> Result<Vec<Deposit>, CollectError> {
        let (cx, network) = (self.cx_of(tenant), self.network());
        let mut page = PageQuery { after: None, limit: PAGE, order: Order::Ascending };
        let mut found = Vec::new();
        loop {
            let deposits = self.books.list_deposits(&cx, &page).await?;
            let waits = |it: &Deposit| it.state == DepositState::Exception && it.network == network;
            found.extend(deposits.data.into_iter().filter(waits));
            match deposits.next {
                Some(next) => page.after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Transfers after the watcher's place. Without a place there is no watcher that would read them.
    async fn unread(&self, addresses: &[At]) -> Result<Vec<Unread>, CollectError> {
        let Some(place) = self.books.deposit_place(&self.cx(), &self.network()).await? else {
            return Ok(Vec::new());
        };
        let (next, head) = (place.doc.next, self.chain.head().await?);
        if next > head {
            return Ok(Vec::new());
        }
        let to: Vec<Address> = addresses.iter().map(|at| at.address).collect();
        let wanted = Wanted { tokens: &self.settings.tokens, to: &to };
        let moved = self.chain.transfers(wanted, next..=head).await?;
        let unread = |it: &crate::deposit::chain::Moved| Unread {
            address: it.to,
            token: it.token,
            amount: Amount::from_base(it.amount.saturating_to::<u128>()),
        };
        Ok(moved.iter().map(unread).collect())
    }
}
