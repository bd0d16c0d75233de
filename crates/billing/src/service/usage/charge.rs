//! From where an event is paid: drawn from the wallet's grants in their order, or captured from a hold that stands. A line of
//! credit is what post-paid usage is paid from: without one, what the wallet has not is refused.

use farthing_ledger::{Command, Limit, NewAccount, Outcome, Rejection, Step};

use super::NewUsage;
use crate::grant::GrantError;
use crate::service::wallet::LoadedWallet;
use crate::service::{Billing, Cx, Draft, ServiceError, refused};
use crate::usage::Rated;

/// How an event is paid, for whoever has to say why it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paid {
    /// From the one account that the wallet has: what the ledger says is what there is.
    FromOne,
    /// From accounts whose balances were read before.
    AsRead,
}

impl Billing {
    /// Adds to `draft` what pays an event and books its cost: one linked group.
    ///
    /// # Errors
    /// [`ServiceError::Grant`] when the wallet has not enough; the store's.
    pub(super) async fn charge(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        (wallet, new, rated): (&LoadedWallet, &NewUsage, &Rated),
    ) -> Result<Paid, ServiceError> {
        let books = wallet.asset.books();
        // Whoever opens an account again is told that it exists, and nothing is written.
        let open = |cost: &crate::usage::VendorCost| {
            let id = cost.vendor.payable(books.asset);
            Step::single(Command::OpenAccount(NewAccount { id, asset: books.asset, limit: Limit::None }))
        };
        draft.steps(rated.event.costs.iter().map(open));
        if new.hold.is_some() {
            return Err(ServiceError::invalid("hold", "paying from a hold is not possible yet"));
        }
        let draws =
            if rated.price.is_zero() { Vec::new() } else { self.draws(cx, wallet, rated.price).await? };
        draft.steps(rated.charge(&books, &draws)?);
        let one = wallet.doc().overdraft.is_zero() && !wallet.grants().iter().any(|g| g.is_live(cx.now));
        Ok(if one { Paid::FromOne } else { Paid::AsRead })
    }
}

/// Whether the ledger refused a charge only because what was read has changed since; otherwise why.
pub(super) fn stale_or(outcomes: &[Outcome], paid: Paid) -> Result<(), ServiceError> {
    match refused(outcomes) {
        ServiceError::Ledger(Rejection::ExceedsCredits { available, required }) => match paid {
            Paid::FromOne => Err(GrantError::InsufficientFunds { available, required }.into()),
            Paid::AsRead => Ok(()),
        },
        other => Err(other),
    }
}
