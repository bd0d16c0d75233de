//! From where an event is paid: drawn from the wallet's grants in their order, or captured from a hold that stands. A line of
//! credit is what post-paid usage is paid from: without one, what the wallet has not is refused.

use farthing_ledger::{Command, Limit, NewAccount, Outcome, Rejection, Step};

use farthing_money::Id;

use super::{NewUsage, Rest, UsageId};
use crate::grant::GrantError;
use crate::service::event::EventKind;
use crate::service::hold::{NewCapture, why_refused};
use crate::service::wallet::LoadedWallet;
use crate::service::{Billing, Cx, Draft, HoldId, Named as _, ServiceError, refused};
use crate::usage::{Rated, VendorCost};

/// How an event is paid, for whoever has to say why it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paid {
    /// From the one account that the wallet has: what the ledger says is what there is.
    FromOne,
    /// From accounts whose balances were read before.
    AsRead,
    /// From a hold.
    FromHold,
}

impl Billing {
    /// Adds to `draft` what pays an event and books its cost: one linked group.
    ///
    /// # Errors
    /// [`ServiceError::Grant`] when the wallet has not enough; [`ServiceError::NotFound`], [`ServiceError::WrongState`] and
    /// [`ServiceError::Placed`] for the hold; the store's.
    pub(super) async fn charge(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        (wallet, new, rated): (&LoadedWallet, &NewUsage, &Rated),
    ) -> Result<Paid, ServiceError> {
        let books = wallet.asset.books();
        // Whoever opens an account again is told that it exists, and nothing is written.
        let open = |cost: &VendorCost| {
            let id = cost.vendor.payable(books.asset);
            Step::single(Command::OpenAccount(NewAccount { id, asset: books.asset, limit: Limit::None }))
        };
        draft.steps(rated.event.costs.iter().map(open));
        if let Some(id) = new.hold {
            let steps = self.capture_for_usage(cx, draft, (id, new, rated), wallet).await?;
            draft.steps(rated.capture(&books, steps));
            return Ok(Paid::FromHold);
        }
        wallet.active()?;
        let draws =
            if rated.price.is_zero() { Vec::new() } else { self.draws(cx, wallet, rated.price).await? };
        draft.steps(rated.charge(&books, &draws)?);
        let one = wallet.doc().overdraft.is_zero() && !wallet.grants().iter().any(|g| g.is_live(cx.now));
        Ok(if one { Paid::FromOne } else { Paid::AsRead })
    }

    /// What captures the price from a hold; the hold's record is written and told of with the event.
    async fn capture_for_usage(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        (id, new, rated): (HoldId, &NewUsage, &Rated),
        wallet: &LoadedWallet,
    ) -> Result<Vec<Step>, ServiceError> {
        let was = self.hold_doc(cx, id).await?;
        let hold = &was.doc.hold;
        if hold.customer != new.customer || hold.asset != wallet.asset.code() {
            let why = "a hold of the event's customer, in the product's asset";
            return Err(ServiceError::invalid("hold", why));
        }
        was.doc.open()?;
        if rated.price.is_zero() && new.rest == Rest::Keep {
            // Nothing is paid and nothing given back: the hold is only looked at.
            draft.check(cx, &was);
            return Ok(Vec::new());
        }
        let capture = NewCapture {
            amount: Some(rated.price),
            last: new.rest == Rest::Release,
            reference: Some(UsageId::from_u128(rated.event.id.as_u128()).text()),
        };
        let ended = was.doc.capture(&beside(cx), &capture)?;
        ended.write(cx, draft, &was, EventKind::HoldCaptured)?;
        Ok(ended.steps)
    }
}

/// The same call with a name beside its own: the legs of the capture and those of the cost are two groups of names.
fn beside(cx: &Cx) -> Cx {
    let bits = cx.id.as_u128();
    let unix_ms = u64::try_from(bits >> 80).unwrap_or(0);
    Cx { id: Id::from_parts(unix_ms, bits ^ 0x100), ..cx.clone() }
}

/// Whether the ledger refused a charge only because what was read has changed since; otherwise why.
pub(super) fn stale_or(outcomes: &[Outcome], paid: Paid) -> Result<(), ServiceError> {
    match (refused(outcomes), paid) {
        (_, Paid::FromHold) => Err(why_refused(outcomes)),
        (ServiceError::Ledger(Rejection::ExceedsCredits { available, required }), Paid::FromOne) => {
            Err(GrantError::InsufficientFunds { available, required }.into())
        }
        (ServiceError::Ledger(Rejection::ExceedsCredits { .. }), Paid::AsRead) => Ok(()),
        (other, _) => Err(other),
    }
}
