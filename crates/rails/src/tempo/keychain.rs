//! Whether an access key may sign for an account, as the account keychain says. It does not check spending limits: the
//! chain does when it executes.

use alloy_primitives::Address;
use alloy_sol_types::SolCall;
use farthing_protocol::UnixMs;

use super::abi::{KEYCHAIN, Keychain};
use super::error::ChargeError;
use super::rpc::{RpcError, TempoRpc};

/// An access key and the account that it signs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessKey {
    /// The account.
    pub account: Address,
    /// The key's address.
    pub key: Address,
}

/// Whether the keychain knows the key for the account, not revoked and not expired at `now`.
///
/// # Errors
/// [`RpcError`] when the node does not say.
pub async fn check(
    rpc: &TempoRpc,
    access: AccessKey,
    now: UnixMs,
) -> Result<Result<(), ChargeError>, RpcError> {
    let call = Keychain::getKeyCall { account: access.account, keyId: access.key };
    let answer = match rpc.call(KEYCHAIN, call.abi_encode()).await {
        Ok(answer) => answer,
        // The keychain reverts for keys that it does not know.
        Err(RpcError::Rejected { .. }) => return Ok(Err(ChargeError::KeyNotAuthorised)),
        Err(error) => return Err(error),
    };
    let Ok(info) = Keychain::getKeyCall::abi_decode_returns(&answer) else {
        return Ok(Err(ChargeError::KeyNotAuthorised));
    };
    let known = info.keyId == access.key && !info.isRevoked && info.expiry > now.as_secs();
    Ok(if known { Ok(()) } else { Err(ChargeError::KeyNotAuthorised) })
}
