//! [`Movement`]: money that comes into a wallet or leaves it other than by spending: credits, corrections, chargebacks, lines of
//! credit. Each pays at once what the wallet owes. Holds and captures are not here: see [`super::super::hold`].

use farthing_ledger::record::Table;
use farthing_ledger::{Command, Outcome, Rejection, Step};
use farthing_money::{Amount, id_128};
use serde::{Deserialize, Serialize};

use super::{Lent, LoadedWallet, MAX_LENT, Wallet};
use crate::grant::GrantError;
use crate::id::{CustomerId, GroupId, group};
use crate::service::event::EventKind;
use crate::service::names::{self, Named};
use crate::service::usage::counters::Sums;
use crate::service::{ATTEMPTS, Billing, Cx, Document, Draft, Fate, ServiceError, input, refused};
use crate::wallet::{Adjustment, Move, Owing};

id_128! {
    /// The name of a movement. It is its name in the ledger too, so its last byte is zero.
    MovementId
}

impl Named for MovementId {
    const PREFIX: &'static str = "mov";
    const WHAT: &'static str = "movement";

    fn of_bits(bits: u128) -> Self {
        Self::from_u128(bits)
    }

    fn bits(self) -> u128 {
        self.as_u128()
    }
}

/// What kind of movement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MovementKind {
    /// Money came in: a transfer on a chain, a payment to a bank.
    Deposit,
    /// Money came in because a rule asked for it.
    TopUp,
    /// An operator gave more.
    AdjustmentCredit,
    /// An operator took away.
    AdjustmentDebit,
    /// A funding source took money back.
    Chargeback,
    /// A line of credit was given, changed or taken away.
    Overdraft,
}

/// Money that came into a wallet or left it other than by spending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Movement {
    /// Its name.
    #[serde(with = "names::text")]
    pub id: MovementId,
    /// Whose wallet.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// The code of the asset.
    pub asset: String,
    /// What kind.
    pub kind: MovementKind,
    /// How much; of a line of credit, what it is from now on.
    pub amount: Amount,
    /// What it refers to outside, such as a payment of a bank.
    pub reference: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When.
    pub created_ms: u64,
}

impl Document for Movement {
    const TABLE: Table = Table::new("movement");
    const NAME: &'static str = "movement";
}

/// Money that comes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Credit {
    /// How much.
    pub amount: Amount,
    /// What it refers to outside.
    #[serde(default)]
    pub reference: Option<String>,
    /// Why, for people.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Which way a balance is corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The customer gets more.
    Credit,
    /// The customer gets less, of the paid money.
    Debit,
}

/// A correction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Adjust {
    /// Which way.
    pub direction: Direction,
    /// How much.
    pub amount: Amount,
    /// Why: a correction without a reason is none.
    pub reason: String,
    /// What it refers to outside.
    #[serde(default)]
    pub reference: Option<String>,
}

/// Money that a funding source took back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Chargeback {
    /// How much.
    pub amount: Amount,
    /// What it refers to outside.
    pub reference: String,
    /// Why, for people.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A line of credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Overdraft {
    /// How far the wallet may be overdrawn; nothing takes the line away.
    pub limit: Amount,
}

/// A movement that is to happen.
#[derive(Debug, Clone)]
pub(in crate::service) struct Wish {
    /// Its name.
    pub(in crate::service) group: GroupId,
    pub(in crate::service) kind: MovementKind,
    pub(in crate::service) amount: Amount,
    pub(in crate::service) reference: Option<String>,
    pub(in crate::service) reason: Option<String>,
}

impl Billing {
    /// Money came into a wallet, which is opened when it is not there. What the wallet owes is paid from it at once.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`], [`ServiceError::Ledger`] for an amount that does not fit, and the
    /// store's.
    pub async fn credit(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        credit: &Credit,
    ) -> Result<Movement, ServiceError> {
        let Credit { amount, reference, reason } = credit.clone();
        let wish =
            Wish { group: GroupId::from(cx.id), kind: MovementKind::Deposit, amount, reference, reason };
        self.move_money(cx, (customer, asset), wish).await
    }

    /// An operator corrects a balance.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`]; [`ServiceError::Grant`] when less paid money is there than is to be
    /// taken away; and the store's.
    pub async fn adjust(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        adjust: &Adjust,
    ) -> Result<Movement, ServiceError> {
        let Adjust { direction, amount, reason, reference } = adjust.clone();
        let kind = match direction {
            Direction::Credit => MovementKind::AdjustmentCredit,
            Direction::Debit => MovementKind::AdjustmentDebit,
        };
        let wish = Wish { group: GroupId::from(cx.id), kind, amount, reference, reason: Some(reason) };
        self.move_money(cx, (customer, asset), wish).await
    }

    /// A funding source took money back. It is owed whole, and paid at once as far as paid money is there; then by the next money.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`], and the store's.
    pub async fn chargeback(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        chargeback: &Chargeback,
    ) -> Result<Movement, ServiceError> {
        let Chargeback { amount, reference, reason } = chargeback.clone();
        let reference = Some(reference);
        let wish =
            Wish { group: GroupId::from(cx.id), kind: MovementKind::Chargeback, amount, reference, reason };
        self.move_money(cx, (customer, asset), wish).await
    }

    /// Gives a line of credit, changes it or takes it away. Told again, it answers with the balances of then.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::WrongState`] when more of it is in use than is to be left; and the store's.
    pub async fn set_overdraft(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        overdraft: Overdraft,
    ) -> Result<Wallet, ServiceError> {
        input::large("limit", overdraft.limit)?;
        for _ in 0..ATTEMPTS {
            let mut wallet = self.ensure_wallet(cx, customer, asset).await?;
            if self.replay::<Overdraft>(cx).await?.is_some() {
                return self.balances(cx, &wallet).await;
            }
            let was = wallet.stored.clone();
            if was.doc.overdraft == overdraft.limit {
                return self.balances(cx, &wallet).await;
            }
            let wish = Wish {
                group: GroupId::from(cx.id),
                kind: MovementKind::Overdraft,
                amount: overdraft.limit,
                reference: None,
                reason: None,
            };
            let by = wallet.move_of(&wish);
            let steps = wallet.names().amend_overdraft(&by, was.doc.overdraft);
            let doc = &mut wallet.stored.doc;
            doc.overdraft = overdraft.limit;
            doc.lent.push(Lent { from_ms: cx.now.unix_ms(), limit: overdraft.limit });
            let over = doc.lent.len().saturating_sub(MAX_LENT);
            doc.lent.drain(..over);
            let (mut draft, movement) = (Draft::new(), wallet.movement(cx, &wish));
            draft.steps(steps).replace(cx, &was, wallet.doc())?.create(cx, &movement.id.text(), &movement)?;
            match self.commit(cx, draft, &overdraft).await? {
                Fate::Applied { .. } => return self.balances(cx, &wallet).await,
                Fate::Refused { outcomes } => return Err(line_in_use(&outcomes)),
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    /// A movement of a wallet.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn movement(&self, cx: &Cx, id: MovementId) -> Result<Movement, ServiceError> {
        Ok(self.get::<Movement>(cx, &id.text()).await?.doc)
    }

    async fn move_money(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        wish: Wish,
    ) -> Result<Movement, ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let wallet = self.ensure_wallet(cx, customer, asset).await?;
            let mut draft = Draft::new();
            let movement = self.draft_movement(cx, &mut draft, &wallet, &wish).await?;
            match self.commit(cx, draft, &movement).await? {
                Fate::Applied { .. } => return Ok(movement),
                Fate::Refused { outcomes } => stale_or(&outcomes, &wish)?,
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    /// Adds a movement to a draft, with the payment of what the wallet owes: one linked group. When the ledger refuses it, others
    /// have changed what is owed or there: make the draft anew. It happens once, because its record may not exist.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], and the store's.
    pub(in crate::service) async fn draft_movement(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        wallet: &LoadedWallet,
        wish: &Wish,
    ) -> Result<Movement, ServiceError> {
        input::some("amount", wish.amount)?;
        input::maybe("reference", wish.reference.as_ref(), 200)?;
        input::maybe("reason", wish.reason.as_ref(), 500)?;
        let accounts = self.accounts_of(&wallet.accounts()).await?;
        let owing = wallet.balances_of(&accounts, cx.now)?.owing;
        let (names, by) = (wallet.names(), wallet.move_of(wish));
        let (step, owing) = match wish.kind {
            MovementKind::Deposit | MovementKind::TopUp => {
                (names.deposit(&by), after_credit(owing, wish.amount)?)
            }
            MovementKind::AdjustmentCredit => {
                (names.adjust(Adjustment::Credit, &by), after_credit(owing, wish.amount)?)
            }
            MovementKind::Chargeback => {
                let debt = owing.debt.checked_add(wish.amount)?;
                (names.chargeback(&by), Owing { debt, ..owing })
            }
            // It takes away what is there: what is owed is not paid with it.
            MovementKind::AdjustmentDebit | MovementKind::Overdraft => {
                (names.adjust(Adjustment::Debit, &by), Owing { available: Amount::ZERO, ..owing })
            }
        };
        let repay = names.repay(group("repay", &[wish.group.as_u128()]), &owing);
        let commands = std::iter::once(step).chain(repay).map(|step| step.command);
        draft.steps(Step::group(commands.collect::<Vec<Command>>()));
        let movement = wallet.movement(cx, wish);
        let kind = match wish.kind {
            MovementKind::Deposit | MovementKind::TopUp | MovementKind::AdjustmentCredit => {
                EventKind::WalletCredited
            }
            MovementKind::AdjustmentDebit | MovementKind::Chargeback | MovementKind::Overdraft => {
                EventKind::WalletDebited
            }
        };
        if wish.kind == MovementKind::Chargeback {
            let mut sums = Sums::default();
            sums.charged_back((wallet.customer.id, wallet.asset.code()), (wish.amount, cx.now))?;
            sums.write(cx, draft)?;
        }
        draft.create(cx, &movement.id.text(), &movement)?.tell(cx, kind, &movement)?;
        Ok(movement)
    }
}

impl LoadedWallet {
    fn movement(&self, cx: &Cx, wish: &Wish) -> Movement {
        Movement {
            id: MovementId::from_u128(wish.group.as_u128()),
            customer: self.customer.id,
            asset: self.asset.code().to_owned(),
            kind: wish.kind,
            amount: wish.amount,
            reference: wish.reference.clone(),
            reason: wish.reason.clone(),
            created_ms: cx.now.unix_ms(),
        }
    }

    fn move_of(&self, wish: &Wish) -> Move {
        let outside = self.asset.outside();
        let other = match wish.kind {
            MovementKind::Deposit | MovementKind::TopUp | MovementKind::Chargeback => outside.bank,
            MovementKind::AdjustmentCredit | MovementKind::AdjustmentDebit => outside.adjustments,
            MovementKind::Overdraft => outside.lending,
        };
        let reference = wish.reference.as_ref().map_or(0, |text| names::reference(text));
        Move { group: wish.group, other, amount: wish.amount, reference }
    }
}

fn after_credit(owing: Owing, amount: Amount) -> Result<Owing, ServiceError> {
    Ok(Owing { available: owing.available.checked_add(amount)?, ..owing })
}

/// Whether the ledger refused a movement only because what was read has changed since; otherwise why.
pub(in crate::service) fn stale_or(outcomes: &[Outcome], wish: &Wish) -> Result<(), ServiceError> {
    let of_itself = outcomes.first().and_then(|outcome| match outcome {
        Outcome::Rejected(rejection) => Some(*rejection),
        Outcome::Applied | Outcome::Exists => None,
    });
    match of_itself {
        Some(Rejection::ExceedsCredits { available, required })
            if wish.kind == MovementKind::AdjustmentDebit =>
        {
            Err(GrantError::InsufficientFunds { available, required }.into())
        }
        None | Some(Rejection::LinkedGroupFailed) => match refused(outcomes) {
            // The payment of what is owed.
            ServiceError::Ledger(Rejection::ExceedsCredits { .. } | Rejection::ExceedsDebits { .. }) => {
                Ok(())
            }
            other => Err(other),
        },
        Some(rejection) => Err(ServiceError::Ledger(rejection)),
    }
}

fn line_in_use(outcomes: &[Outcome]) -> ServiceError {
    match refused(outcomes) {
        ServiceError::Ledger(Rejection::ExceedsCredits { .. }) => ServiceError::WrongState {
            what: "line of credit",
            state: "in use",
            why: "it cannot be lowered under what is used of it or in flight",
        },
        other => other,
    }
}
