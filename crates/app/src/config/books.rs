//! The `[billing]` table of a gateway: the billing service in whose books its revenue stands, and whose balances pay its routes.

use std::path::PathBuf;

use farthing_money::{Asset, AssetKind};
use url::Url;
use zeroize::Zeroizing;

use super::read::Section;
use super::secret::{SecretKeys, Surroundings};
use super::value;

/// A billing service, as a gateway uses it.
pub struct BooksConfig {
    /// Where it is.
    pub url: Url,
    /// The API key.
    pub key: Zeroizing<String>,
    /// The code of the asset in which revenue is booked, where it is not the currency's.
    pub asset: Option<String>,
    /// The asset whose balances pay routes with a `prepaid` price.
    pub prepaid: Option<Asset>,
    /// Where it is remembered up to which call revenue is booked.
    pub state_file: PathBuf,
}

impl std::fmt::Debug for BooksConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BooksConfig").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// The most decimals of a custom asset.
const MAX_SCALE: u64 = 18;

impl BooksConfig {
    pub(super) fn read(
        section: &Section<'_>,
        around: Surroundings<'_>,
        warnings: &mut Vec<String>,
    ) -> Option<Self> {
        let url =
            section.require("url", "the billing service, such as \"http://127.0.0.1:8410\"", value::http_url);
        let keys = SecretKeys { inline: None, file: "key_file", env: "key_env" };
        if !section.has("key_file") && !section.has("key_env") {
            section.missing("key_file", "the file with an API key that may place holds and tell usage");
        }
        let found = around.secret(section, keys);
        warnings.extend(found.as_ref().and_then(|found| found.warning.clone()));
        let asset = section.parse("asset", code);
        let prepaid = read_prepaid(section);
        let state = section.parse("state_file", |text| Ok(text.to_owned()));
        let state_file = value::beside(around.file, state.as_deref().unwrap_or("farthing-revenue.json"));
        section.refuse_unknown();
        Some(Self { url: url?, key: found?.secret, asset, prepaid: prepaid?, state_file })
    }
}

/// `None` when it is wrong.
fn read_prepaid(section: &Section<'_>) -> Option<Option<Asset>> {
    let scale = section.number("prepaid_scale");
    let Some(named) = section.text("prepaid_asset") else {
        if let Some(field) = scale {
            field.fault("needs `prepaid_asset`: the code of the asset whose balances pay");
        }
        return Some(None);
    };
    let decimals = match &scale {
        None => 0,
        Some(field) if field.value <= MAX_SCALE => u8::try_from(field.value).unwrap_or_default(),
        Some(field) => {
            field.fault(format!("is more than {MAX_SCALE} decimals"));
            return None;
        }
    };
    match code(named.value)
        .and_then(|code| Asset::new(&code, decimals, AssetKind::Custom).map_err(|error| error.to_string()))
    {
        Ok(asset) => Some(Some(asset)),
        Err(why) => {
            named.fault(why);
            None
        }
    }
}

fn code(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if (1..=24).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is no code of an asset: 1 to 24 letters, digits, and . - _"))
}
