//! What became of a payment, as the chain tells it: nothing is sent, and no key is needed. What was kept of the payment is read
//! as a stranger's.
//!
//! A payment that its sender completed is found by its hash. One whose fee the seller pays gets its hash from the seller, so it
//! is found by what it moves: the token's logs name sender and memo, and the memo names the challenge.

use alloy_primitives::{Address, B256, U256};
use farthing_protocol::ports::{PaymentFate, SentPayment};
use farthing_protocol::{Credential, EncodedJson, UnixMs};
use serde_json::json;

use super::TempoPayer;
use crate::tempo::fate::{self, Fate, GRACE_S};
use crate::tempo::logs;
use crate::tempo::memo::{self, Attribution, Named};
use crate::tempo::payload::Payload;
use crate::tempo::receipt::TxReceipt;
use crate::tempo::request::ChargeRequest;
use crate::tempo::rpc::{RpcError, TempoRpc};
use crate::tempo::transaction::SignedCharge;
use crate::tempo::{METHOD, did, history, network, transfers};

/// Seconds before its end of validity that a transaction with an expiring nonce can be included at the earliest: longer than
/// any chain allows.
const LONGEST_WINDOW_S: u64 = 1_000;

const ENDED: &str = "the transaction ended without being executed";

/// What was paid, by whom, on which chain.
struct Sent<'a> {
    rpc: &'a TempoRpc,
    chain_id: u64,
    payer: Address,
}

/// What a credential says of the payment in it.
struct Told<'a> {
    charge: ChargeRequest,
    named: Named<'a>,
    /// Nothing that was signed for the challenge is valid from this second on.
    expires_s: u64,
}

/// What a search for a memo brought.
enum Search {
    Found(B256),
    /// And no block can bring it any more.
    Nothing,
    NothingYet,
}

impl TempoPayer {
    /// What became of a payment.
    ///
    /// # Errors
    /// A sentence for people: the node is silent or forgetful, or the payment is none of this rail.
    pub(super) async fn fate_of(&self, payment: &SentPayment<'_>) -> Result<PaymentFate, String> {
        let (chain_id, rpc) = self
            .options
            .chains
            .iter()
            .find(|(chain_id, _)| network(**chain_id) == payment.network)
            .ok_or_else(|| format!("{} is not a network that this wallet pays on", payment.network))?;
        let payer = did::parse_address(payment.payer).ok_or("the paying account is not an address")?;
        let sent = Sent { rpc, chain_id: *chain_id, payer };
        let Some(credential) = &payment.credential else {
            return sent.by_reference(payment.reference).await;
        };
        let told = told(credential, *chain_id)?;
        match Payload::parse(credential.payload.get()).map_err(|error| error.to_string())? {
            Payload::Proof(_) => Ok(cannot_move("a proof of identity moves no money")),
            Payload::Hash(hash) => sent.pushed(hash, &told).await,
            Payload::Transaction(bytes) => {
                let signed = SignedCharge::decode(&bytes).map_err(|error| error.to_string())?;
                sent.pulled(&signed, &told).await
            }
        }
    }
}

fn told<'a>(credential: &'a Credential<'_>, chain_id: u64) -> Result<Told<'a>, String> {
    let challenge = &credential.challenge;
    if challenge.method != METHOD || challenge.intent != "charge" {
        return Err("it is no payment of the method tempo".to_owned());
    }
    let encoded = EncodedJson::from_wire(challenge.request.clone().into_owned(), "request");
    let charge = encoded
        .map_err(|error| error.to_string())
        .and_then(|encoded| ChargeRequest::decode(&encoded).map_err(|error| error.to_string()))?;
    if charge.chain_id != Some(chain_id) {
        return Err("it was to be paid on another chain".to_owned());
    }
    let expires = challenge.expires.as_deref().and_then(|text| UnixMs::parse(text).ok());
    Ok(Told {
        charge,
        named: Named { realm: &challenge.realm, challenge_id: &challenge.id },
        // A payment of ours never outlives its challenge; one whose end is not known never ends.
        expires_s: expires.map_or(u64::MAX, UnixMs::as_secs),
    })
}

impl Sent<'_> {
    /// Only the hash was kept, and not until when the transaction is valid.
    async fn by_reference(&self, reference: Option<&str>) -> Result<PaymentFate, String> {
        let hash = reference.and_then(did::parse_word).ok_or("nothing was kept that tells the payment")?;
        self.check_node().await?;
        match self.rpc.receipt(hash).await.map_err(said)? {
            Some(receipt) if !receipt.succeeded() => Ok(reverted()),
            Some(receipt) if receipt.from == self.payer => Ok(moved(hash)),
            Some(_) => Err(format!("the transaction {hash} is not from {}", self.payer)),
            None => Ok(PaymentFate::Pending),
        }
    }

    async fn pushed(&self, hash: B256, told: &Told<'_>) -> Result<PaymentFate, String> {
        self.by_hash(hash, told.expires_s, told).await
    }

    async fn pulled(&self, signed: &SignedCharge, told: &Told<'_>) -> Result<PaymentFate, String> {
        if signed.sender() != self.payer {
            return Err(format!("the transaction was signed by {}, not by {}", signed.sender(), self.payer));
        }
        if signed.tx().chain_id != self.chain_id {
            return Err("the transaction is for another chain".to_owned());
        }
        // Without an end it can be sent for ever; the challenge's expiry binds the seller, not whoever has the bytes.
        let valid_before = signed.tx().valid_before.map_or(u64::MAX, std::num::NonZeroU64::get);
        let Some(hash) = signed.hash() else {
            // Any other nonce has no beginning from which it would have to be looked for.
            let bounded = signed.tx().is_expiring_nonce_tx();
            return Ok(match self.by_memo(signed, valid_before, told).await? {
                Search::Found(hash) => moved(hash),
                Search::Nothing if bounded => cannot_move(ENDED),
                Search::Nothing | Search::NothingYet => PaymentFate::Pending,
            });
        };
        match self.by_hash(hash, valid_before, told).await? {
            // A signature can be spelled in several ways, and the hash covers its spelling: what was moved is looked for too
            // before the money is given up.
            PaymentFate::CannotMove { why } if why == ENDED => {
                Ok(match self.by_memo(signed, valid_before, told).await? {
                    Search::Found(hash) => moved(hash),
                    Search::Nothing => cannot_move(ENDED),
                    Search::NothingYet => PaymentFate::Pending,
                })
            }
            fate => Ok(fate),
        }
    }

    async fn by_hash(&self, hash: B256, valid_before: u64, told: &Told<'_>) -> Result<PaymentFate, String> {
        self.check_node().await?;
        match fate::of(self.rpc, hash, valid_before).await.map_err(said)? {
            Fate::Included(receipt) if !receipt.succeeded() => Ok(reverted()),
            Fate::Included(receipt) => self.shown(&receipt, told).map(|()| moved(hash)),
            Fate::Open | Fate::Closing => Ok(PaymentFate::Pending),
            Fate::Gone => Ok(cannot_move(ENDED)),
            Fate::Forgotten => Err(forgotten()),
        }
    }

    /// A status alone proves nothing: the logs must show that our money moved for this challenge, wherever a policy of the
    /// recipient's then sent it. They show the fee, too.
    fn shown(&self, receipt: &TxReceipt, told: &Told<'_>) -> Result<(), String> {
        let ours = transfers::of_logs(&receipt.logs, told.charge.currency, Some(self.payer));
        let names = |what| {
            ours.iter()
                .filter_map(|moved| moved.memo)
                .any(|memo| memo::attribution(&memo, told.named) == what)
        };
        let amount = U256::from(told.charge.primary_amount().base());
        if names(Attribution::Ours) {
            Ok(())
        } else if names(Attribution::Another) {
            Err("the transaction pays another challenge".to_owned())
        } else if ours.iter().any(|moved| moved.amount == amount) {
            Ok(())
        } else {
            Err(format!("the node shows no such payment of {}'s in the transaction", self.payer))
        }
    }

    /// Whoever pays the fee completes the transaction and so names it. Its memo is the sender's own.
    async fn by_memo(
        &self,
        signed: &SignedCharge,
        valid_before: u64,
        told: &Told<'_>,
    ) -> Result<Search, String> {
        let (currency, named) = (told.charge.currency, told.named);
        let calls = transfers::of_calls(&signed.tx().calls, currency).map_err(|error| error.to_string())?;
        let ours = |memo: &B256| memo::attribution(memo, named) == Attribution::Ours;
        let memo = calls.iter().filter_map(|call| call.memo).find(ours);
        let memo = memo.ok_or("the transaction does not name its challenge: it cannot be found again")?;
        self.check_node().await?;
        // Before the search, or a block in between would be missed.
        let newest = self.rpc.block(json!("latest")).await.map_err(said)?.ok_or_else(forgotten)?;
        let since = valid_before.min(newest.timestamp.to::<u64>()).saturating_sub(LONGEST_WINDOW_S);
        let over = newest.timestamp.to::<u64>() >= valid_before.saturating_add(GRACE_S);
        let Some(first) = history::kept_since(self.rpc, since).await.map_err(said)? else {
            return Err(forgotten());
        };
        let end = valid_before.saturating_add(GRACE_S);
        let last = if over {
            history::block_before(self.rpc, end).await.map_err(said)?
        } else {
            newest.number.map(|number| number.to::<u64>())
        };
        let wanted = logs::Search { token: currency, from: self.payer, memo: Some(memo) };
        let found = logs::search(self.rpc, wanted, first..=last.unwrap_or(u64::MAX)).await;
        Ok(match found.map_err(said)?.first() {
            Some(logged) => Search::Found(logged.hash),
            None if over => Search::Nothing,
            None => Search::NothingYet,
        })
    }

    async fn check_node(&self) -> Result<(), String> {
        self.rpc.expect_chain(self.chain_id).await.map_err(said)
    }
}

fn moved(hash: B256) -> PaymentFate {
    PaymentFate::Moved { reference: hash.to_string() }
}

fn cannot_move(why: &str) -> PaymentFate {
    PaymentFate::CannotMove { why: why.to_owned() }
}

fn reverted() -> PaymentFate {
    cannot_move("the transaction failed on the chain, and no transaction is executed twice")
}

fn forgotten() -> String {
    "the node does not show what happened at the time of this payment: ask one that keeps receipts and logs for longer"
        .to_owned()
}

#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
fn said(error: RpcError) -> String {
    error.to_string()
}
