//! The contracts that a charge touches, as ABI. Only what is called here is listed.
#![allow(missing_docs, reason = "the sol! macro writes items that cannot be documented")]

use alloy_primitives::{Address, address};
use alloy_sol_types::sol;

/// The account keychain, which knows access keys.
pub const KEYCHAIN: Address = address!("aAAAaaAA00000000000000000000000000000000");

sol! {
    /// A TIP-20 token.
    #[derive(Debug, PartialEq, Eq)]
    interface Tip20 {
        function transfer(address to, uint256 amount) external returns (bool);
        function transferWithMemo(address to, uint256 amount, bytes32 memo) external;
        function balanceOf(address account) external view returns (uint256);
        function decimals() external view returns (uint8);
        function symbol() external view returns (string);

        event Transfer(address indexed from, address indexed to, uint256 amount);
        event TransferWithMemo(address indexed from, address indexed to, uint256 amount, bytes32 indexed memo);
    }

    /// The account keychain.
    #[derive(Debug, PartialEq, Eq)]
    interface Keychain {
        struct KeyInfo {
            uint8 signatureType;
            address keyId;
            uint64 expiry;
            bool enforceLimits;
            bool isRevoked;
        }

        function getKey(address account, address keyId) external view returns (KeyInfo memory);
    }
}
