//! Pages of lists: how much of one and from where. Cursors are opaque: what they are made of is nobody's business but ours.

use base64_simd::URL_SAFE_NO_PAD;
use farthing_billing::service::{Page, PageQuery};
use farthing_ledger::record::Order;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// The most items of a page.
const MOST: u16 = 500;
/// The longest cursor, as it is written.
const MAX_CURSOR: usize = 1_024;

/// Which page of a list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PageParams {
    /// The cursor: `next` of the page before.
    #[schemars(length(min = 1, max = 1024))]
    pub after: Option<String>,
    /// At most so many items, 100 if nothing is said.
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<u16>,
}

impl PageParams {
    /// The service's words for it, the newest first.
    ///
    /// # Errors
    /// 400 for a limit out of bounds, or a cursor that is none of ours.
    pub fn query(&self) -> Result<PageQuery, Problem> {
        query(self.after.as_deref(), self.limit)
    }
}

/// A page of a list from its two parameters, the newest first.
pub(crate) fn query(after: Option<&str>, limit: Option<u16>) -> Result<PageQuery, Problem> {
    let limit = limit.unwrap_or(100);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::query("limit", format!("is 1 to {MOST}")));
    }
    let after = after.map(read).transpose()?;
    Ok(PageQuery { after, limit: usize::from(limit), order: Order::Descending })
}

fn read(cursor: &str) -> Result<String, Problem> {
    let decoded = (cursor.len() <= MAX_CURSOR)
        .then(|| URL_SAFE_NO_PAD.decode_to_vec(cursor.as_bytes()).ok())
        .flatten()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|key| !key.is_empty() && !key.chars().any(char::is_control));
    decoded
        .ok_or_else(|| Problem::query_says("after", "is no cursor of ours: pass `next` of the page before"))
}

/// The page with its cursor as it is shown.
pub(crate) fn sealed<T>(page: Page<T>) -> Page<T> {
    let next = page.next.map(|key| URL_SAFE_NO_PAD.encode_to_string(key.as_bytes()));
    Page { data: page.data, next }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use farthing_billing::service::Page;

    use super::{query, sealed};

    #[test]
    fn a_cursor_comes_back_as_it_was_and_nothing_else_is_one() {
        let page = sealed(Page { data: vec![1], next: Some("cus/é".to_owned()) });
        let cursor = page.next.unwrap();
        assert_eq!(query(Some(&cursor), None).unwrap().after.unwrap(), "cus/é");
        for bad in ["", "cus/é", "AA", "====", &"A".repeat(2_000)] {
            assert_eq!(query(Some(bad), None).unwrap_err().code, "invalid_query", "{bad}");
        }
    }

    #[test]
    fn a_limit_has_bounds() {
        for (limit, fits) in [(0, false), (1, true), (500, true), (501, false)] {
            assert_eq!(query(None, Some(limit)).is_ok(), fits, "{limit}");
        }
    }
}
