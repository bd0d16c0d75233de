//! The arguments of `farthing request`: curl's, where curl has them.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use url::Url;

use crate::cli::charge::ChargeArgs;
use crate::cli::network::NetworkArgs;
use crate::cli::password::PasswordArgs;

/// What a call may cost without `--max-spend` and without a policy file.
pub const DEFAULT_MAX_SPEND: &str = "0.10";

#[derive(Debug, clap::Args)]
#[command(after_long_help = include_str!("../../help/request.txt"))]
#[command(
    after_help = "Pays what the policy file allows; without one, at most 0.10 a call unless --max-spend says otherwise.\n\
                  More, and examples: --help"
)]
pub struct Args {
    /// What to call; https:// when nothing else is written
    #[arg(value_parser = url)]
    pub url: Url,

    /// The method; GET, or POST when there is data
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub method: Option<http::Method>,
    /// Add a header, such as 'Accept: text/csv'
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Send this; @FILE sends a file and @- standard input, without line breaks. Several are joined with &
    #[arg(short = 'd', long, value_name = "DATA", group = "content")]
    pub data: Vec<String>,
    /// The same, byte for byte
    #[arg(long, value_name = "DATA", group = "content")]
    pub data_binary: Option<String>,
    /// Send this JSON, and ask for JSON
    #[arg(long, value_name = "DATA", group = "content")]
    pub json: Option<String>,
    /// Ask for the head only
    #[arg(short = 'I', long, conflicts_with = "content")]
    pub head: bool,

    /// Write the body to this file
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the status and the headers before the body
    #[arg(short = 'i', long)]
    pub include: bool,
    /// Say nothing but the answer and errors
    #[arg(short = 's', long)]
    pub silent: bool,
    /// Show what is sent and received on standard error; payments are left out
    #[arg(short = 'v', long, conflicts_with = "silent")]
    pub verbose: bool,
    /// Follow redirects; a payment never follows one
    #[arg(short = 'L', long)]
    pub location: bool,
    /// End with exit code 22, without the body, when the answer is 400 or more
    #[arg(short = 'f', long)]
    pub fail: bool,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub max_time: Option<Duration>,

    #[command(flatten, next_help_heading = "Paying")]
    pub paying: PayingArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Paying")]
pub struct PayingArgs {
    /// The most that the call may cost, such as 0.50, or "0.50 PathUSD" for one token only
    #[arg(long, value_name = "AMOUNT")]
    pub max_spend: Option<String>,
    /// The policy file; policy.toml in Farthing's directory otherwise, where there is one
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Wait this many seconds at most, in all, when a seller says to come back later with the same payment
    #[arg(long, value_name = "SECONDS", value_parser = seconds_or_none)]
    pub max_wait: Option<Duration>,
    /// Add no Idempotency-Key to a paid POST or PATCH: if its answer is lost it is not asked for again
    #[arg(long)]
    pub no_idempotency_key: bool,
    /// Pay nothing; say what would be paid, to whom, on which chain, and whether it is allowed
    #[arg(long)]
    pub dry_run: bool,
    /// Present this payment, which was made before and not served, instead of paying
    #[arg(long, value_name = "ID", conflicts_with_all = ["dry_run", "location", "max_time"])]
    pub payment: Option<String>,
    /// The wallet on this machine whose key pays; needed when there are several and none is called default
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
    /// Pay from the prepaid balance that this file describes, where a seller takes it
    #[arg(long, value_name = "FILE")]
    pub balance: Option<PathBuf>,
    #[command(flatten)]
    pub charge: ChargeArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
    /// How to pay where the seller leaves the choice
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Pay at these hosts only, such as '*.example.com'
    #[arg(long, value_name = "HOST")]
    pub allow_host: Vec<String>,
    /// Pay these accounts only
    #[arg(long, value_name = "ADDRESS", value_parser = crate::config::value::address)]
    pub allow_recipient: Vec<alloy_primitives::Address>,
    /// Pay for this realm although the URL names another host
    #[arg(long, value_name = "REALM")]
    pub allow_realm: Vec<String>,
    /// Pay without TLS to other machines too: whoever reads the traffic can use the payment first
    #[arg(long)]
    pub allow_plaintext: bool,
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// How to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Sign, and let the seller broadcast
    Pull,
    /// Broadcast, and send the hash
    Push,
}

pub fn url(text: &str) -> Result<Url, String> {
    let local = ["localhost", "127.", "[::1]"].iter().any(|host| text.starts_with(host));
    let full = match (text.contains("://"), local) {
        (true, _) => text.to_owned(),
        (false, true) => format!("http://{text}"),
        (false, false) => format!("https://{text}"),
    };
    let url = Url::parse(&full).map_err(|error| format!("it is not a URL ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("it is not an HTTP URL; write https://HOST/PATH".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "it has a user name or password in it; send them with -H 'Authorization: \u{2026}'".into()
        );
    }
    Ok(url)
}

fn header(text: &str) -> Result<(http::HeaderName, http::HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("it has no colon; write 'Name: value'")?;
    let name: http::HeaderName =
        name.trim().parse().map_err(|_| format!("{:?} is not a header name", name.trim()))?;
    let value = http::HeaderValue::from_str(value.trim())
        .map_err(|_| "its value has characters that a header cannot carry".to_owned())?;
    Ok((name, value))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "write seconds, such as 30 or 2.5".to_owned();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.len() <= 9 && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let millis: u64 = millis.parse().map_err(|_| wrong())?;
    match Duration::from_millis(whole.saturating_mul(1000).saturating_add(millis)) {
        Duration::ZERO => Err("write more than 0 seconds".into()),
        time => Ok(time),
    }
}

fn seconds_or_none(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { seconds(text) }
}

#[cfg(test)]
mod tests {
    use super::{header, seconds, url};

    #[test]
    fn urls_get_the_scheme_that_is_meant() {
        let cases = [
            ("api.example.com/a?b=c", Some("https://api.example.com/a?b=c")),
            ("localhost:8402/a", Some("http://localhost:8402/a")),
            ("127.0.0.1:1", Some("http://127.0.0.1:1/")),
            ("http://api.example.com", Some("http://api.example.com/")),
            ("ftp://x", None),
            ("https://u:p@x", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(url(text).ok().as_ref().map(url::Url::as_str), expected, "{text}");
        }
    }

    #[test]
    fn headers_and_times_are_read() {
        assert!(
            header("Accept: text/csv").is_ok_and(|(name, value)| name == "accept" && value == "text/csv")
        );
        assert!(header("Accept").is_err() && header("a b: c").is_err() && header("a: \u{1}").is_err());
        let cases = [
            ("30", Some(30_000)),
            ("2.5", Some(2_500)),
            ("0", None),
            ("-1", None),
            ("1e3", None),
            ("", None),
        ];
        for (text, expected_ms) in cases {
            assert_eq!(seconds(text).ok().map(|d| d.as_millis()), expected_ms, "{text}");
        }
    }
}
