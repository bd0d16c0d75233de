//! Tokens that are known by name, and which of them pay fees. It is not a list of what may be paid: an unknown token is
//! paid like any other, under a code that shows its address.

use std::sync::Arc;

use alloy_primitives::{Address, address};
use farthing_money::{Asset, AssetKind, MoneyError};

use super::{MAINNET, MODERATO, network};

/// Decimals of every TIP-20 token.
pub const SCALE: u8 = 6;
/// PathUSD, on every Tempo chain.
pub const PATH_USD: Address = address!("20c0000000000000000000000000000000000000");
/// AlphaUSD, on test networks.
pub const ALPHA_USD: Address = address!("20c0000000000000000000000000000000000001");
/// BetaUSD, on test networks.
pub const BETA_USD: Address = address!("20c0000000000000000000000000000000000002");
/// ThetaUSD, on test networks.
pub const THETA_USD: Address = address!("20c0000000000000000000000000000000000003");
/// USDC.e, on the main network.
pub const USDC_E: Address = address!("20C000000000000000000000b9537d11c60E8b50");
/// OUSD, on the main network and on Moderato.
pub const OUSD: Address = address!("20c0000000000000000000006a37DA5C996874BE");
/// MACH, closed-loop credit: neither cash nor a fee token.
pub const MACH: Address = address!("20c000000000000000000000f37de3740ADec032");

/// The code of `token` on a chain, when it is known.
#[must_use]
pub fn code(chain_id: u64, token: Address) -> Option<&'static str> {
    let (main, test) = (chain_id == MAINNET, chain_id != MAINNET);
    match token {
        PATH_USD => Some("PathUSD"),
        ALPHA_USD if test => Some("AlphaUSD"),
        BETA_USD if test => Some("BetaUSD"),
        THETA_USD if test => Some("ThetaUSD"),
        USDC_E if main => Some("USDC.e"),
        OUSD if main || chain_id == MODERATO => Some("OUSD"),
        MACH if main || chain_id == MODERATO => Some("MACH"),
        _ => None,
    }
}

/// The token with this code on a chain, in any case: what a person may write instead of an address.
#[must_use]
pub fn by_code(chain_id: u64, text: &str) -> Option<Address> {
    [PATH_USD, ALPHA_USD, BETA_USD, THETA_USD, USDC_E, OUSD, MACH]
        .into_iter()
        .find(|token| code(chain_id, *token).is_some_and(|code| code.eq_ignore_ascii_case(text)))
}

/// The asset of `token` on a chain. An unknown token's code is its shortened address, so that no token can pass for another.
///
/// ```
/// use farthing_rails::tempo::{MAINNET, tokens};
/// assert_eq!(tokens::asset(MAINNET, tokens::USDC_E).code(), "USDC.e");
/// assert_eq!(tokens::asset(MAINNET, tokens::ALPHA_USD).code(), "0x20c00000..00000001");
/// ```
#[must_use]
pub fn asset(chain_id: u64, token: Address) -> Asset {
    let code = code(chain_id, token).map_or_else(|| shorten(token), str::to_owned);
    named_asset(chain_id, token, &code).expect("a code of ours is short printable ASCII")
}

/// The asset of `token` under a code of the operator's own.
///
/// # Errors
/// [`MoneyError::BadCode`].
pub fn named_asset(chain_id: u64, token: Address, code: &str) -> Result<Asset, MoneyError> {
    let network: Arc<str> = network(chain_id).into();
    Asset::new(code, SCALE, AssetKind::Token { network, address: lower(token).into() })
}

/// The token that an asset is, when it is a token on this chain.
#[must_use]
pub fn of_asset(chain_id: u64, asset: &Asset) -> Option<Address> {
    match asset.kind() {
        AssetKind::Token { network: on, address } if **on == *network(chain_id) => {
            super::did::parse_address(address)
        }
        _ => None,
    }
}

/// Whether `token` can pay fees. OUSD and machine tokens cannot.
#[must_use]
pub const fn pays_fees(token: Address) -> bool {
    !matches!(token, OUSD | MACH)
}

/// Tokens that fees are paid in on a chain when nothing else is configured, best first.
#[must_use]
pub const fn default_fee_tokens(chain_id: u64) -> &'static [Address] {
    if chain_id == MAINNET { &[PATH_USD, USDC_E] } else { &[PATH_USD] }
}

/// An address in lower case.
#[must_use]
pub fn lower(address: Address) -> String {
    format!("{address:#x}")
}

fn shorten(token: Address) -> String {
    let text = lower(token);
    format!("{}..{}", &text[..10], &text[text.len() - 8..])
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::{ALPHA_USD, OUSD, PATH_USD, USDC_E, asset, by_code, of_asset, pays_fees};
    use crate::tempo::{MAINNET, MODERATO};

    #[test]
    fn codes_belong_to_networks() {
        let cases = [
            (MAINNET, PATH_USD, "PathUSD"),
            (1337, PATH_USD, "PathUSD"),
            (MAINNET, USDC_E, "USDC.e"),
            (MODERATO, USDC_E, "0x20c00000..c60e8b50"),
            (MAINNET, ALPHA_USD, "0x20c00000..00000001"),
            (MODERATO, ALPHA_USD, "AlphaUSD"),
            (1337, OUSD, "0x20c00000..996874be"),
            (MODERATO, Address::repeat_byte(7), "0x07070707..07070707"),
        ];
        for (chain, token, code) in cases {
            let asset = asset(chain, token);
            assert_eq!(asset.code(), code);
            assert_eq!(of_asset(chain, &asset), Some(token));
            assert_eq!(of_asset(chain + 1, &asset), None);
        }
        assert_eq!(by_code(MAINNET, "usdc.e"), Some(USDC_E));
        assert_eq!(by_code(MODERATO, "usdc.e"), None);
        assert!(!pays_fees(OUSD) && pays_fees(PATH_USD));
    }
}
