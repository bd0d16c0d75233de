//! The `[[vendors]]` tables of a policy: vendors that ask for no payments, called with a key of their own, and what their calls cost.

use std::num::NonZeroU64;
use std::time::Duration;

use farthing_client::metered::{CHARGE_AFTER, CostRule, Counted, MeteredVendor};
use farthing_client::policy::HostPattern;
use farthing_money::{Amount, Asset, AssetKind, Money};
use http::header::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::read::Section;
use super::secret::{SecretKeys, Surroundings};
use super::value;

/// The most numbers of an answer that a cost is made of.
const MAX_COUNTED: usize = 8;

/// Reads one; what is wrong is noted.
pub(super) fn read(
    section: &Section<'_>,
    around: Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Option<MeteredVendor> {
    const HOST: &str = "which host is called with the key, such as \"api.example.com\"";
    const MOST: &str = "the most that one call may cost, in dollars, such as \"0.05\"";
    let host =
        section.require("host", HOST, |text| HostPattern::parse(text).map_err(|error| error.to_string()));
    let header = section.parse("header", |text| {
        text.parse::<HeaderName>().map_err(|_| format!("{text:?} is not the name of a header"))
    });
    let prefix = section.text("prefix").map_or("", |field| field.value).to_owned();
    if !section.has("key_file") && !section.has("key_env") {
        section.missing("key_file", "the file with the vendor's API key");
    }
    let found = around.secret(section, SecretKeys { inline: None, file: "key_file", env: "key_env" });
    warnings.extend(found.as_ref().and_then(|found| found.warning.clone()));
    let key = found.and_then(|found| {
        let value = Zeroizing::new(format!("{prefix}{}", found.secret.as_str()));
        let key = HeaderValue::from_str(&value).ok();
        if key.is_none() {
            section.fault("has a key or a prefix that a header cannot carry");
        }
        key
    });
    let most = section.require("most", MOST, positive);
    let tables = section.sections("usage");
    if tables.len() > MAX_COUNTED {
        section.fault(format!("has {} tables `usage`; {MAX_COUNTED} are the most", tables.len()));
        return None;
    }
    let counted = tables.iter().map(counted).collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?;
    let charge_after = section.parse("charge_after", time);
    let heeds_keys = section.flag("idempotency_key").is_some_and(|field| field.value);
    section.refuse_unknown();
    let rule = if counted.is_empty() { CostRule::PerCall } else { CostRule::Counted(counted) };
    let dollars = Asset::new("USD", value::USD_SCALE, AssetKind::Fiat).ok()?;
    let header = header.unwrap_or(http::header::AUTHORIZATION);
    let vendor = MeteredVendor::new(host?, (header, key?), (Money::new(most?, dollars), rule))
        .charge_after(charge_after.unwrap_or(Some(CHARGE_AFTER)));
    Some(if heeds_keys { vendor.that_heeds_keys() } else { vendor })
}

/// How long a call whose outcome nobody knows stays open; `never` ends it by itself.
fn time(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "never" => Ok(None),
        text => value::duration(text).map(Some).map_err(|error| format!("{error}, or \"never\"")),
    }
}

fn counted(section: &Section<'_>) -> Option<Counted> {
    const POINTER: &str = "where the number is in the answer's JSON, such as \"/usage/total_tokens\"";
    let pointer = section.require("pointer", POINTER, |text| {
        if text.starts_with('/') {
            Ok(text.to_owned())
        } else {
            Err(format!("{text:?} does not begin with a slash"))
        }
    });
    let price = section.require("price", "what so many cost, in dollars, such as \"0.004\"", positive);
    let per = match section.number("per") {
        None => Some(NonZeroU64::MIN),
        Some(field) => {
            let per = NonZeroU64::new(field.value);
            if per.is_none() {
                field.fault("is 0: write how many the price is for, such as 1000");
            }
            per
        }
    };
    section.refuse_unknown();
    Some(Counted { pointer: pointer?, per: per?, price: price? })
}

fn positive(text: &str) -> Result<Amount, String> {
    let amount = value::amount(text)?;
    if amount.is_zero() { Err("is nothing".into()) } else { Ok(amount) }
}
