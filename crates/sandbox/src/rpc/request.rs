//! A transaction request as clients write it for calls, estimates and filling, and the message it stands for.

use super::error::RpcError;
use super::params::Quantity;
use crate::config::SandboxConfig;
use crate::gas;
use crate::refusal::Refusal;
use crate::state::State;
use crate::transaction::{BLOCK_GAS_LIMIT, Call, GasPrice, Kind, Message, Nonce};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use serde::Deserialize;
use serde_json::Value;
use std::num::NonZeroU64;
use tempo_primitives::transaction::{
    Call as ChainCall, SignatureType, TEMPO_EXPIRING_NONCE_KEY, TempoTransaction, TempoTypedTransaction,
};

/// What an estimate offers above the base fee, in attodollars a unit of gas.
pub(crate) const PRIORITY_FEE_ATTO: u64 = 1_000_000_000;

/// One call of a request's batch.
#[derive(Clone, Debug, Deserialize)]
struct CallRequest {
    to: Option<Address>,
    value: Option<U256>,
    input: Option<Bytes>,
    data: Option<Bytes>,
}

/// An Ethereum transaction request with Tempo's fields. Fields that change nothing here are not read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TransactionRequest {
    from: Option<Address>,
    to: Option<Address>,
    value: Option<U256>,
    input: Option<Bytes>,
    data: Option<Bytes>,
    gas: Option<Quantity>,
    gas_price: Option<Quantity>,
    max_fee_per_gas: Option<Quantity>,
    max_priority_fee_per_gas: Option<Quantity>,
    nonce: Option<Quantity>,
    chain_id: Option<Quantity>,
    #[serde(rename = "type")]
    kind: Option<Quantity>,
    calls: Option<Vec<CallRequest>>,
    nonce_key: Option<U256>,
    valid_before: Option<Quantity>,
    valid_after: Option<Quantity>,
    fee_token: Option<Address>,
    fee_payer: Option<Value>,
    key_type: Option<SignatureType>,
    key_id: Option<Address>,
    key_authorization: Option<Value>,
    access_list: Option<AccessList>,
}

impl TransactionRequest {
    fn kind(&self) -> Kind {
        let tempo = self.kind == Some(Quantity(u64::from(tempo_primitives::transaction::TEMPO_TX_TYPE_ID)))
            || self.calls.as_ref().is_some_and(|calls| !calls.is_empty())
            || self.nonce_key.is_some()
            || self.fee_token.is_some()
            || self.fee_payer.is_some()
            || self.key_type.is_some()
            || self.valid_before.is_some()
            || self.valid_after.is_some();
        if tempo { Kind::Tempo } else { Kind::Ethereum }
    }

    fn sender(&self) -> Address {
        self.from.unwrap_or(Address::ZERO)
    }

    fn gas_limit(&self) -> u64 {
        self.gas.map_or(BLOCK_GAS_LIMIT, |gas| gas.0)
    }

    /// The batch: `calls`, then the call that the plain fields describe, as the node reads them.
    fn batch(&self) -> Result<Vec<Call>, RpcError> {
        let plain = self.to.map(|_| CallRequest {
            to: self.to,
            value: self.value,
            input: self.input.clone(),
            data: self.data.clone(),
        });
        let calls = self.calls.iter().flatten().cloned().chain(plain).map(|call| {
            if call.value.is_some_and(|value| !value.is_zero()) {
                return Err(RpcError::from(Refusal::Value));
            }
            let Some(to) = call.to else {
                return Err(Refusal::Unsupported { what: "contract creation" }.into());
            };
            Ok(Call { to, input: call.input.or(call.data).unwrap_or_default() })
        });
        let calls = calls.collect::<Result<Vec<_>, _>>()?;
        if calls.is_empty() {
            return Err(Refusal::Unsupported { what: "contract creation" }.into());
        }
        Ok(calls)
    }

    fn nonce(&self, state: &State) -> Nonce {
        let sender = self.sender();
        let asked = self.nonce.map(|nonce| nonce.0);
        match self.nonce_key {
            Some(TEMPO_EXPIRING_NONCE_KEY) => Nonce::Expiring(B256::ZERO),
            Some(key) if !key.is_zero() => {
                Nonce::Keyed { key, nonce: asked.unwrap_or_else(|| state.keyed_nonce(sender, key)) }
            }
            _ => Nonce::Protocol(asked.unwrap_or_else(|| state.nonce(sender))),
        }
    }

    /// The message that this request stands for, unsigned and unpaid.
    pub(crate) fn message(&self, state: &State) -> Result<Message, RpcError> {
        if self.key_authorization.as_ref().is_some_and(|value| !value.is_null()) {
            return Err(Refusal::Unsupported { what: "key authorizations" }.into());
        }
        if self.key_id.is_some() {
            return Err(Refusal::Unsupported { what: "access key signatures" }.into());
        }
        let calls = self.batch()?;
        let nonce = self.nonce(state);
        let intrinsic_gas = gas::intrinsic(
            calls.iter().map(|call| &call.input),
            nonce.gas(),
            gas::announced_signature_gas(self.key_type),
        );
        let message = Message {
            sender: self.sender(),
            fee_payer: self.sender(),
            fee_token: self.fee_token,
            calls,
            nonce,
            valid_after: self.valid_after.map(|bound| bound.0),
            valid_before: self.valid_before.map(|bound| bound.0),
            gas_limit: self.gas_limit(),
            price: self.price(),
            intrinsic_gas,
            kind: self.kind(),
        };
        message.check_static()?;
        Ok(message)
    }

    /// What the request offers for gas; nothing unless it says so, and then nobody pays.
    fn price(&self) -> GasPrice {
        let max_atto = self.max_fee_per_gas.or(self.gas_price).map_or(0, |fee| fee.0);
        let priority_atto = self.max_priority_fee_per_gas.map_or(0, |fee| fee.0);
        GasPrice { max_atto: max_atto.into(), priority_atto: priority_atto.into() }
    }

    /// What to offer in place of what the request left out.
    fn filled_price(&self, base_fee_atto: u64) -> GasPrice {
        let offered = base_fee_atto.saturating_add(PRIORITY_FEE_ATTO);
        let max_atto = self.max_fee_per_gas.or(self.gas_price).map_or(offered, |fee| fee.0);
        let priority_atto =
            self.max_priority_fee_per_gas.map_or(PRIORITY_FEE_ATTO.min(max_atto), |fee| fee.0);
        GasPrice { max_atto: max_atto.into(), priority_atto: priority_atto.into() }
    }

    /// The transaction to sign, with everything filled in that the request left out.
    pub(crate) fn filled(
        &self,
        config: &SandboxConfig,
        message: &Message,
        gas: u64,
    ) -> TempoTypedTransaction {
        let nonce = match message.nonce {
            Nonce::Protocol(nonce) | Nonce::Keyed { nonce, .. } => nonce,
            Nonce::Expiring(_) => 0,
        };
        let chain_id = self.chain_id.map_or(config.chain_id, |id| id.0);
        let gas_limit = self.gas.map_or(gas, |gas| gas.0);
        let GasPrice { max_atto, priority_atto } = self.filled_price(config.base_fee_atto);
        let access_list = self.access_list.clone().unwrap_or_default();
        match (message.kind, message.calls.as_slice()) {
            (Kind::Ethereum, [call]) => TempoTypedTransaction::Eip1559(alloy_consensus::TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: max_atto,
                max_priority_fee_per_gas: priority_atto,
                to: TxKind::Call(call.to),
                value: U256::ZERO,
                access_list,
                input: call.input.clone(),
            }),
            (_, calls) => TempoTypedTransaction::AA(TempoTransaction {
                chain_id,
                fee_token: self.fee_token,
                max_priority_fee_per_gas: priority_atto,
                max_fee_per_gas: max_atto,
                gas_limit,
                calls: calls
                    .iter()
                    .map(|call| ChainCall {
                        to: TxKind::Call(call.to),
                        value: U256::ZERO,
                        input: call.input.clone(),
                    })
                    .collect(),
                access_list,
                nonce_key: self.nonce_key.unwrap_or_default(),
                nonce,
                fee_payer_signature: None,
                valid_before: message.valid_before.and_then(NonZeroU64::new),
                valid_after: message.valid_after.and_then(NonZeroU64::new),
                key_authorization: None,
                tempo_authorization_list: Vec::new(),
            }),
        }
    }
}
