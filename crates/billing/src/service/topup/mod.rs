//! Auto top-up as calls: one [`TopUpRule`] an account of a wallet, the attempts that were made for it, and what a driver does
//! ([`run`]). The decisions are [`crate::topup`]'s. It charges nobody: the driver asks a funding source and tells what it said.

mod kept;
pub mod run;

use farthing_ledger::record::Order;
use farthing_money::{Amount, Asset, AssetKind};
use serde::{Deserialize, Serialize};

pub use kept::{Attempt, AttemptState, DeclinedBecause, Rule};

use super::event::EventKind;
use super::names::{self, Named as _};
use super::{ATTEMPTS, Billing, Cx, Draft, Fate, Page, PageQuery, ServiceError, Stored, input};
use crate::id::CustomerId;
use crate::topup::{BackOff, Decline, Event, Size, State, TopUp, TopUpRule as Terms};

/// Who pays for top-ups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// A card on file at the platform's card processor. For currencies.
    Card {
        /// The processor's name for the customer.
        customer: String,
        /// The processor's name for the card.
        payment_method: String,
    },
    /// An account on a chain that the platform holds for this: for tokens of that chain.
    Chain,
}

/// A rule as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewTopUpRule {
    /// It is kept that this much is available.
    pub threshold: Amount,
    /// How much one attempt is for.
    pub size: Size,
    /// The most of a day (UTC).
    pub cap_per_day: Amount,
    /// How long to wait after soft declines.
    #[serde(default = "usual_back_off")]
    pub back_off: BackOff,
    /// Who pays.
    pub source: Source,
}

/// An hour, then twice as long each time, at most a day; five declines in a row pause the rule.
const fn usual_back_off() -> BackOff {
    BackOff { first_ms: 3_600_000, longest_ms: 86_400_000, most: 5 }
}

/// Where a rule stands, as the API shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RuleState {
    /// It watches the balance.
    Active,
    /// The source was asked, or is about to be.
    Charging,
    /// The source took the money, and the wallet is about to get it.
    Crediting,
    /// A soft decline: it waits.
    BackingOff,
    /// Nothing until a person resumes it.
    Paused,
}

/// A rule, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TopUpRule {
    /// Whose account.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// Of which asset, by its code.
    pub asset: String,
    /// It is kept that this much is available.
    pub threshold: Amount,
    /// How much one attempt is for.
    pub size: Size,
    /// The most of a day (UTC).
    pub cap_per_day: Amount,
    /// How long to wait after soft declines.
    pub back_off: BackOff,
    /// Who pays.
    pub source: Source,
    /// Where it stands.
    pub state: RuleState,
    /// When it backs off: until when.
    pub until_ms: Option<u64>,
    /// The attempt that is under way: `top_…`.
    pub attempt: Option<String>,
    /// Why it paused, when a decline did it.
    pub paused_because: Option<DeclinedBecause>,
    /// When it was made.
    pub created_ms: u64,
    /// When it was changed last.
    pub updated_ms: u64,
}

/// What an attempt came to, as the source says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It took the money.
    Charged {
        /// The source's name for the payment.
        reference: String,
    },
    /// It did not, and will not under this name.
    Declined {
        /// Whether it may later.
        class: Decline,
        /// The source's code.
        code: String,
        /// A sentence for people.
        message: String,
    },
    /// It has never heard of it, and takes the same name again.
    NotFound,
    /// It does not say.
    Unknown {
        /// What is in the way.
        why: String,
    },
}

impl Billing {
    /// Makes or changes the rule of a wallet's account. What is under way, and what was attempted today, stays.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for the customer or the asset, [`ServiceError::TopUp`], [`ServiceError::Invalid`] for a source
    /// that cannot pay in this asset, and the store's.
    pub async fn put_topup_rule(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        new: &NewTopUpRule,
    ) -> Result<TopUpRule, ServiceError> {
        let doc = self.asset(cx, asset).await?;
        let unit = chargeable_unit(&new.source, &doc.view().asset)?;
        let NewTopUpRule { threshold, size, cap_per_day, back_off, source } = new.clone();
        let terms = Terms::new(threshold, size, cap_per_day, back_off)?.in_units_of(unit)?;
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            self.customer(cx, customer).await?;
            let was = self.find::<Rule>(cx, &kept::rule_key(customer, asset)).await?;
            let mut rule = match &was {
                Some(was) => Rule { topup: was.doc.topup.with_rule(terms), ..was.doc.clone() },
                None => Rule::new(customer, asset, TopUp::new(terms), (source.clone(), cx.now)),
            };
            rule.source = source.clone();
            rule.updated_ms = cx.now.unix_ms();
            let view = rule.view();
            let mut draft = Draft::new();
            match &was {
                Some(was) => draft.replace(cx, was, &rule)?,
                None => draft.create(cx, &kept::rule_key(customer, asset), &rule)?,
            };
            if let Fate::Applied { .. } = self.commit(cx, draft, &view).await? {
                return Ok(view);
            }
        }
        Err(ServiceError::Contention)
    }

    /// The rule of a wallet's account.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn topup_rule(&self, cx: &Cx, of: (CustomerId, &str)) -> Result<TopUpRule, ServiceError> {
        Ok(self.rule_doc(cx, of).await?.doc.view())
    }

    /// The rules of a customer.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_topup_rules(
        &self,
        cx: &Cx,
        customer: CustomerId,
        page: &PageQuery,
    ) -> Result<Page<TopUpRule>, ServiceError> {
        Ok(self.list::<Rule>(cx, &format!("{}/", customer.text()), page).await?.map(|rule| rule.view()))
    }

    /// Deletes a rule. Its attempts stay.
    ///
    /// # Errors
    /// [`ServiceError::WrongState`] while an attempt is under way: it has to be known first whether money was taken; and as
    /// [`Billing::topup_rule`].
    pub async fn delete_topup_rule(&self, cx: &Cx, of: (CustomerId, &str)) -> Result<(), ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.rule_doc(cx, of).await?;
            if was.doc.topup.attempt().is_some() {
                return Err(ServiceError::WrongState {
                    what: "top-up rule",
                    state: "charging",
                    why: "an attempt is under way: pause the rule, and delete it when the attempt has ended",
                });
            }
            let mut draft = Draft::new();
            draft.delete(cx, &was);
            if let Fate::Applied { .. } = self.commit(cx, draft, &()).await? {
                return Ok(());
            }
        }
        Err(ServiceError::Contention)
    }

    /// Lets a rule begin nothing new. What is under way ends as it does.
    ///
    /// # Errors
    /// As [`Billing::topup_rule`].
    pub async fn pause_topup_rule(&self, cx: &Cx, of: (CustomerId, &str)) -> Result<TopUpRule, ServiceError> {
        self.change_rule(cx, of, |rule, _| rule.enabled = false).await
    }

    /// Lets a rule work again that was paused, by a person or by a decline.
    ///
    /// # Errors
    /// As [`Billing::topup_rule`].
    pub async fn resume_topup_rule(
        &self,
        cx: &Cx,
        of: (CustomerId, &str),
    ) -> Result<TopUpRule, ServiceError> {
        self.change_rule(cx, of, |rule, cx| {
            rule.enabled = true;
            rule.paused_because = None;
            let nothing = rule.topup.handle(Event::Resumed, cx.now);
            debug_assert!(nothing.is_empty(), "a resumed rule waits for a balance");
        })
        .await
    }

    /// The attempts of a rule, the newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_topups(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        page: &PageQuery,
    ) -> Result<Page<Attempt>, ServiceError> {
        let prefix = format!("{}/", kept::rule_key(customer, asset));
        let after = page.after.as_ref().map(|after| format!("{prefix}{after}"));
        let page = PageQuery { after, order: Order::Descending, ..page.clone() };
        let mut found = self.list::<Attempt>(cx, &prefix, &page).await?;
        // The cursor is the attempt's name: the rest of the key is the list's.
        found.next = found.next.and_then(|next| next.strip_prefix(&prefix).map(str::to_owned));
        Ok(found.map(|attempt| attempt))
    }

    async fn change_rule(
        &self,
        cx: &Cx,
        of: (CustomerId, &str),
        change: impl Fn(&mut Rule, &Cx) + Send + Sync,
    ) -> Result<TopUpRule, ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.rule_doc(cx, of).await?;
            let mut rule = was.doc.clone();
            change(&mut rule, cx);
            rule.updated_ms = cx.now.unix_ms();
            let view = rule.view();
            let mut draft = Draft::new();
            draft.replace(cx, &was, &rule)?;
            let stopped = was.doc.enabled && !rule.enabled && was.doc.topup.state() != State::Paused;
            if stopped {
                draft.tell(cx, EventKind::TopUpPaused, &view)?;
            }
            if let Fate::Applied { .. } = self.commit(cx, draft, &view).await? {
                return Ok(view);
            }
        }
        Err(ServiceError::Contention)
    }

    async fn rule_doc(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
    ) -> Result<Stored<Rule>, ServiceError> {
        let found = self.find::<Rule>(cx, &kept::rule_key(customer, asset)).await?;
        found.ok_or_else(|| ServiceError::NotFound {
            what: "top-up rule",
            id: format!("{}/{}", customer.text(), asset.chars().take(64).collect::<String>()),
        })
    }
}

/// The smallest amount of `asset` that `source` can be charged.
fn chargeable_unit(source: &Source, asset: &Asset) -> Result<Amount, ServiceError> {
    let misfit = |why: &str| Err(ServiceError::invalid("source", why));
    match (source, asset.kind()) {
        (Source::Card { customer, payment_method }, AssetKind::Fiat) => {
            input::text("source.customer", customer, 255)?;
            input::text("source.payment_method", payment_method, 255)?;
            // A balance may be counted finer than cards pay: mils, or millionths.
            let decimals = currency_decimals(asset.code());
            let finer = u32::from(asset.scale().saturating_sub(decimals));
            Ok(10_u128.checked_pow(finer).map_or(Amount::MAX, Amount::from_base))
        }
        (Source::Card { .. }, _) => misfit("a card pays in currencies only"),
        (Source::Chain, AssetKind::Token { .. }) => Ok(Amount::from_base(1)),
        (Source::Chain, _) => misfit("an account on a chain pays in tokens only"),
    }
}

/// Decimals of a currency (ISO 4217).
fn currency_decimals(code: &str) -> u8 {
    match code {
        "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF" | "UGX" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests;
