//! Taking away what grants that ran out still have. A worker asks for it; nothing depends on when, because nothing is drawn from a
//! grant that ran out.

use farthing_ledger::record::Order;
use farthing_ledger::{AccountId, Step, Timestamp};
use farthing_money::Amount;

use super::{Grant, GrantDue, GrantState, grant_key};
use crate::grant::{Grant as Drawn, Purpose, Sweep};
use crate::id::group;
use crate::service::asset::AssetDoc;
use crate::service::event::EventKind;
use crate::service::wallet::{Part, WalletDoc, wallet_key};
use crate::service::{ATTEMPTS, Billing, Cx, Draft, Fate, PageQuery, ServiceError, Stored};

/// When a grant that ran out, and of which something is still in flight, is looked at again.
const LATER_MS: u64 = 60_000;

impl Billing {
    /// Takes away what is left of at most `limit` grants that ran out, of every tenant. How many it looked at: fewer than `limit`
    /// means that nothing is left to do.
    ///
    /// # Errors
    /// The first of what went wrong, after all others were swept: one grant that cannot be swept holds up no other.
    pub async fn sweep_expired(&self, cx: &Cx, limit: usize) -> Result<usize, ServiceError> {
        let operator = cx.operator();
        let page = PageQuery { after: None, limit, order: Order::Ascending };
        let found = self.list::<GrantDue>(&operator, "", &page).await?;
        let until = format!("{:016x}/~", cx.now.unix_ms());
        let due: Vec<&Stored<GrantDue>> = found.data.iter().filter(|due| due.key < until).collect();
        let mut wrong = None;
        for one in &due {
            let cx = cx.of(one.doc.tenant).part("sweep", one.doc.grant.as_u128());
            if let Err(error) = self.sweep(&cx, one).await {
                wrong.get_or_insert(error);
            }
        }
        wrong.map_or(Ok(due.len()), Err)
    }

    async fn sweep(&self, cx: &Cx, due: &Stored<GrantDue>) -> Result<(), ServiceError> {
        let GrantDue { tenant: _, customer, asset, grant } = &due.doc;
        for _ in 0..ATTEMPTS {
            let was = self.get::<Grant>(cx, &grant_key(*customer, asset, *grant)).await?;
            let wallet = self.get::<WalletDoc>(cx, &wallet_key(*customer, asset)).await?;
            let asset_doc = self.asset(cx, asset).await?;
            let drawn = was.doc.drawn();
            let part = self.accounts_of(&[drawn.account]).await?.first().map(Part::of).unwrap_or_default();
            let mut draft = Draft::new();
            draft.delete(&cx.operator(), due);
            let mut doc = was.doc.clone();
            if let Some(step) = take_away(&asset_doc, &drawn, (doc.sweeps, part.available), cx.now) {
                draft.steps([step]);
                doc.sweeps = doc.sweeps.saturating_add(1);
                doc.expired_amount = doc.expired_amount.checked_add(part.available)?;
            }
            if part.held.is_zero() {
                doc.state = GrantState::Expired;
                let mut without = wallet.doc.clone();
                without.grants.retain(|entry| entry.id != *grant);
                draft.replace(cx, &wallet, &without)?.tell(cx, EventKind::GrantExpired, &doc)?;
            } else {
                let later = Timestamp::from_unix_ms(cx.now.unix_ms().saturating_add(LATER_MS));
                draft.create(&cx.operator(), &due.doc.key(later), &due.doc)?;
            }
            draft.replace(cx, &was, &doc)?;
            // Refused: a hold ended in between, or began while the clocks of two processes differed.
            if let Fate::Applied { .. } = self.commit(cx, draft, &()).await? {
                return Ok(());
            }
            if self.find::<GrantDue>(&cx.operator(), &due.key).await?.is_none() {
                // Another worker did it.
                return Ok(());
            }
        }
        Err(ServiceError::Contention)
    }
}

/// What takes `available` of a grant that ran out away, for the `n`th time.
pub(in crate::service) fn take_away(
    asset: &AssetDoc,
    drawn: &Drawn,
    (n, available): (u32, Amount),
    now: Timestamp,
) -> Option<Step> {
    let group = group("grant sweep", &[drawn.id.as_u128(), u128::from(n)]);
    drawn.sweep(asset.chart().money, back_to(asset, drawn.purpose), &Sweep { group, available, now })
}

/// Where the rest of a grant goes.
fn back_to(asset: &AssetDoc, purpose: Purpose) -> AccountId {
    let outside = asset.outside();
    match purpose {
        Purpose::Paid => outside.breakage,
        Purpose::Entitlement | Purpose::Promotional | Purpose::Overdraft => outside.grants,
    }
}
