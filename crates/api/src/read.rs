//! What a request says, read into the types of an operation: parameters of the path, parameters of the query, the body. Whatever
//! does not fit is refused with the field that is wrong, and a field that nobody knows is refused too.

use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::{Deserialize, Serialize};

use crate::number;
use crate::problem::Problem;

/// No parameters; no body.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A part of a request: a type whose schema is in the document and whose reader refuses everything else.
pub trait Part: DeserializeOwned + JsonSchema + Send + 'static {}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Part for T {}

/// The parameters of a path. One that is not as its schema says names nothing: there is no such resource.
pub(crate) fn path<P: Part>(pairs: &[(String, String)]) -> Result<P, Problem> {
    let entries = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let map = MapDeserializer::<_, serde::de::value::Error>::new(entries);
    P::deserialize(map).map_err(|_| {
        let last = pairs.last().map_or("", |(_, value)| value);
        Problem::not_found("resource", last)
    })
}

/// The parameters of a query.
pub(crate) fn query<Q: Part>(query: &str) -> Result<Q, Problem> {
    let refused = |name: &str, why: String| {
        let name = if name == "." { "parameters" } else { name };
        Problem::query(name, why)
    };
    let pairs = url_pairs(query);
    if let Some((name, value)) = pairs.iter().find(|(name, value)| has_control(name) || has_control(value)) {
        let which = if has_control(name) { "parameters" } else { name };
        return Err(refused(which, format!("{:?} has control characters", value.escape_debug().to_string())));
    }
    let reader = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(reader)
        .map_err(|error| refused(&error.path().to_string(), error.inner().to_string()))
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// The pairs of a query, decoded.
pub(crate) fn url_pairs(query: &str) -> Vec<(String, String)> {
    serde_urlencoded::from_str(query).unwrap_or_default()
}

/// The body of a request that changes something.
pub(crate) fn body<B: Part>(headers: &HeaderMap, bytes: &[u8]) -> Result<B, Problem> {
    if bytes.is_empty() && is_nothing::<B>() {
        return B::deserialize(MapDeserializer::<_, serde::de::value::Error>::new(std::iter::empty::<(
            StrDeserializer<'_, _>,
            &str,
        )>()))
        .map_err(|_| Problem::internal());
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_json(content_type) {
        let detail = "send the body as JSON, with Content-Type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    // Told apart first, so that a body that is no JSON is never called a wrong field.
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        let detail = format!("the body is not JSON: {error}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_json", detail));
    }
    let bytes = number::in_digits(bytes);
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        let why = without_position(&error.inner().to_string());
        let place = if pointer.is_empty() { "the body" } else { &pointer };
        Problem::new(StatusCode::BAD_REQUEST, "invalid_body", format!("{place}: {why}"))
            .field(pointer.clone(), why)
    })
}

fn is_nothing<B: JsonSchema>() -> bool {
    B::schema_id() == Nothing::schema_id()
}

/// Whether requests of this method have a body.
pub(crate) fn has_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// `tiers[0].up_to` is `/tiers/0/up_to`.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(segment).collect()
}

/// Where in the text it is, says nothing that the pointer does not.
fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderMap;
    use http::header::CONTENT_TYPE;
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::{Nothing, body, path, query};

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Order {
        name: String,
        #[serde(default)]
        parts: Vec<Item>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Item {
        count: u32,
    }

    fn json() -> HeaderMap {
        [(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_body_that_does_not_fit_says_where() {
        for (text, status, code, pointer) in [
            ("", 400, "invalid_json", None),
            ("{", 400, "invalid_json", None),
            ("[]x", 400, "invalid_json", None),
            (r#"{"name":1}"#, 400, "invalid_body", Some("/name")),
            (
                r#"{"name":"a","parts":[{"count":1},{"count":-1}]}"#,
                400,
                "invalid_body",
                Some("/parts/1/count"),
            ),
            (r#"{"name":"a","more":1}"#, 400, "invalid_body", Some("/more")),
            (r#"{"name":"a","name":"b"}"#, 400, "invalid_body", Some("")),
            ("null", 400, "invalid_body", Some("")),
            ("{}", 400, "invalid_body", Some("")),
        ] {
            let problem = body::<Order>(&json(), text.as_bytes()).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.code), (status, code), "{text}");
            let found = problem.fields.first().map(|field| field.pointer.as_str());
            assert_eq!(found, pointer, "{text}: {}", problem.detail);
        }
        let order = body::<Order>(&json(), br#"{"name":"a","parts":[{"count":2}]}"#).unwrap();
        assert_eq!(order.parts[0].count, 2);
        let order = body::<Order>(&json(), br#"{"name":"1.0","parts":[{"count":2.0}]}"#).unwrap();
        assert_eq!((order.parts[0].count, &*order.name), (2, "1.0"));
        let problem = body::<Order>(&json(), br#"{"name":"a","parts":[{"count":2.5}]}"#).unwrap_err();
        assert_eq!(problem.fields[0].pointer, "/parts/0/count");
    }

    #[test]
    fn a_body_is_json_and_says_so() {
        let problem = body::<Order>(&HeaderMap::new(), br#"{"name":"a"}"#).unwrap_err();
        assert_eq!(problem.status.as_u16(), 415);
        body::<Nothing>(&HeaderMap::new(), b"").unwrap();
        body::<Nothing>(&json(), b"{}").unwrap();
        assert_eq!(body::<Nothing>(&json(), br#"{"a":1}"#).unwrap_err().code, "invalid_body");
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Filter {
        limit: Option<u32>,
        name: Option<String>,
    }

    #[test]
    fn parameters_are_known_once_and_of_their_type() {
        let filter = query::<Filter>("limit=7&name=a%20b").unwrap();
        assert_eq!((filter.limit, filter.name.as_deref()), (Some(7), Some("a b")));
        query::<Nothing>("").unwrap();
        for (text, name) in [
            ("limit=x", "limit"),
            ("limit=-1", "limit"),
            ("more=1", "more"),
            ("limit=1&limit=2", "parameters"),
            ("name=%00", "name"),
        ] {
            let problem = query::<Filter>(text).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.code), (400, "invalid_query"), "{text}");
            assert_eq!(problem.fields[0].pointer, name, "{text}");
        }
    }

    #[test]
    fn a_name_of_nothing_is_not_found() {
        #[derive(Debug, Deserialize, JsonSchema)]
        struct Numbered {
            number: u8,
        }
        let pairs = |value: &str| vec![("number".to_owned(), value.to_owned())];
        assert_eq!(path::<Numbered>(&pairs("7")).map_err(|p| p.code).map(|n| n.number), Err("not_found"));
        #[derive(Debug, Deserialize, JsonSchema)]
        struct Named {
            number: String,
        }
        assert_eq!(path::<Named>(&pairs("7")).unwrap().number, "7");
    }
}
