//! [`TempoCharge`]: the seller's half. Every check is made before anything is signed or broadcast; what needs no node comes
//! first, so that nonsense costs nothing.

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, U256, keccak256};
use async_trait::async_trait;
use farthing_money::{Amount, Asset, Money};
use farthing_protocol::ports::{
    ClaimKey, OfferError, Price, Resolution, SettleError, Settled, SettlementPlan, Verified, Verifier,
    VerifyError, VerifyRequest,
};
use farthing_protocol::{Credential, EncodedJson, Intent, MethodId, Problem, UnixMs};

use super::broadcast::{self, Broadcast, Patience};
use super::did::{self, Account};
use super::error::ChargeError;
use super::keychain::{self, AccessKey};
use super::memo::Named;
use super::payload::Payload;
use super::proof::{self, Prover, Signer};
use super::request::{ChargeRequest, Fee, Mode, Modes, Split};
use super::rpc::{RpcError, TempoRpc};
use super::settle::{How, Plan, Pull};
use super::sponsor::{self, Sponsorship};
use super::transaction::{Against, SignedCharge, Sponsored};
use super::{METHOD, simulate, tokens};

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

    fn request(&self, price: &Price) -> Result<ChargeRequest, OfferError> {
        if price.money.asset() != &self.asset {
            return Err(OfferError::WrongAsset {
                takes: self.asset.code().to_owned(),
                given: price.money.asset().code().to_owned(),
            });
        }
        let zero = price.money.amount().is_zero();
        let sponsored = self.terms.sponsorship.is_some() && !zero;
        let request = ChargeRequest {
            amount: price.money.amount(),
            currency: self.terms.token,
            recipient: Some(self.terms.recipient),
            description: price.description.clone(),
            external_id: price.external_id.clone(),
            chain_id: Some(self.terms.chain_id),
            fee: if sponsored { Fee::Seller } else { Fee::Payer },
            splits: if zero { Vec::new() } else { self.terms.splits.clone() },
            modes: match (zero, sponsored) {
                (true, _) => Modes::Both,
                (false, true) => Modes::Only(Mode::Pull),
                (false, false) => self.terms.modes,
            },
        };
        request
            .check()
            .map_err(|error| OfferError::BadTerms { code: error.code(), why: error.to_string() })?;
        Ok(request)
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
        let digest = keccak256(proof::canonical(signature));
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
        let plan = Plan { how, external_id: charge.external_id.clone() };
        Verified {
            keys,
            payer: Some(did::format(Account { chain_id: self.terms.chain_id, address: payer })),
            paid: Money::new(charge.amount, self.asset.clone()),
            reservation: None,
            plan: SettlementPlan { rail: self.rail.clone(), data: plan.to_value() },
        }
    }

    async fn verify_transaction(
        &self,
        charge: &ChargeRequest,
        bytes: &[u8],
        request: VerifyRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        let credential = request.credential;
        if !charge.modes.allow(Mode::Pull) {
            return reject(ChargeError::ModeNotOffered { mode: "pull" });
        }
        let signed = SignedCharge::decode(bytes).map_err(rejected)?;
        let sender = signed.sender();
        if self.source(credential).map_err(rejected)?.is_some_and(|source| source != sender) {
            return reject(ChargeError::SourceDiffers);
        }
        let named = named(credential);
        let against = Against {
            charge,
            named,
            chain_id: self.terms.chain_id,
            expires: request.expires,
            now: request.now,
        };
        if let (Some(sponsorship), Sponsored::Asked) = (&self.terms.sponsorship, signed.sponsored()) {
            sponsorship.policy.check(&signed, request.now).map_err(rejected)?;
        }
        signed.check(against).map_err(rejected)?;
        self.check_on_chain(charge, &signed, request.now).await?;

        let mut keys = self.transaction_keys(&signed);
        let mut reservation = None;
        let (raw, hash) = match (&self.terms.sponsorship, signed.sponsored()) {
            (Some(sponsorship), Sponsored::Asked) => {
                let token = self.fee_token(sponsorship, &signed).await?;
                let complete = sponsor::cosign(&signed, &sponsorship.key, token);
                simulate::cosigned(&self.terms.rpc, &complete, sender)
                    .await
                    .map_err(unavailable)?
                    .map_err(rejected)?;
                reservation = Some(sponsorship.reservation(complete.tx()));
                keys.push(self.tx_key(*complete.hash()));
                (complete.encoded_2718(), *complete.hash())
            }
            (None, Sponsored::Asked) => return reject(ChargeError::SponsorNotOffered),
            (_, Sponsored::No) => {
                let hash = signed.hash().expect("an unsponsored transaction is complete");
                (signed.to_bytes(), hash)
            }
        };
        let how = How::Pull(Pull {
            raw: format!("0x{}", hex::encode(raw)),
            hash,
            payer: sender,
            valid_before: signed.tx().valid_before.map_or(0, std::num::NonZeroU64::get),
            request: charge.to_json(),
            realm: named.realm.to_owned(),
            challenge_id: named.challenge_id.to_owned(),
        });
        Ok(Verified { reservation, ..self.verified(charge, sender, keys, how) })
    }

    /// What needs a node: that it serves the chain, that the access key may sign, the balance, and a simulation.
    async fn check_on_chain(
        &self,
        charge: &ChargeRequest,
        signed: &SignedCharge,
        now: UnixMs,
    ) -> Result<(), VerifyError> {
        let rpc = &self.terms.rpc;
        rpc.expect_chain(self.terms.chain_id).await.map_err(unavailable)?;
        if let Some(key) = signed.access_key() {
            let access = AccessKey { account: signed.sender(), key };
            keychain::check(rpc, access, now).await.map_err(unavailable)?.map_err(rejected)?;
        }
        let (balance, simulated) = tokio::join!(
            rpc.balance(charge.currency, signed.sender()),
            rpc.simulate(signed.sender(), signed.tx()),
        );
        let (available, required) = (balance.map_err(unavailable)?, U256::from(charge.amount.base()));
        if available < required {
            return reject(ChargeError::Insufficient { available, required });
        }
        match simulated {
            Ok(()) => Ok(()),
            Err(RpcError::Rejected { message, .. }) => reject(ChargeError::WouldRevert { why: message }),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// The first fee token of which the sponsor holds the most that the transaction can cost (TC7).
    async fn fee_token(
        &self,
        sponsorship: &Sponsorship,
        signed: &SignedCharge,
    ) -> Result<Address, VerifyError> {
        let needed = U256::from(sponsor::max_fee(signed.tx()).base());
        for token in &sponsorship.fee_tokens {
            let held =
                self.terms.rpc.balance(*token, sponsorship.key.address()).await.map_err(unavailable)?;
            if held >= needed {
                return Ok(*token);
            }
        }
        Err(VerifyError::Unavailable {
            detail: format!(
                "the fee payer {} holds too little of every fee token",
                sponsorship.key.address()
            ),
        })
    }

    async fn verify_hash(
        &self,
        charge: &ChargeRequest,
        hash: B256,
        request: VerifyRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        if charge.fee == Fee::Seller {
            return reject(ChargeError::SponsoredPush);
        }
        if !charge.modes.allow(Mode::Push) {
            return reject(ChargeError::ModeNotOffered { mode: "push" });
        }
        let source = self.source(request.credential).map_err(rejected)?;
        let rpc = &self.terms.rpc;
        rpc.expect_chain(self.terms.chain_id).await.map_err(unavailable)?;
        let unseen = "the transaction is not on the chain yet".to_owned();
        let receipt = match broadcast::wait(rpc, hash, Patience::LAG, unseen).await {
            Broadcast::Included(receipt) => receipt,
            Broadcast::Lost { why } | Broadcast::Refused { why } | Broadcast::NotSent { why } => {
                return Err(VerifyError::Unavailable { detail: why });
            }
        };
        let payer = source.unwrap_or(receipt.from);
        match receipt.check(charge, named(request.credential), payer) {
            Ok(()) => {}
            // The money has moved, for another challenge: a fresh challenge would only make somebody pay again.
            Err(ChargeError::MemoOfAnother) => return Err(VerifyError::Replayed),
            Err(error) => return reject(error),
        }
        Ok(self.verified(charge, payer, vec![self.tx_key(hash)], How::Push { hash }))
    }

    async fn verify_proof(
        &self,
        charge: &ChargeRequest,
        signature: &[u8],
        request: VerifyRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        let credential = request.credential;
        let account =
            self.source(credential).map_err(rejected)?.ok_or_else(|| rejected(ChargeError::SourceMissing))?;
        let prover = Prover { account, chain_id: self.terms.chain_id };
        match proof::verify(prover, named(credential), signature).map_err(rejected)? {
            Signer::Account => {}
            Signer::AccessKey(key) => {
                let rpc = &self.terms.rpc;
                rpc.expect_chain(self.terms.chain_id).await.map_err(unavailable)?;
                let access = AccessKey { account, key };
                keychain::check(rpc, access, request.now).await.map_err(unavailable)?.map_err(rejected)?;
            }
        }
        let challenge_id = credential.challenge.id.clone().into_owned();
        let keys = vec![self.proof_key(&challenge_id, account, signature)];
        Ok(self.verified(charge, account, keys, How::Proof { challenge_id }))
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

#[cfg(test)]
mod tests;
