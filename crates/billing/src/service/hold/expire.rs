//! Ending holds that ran out, in the ledger and in their records together. A worker asks for it; nothing depends on when, because
//! nothing is paid from a hold that ran out.

use std::collections::BTreeSet;

use farthing_ledger::{Command, Hold as Leg, HoldState as LegState, Known, Step};
use farthing_money::Amount;

use super::doc::HoldDoc;
use super::{Ended, HoldState};
use crate::id::GroupId;
use crate::service::asset::AssetOwner;
use crate::service::event::EventKind;
use crate::service::names::Named as _;
use crate::service::{ATTEMPTS, Billing, Cx, Draft, Fate, HoldId, ServiceError, Stored};

impl Billing {
    /// Ends holds that ran out, of every tenant: those of which a leg is among the `limit` longest overdue. How many legs it found:
    /// fewer than `limit` means that nothing is left to do.
    ///
    /// # Errors
    /// The first of what went wrong, after all others were ended: one hold that cannot be ended holds up no other.
    pub async fn expire_due(&self, cx: &Cx, limit: usize) -> Result<usize, ServiceError> {
        let due = self.store().due(cx.now, limit).await?;
        let groups: BTreeSet<GroupId> = due.iter().map(|leg| GroupId::of(*leg)).collect();
        let mut wrong = None;
        for group in groups {
            if let Err(error) = self.expire(&cx.part("expire", group.as_u128()), group).await {
                wrong.get_or_insert(error);
            }
        }
        wrong.map_or(Ok(due.len()), Err)
    }

    async fn expire(&self, cx: &Cx, group: GroupId) -> Result<(), ServiceError> {
        let id = HoldId::of_group(group);
        for _ in 0..ATTEMPTS {
            let Some(cx) = self.whose(cx, group).await? else { return Ok(()) };
            let Some(was) = self.find::<HoldDoc>(&cx, &id.text()).await? else {
                return self.expire_legs(&cx, group).await;
            };
            if was.doc.open().is_err() {
                return Ok(());
            }
            let ended = was.doc.expire(&cx)?;
            let mut draft = Draft::new();
            draft.steps(ended.steps.iter().cloned());
            ended.write(&cx, &mut draft, &was, EventKind::HoldExpired)?;
            if let Fate::Applied { .. } = self.commit(&cx, draft, &()).await? {
                return Ok(());
            }
        }
        Err(ServiceError::Contention)
    }

    /// The same call, about the tenant whose the hold is. The ledger says what it holds, and each of its assets is one tenant's.
    async fn whose(&self, cx: &Cx, group: GroupId) -> Result<Option<Cx>, ServiceError> {
        let Some(Known::Hold(leg)) = self.store().known(group.leg(0)).await? else { return Ok(None) };
        let owner: Option<Stored<AssetOwner>> = self.asset_owner(cx, leg.new.transfer.asset).await?;
        Ok(owner.map(|owner| cx.of(owner.doc.tenant)))
    }

    /// Holds that no record knows: placed in the ledger by somebody else.
    async fn expire_legs(&self, cx: &Cx, group: GroupId) -> Result<(), ServiceError> {
        let mut legs = Vec::new();
        for n in 0..=u8::MAX {
            match self.store().known(group.leg(n)).await? {
                Some(Known::Hold(Leg { state: LegState::Open, .. })) => {
                    legs.push(Command::Expire(group.leg(n)))
                }
                Some(_) => {}
                None => break,
            }
        }
        self.store().transact(cx.now, Step::group(legs)).await?;
        Ok(())
    }
}

impl HoldDoc {
    /// What its expiry makes of the hold.
    fn expire(&self, cx: &Cx) -> Result<Ended, ServiceError> {
        let open = self.legs().into_iter().filter(|leg| leg.state == LegState::Open);
        let steps = Step::group(open.map(|leg| Command::Expire(leg.new.transfer.id)));
        let mut doc = self.clone();
        doc.settle(&steps)?;
        doc.hold.state = HoldState::Expired;
        doc.hold.updated_ms = cx.now.unix_ms();
        Ok(Ended { steps, doc, paid: Amount::ZERO })
    }
}
