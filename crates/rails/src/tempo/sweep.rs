//! [`Sweeper`]: moves all that an account holds of a token to one recipient. The account pays the network's fee in that very token, so
//! as much stays as the fee may take at most; where another account pays the fee, nothing stays.
//!
//! It signs before it sends, so that whoever calls it can write down what is about to happen. It keeps nothing and decides
//! nothing: whether a sweep is worth its fee is the caller's business.

use std::fmt;
use std::num::NonZeroU64;

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, U256};
use farthing_money::Amount;
use farthing_protocol::UnixMs;
use tempo_primitives::TempoTransaction;

use super::broadcast::{self, Broadcast, Patience, Raw};
use super::compose::{self, ComposeError, Intention, Nonce};
use super::fate::{self, Fate};
use super::key::PrivateKey;
use super::receipt::TxReceipt;
use super::request::Fee;
use super::rpc::{RpcError, TempoRpc};
use super::transaction::{self, SignedCharge};
use super::transfers::{self, MovedTransfer};
use super::wallet::{self, Sent, Transfer, WalletError};
use super::{sponsor, tokens};

/// How much gas a sweep is given room for, one after the other: the usual, the first transfer that a recipient ever gets, and the
/// most that anybody asks for.
const ROOM_GAS: [u64; 3] = [100_000, 400_000, 1_000_000];

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// The token.
    pub token: Address,
    /// The account that is emptied of it.
    pub from: Address,
    /// Who receives.
    pub to: Address,
}

/// What a sweep would move, and cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// What the account holds.
    pub held: Amount,
    /// What would arrive. Nothing, when the fee may take all of it.
    pub moved: Amount,
    /// The most that the fee takes. What it takes less stays with whoever pays it.
    pub fee: Amount,
    /// In which token.
    pub fee_token: Address,
}

/// A signed sweep that was not sent yet. `Debug` shows its hash only: whoever has the rest can send it.
#[derive(Clone)]
pub struct SignedSweep {
    sweep: Sweep,
    quote: Quote,
    raw: Vec<u8>,
    hash: B256,
    valid_before: u64,
}

impl fmt::Debug for SignedSweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedSweep({})", self.hash)
    }
}

impl SignedSweep {
    /// What it moves and costs.
    #[must_use]
    pub const fn quote(&self) -> Quote {
        self.quote
    }

    /// The hash that the chain will know it by.
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// No block takes it from this time on, in Unix seconds.
    #[must_use]
    pub const fn valid_before(&self) -> u64 {
        self.valid_before
    }
}

/// A sweep that the chain executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// The transaction, and its block.
    pub sent: Sent,
    /// What the fee took, where the node shows it.
    pub fee: Option<Amount>,
}

/// A sweep that was signed before, by what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What it was to do.
    pub sweep: Sweep,
    /// How much it was to move.
    pub moved: Amount,
    /// Its hash.
    pub hash: B256,
    /// The end of its validity, in Unix seconds.
    pub valid_before: u64,
}

/// What became of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepFate {
    /// It was executed, and the money moved.
    Made(Swept),
    /// It was executed and failed: nothing moved but its fee.
    Reverted,
    /// It is not in a block, and one may still take it.
    Open,
    /// It ended without being executed, for good.
    Gone,
    /// It can no longer be executed, and the node does not tell whether it was.
    Unclear {
        /// What is in the way.
        why: String,
    },
}

/// Sweeps accounts of one chain.
#[derive(Debug, Clone)]
pub struct Sweeper {
    chain_id: u64,
    rpc: TempoRpc,
    fee_payer: Option<PrivateKey>,
}

/// A transaction that is not signed yet.
struct Draft {
    quote: Quote,
    tx: TempoTransaction,
}

impl Sweeper {
    /// On a chain; each account pays its fee itself.
    #[must_use]
    pub const fn new(chain_id: u64, rpc: TempoRpc) -> Self {
        Self { chain_id, rpc, fee_payer: None }
    }

    /// The same, with all fees paid by `key`'s account.
    #[must_use]
    pub fn with_fee_payer(self, key: PrivateKey) -> Self {
        Self { fee_payer: Some(key), ..self }
    }

    /// The account that pays the fees, where it is another one.
    #[must_use]
    pub fn fee_payer(&self) -> Option<Address> {
        self.fee_payer.as_ref().map(PrivateKey::address)
    }

    /// What a sweep would move and cost now. Signs nothing, and needs no key.
    ///
    /// # Errors
    /// [`WalletError::Insufficient`] when nothing is there to pay the fee with, [`WalletError::Refused`] when it would fail,
    /// [`WalletError::Rpc`].
    pub async fn quote(&self, sweep: Sweep, now: UnixMs) -> Result<Quote, WalletError> {
        match self.draft(sweep, now).await? {
            Ok(draft) => Ok(draft.quote),
            Err(quote) => Ok(quote),
        }
    }

    /// Signs a sweep of what is there now with the account's key. Sends nothing.
    ///
    /// # Errors
    /// As [`Sweeper::quote`]; [`WalletError::Insufficient`] also when nothing would arrive.
    pub async fn sign(
        &self,
        key: &PrivateKey,
        sweep: Sweep,
        now: UnixMs,
    ) -> Result<SignedSweep, WalletError> {
        let sweep = Sweep { from: key.address(), ..sweep };
        let Draft { quote, tx } = self.draft(sweep, now).await?.map_err(|quote| {
            let why = format!("what is there does not pay its fee of at most {} base units", quote.fee);
            WalletError::Insufficient { why }
        })?;
        let valid_before = tx.valid_before.map_or(0, NonZeroU64::get);
        let signed = transaction::sign(key, tx);
        let signed = match &self.fee_payer {
            None => signed,
            Some(payer) => {
                let signed = SignedCharge::from_signed(signed, None)
                    .map_err(|error| WalletError::Refused { why: error.to_string() })?;
                sponsor::cosign(&signed, payer, quote.fee_token)
            }
        };
        Ok(SignedSweep { sweep, quote, raw: signed.encoded_2718(), hash: *signed.hash(), valid_before })
    }

    /// Sends a sweep and waits until it is in a block.
    ///
    /// # Errors
    /// [`WalletError::Refused`] when it failed or was not taken, [`WalletError::NotSent`]; [`WalletError::Unknown`] when it may
    /// have happened.
    pub async fn send(&self, signed: &SignedSweep) -> Result<Swept, WalletError> {
        let raw = Raw { bytes: &signed.raw, hash: signed.hash };
        let receipt = match broadcast::broadcast(&self.rpc, raw, Patience::BLOCKS).await {
            Broadcast::Included(receipt) => receipt,
            Broadcast::Refused { why } => return Err(WalletError::Refused { why }),
            Broadcast::NotSent { why } => return Err(WalletError::NotSent { why }),
            Broadcast::Lost { why } => return Err(WalletError::Unknown { hash: signed.hash, why }),
        };
        let known = Known {
            sweep: signed.sweep,
            moved: signed.quote.moved,
            hash: signed.hash,
            valid_before: signed.valid_before,
        };
        match judge(&receipt, &known) {
            SweepFate::Made(swept) => Ok(swept),
            SweepFate::Reverted => {
                Err(WalletError::Refused { why: "the transfer failed on the chain".to_owned() })
            }
            SweepFate::Unclear { why } => Err(WalletError::Unknown { hash: signed.hash, why }),
            SweepFate::Open | SweepFate::Gone => {
                let why = "its receipt says nothing".to_owned();
                Err(WalletError::Unknown { hash: signed.hash, why })
            }
        }
    }

    /// What became of a sweep that was signed before.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn fate(&self, known: &Known) -> Result<SweepFate, RpcError> {
        self.rpc.expect_chain(self.chain_id).await?;
        Ok(match fate::of(&self.rpc, known.hash, known.valid_before).await? {
            Fate::Included(receipt) => judge(&receipt, known),
            Fate::Open | Fate::Closing => SweepFate::Open,
            Fate::Gone => SweepFate::Gone,
            Fate::Forgotten => {
                SweepFate::Unclear { why: "the node shows no receipts of that time".to_owned() }
            }
        })
    }

    /// The transaction, or what is there when the fee may take all of it.
    async fn draft(&self, sweep: Sweep, now: UnixMs) -> Result<Result<Draft, Quote>, WalletError> {
        self.rpc.expect_chain(self.chain_id).await?;
        let held =
            Amount::from_base(self.rpc.balance(sweep.token, sweep.from).await?.saturating_to::<u128>());
        if held.is_zero() {
            return Ok(Err(Quote { held, moved: held, fee: Amount::ZERO, fee_token: sweep.token }));
        }
        let drafted = if self.fee_payer.is_some() {
            self.paid_by_another(sweep, held, now).await.map(Ok)?
        } else if tokens::pays_fees(sweep.token) {
            self.paid_in_the_token(sweep, held, now).await?
        } else {
            let tx = self.compose(sweep, (held, Fee::Payer), (now, Vec::new())).await?;
            Ok(self.with_fee(&tx, (held, held)))
        };
        let Ok(draft) = drafted else { return Ok(drafted) };
        // Not every node's estimate sees a failure, and a transfer that fails on the chain costs its fee.
        match self.rpc.simulate(sweep.from, &draft.tx).await {
            Ok(()) => Ok(Ok(draft)),
            Err(RpcError::Rejected { message, .. }) => Err(WalletError::Refused { why: message }),
            Err(error) => Err(error.into()),
        }
    }

    /// The fee comes out of what is swept: room is left for it, and then exactly what it may take.
    async fn paid_in_the_token(
        &self,
        sweep: Sweep,
        held: Amount,
        now: UnixMs,
    ) -> Result<Result<Draft, Quote>, WalletError> {
        let price = compose::price(self.rpc.head().await?);
        let mut most = Amount::ZERO;
        for gas in ROOM_GAS {
            most = sponsor::fee_bound(gas, price);
            let Some(first) = held.checked_sub(most).ok().filter(|first| !first.is_zero()) else { break };
            let tx = match self.compose(sweep, (first, Fee::Payer), (now, vec![sweep.token])).await {
                Ok(tx) => tx,
                Err(ComposeError::Insufficient { .. } | ComposeError::NoFeeToken { .. }) => continue,
                Err(error) => return Err(wallet::composed(error)),
            };
            let Ok(moved) = held.checked_sub(sponsor::max_fee(&tx)) else { continue };
            let tx = TempoTransaction { calls: vec![call(sweep, moved)], ..tx };
            return Ok(Ok(self.with_fee(&tx, (held, moved))));
        }
        Ok(Err(Quote { held, moved: Amount::ZERO, fee: most, fee_token: sweep.token }))
    }

    /// The fee comes from the account that pays all of them.
    async fn paid_by_another(&self, sweep: Sweep, held: Amount, now: UnixMs) -> Result<Draft, WalletError> {
        let tx = self.compose(sweep, (held, Fee::Seller), (now, Vec::new())).await?;
        let mut draft = self.with_fee(&tx, (held, held));
        let Some(payer) = self.fee_payer() else { return Ok(draft) };
        let usual = tokens::default_fee_tokens(self.chain_id).iter().copied();
        let own = std::iter::once(sweep.token).filter(|token| tokens::pays_fees(*token));
        for token in usual.chain(own) {
            if self.rpc.balance(token, payer).await? >= U256::from(draft.quote.fee.base()) {
                draft.quote.fee_token = token;
                return Ok(draft);
            }
        }
        let why = format!("the account {payer} that pays the fees holds too little of every fee token");
        Err(WalletError::Insufficient { why })
    }

    async fn compose(
        &self,
        sweep: Sweep,
        (amount, fee): (Amount, Fee),
        (now, fee_tokens): (UnixMs, Vec<Address>),
    ) -> Result<TempoTransaction, ComposeError> {
        let intention = Intention {
            chain_id: self.chain_id,
            sender: sweep.from,
            token: sweep.token,
            amount,
            calls: vec![call(sweep, amount)],
            fee,
            fee_tokens,
            now,
            valid_until: None,
            nonce: Nonce::Expiring,
        };
        compose::compose(&self.rpc, &intention).await
    }

    fn with_fee(&self, tx: &TempoTransaction, (held, moved): (Amount, Amount)) -> Draft {
        let fee_token = tx.fee_token.unwrap_or(tokens::PATH_USD);
        Draft { quote: Quote { held, moved, fee: sponsor::max_fee(tx), fee_token }, tx: tx.clone() }
    }
}

impl From<ComposeError> for WalletError {
    fn from(error: ComposeError) -> Self {
        wallet::composed(error)
    }
}

fn call(sweep: Sweep, amount: Amount) -> tempo_primitives::transaction::Call {
    wallet::call(&Transfer { token: sweep.token, to: sweep.to, amount, memo: None })
}

/// What a receipt says. Money that has left is never called lost: where the node does not show where it went, that is said.
fn judge(receipt: &TxReceipt, known: &Known) -> SweepFate {
    if !receipt.succeeded() {
        return SweepFate::Reverted;
    }
    let Sweep { token, from, to } = known.sweep;
    let wanted = MovedTransfer { recipient: to, amount: U256::from(known.moved.base()), memo: None };
    let moved = transfers::of_logs(&receipt.logs, token, Some(from));
    if !moved.contains(&wanted) {
        let why = format!("the node shows no transfer to {to} in the transaction that it executed");
        return SweepFate::Unclear { why };
    }
    let block = receipt.block_number.map(|number| number.to::<u64>());
    // Whatever else left the account in this transaction is the fee; where another account pays it, nothing did.
    let sum = moved.iter().fold(U256::ZERO, |sum, it| sum.saturating_add(it.amount));
    let fee = sum.saturating_sub(wanted.amount).saturating_to::<u128>();
    let fee = (fee > 0).then(|| Amount::from_base(fee));
    SweepFate::Made(Swept { sent: Sent { hash: known.hash, block }, fee })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, U64, U256};
    use alloy_sol_types::SolEvent;
    use farthing_money::Amount;

    use super::{Known, Sweep, SweepFate, judge};
    use crate::tempo::abi::Tip20;
    use crate::tempo::receipt::{Log, TxReceipt};
    use crate::tempo::tokens::{ALPHA_USD, PATH_USD};

    const FROM: Address = Address::repeat_byte(0xaa);
    const TO: Address = Address::repeat_byte(0xbb);
    const FEES: Address = Address::repeat_byte(0xfe);

    fn log(token: Address, to: Address, base: u64) -> Log {
        let event = Tip20::Transfer { from: FROM, to, amount: U256::from(base) };
        let data = event.encode_log_data();
        Log { address: token, topics: data.topics().to_vec(), data: data.data }
    }

    #[test]
    fn only_a_receipt_that_shows_the_transfer_is_a_sweep() {
        let known = Known {
            sweep: Sweep { token: PATH_USD, from: FROM, to: TO },
            moved: Amount::from_base(90),
            hash: B256::repeat_byte(1),
            valid_before: 0,
        };
        let sweep = log(PATH_USD, TO, 90);
        let cases = [
            (1, vec![sweep.clone()], "made without a fee of its own"),
            (1, vec![sweep.clone(), log(PATH_USD, FEES, 4)], "made for 4"),
            (1, vec![sweep.clone(), log(ALPHA_USD, FEES, 4)], "made without a fee of its own"),
            (1, vec![], "unclear"),
            (1, vec![log(PATH_USD, TO, 89)], "unclear"),
            (1, vec![log(ALPHA_USD, TO, 90)], "unclear"),
            (1, vec![log(PATH_USD, FEES, 90)], "unclear"),
            (0, vec![sweep], "reverted"),
        ];
        for (status, logs, expected) in cases {
            let receipt = TxReceipt {
                transaction_hash: known.hash,
                status: U64::from(status),
                from: FROM,
                block_number: None,
                logs,
            };
            let said = match judge(&receipt, &known) {
                SweepFate::Made(swept) => swept.fee.map_or_else(
                    || "made without a fee of its own".to_owned(),
                    |fee| format!("made for {fee}"),
                ),
                SweepFate::Unclear { .. } => "unclear".to_owned(),
                SweepFate::Reverted => "reverted".to_owned(),
                other => format!("{other:?}"),
            };
            assert_eq!(said, expected, "{receipt:?}");
        }
    }
}
