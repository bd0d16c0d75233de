//! [`Billing::check_signature`]: whether the holder of a token signed a message, and may spend what is asked, and there is enough of
//! it. For sellers of the tenant's that take balances: they are shown a signature and never a token. It moves nothing; the seller
//! then places and captures a hold of the budget, which is where limits and money are enforced.

use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::names;
use super::{Billing, Cx, ServiceError};
use crate::budget::delegation::Wish;
use crate::grant::GrantError;
use crate::id::{BudgetId, CounterpartyId, CustomerId, DelegationId};

/// The longest message that is verified, in bytes.
pub const MAX_MESSAGE: usize = 32_768;

/// A signature that was shown to a seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSignatureCheck {
    /// The token that is said to have signed.
    #[serde(with = "names::text")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::service::schema::IdText<DelegationId>"))]
    pub token: DelegationId,
    /// What was signed.
    pub message: String,
    /// HMAC-SHA256 over it, keyed by the hash of the token's secret: 64 hexadecimal digits.
    pub signature: String,
    /// How much is to be spent.
    pub amount: Amount,
    /// Who sells.
    pub counterparty: String,
}

/// What a signature may spend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignatureCheck {
    /// The token.
    #[serde(with = "names::text")]
    pub token: DelegationId,
    /// The budget that it spends.
    #[serde(with = "names::text")]
    pub budget: BudgetId,
    /// Whose it is.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// The code of the asset.
    pub asset: String,
    /// Its decimals.
    pub scale: u8,
}

impl Billing {
    /// Whether the token signed, may spend `amount` with the seller, and has it now. Nothing is set aside.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`]; [`ServiceError::Unauthenticated`] with `token_unknown` or `prepaid_bad_signature`;
    /// [`ServiceError::Delegation`] for what the token does not allow; [`ServiceError::Grant`] when there is not so much; and the
    /// store's.
    pub async fn check_signature(
        &self,
        cx: &Cx,
        new: &NewSignatureCheck,
    ) -> Result<SignatureCheck, ServiceError> {
        if new.message.len() > MAX_MESSAGE {
            return Err(ServiceError::invalid("message", format!("at most {MAX_MESSAGE} bytes")));
        }
        let signer = self.signed_by_token(cx, new.token, (&new.message, &new.signature)).await?;
        let on = self.load_budget(cx, signer.budget).await?;
        on.wallet.active()?;
        let wish = Wish::Spend { amount: new.amount, counterparty: CounterpartyId::named(&new.counterparty) };
        signer.chain.authorise(&on.path, &wish, cx.now)?;
        let customer = on.wallet.customer.id;
        let (asset, scale) = (on.wallet.asset.code().to_owned(), on.wallet.asset.view().asset.scale());
        let mut available = Amount::MAX;
        for budget in &on.budgets {
            let left = self.view_budget(cx, budget.doc.clone()).await?.available;
            available = available.min(left.unwrap_or(Amount::MAX));
        }
        // What was carved out is its own money; anything else comes from the wallet.
        if on.path.payer().is_none() {
            available = available.min(self.wallet(cx, customer, &asset).await?.spendable);
        }
        if available < new.amount {
            return Err(GrantError::InsufficientFunds { available, required: new.amount }.into());
        }
        Ok(SignatureCheck { token: new.token, budget: signer.budget, customer, asset, scale })
    }
}
