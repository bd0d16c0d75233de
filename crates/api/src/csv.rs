//! Lists as CSV (RFC 4180): page after page of the same operation, sent as they are read, so that an export of any length needs
//! the memory of one page. What a spreadsheet would take for a formula is sent as text.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use farthing_ledger::store::MAX_PAGE;
use futures_util::stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::operation::{Answered, Asked, Operation, Raw};
use crate::problem::Problem;
use crate::{read, serve};

const MEDIA_TYPE: &str = "text/csv";

/// The columns of a list.
pub(crate) type Columns = &'static [&'static str];

/// Whether a request wants CSV: it asks for `format=csv`, or accepts `text/csv`. The parameter is taken out of the query.
pub(crate) fn take_format(raw: &mut Raw) -> Result<bool, Problem> {
    let mut pairs = read::url_pairs(&raw.query);
    let before = pairs.len();
    let formats: Vec<String> =
        pairs.iter().filter(|(name, _)| name == "format").map(|(_, value)| value.clone()).collect();
    pairs.retain(|(name, _)| name != "format");
    if pairs.len() != before {
        raw.query = write(&pairs);
    }
    match formats.as_slice() {
        [] => Ok(serve::accepts(&raw.headers, MEDIA_TYPE)),
        [format] if format == "csv" => Ok(true),
        [format] if format == "json" => Ok(false),
        _ => Err(Problem::query("format", "is csv or json")),
    }
}

fn write(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// An export whose first page was read.
pub(crate) struct Export {
    name: &'static str,
    head: Bytes,
    rest: Option<Rest>,
}

/// What is still to be read.
struct Rest {
    operation: Operation,
    columns: Columns,
    asked: Asked,
    raw: Raw,
    #[allow(dead_code, reason = "held, so that the place is taken while pages are read")]
    place: Option<OwnedSemaphorePermit>,
}

/// Reads the first page, so that whatever is wrong with the request is a problem and not half a file.
pub(crate) async fn export(
    operation: &Operation,
    columns: Columns,
    asked: Asked,
    raw: Raw,
) -> Result<Export, Problem> {
    let rest = Rest { operation: operation.clone(), columns, asked, raw, place: None };
    let mut head = line(columns.iter().map(|name| (*name).to_owned()));
    let (page, rest) = rest.page().await?;
    head.push_str(&page);
    Ok(Export { name: operation.id, head: head.into(), rest })
}

impl Export {
    /// The answer, whose body keeps its place among the requests until it has been read.
    pub(crate) fn answer(self, place: OwnedSemaphorePermit) -> Response {
        let Self { name, head, rest } = self;
        let rest = rest.map(|rest| Rest { place: Some(place), ..rest });
        let pages = stream::unfold((Some(head), rest), |(head, rest)| async move {
            if let Some(head) = head {
                return Some((Ok(head), (None, rest)));
            }
            match rest?.page().await {
                Ok((page, rest)) => Some((Ok(Bytes::from(page)), (None, rest))),
                // The answer has begun: a file that is cut off is all that can still be said.
                Err(problem) => Some((Err(std::io::Error::other(problem.code)), (None, None))),
            }
        });
        let mut answer = Response::new(Body::from_stream(pages));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}.csv\""));
        headers.extend(disposition.ok().map(|value| (CONTENT_DISPOSITION, value)));
        answer
    }
}

impl Rest {
    /// The next page as lines, and what is left after it.
    async fn page(mut self) -> Result<(String, Option<Self>), Problem> {
        let asked_for = read::url_pairs(&self.raw.query);
        if !asked_for.iter().any(|(name, _)| name == "limit") && self.operation.has_query("limit") {
            self.set("limit", &(MAX_PAGE / 2).to_string());
        }
        let Answered::Json(_, body) = (self.operation.run)(self.asked.clone(), self.raw.clone()).await?
        else {
            return Err(Problem::internal());
        };
        let page: Value = serde_json::from_slice(&body).map_err(|_| Problem::internal())?;
        let rows = page.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let lines = rows.iter().map(|row| line(self.columns.iter().map(|column| cell(row, column))));
        let lines: String = lines.collect();
        let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
        let rest = next.map(|next| {
            self.set("after", &next);
            self
        });
        Ok((lines, rest))
    }

    fn set(&mut self, name: &str, value: &str) {
        let mut pairs = read::url_pairs(&self.raw.query);
        pairs.retain(|(other, _)| other != name);
        pairs.push((name.to_owned(), value.to_owned()));
        self.raw.query = write(&pairs);
    }
}

/// What stands under `column`: a field's name, with dots between levels. Lists and objects as JSON; what is not there as nothing.
fn cell(row: &Value, column: &str) -> String {
    let found = column.split('.').try_fold(row, |value, name| value.get(name));
    match found {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut line = cells.map(|cell| quoted(&harmless(cell))).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// A text that a spreadsheet does not run. Numbers, with a sign too, stay numbers.
fn harmless(text: String) -> String {
    let is_number = || {
        let digits = text.strip_prefix('-').unwrap_or(&text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    match text.trim_start().chars().next() {
        Some('=' | '+' | '-' | '@') if !is_number() => format!("'{text}"),
        _ if text.starts_with(['\t', '\r', '\n']) => format!("'{text}"),
        _ => text,
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{cell, line};

    #[test]
    fn what_looks_like_a_formula_is_text_and_numbers_stay_numbers() {
        for (text, written) in [
            ("plain", "plain"),
            ("12.50", "12.50"),
            ("-1250", "-1250"),
            ("-1+1", "'-1+1"),
            ("=1+1", "'=1+1"),
            ("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            ("+44", "'+44"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            ("\t=1", "'\t=1"),
            ("-", "'-"),
            ("a,b", "\"a,b\""),
            ("a\nb", "\"a\nb\""),
            ("", ""),
        ] {
            assert_eq!(line([text.to_owned()].into_iter()), format!("{written}\r\n"), "{text:?}");
        }
    }

    #[test]
    fn a_column_names_a_field_at_any_depth() {
        let row = json!({ "id": "a", "cost": { "amount": "5" }, "tags": [1], "none": null });
        for (column, written) in
            [("id", "a"), ("cost.amount", "5"), ("tags", "[1]"), ("none", ""), ("gone.deep", "")]
        {
            assert_eq!(cell(&row, column), written);
        }
    }
}
