//! `did:pkh` names of accounts on EVM chains: `did:pkh:eip155:<chainId>:<address>`. Not a resolver: a name is a claim.

use alloy_primitives::Address;

/// An account on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The chain.
    pub chain_id: u64,
    /// The account's address.
    pub address: Address,
}

/// Reads a name. The chain id has no leading zero, no sign and no space, so that an account has one spelling.
#[must_use]
pub fn parse(text: &str) -> Option<Account> {
    let (chain, address) = text.strip_prefix("did:pkh:eip155:")?.split_once(':')?;
    let canonical = !chain.is_empty()
        && chain.bytes().all(|b| b.is_ascii_digit())
        && (chain == "0" || !chain.starts_with('0'));
    let chain_id = if canonical { chain.parse().ok()? } else { return None };
    Some(Account { chain_id, address: parse_address(address)? })
}

/// The name of an account, with its address in checksummed form.
#[must_use]
pub fn format(account: Account) -> String {
    format!("did:pkh:eip155:{}:{}", account.chain_id, account.address)
}

/// Reads `0x` and 40 hexadecimal digits in any case: addresses are compared by their 20 bytes (TC5).
#[must_use]
pub fn parse_address(text: &str) -> Option<Address> {
    let mut bytes = [0_u8; 20];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(Address::from(bytes))
}

/// Reads `0x` and 64 hexadecimal digits in any case.
#[must_use]
pub fn parse_word(text: &str) -> Option<alloy_primitives::B256> {
    let mut bytes = [0_u8; 32];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{format, parse};

    const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

    #[test]
    fn an_account_has_one_name_but_for_case() {
        let cases = [
            (format!("did:pkh:eip155:4217:{ADDRESS}"), true),
            (format!("did:pkh:eip155:4217:{}", ADDRESS.to_lowercase()), true),
            (format!("did:pkh:eip155:04217:{ADDRESS}"), false),
            (format!("did:pkh:eip155:+4217:{ADDRESS}"), false),
            (format!("did:pkh:eip155::{ADDRESS}"), false),
            (format!("did:pkh:eip155:18446744073709551616:{ADDRESS}"), false),
            (format!("did:pkh:eip155:4217:{}", &ADDRESS[2..]), false),
            (format!("did:pkh:eip155:4217:{ADDRESS}0"), false),
            (format!("did:pkh:solana:4217:{ADDRESS}"), false),
            (format!("did:pkh:eip155:4217:{ADDRESS}:x"), false),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(&text).is_some(), expected, "{text}");
        }
        let account = parse(&format!("did:pkh:eip155:0:{ADDRESS}")).unwrap();
        assert_eq!(format(account), format!("did:pkh:eip155:0:{ADDRESS}"));
    }
}
