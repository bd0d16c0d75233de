//! [`TempoPayer`]: the buyer's half. It pays what a challenge asks within the cap that it is given; whether to pay is a
//! policy's decision.

use std::collections::BTreeMap;

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::Address;
use async_trait::async_trait;
use farthing_money::{Amount, Money};
use farthing_protocol::ports::{
    Declined, FeeBearer, PayContext, PayError, Payer, PaymentFate, Quote, SentPayment, Share, Witness,
};
use farthing_protocol::{Challenge, MethodId, PaymentProof, UnixMs};
use serde_json::value::RawValue;
use tempo_primitives::AASigned;

use super::broadcast::{self, Broadcast, Patience, Raw};
use super::compose::{self, ComposeError, Intention, Nonce};
use super::did::{self, Account};
use super::error::ChargeError;
use super::key::PrivateKey;
use super::memo::{self, Named};
use super::payload::Payload;
use super::proof;
use super::request::{ChargeRequest, Fee, Mode};
use super::rpc::TempoRpc;
use super::{METHOD, network, tokens, transaction, transfers};

/// How payments are handed over where the seller leaves the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PayMode {
    /// The seller broadcasts: nothing is paid unless the seller acts.
    #[default]
    PreferPull,
    /// We broadcast: nothing depends on the seller's node.
    PreferPush,
}

/// Pays Tempo charges from one account, on the chains that it was given.
#[derive(Debug, Clone)]
pub struct TempoPayer {
    options: TempoPayerBuilder,
    method: MethodId,
}

/// The options of a [`TempoPayer`].
#[derive(Debug, Clone)]
pub struct TempoPayerBuilder {
    key: PrivateKey,
    chains: BTreeMap<u64, TempoRpc>,
    mode: PayMode,
    client_id: Option<String>,
    fee_tokens: Vec<Address>,
}

impl TempoPayerBuilder {
    /// Pays on this chain, through this node. A challenge for any other chain is declined.
    #[must_use]
    pub fn chain(mut self, chain_id: u64, rpc: TempoRpc) -> Self {
        self.chains.insert(chain_id, rpc);
        self
    }

    /// How payments are handed over where the seller leaves the choice.
    #[must_use]
    pub const fn mode(mut self, mode: PayMode) -> Self {
        self.mode = mode;
        self
    }

    /// Names this client in the attribution memo, as a hash. Anonymous by default.
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Pays network fees in these tokens, best first; by default in the payment's own token where it can.
    #[must_use]
    pub fn fee_tokens(mut self, tokens: Vec<Address>) -> Self {
        self.fee_tokens = tokens;
        self
    }

    /// The payer.
    #[must_use]
    pub fn build(self) -> TempoPayer {
        let method = MethodId::new(METHOD).expect("`tempo` is a method identifier");
        TempoPayer { options: self, method }
    }
}

/// A challenge that can be paid, and how.
struct Reading {
    charge: ChargeRequest,
    chain_id: u64,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Pull,
    Push,
    Proof,
}

impl How {
    const fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Proof => "proof",
        }
    }
}

impl TempoPayer {
    /// Pays from `key`'s account.
    #[must_use]
    pub const fn builder(key: PrivateKey) -> TempoPayerBuilder {
        TempoPayerBuilder {
            key,
            chains: BTreeMap::new(),
            mode: PayMode::PreferPull,
            client_id: None,
            fee_tokens: Vec::new(),
        }
    }

    /// The account that pays.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.options.key.address()
    }

    fn read(&self, challenge: &Challenge) -> Result<Reading, Declined> {
        let declined = |code, why: &str| Declined { code, why: why.to_owned() };
        if challenge.method.as_str() != METHOD || challenge.intent.as_str() != "charge" {
            return Err(declined("not_tempo_charge", "it is not a charge of the method tempo"));
        }
        let charge = ChargeRequest::decode(&challenge.request)?;
        // Always said and pinned: a default would let a seller choose the chain by silence (X3).
        let chain_id = charge.chain_id.ok_or_else(|| {
            declined("chain_missing", "the challenge does not say which chain it is paid on")
        })?;
        if !self.options.chains.contains_key(&chain_id) {
            let why = format!("chain {chain_id} is not one that this wallet pays on");
            return Err(declined("chain_not_allowed", &why));
        }
        if charge.fee == Fee::Seller && !charge.amount.is_zero() && !charge.modes.allow(Mode::Pull) {
            return Err(ChargeError::SponsoredPush.into());
        }
        let how = self.how(&charge);
        Ok(Reading { charge, chain_id, how })
    }

    fn how(&self, charge: &ChargeRequest) -> How {
        if charge.amount.is_zero() {
            return How::Proof;
        }
        let (pull, push) = (charge.modes.allow(Mode::Pull), charge.modes.allow(Mode::Push));
        match (charge.fee, self.options.mode) {
            // A sponsored fee is only for transactions that the seller broadcasts (TC1).
            (Fee::Seller, _) => How::Pull,
            (Fee::Payer, PayMode::PreferPush) if push => How::Push,
            (Fee::Payer, _) if pull => How::Pull,
            (Fee::Payer, _) => How::Push,
        }
    }

    fn quoted(&self, reading: &Reading) -> Quote {
        let charge = &reading.charge;
        let share =
            |split: &super::Split| Share { recipient: split.recipient.to_string(), amount: split.amount };
        Quote {
            money: Money::new(charge.amount, tokens::asset(reading.chain_id, charge.currency)),
            recipient: charge.recipient.map_or_else(String::new, |recipient| recipient.to_string()),
            shares: charge.splits.iter().map(share).collect(),
            network: network(reading.chain_id),
            payer: self.address().to_string(),
            fee: match (reading.how, charge.fee) {
                (How::Proof, _) => FeeBearer::Nobody,
                (_, Fee::Payer) => FeeBearer::Payer,
                (_, Fee::Seller) => FeeBearer::Seller,
            },
            mode: reading.how.name(),
        }
    }

    fn proof_of_payment(&self, chain_id: u64, payload: &Payload) -> PaymentProof {
        let account = Account { chain_id, address: self.address() };
        PaymentProof {
            payload: RawValue::from_string(payload.to_json()).expect("a payload writes itself as JSON"),
            source: Some(did::format(account)),
        }
    }

    async fn transfer(
        &self,
        reading: &Reading,
        named: Named<'_>,
        limits: Limits<'_>,
    ) -> Result<PaymentProof, PayError> {
        let Reading { charge, chain_id, how } = reading;
        let rpc = self.options.chains.get(chain_id).expect("read() has found the chain");
        rpc.expect_chain(*chain_id).await.map_err(|error| failed(error.code(), error.to_string()))?;
        let attribution = memo::encode(named, self.options.client_id.as_deref());
        let intention = Intention {
            chain_id: *chain_id,
            sender: self.address(),
            token: charge.currency,
            amount: charge.amount,
            calls: transfers::calls(charge, attribution),
            fee: charge.fee,
            fee_tokens: self.options.fee_tokens.clone(),
            now: limits.now,
            valid_until: Some(limits.expires.as_secs()),
            nonce: Nonce::Expiring,
        };
        let tx = compose::compose(rpc, &intention)
            .await
            .map_err(|error| compose_failed(&self.quoted(reading), error))?;
        let signed = transaction::sign(&self.options.key, tx);
        match (charge.fee, how) {
            (Fee::Seller, _) => {
                let envelope = transaction::encode_envelope(&signed, self.address());
                Ok(self.proof_of_payment(*chain_id, &Payload::Transaction(envelope)))
            }
            (Fee::Payer, How::Push) => {
                let proof = self.proof_of_payment(*chain_id, &Payload::Hash(*signed.hash()));
                // What proves the payment is kept before there is one: after a crash it could not be shown to the seller.
                if let Some(witness) = limits.witness {
                    witness.about_to_move(&proof).await.map_err(|why| failed("proof_not_kept", why))?;
                }
                push(rpc, &signed).await?;
                Ok(proof)
            }
            (Fee::Payer, _) => {
                Ok(self.proof_of_payment(*chain_id, &Payload::Transaction(signed.encoded_2718())))
            }
        }
    }
}

/// Broadcasts. Once a transaction has left, only what the chain or a definite refusal says counts as not paid.
async fn push(rpc: &TempoRpc, signed: &AASigned) -> Result<(), PayError> {
    let (bytes, hash) = (signed.encoded_2718(), *signed.hash());
    match broadcast::broadcast(rpc, Raw { bytes: &bytes, hash }, Patience::BLOCKS).await {
        Broadcast::Included(receipt) if receipt.succeeded() => Ok(()),
        Broadcast::Included(_) => {
            Err(failed("transaction_reverted", format!("the transaction {hash} failed on the chain")))
        }
        Broadcast::Refused { why } => {
            Err(failed("transaction_refused", format!("the chain refused it: {why}")))
        }
        Broadcast::NotSent { why } => Err(failed("rpc_unavailable", why)),
        Broadcast::Lost { why } => Err(PayError::Unknown { reference: hash.to_string(), why }),
    }
}

fn compose_failed(quote: &Quote, error: ComposeError) -> PayError {
    let (asset, why) = (quote.money.asset(), error.to_string());
    match error {
        ComposeError::Insufficient { available, required } => PayError::Insufficient {
            payer: quote.payer.clone(),
            available: Money::new(available, asset.clone()),
            required: Money::new(required, asset.clone()),
        },
        ComposeError::NoFeeToken { .. } => failed("no_fee_token", why),
        ComposeError::TooLate => failed("challenge_expires_too_soon", why),
        ComposeError::WouldFail { .. } => failed("transaction_would_fail", why),
        ComposeError::Rpc(rpc) => failed(rpc.code(), why),
    }
}

#[derive(Clone, Copy)]
struct Limits<'a> {
    now: UnixMs,
    expires: UnixMs,
    witness: Option<&'a dyn Witness>,
}

const fn failed(code: &'static str, why: String) -> PayError {
    PayError::Failed { code, why }
}

/// When a challenge expires. One that never does is not paid: the transaction's end of validity comes from it (C10).
fn expiry(challenge: &Challenge) -> Result<UnixMs, Declined> {
    match challenge.expires_at() {
        Ok(Some(expires)) => Ok(expires),
        Ok(None) => Err(Declined {
            code: "expires_missing",
            why: "the challenge does not say when it expires".into(),
        }),
        Err(_) => Err(Declined {
            code: "expires_unreadable",
            why: "the challenge's `expires` is not an RFC 3339 date-time".into(),
        }),
    }
}

#[async_trait]
impl Payer for TempoPayer {
    fn method(&self) -> &MethodId {
        &self.method
    }

    fn accepts(&self) -> Vec<String> {
        vec!["tempo/charge".to_owned()]
    }

    fn quote(&self, challenge: &Challenge) -> Result<Quote, Declined> {
        let reading = self.read(challenge)?;
        expiry(challenge)?;
        Ok(self.quoted(&reading))
    }

    async fn pay(&self, challenge: &Challenge, context: PayContext) -> Result<PaymentProof, PayError> {
        let reading = self.read(challenge)?;
        let limits =
            Limits { now: context.now, expires: expiry(challenge)?, witness: context.witness.as_deref() };
        if limits.now >= limits.expires {
            let why = "the challenge has expired".to_owned();
            return Err(Declined { code: "challenge_expired", why }.into());
        }
        if reading.charge.amount > Amount::ZERO {
            context.admit(&self.quoted(&reading).money)?;
        }
        let named = Named { realm: &challenge.realm, challenge_id: &challenge.id };
        if reading.how == How::Proof {
            let signature = proof::sign(&self.options.key, reading.chain_id, named);
            return Ok(self.proof_of_payment(reading.chain_id, &Payload::Proof(signature)));
        }
        self.transfer(&reading, named, limits).await
    }

    async fn outcome(&self, payment: &SentPayment<'_>, _now: UnixMs) -> Result<PaymentFate, String> {
        // The chain's clock decides when a transaction has ended, not ours.
        self.fate_of(payment).await
    }
}

impl From<ChargeError> for PayError {
    fn from(error: ChargeError) -> Self {
        Self::Declined(error.into())
    }
}

mod outcome;
#[cfg(test)]
mod tests;
