//! [`Plan`]: what lies where, what collecting it would move and cost, and what is left where it is. Nothing here needs the seed.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use farthing_billing::CustomerId;
use farthing_billing::service::TenantId;
use farthing_billing::service::collection::Collection;
use farthing_money::Amount;
use farthing_rails::tempo::sweep::{Quote, Sweep};
use farthing_rails::tempo::{WalletError, tokens};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{At, CollectError, Collector, Owed};

/// Questions about balances at once, and quotes.
const BALANCES_AT_ONCE: usize = 16;
const QUOTES_AT_ONCE: usize = 8;

/// To whom an address was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The tenant.
    pub tenant: TenantId,
    /// The customer.
    pub customer: CustomerId,
    /// The customer's name at the tenant.
    pub external_id: String,
    /// The asset for which it was given, by its code.
    pub asset: String,
}

/// Why something is left where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The fee may take as much as would arrive, or more.
    CostsMore,
    /// It is less than was asked for.
    BelowMinimum,
    /// Nothing there can pay the fee.
    NoFee {
        /// What is missing.
        why: String,
    },
    /// An earlier transfer of it may still be executed.
    UnderWay {
        /// Its transaction, where it is known.
        hash: Option<String>,
    },
    /// The chain would not execute it.
    WouldFail {
        /// Why.
        why: String,
    },
}

/// What is done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is collected.
    Collect,
    /// It is not.
    Leave(Left),
}

/// What lies at an address, of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lying {
    /// The address's index.
    pub index: u32,
    /// The address.
    pub address: Address,
    /// To whom it was given, if to anybody.
    pub owner: Option<Owner>,
    /// The token.
    pub token: Address,
    /// How much is there.
    pub held: Amount,
    /// How much would arrive.
    pub moved: Amount,
    /// The most that the fee takes.
    pub fee: Amount,
    /// In which token.
    pub fee_token: Address,
    /// What is done about it.
    pub verdict: Verdict,
}

/// What lies where, and what of it nobody was credited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order of addresses.
    pub lying: Vec<Lying>,
    /// What nobody was credited for.
    pub owed: Owed,
    /// How many addresses were looked at.
    pub looked_at: usize,
}

impl Plan {
    /// What is collected.
    pub fn collected(&self) -> impl Iterator<Item = &Lying> {
        self.lying.iter().filter(|lying| lying.verdict == Verdict::Collect)
    }
}

/// What is done about a sweep that would move and cost so much. Dollar tokens are counted one for one.
#[must_use]
pub fn decide(quote: &Quote, minimum: Amount) -> Verdict {
    if quote.moved.is_zero() || quote.moved < quote.fee {
        return Verdict::Leave(Left::CostsMore);
    }
    if quote.moved < minimum {
        return Verdict::Leave(Left::BelowMinimum);
    }
    Verdict::Collect
}

/// Why nothing is sent after all.
pub(super) fn left(error: WalletError) -> Result<Left, WalletError> {
    match error {
        WalletError::Insufficient { why } => Ok(Left::NoFee { why }),
        WalletError::Refused { why } => Ok(Left::WouldFail { why }),
        error => Err(error),
    }
}

impl Collector {
    /// Looks at every address. `open` is what may be on its way; what lies where that would come from is left alone.
    ///
    /// # Errors
    /// [`CollectError`].
    pub async fn plan(&self, open: &[Collection]) -> Result<Plan, CollectError> {
        self.chain.expect_chain(self.settings.chain_id).await?;
        let addresses = self.addresses().await?;
        let held = self.balances(&addresses).await?;
        let owed = self.owed(&addresses).await?;
        let open: BTreeMap<(String, String), String> =
            open.iter().map(|it| ((it.address.clone(), it.token.clone()), it.tx_hash.clone())).collect();
        let quoted = held.into_iter().map(|(at, token, held)| {
            let key = (tokens::lower(at.address), tokens::lower(token));
            let under_way = open.get(&key).cloned();
            self.weigh(at, (token, held), under_way)
        });
        let quoted = stream::iter(quoted).buffer_unordered(QUOTES_AT_ONCE);
        let mut lying: Vec<Lying> = quoted.try_collect().await?;
        // What cannot pay its own fee goes first: the fee may come out of the address's other token.
        let place = |token: Address| self.settings.tokens.iter().position(|it| *it == token);
        lying.sort_by_key(|it| (it.index, tokens::pays_fees(it.token), place(it.token)));
        Ok(Plan { lying, owed, looked_at: addresses.len() })
    }

    /// Every balance that is not nothing.
    async fn balances(&self, addresses: &[At]) -> Result<Vec<(At, Address, Amount)>, CollectError> {
        let mut asking = Vec::with_capacity(addresses.len());
        for at in addresses {
            asking.extend(self.settings.tokens.iter().map(|token| self.balance(at.clone(), *token)));
        }
        let asked = stream::iter(asking).buffered(BALANCES_AT_ONCE);
        let held: Vec<(At, Address, Amount)> = asked.try_collect().await?;
        Ok(held.into_iter().filter(|(.., held)| !held.is_zero()).collect())
    }

    async fn balance(&self, at: At, token: Address) -> Result<(At, Address, Amount), CollectError> {
        let held = self.rpc.balance(token, at.address).await?.saturating_to::<u128>();
        Ok((at, token, Amount::from_base(held)))
    }

    async fn weigh(
        &self,
        at: At,
        (token, held): (Address, Amount),
        under_way: Option<String>,
    ) -> Result<Lying, CollectError> {
        let index = at.index;
        // Keys are derived for what is there only: it takes longer than reading an address.
        if self.keys.address(index) != at.address {
            return Err(CollectError::AnotherKey { index });
        }
        let nothing = Quote { held, moved: Amount::ZERO, fee: Amount::ZERO, fee_token: token };
        let sweep = Sweep { token, from: at.address, to: self.settings.to };
        let (quote, verdict) = if let Some(hash) = under_way {
            (nothing, Verdict::Leave(Left::UnderWay { hash: Some(hash) }))
        } else if held < self.settings.minimum {
            (nothing, Verdict::Leave(Left::BelowMinimum))
        } else {
            match self.sweeper.quote(sweep, self.now()).await {
                Ok(quote) => (quote, decide(&quote, self.settings.minimum)),
                Err(error) => (nothing, Verdict::Leave(left(error)?)),
            }
        };
        let owner = self.owner(&at).await?;
        let Quote { held, moved, fee, fee_token } = quote;
        Ok(Lying { index, address: at.address, owner, token, held, moved, fee, fee_token, verdict })
    }

    async fn owner(&self, at: &At) -> Result<Option<Owner>, CollectError> {
        let Some((tenant, customer, asset)) = at.owner.clone() else { return Ok(None) };
        let found = self.books.customer(&self.cx_of(tenant), customer).await?;
        Ok(Some(Owner { tenant, customer, external_id: found.external_id, asset }))
    }
}

#[cfg(test)]
mod tests {
    use farthing_money::Amount;
    use farthing_rails::tempo::sweep::Quote;
    use farthing_rails::tempo::tokens::PATH_USD;

    use super::{Left, Verdict, decide};

    #[test]
    fn nothing_is_moved_that_costs_more_than_it_brings() {
        let cases = [
            // moved, fee, minimum
            ((0, 0, 0), Some(Left::CostsMore)),
            ((0, 5, 0), Some(Left::CostsMore)),
            ((4, 5, 0), Some(Left::CostsMore)),
            ((5, 5, 0), None),
            ((6, 5, 0), None),
            ((6, 5, 7), Some(Left::BelowMinimum)),
            ((7, 5, 7), None),
            ((4, 5, 7), Some(Left::CostsMore)),
            ((100, 0, 100), None),
        ];
        for ((moved, fee, minimum), left) in cases {
            let base = Amount::from_base;
            let quote = Quote { held: base(200), moved: base(moved), fee: base(fee), fee_token: PATH_USD };
            let expected = left.map_or(Verdict::Collect, Verdict::Leave);
            assert_eq!(decide(&quote, base(minimum)), expected, "{moved} {fee} {minimum}");
        }
    }
}
