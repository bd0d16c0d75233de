//! [`TempoRefunder`]: gives payments back as transfers from an account of the seller's. It decides nothing: which claims are
//! given back, and when, is the gate's business.
//!
//! Three things keep money from leaving twice, and none of them is the store:
//! - every refund carries a memo that only its claim has, and is looked for on the chain before one is signed;
//! - every refund carries the account's next nonce, read before that look, so that of all refunds that any number of gateways
//!   sign at the same time the chain executes one; the others are made later, when it can be seen;
//! - no refund is signed anew before the one before it is on the chain, or can never be.
//!
//! The budget of a day is held the same way: what was given back in the last 24 hours is counted on the chain, and two refunds
//! that would exceed it together have the same nonce. The account's balance is the last bound: fund it with no more than may be
//! lost.

pub mod memo;
mod past;
mod plan;

use std::sync::{Arc, Mutex, PoisonError};

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::SolCall;
use async_trait::async_trait;
use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    RefundError, RefundRequest, Refunder, Resolution, SettleError, Settled, SettlementPlan,
};
use tempo_primitives::transaction::Call;

use self::past::Question;
use self::plan::{Plan, Transfer};
use super::abi::Tip20;
use super::compose::{self, ComposeError, Intention, Nonce};
use super::key::PrivateKey;
use super::request::Fee;
use super::rpc::{RpcError, TempoRpc};
use super::{did, tokens, transaction};

/// Gives payments of one rail back, in the token that was paid, from one account on one chain. Clones are one refunder.
#[derive(Debug, Clone)]
pub struct TempoRefunder {
    terms: TempoRefunderBuilder,
    rail: String,
    line: Arc<Mutex<Option<InLine>>>,
}

/// The terms of a [`TempoRefunder`].
#[derive(Debug, Clone)]
pub struct TempoRefunderBuilder {
    chain_id: u64,
    rpc: TempoRpc,
    key: PrivateKey,
    budget_per_day: Amount,
    rail: Option<String>,
    fee_tokens: Vec<Address>,
}

/// A refund of this process that is on its way, so that no second one is signed in vain.
#[derive(Debug, Clone, Copy)]
struct InLine {
    nonce: u64,
    valid_before: u64,
}

impl TempoRefunderBuilder {
    /// Names the rail whose payments are given back; `tempo:<chainId>` by default, as the rail itself.
    #[must_use]
    pub fn rail(mut self, name: impl Into<String>) -> Self {
        self.rail = Some(name.into());
        self
    }

    /// Pays network fees in these tokens, best first; by default in the refund's own token where it can.
    #[must_use]
    pub fn fee_tokens(mut self, tokens: Vec<Address>) -> Self {
        self.fee_tokens = tokens;
        self
    }

    /// The refunder.
    #[must_use]
    pub fn build(self) -> TempoRefunder {
        let rail = self.rail.clone().unwrap_or_else(|| format!("tempo:{}", self.chain_id));
        TempoRefunder { terms: self, rail, line: Arc::default() }
    }
}

/// What is to be sent to whom.
struct Refund {
    payer: Address,
    token: Address,
    amount: Amount,
    memo: B256,
    settled_s: u64,
}

impl TempoRefunder {
    /// Gives back from `key`'s account on a chain, at most `budget_per_day` of each token in 24 hours, network fees aside.
    #[must_use]
    pub const fn builder(
        chain_id: u64,
        rpc: TempoRpc,
        key: PrivateKey,
        budget_per_day: Amount,
    ) -> TempoRefunderBuilder {
        TempoRefunderBuilder { chain_id, rpc, key, budget_per_day, rail: None, fee_tokens: Vec::new() }
    }

    /// The account that gives back.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.terms.key.address()
    }

    /// What is to be done, from the request alone.
    fn read(&self, request: RefundRequest<'_>) -> Result<Refund, RefundError> {
        let impossible = |code, why: &str| Err(RefundError::Impossible { code, why: why.to_owned() });
        if request.paid.amount().is_zero() {
            return impossible("refund_nothing_paid", "nothing was paid: there is nothing to give back");
        }
        let Some(token) = tokens::of_asset(self.terms.chain_id, request.paid.asset()) else {
            return impossible("refund_other_asset", "it was not paid in a token of this chain");
        };
        let payer = did::parse(request.payer).filter(|payer| payer.chain_id == self.terms.chain_id);
        let Some(payer) = payer.map(|payer| payer.address).filter(|payer| !payer.is_zero()) else {
            return impossible("refund_payer_unknown", "the payer is not an account on this chain");
        };
        let (amount, settled_s) = (request.paid.amount(), request.settled.at.as_secs());
        Ok(Refund { payer, token, amount, memo: memo::encode(request.claim), settled_s })
    }

    async fn prepare(&self, refund: &Refund, now: UnixMs) -> Result<Plan, RefundError> {
        let (rpc, account) = (&self.terms.rpc, self.address());
        rpc.expect_chain(self.terms.chain_id).await.map_err(silent)?;
        let head = rpc.head().await.map_err(silent)?;
        // Before the look at the past: whatever another gateway makes in between has this nonce too.
        let nonce = rpc.nonce(account).await.map_err(silent)?;
        let question =
            Question { account, token: refund.token, memo: refund.memo, settled_s: refund.settled_s };
        let past = past::look(rpc, head, question).await.map_err(silent)?.ok_or_else(|| {
            let why = "the node does not show what was given back in the last day: ask one that keeps logs \
                       for longer";
            unavailable("refund_history_missing", why)
        })?;
        if let Some(hash) = past.made {
            return Ok(Plan::Made { hash });
        }
        self.check_budget(past.today, refund.amount)?;
        self.check_line(nonce, head.timestamp)?;
        let intention = Intention {
            chain_id: self.terms.chain_id,
            sender: account,
            token: refund.token,
            amount: refund.amount,
            calls: vec![call(refund)],
            fee: Fee::Payer,
            fee_tokens: self.terms.fee_tokens.clone(),
            now,
            valid_until: None,
            nonce: Nonce::Account(nonce),
        };
        let tx = compose::compose(rpc, &intention).await.map_err(composed)?;
        // Not every node's estimate sees a failure, and a refund that fails on the chain costs its fee.
        match rpc.simulate(account, &tx).await {
            Err(RpcError::Rejected { message, .. }) => {
                return Err(unavailable("refund_would_fail", &message));
            }
            outcome => outcome.map_err(silent)?,
        }
        let valid_before = tx.valid_before.map_or(0, std::num::NonZeroU64::get);
        self.join_line(InLine { nonce, valid_before }, head.timestamp)?;
        let signed = transaction::sign(&self.terms.key, tx);
        Ok(Plan::Transfer(Transfer {
            raw: format!("0x{}", hex::encode(signed.encoded_2718())),
            hash: *signed.hash(),
            from: account,
            to: refund.payer,
            token: refund.token,
            amount: refund.amount,
            memo: refund.memo,
            nonce,
            valid_before,
        }))
    }

    fn check_budget(&self, today: U256, amount: Amount) -> Result<(), RefundError> {
        let budget = self.terms.budget_per_day;
        if today.saturating_add(U256::from(amount.base())) <= U256::from(budget.base()) {
            return Ok(());
        }
        let why = format!(
            "{today} base units were given back in the last 24 hours; {amount} more exceed the budget of {budget}"
        );
        Err(unavailable("refund_over_budget", &why))
    }

    fn check_line(&self, nonce: u64, chain_now: u64) -> Result<(), RefundError> {
        let line = *self.line.lock().unwrap_or_else(PoisonError::into_inner);
        free(line, nonce, chain_now)
    }

    fn join_line(&self, mine: InLine, chain_now: u64) -> Result<(), RefundError> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        free(*line, mine.nonce, chain_now)?;
        *line = Some(mine);
        Ok(())
    }

    fn leave_line(&self, nonce: u64) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.is_some_and(|first| first.nonce == nonce) {
            *line = None;
        }
    }
}

fn free(line: Option<InLine>, nonce: u64, chain_now: u64) -> Result<(), RefundError> {
    match line {
        Some(first) if first.nonce == nonce && chain_now < first.valid_before => {
            Err(unavailable("refund_in_line", "another refund is on its way: this one comes after it"))
        }
        _ => Ok(()),
    }
}

fn call(refund: &Refund) -> Call {
    let (to, amount) = (refund.payer, U256::from(refund.amount.base()));
    let input = Tip20::transferWithMemoCall { to, amount, memo: refund.memo }.abi_encode();
    Call { to: TxKind::Call(refund.token), value: U256::ZERO, input: input.into() }
}

fn unavailable(code: &'static str, why: &str) -> RefundError {
    RefundError::Unavailable { code, why: why.to_owned() }
}

#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
fn silent(error: RpcError) -> RefundError {
    unavailable(error.code(), &error.to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
fn composed(error: ComposeError) -> RefundError {
    let code = match &error {
        ComposeError::Rpc(error) => error.code(),
        ComposeError::Insufficient { .. } | ComposeError::NoFeeToken { .. } => "refund_account_empty",
        // A token may be paused, and a payer on a list of its issuer's, for a while.
        ComposeError::WouldFail { .. } | ComposeError::TooLate => "refund_would_fail",
    };
    unavailable(code, &error.to_string())
}

#[async_trait]
impl Refunder for TempoRefunder {
    fn rail(&self) -> &str {
        &self.rail
    }

    async fn plan(&self, request: RefundRequest<'_>) -> Result<SettlementPlan, RefundError> {
        let refund = self.read(request)?;
        let plan = self.prepare(&refund, request.now).await?;
        Ok(SettlementPlan { rail: self.rail.clone(), data: plan.to_value() })
    }

    async fn send(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Settled, SettleError> {
        let plan = Plan::read(&plan.data).map_err(|detail| SettleError::Unknown { detail })?;
        let outcome = plan.send(&self.terms.rpc, now).await;
        if let (Plan::Transfer(transfer), Ok(_) | Err(SettleError::Rejected(_) | SettleError::Reverted(_))) =
            (&plan, &outcome)
        {
            self.leave_line(transfer.nonce);
        }
        outcome
    }

    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String> {
        Plan::read(&plan.data)?.resolve(&self.terms.rpc, now).await
    }
}

#[cfg(test)]
mod tests;
