//! [`HoldDoc`]: a hold with what the ledger knows it by. From it the legs are made as the ledger has them, without reading them.

use farthing_ledger::record::Table;
use farthing_ledger::{
    AccountId, AssetId, Command, Expiry, Hold as Leg, HoldState as LegState, NewHold, PostAmount, Remainder,
    Step, Tag, Timestamp, Transfer,
};
use farthing_money::Amount;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DrawKind, Hold, HoldDraw, HoldState};
use crate::budget::{Placed, Root};
use crate::grant::{Grant, Purpose};
use crate::id::{BudgetId, SubjectId};
use crate::service::{Document, ServiceError};
use crate::wallet::Wallet;
use crate::{Chart, Reason};

/// A hold as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldDoc {
    /// As it is shown.
    #[serde(flatten)]
    pub hold: Hold,
    /// The accounts of its limits, in the order of the legs. Each has what all the money has.
    #[serde(with = "accounts")]
    pub(super) limits: Vec<AccountId>,
    /// The assets in the ledger: money, permission, seats.
    pub(super) assets: [u32; 3],
    /// Who is paid in the ledger.
    #[serde(with = "account")]
    pub(super) paid: AccountId,
    /// How often something was given back: the name of the next time follows from it.
    pub(super) refunds: u32,
    /// A hash of the wish, to tell the same one from another.
    pub(super) wish: String,
}

impl Document for HoldDoc {
    const TABLE: Table = Table::new("hold");
    const NAME: &'static str = "hold";
}

impl HoldDoc {
    /// The assets in the ledger.
    pub(super) const fn chart(&self) -> Chart {
        let [money, allowance, seats] = self.assets;
        Chart {
            money: AssetId::from_u32(money),
            allowance: AssetId::from_u32(allowance),
            seats: AssetId::from_u32(seats),
        }
    }

    pub(super) const fn names(&self) -> Wallet {
        Wallet { customer: self.hold.customer, chart: self.chart() }
    }

    /// The unit of work in the ledger.
    #[must_use]
    pub fn subject(&self) -> Option<SubjectId> {
        self.hold.subject.as_ref().map(|subject| SubjectId::named(self.hold.customer, subject))
    }

    /// The spend whose legs stand.
    ///
    /// # Errors
    /// [`ServiceError::Placed`] when none stands.
    pub(super) fn placed(&self) -> Result<Placed, ServiceError> {
        Ok(Placed::read(&self.legs())?)
    }

    /// The legs as the ledger has them.
    pub(super) fn legs(&self) -> Vec<Leg> {
        let (chart, hold) = (self.chart(), &self.hold);
        let used = Root { wallet: self.names().account(), chart }.allowances();
        let tag = Tag {
            subject: self.subject().map_or(0, SubjectId::as_u128),
            reference: hold.budget.map_or(0, BudgetId::as_u128),
        };
        let expiry = hold.expires_ms.map_or(Expiry::Never, |at| Expiry::At(Timestamp::from_unix_ms(at)));
        let limits = self.limits.iter().map(|account| {
            let (debit, credit, asset) = (*account, used, chart.allowance);
            (debit, credit, asset, hold.amount, Reason::Limit, hold.held)
        });
        let money = hold.draws.iter().map(|draw| {
            let debit = self.account(draw);
            (debit, self.paid, chart.money, draw.amount, Reason::Spend, draw.held)
        });
        let ended = match hold.state {
            HoldState::Open | HoldState::Captured => LegState::Posted,
            HoldState::Voided => LegState::Voided,
            HoldState::Expired => LegState::Expired,
        };
        let leg = |(at, (debit, credit, asset, amount, reason, left)): (u8, (_, _, _, _, Reason, Amount))| {
            let id = hold.id.group().leg(at);
            let transfer = Transfer { id, debit, credit, asset, amount, code: reason.code(), tag };
            let state = if left.is_zero() { ended } else { LegState::Open };
            Leg { new: NewHold { transfer, expiry }, left, state }
        };
        (0..=u8::MAX).zip(limits.chain(money)).map(leg).collect()
    }

    /// The account from which a part of the money comes.
    pub(super) fn account(&self, draw: &HoldDraw) -> AccountId {
        let wallet = self.names();
        match (draw.kind, draw.grant, draw.budget) {
            (DrawKind::Overdraft, _, _) => wallet.overdraft_account(),
            (DrawKind::Grant, Some(grant), _) => {
                Grant::new(grant, Purpose::Promotional, Timestamp::EPOCH).account
            }
            (DrawKind::Budget, _, Some(budget)) => budget.envelope(),
            (DrawKind::Paid | DrawKind::Grant | DrawKind::Budget, _, _) => wallet.account(),
        }
    }

    /// Says of the money what the posts and voids among `steps` do to it. The limits follow the money.
    pub(super) fn settle(&mut self, steps: &[Step]) -> Result<(), ServiceError> {
        let group = self.hold.id.group();
        let limits = self.limits.len();
        for (at, draw) in (0..=u8::MAX).skip(limits).zip(&mut self.hold.draws) {
            let leg = group.leg(at);
            for step in steps {
                match &step.command {
                    Command::Post(post) if post.hold == leg => {
                        let amount = match post.amount {
                            PostAmount::Exact(amount) => amount,
                            PostAmount::Rest => draw.held,
                        };
                        draw.captured = draw.captured.checked_add(amount)?;
                        draw.held = match post.remainder {
                            Remainder::Keep => draw.held.checked_sub(amount)?,
                            Remainder::Release => Amount::ZERO,
                        };
                    }
                    Command::Void(void) if void.hold == leg => draw.held = Amount::ZERO,
                    Command::Expire(hold) if *hold == leg => draw.held = Amount::ZERO,
                    _ => {}
                }
            }
        }
        self.hold.held = Amount::sum(self.hold.draws.iter().map(|draw| draw.held))?;
        self.hold.captured = Amount::sum(self.hold.draws.iter().map(|draw| draw.captured))?;
        Ok(())
    }
}

mod account {
    use super::{AccountId, Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(id: &AccountId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub fn read<E: serde::de::Error>(text: &str) -> Result<AccountId, E> {
        u128::from_str_radix(text, 16).map(AccountId::from_u128).map_err(E::custom)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccountId, D::Error> {
        read(&std::borrow::Cow::<'de, str>::deserialize(deserializer)?)
    }
}

mod accounts {
    use super::{AccountId, Deserialize, Deserializer, Serializer, account};

    pub fn serialize<S: Serializer>(ids: &[AccountId], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(ToString::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AccountId>, D::Error> {
        Vec::<String>::deserialize(deserializer)?.iter().map(|text| account::read(text)).collect()
    }
}
