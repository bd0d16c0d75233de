//! Readers of single values, shared by the configuration file and the command line. Each says what would be right.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use alloy_primitives::Address;
use farthing_money::Amount;
use url::Url;

/// Decimals of every TIP-20 stablecoin; checked against the chain before money is taken or paid.
pub const USD_SCALE: u8 = 6;

/// An amount of whole units: `0.01`.
pub fn amount(text: &str) -> Result<Amount, String> {
    Amount::from_decimal(text, USD_SCALE).map_err(|error| error.to_string())
}

/// An account or a token: `0x` and 40 hex digits. A mixed-case address must have the right checksum (EIP-55), because
/// a mistyped recipient is money lost.
pub fn address(text: &str) -> Result<Address, String> {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    if digits.len() != 40 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("{:?} is not an address; write 0x and 40 hex digits", shorten(text)));
    }
    let mixed =
        digits.bytes().any(|b| b.is_ascii_lowercase()) && digits.bytes().any(|b| b.is_ascii_uppercase());
    if mixed {
        return Address::parse_checksummed(text, None).map_err(|_| {
            format!("{text} has a wrong checksum, so a digit is probably mistyped; copy it again, or write it in lower case if you are sure")
        });
    }
    text.parse().map_err(|_| format!("{text:?} is not an address; write 0x and 40 hex digits"))
}

/// A span of time: `500ms`, `30s`, `5m`, `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "{:?} is not a duration; write a number and ms, s, m or h, such as \"30s\" or \"5m\"",
            shorten(text)
        )
    };
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)
}

/// An address to listen on: `127.0.0.1:8402`.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    let text = text.replacen("localhost:", "127.0.0.1:", 1);
    text.parse().map_err(|_| {
        format!(
            "{:?} is not an address to listen on; write IP:PORT, such as \"127.0.0.1:8402\"",
            shorten(&text)
        )
    })
}

/// An `http` or `https` URL without user, query and fragment.
pub fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| {
        format!("{:?} is not a URL ({error}); write http://HOST or https://HOST", shorten(text))
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("{:?} is not an HTTP URL; write http://HOST or https://HOST", shorten(text)));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name or password in it; send credentials in a header instead".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment; write only scheme, host, port and path".into());
    }
    Ok(url)
}

/// The URL of a JSON-RPC port. Its path and query may hold an API key: it is never repeated.
pub fn rpc_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Ok(url),
        _ => Err("it is not an HTTP URL; write http://HOST:PORT or https://HOST".into()),
    }
}

/// A realm: the public host, with a port when it is not the default one.
pub fn realm(text: &str) -> Result<String, String> {
    if text.contains("://") || text.contains('/') {
        return Err(format!(
            "{:?} is a URL; write the public host only, such as \"api.example.com\"",
            shorten(text)
        ));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
    if text.is_empty() || text.len() > 255 || !text.chars().all(plain) {
        return Err(format!(
            "{:?} is not a host; write the public host, such as \"api.example.com\"",
            shorten(text)
        ));
    }
    Ok(text.to_owned())
}

/// A 32-byte memo: `0x` and 64 hex digits.
pub fn memo(text: &str) -> Result<[u8; 32], String> {
    let mut memo = [0; 32];
    let digits = text.strip_prefix("0x").unwrap_or_default();
    hex::decode_to_slice(digits, &mut memo)
        .map(|()| memo)
        .map_err(|_| format!("{:?} is not a memo; write 0x and 64 hex digits", shorten(text)))
}

/// `path`, which is relative to the directory of the file that names it.
pub fn beside(file: &Path, path: &str) -> std::path::PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(path)
}

/// What was given, cut so that an error stays readable.
fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(57).chain("...".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{address, duration, http_url, listen, memo, realm};

    #[test]
    fn values_are_read_or_told_apart() {
        let ok = |result: Result<String, String>| result.is_ok();
        let cases = [
            (ok(duration("500ms").map(|d| d.as_millis().to_string())), true, "500ms"),
            (ok(duration("5m").map(|d| d.as_secs().to_string())), true, "5m"),
            (ok(duration("5").map(|_| String::new())), false, "no unit"),
            (ok(duration("m").map(|_| String::new())), false, "no number"),
            (ok(duration("18446744073709551615h").map(|_| String::new())), false, "overflow"),
            (ok(listen("localhost:80").map(|a| a.to_string())), true, "localhost"),
            (ok(listen("127.0.0.1").map(|a| a.to_string())), false, "no port"),
            (ok(http_url("http://127.0.0.1:3000/base").map(|u| u.to_string())), true, "http"),
            (ok(http_url("ftp://x").map(|u| u.to_string())), false, "ftp"),
            (ok(http_url("http://u:p@x").map(|u| u.to_string())), false, "credentials"),
            (ok(http_url("http://x/?a=b").map(|u| u.to_string())), false, "query"),
            (ok(realm("api.example.com")), true, "host"),
            (ok(realm("https://api.example.com")), false, "url"),
            (ok(realm("a|b")), false, "bar"),
            (ok(realm("")), false, "empty"),
            (ok(memo(&format!("0x{}", "ab".repeat(32))).map(hex::encode)), true, "memo"),
            (ok(memo("0xab").map(hex::encode)), false, "short memo"),
        ];
        for (got, expected, what) in cases {
            assert_eq!(got, expected, "{what}");
        }
    }

    #[test]
    fn a_mistyped_address_is_caught_by_its_checksum() {
        let good = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
        let cases = [
            (good, true),
            (&good.to_lowercase(), true),
            ("0x70997970C51812dc3A010C7d01b50e0d17dc79C9", false),
            ("0x70997970C51812dc3A010C7d01b50e0d17dc79", false),
            ("70997970C51812dc3A010C7d01b50e0d17dc79C8", false),
            ("0xzz997970C51812dc3A010C7d01b50e0d17dc79C8", false),
        ];
        for (text, expected) in cases {
            assert_eq!(address(text).is_ok(), expected, "{text}");
        }
    }
}
