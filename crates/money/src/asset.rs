//! [`Asset`]: what an amount counts. It is not a balance and holds no exchange rate.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::MoneyError;

/// What kind of thing an asset is, and where it lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum AssetKind {
    /// A national currency, known by its ISO 4217 code.
    Fiat,
    /// A token on a blockchain.
    Token {
        /// CAIP-2 network, such as `eip155:4217`.
        network: Arc<str>,
        /// The token's address, lower case.
        address: Arc<str>,
    },
    /// A unit that an operator defines, such as `TOKENS`.
    Custom,
}

/// A unit of account: a code for people, the number of decimals, and what it is. Cheap to clone.
///
/// Two assets are the same when code, scale and kind are: a token that calls itself USD is not USD.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Asset {
    code: Arc<str>,
    scale: u8,
    #[serde(flatten)]
    kind: AssetKind,
}

impl Asset {
    /// The most decimals an asset may have.
    pub const MAX_SCALE: u8 = 30;

    /// An asset with `scale` decimals.
    ///
    /// # Errors
    /// [`MoneyError::BadCode`] unless the code is 1 to 32 printable ASCII characters without spaces,
    /// [`MoneyError::BadScale`] past [`Asset::MAX_SCALE`].
    pub fn new(code: &str, scale: u8, kind: AssetKind) -> Result<Self, MoneyError> {
        if !(1..=32).contains(&code.len()) || !code.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(MoneyError::BadCode { code: MoneyError::shorten(code) });
        }
        if scale > Self::MAX_SCALE {
            return Err(MoneyError::BadScale { scale, max: Self::MAX_SCALE });
        }
        Ok(Self { code: code.into(), scale, kind })
    }

    /// The code that people read, such as `PathUSD`.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Decimals: one whole unit is 10^scale base units.
    #[must_use]
    pub const fn scale(&self) -> u8 {
        self.scale
    }

    /// What it is and where it lives.
    #[must_use]
    pub const fn kind(&self) -> &AssetKind {
        &self.kind
    }
}

impl<'de> Deserialize<'de> for Asset {
    /// Reads what is written, and refuses what [`Asset::new`] refuses.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Unchecked {
            code: String,
            scale: u8,
            #[serde(flatten)]
            kind: AssetKind,
        }
        let Unchecked { code, scale, kind } = Unchecked::deserialize(deserializer)?;
        Self::new(&code, scale, kind).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Asset, AssetKind};

    #[test]
    fn codes_and_scales_are_bounded() {
        let cases = [
            ("USD", 2, Ok(())),
            ("", 2, Err("asset_bad_code")),
            ("US D", 2, Err("asset_bad_code")),
            ("€", 2, Err("asset_bad_code")),
            ("A2345678901234567890123456789012", 0, Ok(())),
            ("A23456789012345678901234567890123", 0, Err("asset_bad_code")),
            ("X", 30, Ok(())),
            ("X", 31, Err("asset_bad_scale")),
        ];
        for (code, scale, expected) in cases {
            let got = Asset::new(code, scale, AssetKind::Custom).map(|_| ()).map_err(|e| e.code());
            assert_eq!(got, expected, "{code} {scale}");
        }
    }

    #[test]
    fn json_is_read_as_it_is_written_and_checked() {
        let token = AssetKind::Token { network: "eip155:1".into(), address: "0x01".into() };
        for (kind, json) in [
            (AssetKind::Fiat, r#"{"code":"X","scale":2,"kind":"fiat"}"#),
            (AssetKind::Custom, r#"{"code":"X","scale":2,"kind":"custom"}"#),
            (token, r#"{"code":"X","scale":2,"kind":"token","network":"eip155:1","address":"0x01"}"#),
        ] {
            let asset = Asset::new("X", 2, kind).unwrap();
            assert_eq!(serde_json::to_string(&asset).unwrap(), json);
            assert_eq!(serde_json::from_str::<Asset>(json).unwrap(), asset);
        }
        for bad in [
            r#"{"code":"","scale":2,"kind":"fiat"}"#,
            r#"{"code":"X","scale":31,"kind":"fiat"}"#,
            r#"{"code":"X","scale":-1,"kind":"fiat"}"#,
            r#"{"code":"X","scale":2}"#,
            r#"{"code":"X","scale":2,"kind":"gold"}"#,
            r#"{"code":"X","scale":2,"kind":"token","network":"eip155:1"}"#,
        ] {
            assert!(serde_json::from_str::<Asset>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_named_usd_is_not_usd() {
        let token = AssetKind::Token { network: "eip155:1".into(), address: "0x01".into() };
        assert_ne!(Asset::new("USD", 2, AssetKind::Fiat).unwrap(), Asset::new("USD", 2, token).unwrap());
    }
}
