//! Tokens as people write them, by name or by address, and which of them are dollars. Whether a token has the decimals
//! that are assumed is asked of the chain before money is taken.

use alloy_primitives::Address;
use farthing_money::Asset;
use farthing_rails::tempo::tokens::{self, ALPHA_USD, BETA_USD, OUSD, PATH_USD, THETA_USD, USDC_E};

use super::network;
use super::value;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency {
    /// The token's contract.
    pub address: Address,
    /// What it is.
    pub asset: Asset,
}

/// The dollar tokens that are known on a chain; the one that a wallet shows first comes first.
pub fn dollars(chain_id: u64) -> Vec<Address> {
    [USDC_E, PATH_USD, OUSD, ALPHA_USD, BETA_USD, THETA_USD]
        .into_iter()
        .filter(|token| tokens::code(chain_id, *token).is_some())
        .collect()
}

/// Their names.
pub fn names(chain_id: u64) -> String {
    let names: Vec<&str> =
        dollars(chain_id).into_iter().filter_map(|token| tokens::code(chain_id, token)).collect();
    names.join(", ")
}

/// A token by address or by name.
pub fn find(text: &str, chain_id: u64) -> Result<Currency, String> {
    let address = match tokens::by_code(chain_id, text) {
        Some(address) => address,
        None if text.starts_with("0x") => value::address(text)?,
        None => {
            return Err(format!(
                "{text:?} is not a token that is known on {}; write its address, or one of {}",
                network::name(chain_id),
                names(chain_id)
            ));
        }
    };
    Ok(Currency { address, asset: tokens::asset(chain_id, address) })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn tokens_are_found_by_name_and_by_address() {
        let cases = [
            ("pathusd", 1337, Some("PathUSD")),
            ("0x20c0000000000000000000000000000000000001", 1337, Some("AlphaUSD")),
            ("0x20c0000000000000000000000000000000000009", 1337, Some("0x20c00000..00000009")),
            ("USDC.e", 4217, Some("USDC.e")),
            ("USDC.e", 1337, None),
            ("0x12", 1337, None),
        ];
        for (text, chain_id, expected) in cases {
            let found = find(text, chain_id).ok();
            assert_eq!(found.as_ref().map(|c| c.asset.code()), expected, "{text} on {chain_id}");
        }
    }
}
