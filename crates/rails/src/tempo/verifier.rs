//! [`TempoCharge`]: the seller's half. Every check is made before anything is signed or broadcast; what needs no node comes
//! first, so that nonsense costs nothing.

use alloy_primitives::{Address, B256, keccak256};
use async_trait::async_trait;
use farthing_money::{Amount, Asset, Money};
use farthing_protocol::ports::{
    ClaimKey, OfferError, Price, Resolution, SettleError, Settled, SettlementPlan, Verified, Verifier,
    VerifyError, VerifyRequest,
};
use farthing_protocol::{Credential, EncodedJson, Intent, MethodId, Problem, UnixMs};

use super::did::{self, Account};
use super::error::ChargeError;
use super::memo::Named;
use super::payload::Payload;
use super::proof::canonical;
use super::request::{ChargeRequest, Fee, Mode, Modes, Split};
use super::rpc::{RpcError, TempoRpc};
use super::settle::{How, Plan};
use super::sponsor::Sponsorship;
use super::transaction::SignedCharge;
use super::{METHOD, tokens};

/// How long after its challenge's expiry a payment is looked for that was made before, in milliseconds: longer than a
/// seller is likely to be away.
const LATE_MS: u64 = 600_000;

/// Makes offers of one token on one Tempo chain, verifies and settles what answers them.
#[derive(Debug, Clone)]
pub struct TempoCharge {
    terms: TempoChargeBuilder,
    method: MethodId,
    intent: Intent,
    rail: String,
    asset: Asset,
}

/// The terms of a [`TempoCharge`].
#[derive(Debug, Clone)]
pub struct TempoChargeBuilder {
    chain_id: u64,
    rpc: TempoRpc,
    recipient: Address,
    token: Address,
    asset: Option<Asset>,
    rail: Option<String>,
    splits: Vec<Split>,
    modes: Modes,
    sponsorship: Option<Sponsorship>,
}

impl TempoChargeBuilder {
    /// Names the asset that prices are in; by default the token's own name where it is known.
    #[must_use]
    pub fn asset(mut self, asset: Asset) -> Self {
        self.asset = Some(asset);
        self
    }

    /// Names the rail; `tempo:<chainId>` by default. Needed when a gateway takes two tokens on one chain. The name is
    /// journalled: keep it.
    #[must_use]
    pub fn rail(mut self, name: impl Into<String>) -> Self {
        self.rail = Some(name.into());
        self
    }

    /// Sends parts of every payment elsewhere. Every price must be more than their sum (TC5).
    #[must_use]
    pub fn splits(mut self, splits: Vec<Split>) -> Self {
        self.splits = splits;
        self
    }

    /// Restricts how payments are handed over.
    #[must_use]
    pub const fn modes(mut self, modes: Modes) -> Self {
        self.modes = modes;
        self
    }

    /// Pays the network's fee for payers. Challenges then offer pull only (TC1).
    #[must_use]
    pub fn sponsor(mut self, sponsorship: Sponsorship) -> Self {
        self.sponsorship = Some(sponsorship);
        self
    }

    /// The rail.
    ///
    /// # Errors
    /// [`OfferError::BadTerms`] for splits that can never be asked for, a push-only sponsored rail, a zero recipient, or an
    /// asset that is not the token.
    pub fn build(self) -> Result<TempoCharge, OfferError> {
        let bad = |code, why: &str| OfferError::BadTerms { code, why: why.to_owned() };
        if self.recipient.is_zero() {
            return Err(bad("recipient_zero", "the recipient is the zero address: the money would be lost"));
        }
        if self.sponsorship.is_some() && self.modes == Modes::Only(Mode::Push) {
            return Err(bad(
                "sponsored_push",
                "a sponsored charge is paid by pull: allow it, or do not sponsor",
            ));
        }
        let asset = self.asset.clone().unwrap_or_else(|| tokens::asset(self.chain_id, self.token));
        if tokens::of_asset(self.chain_id, &asset) != Some(self.token) || asset.scale() != tokens::SCALE {
            return Err(bad(
                "asset_mismatch",
                "the asset is not the token: same network, address and 6 decimals",
            ));
        }
        let rail = self.rail.clone().unwrap_or_else(|| format!("tempo:{}", self.chain_id));
        let method = MethodId::new(METHOD).expect("`tempo` is a method identifier");
        let charge = TempoCharge { terms: self, method, intent: Intent::charge(), rail, asset };
        // Splits are checked against a price that exceeds every sum.
        let most = Price {
            money: Money::new(Amount::MAX, charge.asset.clone()),
            description: None,
            external_id: None,
        };
        charge.request(&most)?;
        Ok(charge)
    }
}

impl TempoCharge {
    /// A rail that takes `token` for `recipient` on a chain.
    #[must_use]
    pub const fn builder(
        chain_id: u64,
        rpc: TempoRpc,
        recipient: Address,
        token: Address,
    ) -> TempoChargeBuilder {
        TempoChargeBuilder {
            chain_id,
            rpc,
            recipient,
            token,
            asset: None,
            rail: None,
            splits: Vec::new(),
            modes: Modes::Both,
            sponsorship: None,
        }
    }

    /// Checks that the node serves the chain: for a start that fails early.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn check_node(&self) -> Result<(), RpcError> {
        self.terms.rpc.expect_chain(self.terms.chain_id).await
    }

    /// The challenge's own terms, which must be ours: whatever the core has checked, money goes nowhere else.
    fn charge_of(&self, credential: &Credential<'_>) -> Result<ChargeRequest, ChargeError> {
        let encoded = EncodedJson::from_wire(credential.challenge.request.clone().into_owned(), "request")
            .map_err(|error| ChargeError::RequestUnreadable { why: error.to_string() })?;
        let charge = ChargeRequest::decode(&encoded)?;
        let differs = |field| Err(ChargeError::TermsDiffer { field });
        if charge.chain_id != Some(self.terms.chain_id) {
            return differs("methodDetails.chainId");
        }
        if charge.currency != self.terms.token {
            return differs("currency");
        }
        if charge.recipient != Some(self.terms.recipient) {
            return differs("recipient");
        }
        if charge.fee == Fee::Seller && self.terms.sponsorship.is_none() {
            return differs("methodDetails.feePayer");
        }
        Ok(charge)
    }

    fn key(&self, what: &str) -> ClaimKey {
        ClaimKey(format!("tempo:{}:{what}", self.terms.chain_id))
    }

    fn tx_key(&self, hash: B256) -> ClaimKey {
        self.key(&format!("tx:{hash}"))
    }

    /// A transaction by what its sender agreed to: the same before and after co-signing, in every spelling of a signature.
    fn identity_key(&self, signed: &SignedCharge) -> ClaimKey {
        self.key(&format!("payment:{}", signed.identity()))
    }

    fn transaction_keys(&self, signed: &SignedCharge) -> Vec<ClaimKey> {
        let hash = signed.hash().map(|hash| self.tx_key(hash));
        std::iter::once(self.identity_key(signed)).chain(hash).collect()
    }

    /// A proof by challenge, account and signature: whoever shows it again must show the very same signature.
    fn proof_key(&self, challenge_id: &str, account: Address, signature: &[u8]) -> ClaimKey {
        let digest = keccak256(canonical(signature));
        self.key(&format!("proof:{challenge_id}:{account:#x}:{digest}"))
    }

    fn source(&self, credential: &Credential<'_>) -> Result<Option<Address>, ChargeError> {
        let Some(text) = credential.source.as_deref() else { return Ok(None) };
        match did::parse(text) {
            Some(account) if account.chain_id == self.terms.chain_id => Ok(Some(account.address)),
            _ => Err(ChargeError::SourceInvalid),
        }
    }

    fn verified(&self, charge: &ChargeRequest, payer: Address, keys: Vec<ClaimKey>, how: How) -> Verified {
        let (funds, settle_by) = (how.funds(), how.settle_by());
        let plan = Plan { how, external_id: charge.external_id.clone() };
        Verified {
            keys,
            payer: Some(did::format(Account { chain_id: self.terms.chain_id, address: payer })),
            paid: Money::new(charge.amount, self.asset.clone()),
            funds,
            settle_by,
            reservation: None,
            plan: SettlementPlan { rail: self.rail.clone(), data: plan.to_value() },
        }
    }
}

fn named<'a>(credential: &'a Credential<'_>) -> Named<'a> {
    Named { realm: &credential.challenge.realm, challenge_id: &credential.challenge.id }
}

fn rejected(error: ChargeError) -> VerifyError {
    VerifyError::Rejected(error.into())
}

fn reject<T>(error: ChargeError) -> Result<T, VerifyError> {
    Err(rejected(error))
}

#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
fn unavailable(error: RpcError) -> VerifyError {
    VerifyError::Unavailable { detail: error.to_string() }
}

#[async_trait]
impl Verifier for TempoCharge {
    fn method(&self) -> &MethodId {
        &self.method
    }

    fn intent(&self) -> &Intent {
        &self.intent
    }

    fn rail(&self) -> &str {
        &self.rail
    }

    fn asset(&self) -> &Asset {
        &self.asset
    }

    fn late_ms(&self) -> u64 {
        LATE_MS
    }

    fn offer(&self, price: &Price) -> Result<EncodedJson, OfferError> {
        Ok(EncodedJson::encode(&self.request(price)?.to_json())?)
    }

    fn keys(&self, credential: &Credential<'_>) -> Result<Vec<ClaimKey>, Problem> {
        match Payload::parse(credential.payload.get())? {
            Payload::Transaction(bytes) => Ok(self.transaction_keys(&SignedCharge::decode(&bytes)?)),
            Payload::Hash(hash) => Ok(vec![self.tx_key(hash)]),
            Payload::Proof(signature) => {
                let account = self.source(credential)?.ok_or(ChargeError::SourceMissing)?;
                Ok(vec![self.proof_key(&credential.challenge.id, account, &signature)])
            }
        }
    }

    async fn verify(&self, request: VerifyRequest<'_>) -> Result<Verified, VerifyError> {
        let charge = self.charge_of(request.credential).map_err(rejected)?;
        let payload = Payload::parse(request.credential.payload.get()).map_err(rejected)?;
        match (payload, charge.amount.is_zero()) {
            (Payload::Proof(signature), true) => self.verify_proof(&charge, &signature, request).await,
            (Payload::Proof(_), false) | (_, true) => reject(ChargeError::ProofAndAmount),
            (Payload::Transaction(bytes), false) => self.verify_transaction(&charge, &bytes, request).await,
            (Payload::Hash(hash), false) => self.verify_hash(&charge, hash, request).await,
        }
    }

    async fn settle(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Settled, SettleError> {
        let plan = Plan::read(&plan.data).map_err(|detail| SettleError::Unknown { detail })?;
        plan.settle(&self.terms.rpc, now).await
    }

    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String> {
        Plan::read(&plan.data)?.resolve(&self.terms.rpc, now).await
    }
}

mod landed;
mod offer;
mod proof;
mod pull;
mod push;
#[cfg(test)]
mod tests;
