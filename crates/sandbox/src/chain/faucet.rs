//! New money for tests, as a system transaction: it has a hash and a receipt like any other, and nobody's signature.

use crate::execute::Executed;
use crate::genesis;
use crate::state::State;
use crate::transaction::{Call, GasPrice, Kind, Message, Nonce, Signed};
use alloy_consensus::transaction::TxHashRef;
use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_primitives::{Address, Bytes, Log, TxKind, U256};
use alloy_sol_types::{SolCall, SolEvent};
use std::sync::Arc;
use tempo_contracts::precompiles::ITIP20;
use tempo_primitives::TempoTxEnvelope;
use tempo_primitives::transaction::envelope::{TEMPO_SYSTEM_TX_SENDER, TEMPO_SYSTEM_TX_SIGNATURE};

/// One mint.
pub(super) struct Mint {
    pub(super) chain_id: u64,
    /// What keeps two equal mints from having one hash.
    pub(super) unique: u64,
    pub(super) holder: Address,
    pub(super) token: Address,
    pub(super) amount: U256,
}

impl Mint {
    /// Credits the holder, and says what a block then has to include. None if the token cannot be minted.
    pub(super) fn apply(&self, state: &mut State) -> Option<(Arc<Signed>, Executed)> {
        let Self { holder, token, amount, .. } = *self;
        if !genesis::mint(state, token, holder, amount) {
            return None;
        }
        let log = |data| Log { address: token, data };
        let logs = vec![
            log(ITIP20::Transfer { from: Address::ZERO, to: holder, amount }.encode_log_data()),
            log(ITIP20::Mint { to: holder, amount }.encode_log_data()),
        ];
        let executed = Executed {
            outcome: Ok(Bytes::new()),
            gas_used: 0,
            gas_needed: 0,
            gas_price_atto: 0,
            fee_token: None,
            logs,
        };
        Some((Arc::new(self.transaction()), executed))
    }

    fn transaction(&self) -> Signed {
        let input = Bytes::from(ITIP20::mintCall { to: self.holder, amount: self.amount }.abi_encode());
        let legacy = TxLegacy {
            chain_id: Some(self.chain_id),
            nonce: self.unique,
            to: TxKind::Call(self.token),
            input: input.clone(),
            ..Default::default()
        };
        let envelope = TempoTxEnvelope::Legacy(legacy.into_signed(TEMPO_SYSTEM_TX_SIGNATURE));
        let message = Message {
            sender: TEMPO_SYSTEM_TX_SENDER,
            fee_payer: TEMPO_SYSTEM_TX_SENDER,
            fee_token: None,
            calls: vec![Call { to: self.token, input }],
            nonce: Nonce::Protocol(self.unique),
            valid_after: None,
            valid_before: None,
            gas_limit: 0,
            price: GasPrice { max_atto: 0, priority_atto: 0 },
            intrinsic_gas: 0,
            kind: Kind::Ethereum,
        };
        Signed { hash: *envelope.tx_hash(), envelope, message }
    }
}
