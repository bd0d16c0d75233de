//! Two precompiles that clients only read here: two-dimensional nonces, and the account keychain.
//!
//! Access keys cannot be added on a sandbox: a transaction that carries a key authorization is refused before it
//! gets here. So the keychain knows the development accounts' own keys and nothing else.

use super::{Frame, Halt};
use crate::gas::cost;
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolValue;
use tempo_contracts::precompiles::IAccountKeychain::{IAccountKeychainCalls, KeyInfo, SignatureType};
use tempo_contracts::precompiles::INonce::{self, INonceCalls};

pub(super) fn nonce(frame: &mut Frame<'_>, input: &[u8]) -> Result<Bytes, Halt> {
    let INonceCalls::getNonce(call) = frame.decode::<INonceCalls>(input)?;
    if call.nonceKey.is_zero() {
        return Err(frame.refuse(cost::REFUSE, &INonce::ProtocolNonceNotSupported {}));
    }
    frame.meter.charge(cost::VIEW)?;
    Ok(frame.state.keyed_nonce(call.account, call.nonceKey).abi_encode().into())
}

pub(super) fn keychain(frame: &mut Frame<'_>, input: &[u8]) -> Result<Bytes, Halt> {
    let answer = match frame.decode::<IAccountKeychainCalls>(input)? {
        IAccountKeychainCalls::getKey(call) => {
            let key = frame.state.keys.get(&(call.account, call.keyId));
            KeyInfo {
                signatureType: SignatureType::Secp256k1,
                keyId: key.map_or(Address::ZERO, |_| call.keyId),
                expiry: key.map_or(0, |key| key.expiry),
                enforceLimits: false,
                isRevoked: false,
            }
            .abi_encode()
        }
        IAccountKeychainCalls::getRemainingLimitWithPeriod(_) => (U256::ZERO, 0u64).abi_encode_params(),
        IAccountKeychainCalls::getTransactionKey(_) => Address::ZERO.abi_encode(),
        _ => return Err(frame.unknown(input)),
    };
    frame.meter.charge(cost::VIEW)?;
    Ok(answer.into())
}
