//! Entitlements: grants that come again every month. They are given lazily, by whoever loads the wallet first in a month; the
//! grant's name follows from the series and the month, so that it is given once. A month in which nobody looked is not made up for.

use farthing_ledger::Timestamp;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::{give, grant_key};
use crate::Period;
use crate::grant::{GrantError, Unused};
use crate::id::{CustomerId, GrantId};
use crate::service::event::EventKind;
use crate::service::names::Named as _;
use crate::service::wallet::{EntitlementEntry, LoadedWallet, MAX_GRANTS};
use crate::service::{ATTEMPTS, Billing, Cx, Draft, Fate, ServiceError, input, refused};

/// An entitlement to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewEntitlement {
    /// How much a month.
    pub amount: Amount,
    /// The lower number is drawn first.
    #[serde(default = "super::priority")]
    pub priority: u8,
    /// What becomes of the rest at the end of a month.
    pub unused: Unused,
}

impl Billing {
    /// Gives an entitlement from this month on, the whole of it.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`], [`ServiceError::WrongState`]; [`ServiceError::Grant`] when there are
    /// too many; and the store's.
    pub async fn create_entitlement(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        new: &NewEntitlement,
    ) -> Result<EntitlementEntry, ServiceError> {
        input::some("amount", new.amount)?;
        if matches!(new.unused, Unused::RollOver { months } if !(1..=24).contains(&months)) {
            return Err(ServiceError::invalid("unused", "rolls over for 1 to 24 months"));
        }
        let NewEntitlement { amount, priority, unused } = *new;
        let entry = EntitlementEntry { id: GrantId::from(cx.id), amount, priority, unused, came_ms: 0 };
        self.change_entitlements(cx, (customer, asset), entry, |entries| {
            if entries.len() >= MAX_GRANTS {
                return Err(GrantError::TooManyGrants { most: MAX_GRANTS }.into());
            }
            entries.push(entry);
            Ok(())
        })
        .await
    }

    /// Lets an entitlement come no more. This month's stays until it runs out.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn end_entitlement(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        id: GrantId,
    ) -> Result<EntitlementEntry, ServiceError> {
        let wallet = self.load_wallet(cx, customer, asset).await?;
        let not_found = || ServiceError::NotFound { what: "entitlement", id: id.text() };
        let found = wallet.doc().entitlements.iter().find(|entry| entry.id == id).copied();
        if found.is_none()
            && let Some(done) = self.replay(cx).await?
        {
            return Ok(done);
        }
        self.change_entitlements(cx, (customer, asset), found.ok_or_else(not_found)?, |entries| {
            entries.retain(|entry| entry.id != id);
            Ok(())
        })
        .await
    }

    /// Gives what is due of the wallet's entitlements. Whether the wallet has to be read again.
    pub(in crate::service) async fn refresh_entitlements(
        &self,
        cx: &Cx,
        wallet: &LoadedWallet,
    ) -> Result<bool, ServiceError> {
        let month = Period::Month.window(cx.now).start;
        let due = |entry: &EntitlementEntry| entry.came_ms < month.unix_ms();
        let full = wallet.doc().grants.len() >= MAX_GRANTS;
        if full || wallet.active().is_err() || !wallet.doc().entitlements.iter().any(due) {
            return Ok(false);
        }
        let cx = &cx.part("entitlements", month.unix_ms().into());
        let (was, mut wallet, mut draft) = (wallet.stored.clone(), wallet.clone(), Draft::new());
        let room = MAX_GRANTS.saturating_sub(wallet.doc().grants.len());
        let entries: Vec<EntitlementEntry> =
            wallet.doc().entitlements.iter().copied().filter(due).take(room).collect();
        for entry in &entries {
            let drawn = entry.entitlement().grant(cx.now);
            let mut grant = give(cx, &mut draft, &mut wallet, (&drawn, entry.amount))?;
            grant.entitlement = Some(entry.id);
            draft.create(cx, &grant_key(grant.customer, &grant.asset, grant.id), &grant)?;
            draft.tell(cx, EventKind::GrantCreated, &grant)?;
        }
        let came = |entry: &mut EntitlementEntry| {
            if entries.iter().any(|due| due.id == entry.id) {
                entry.came_ms = cx.now.max(Timestamp::from_unix_ms(1)).unix_ms();
            }
        };
        wallet.stored.doc.entitlements.iter_mut().for_each(came);
        draft.replace(cx, &was, wallet.doc())?;
        match self.commit(cx, draft, &()).await? {
            Fate::Refused { outcomes } => Err(refused(&outcomes)),
            Fate::Applied { .. } | Fate::Again => Ok(true),
        }
    }

    async fn change_entitlements(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        answer: EntitlementEntry,
        change: impl Fn(&mut Vec<EntitlementEntry>) -> Result<(), ServiceError>,
    ) -> Result<EntitlementEntry, ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let mut wallet = self.ensure_wallet(cx, customer, asset).await?;
            wallet.active()?;
            let (was, mut draft) = (wallet.stored.clone(), Draft::new());
            change(&mut wallet.stored.doc.entitlements)?;
            draft.replace(cx, &was, wallet.doc())?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &answer).await? {
                return Ok(answer);
            }
        }
        Err(ServiceError::Contention)
    }
}
