//! The OpenAPI 3.1 document, made from the same [`Operation`]s as the router. Nothing in it is written by hand but the
//! introduction and the problems that each kind of operation can answer.

use http::Method;
use serde_json::{Map, Value, json};

use crate::access::{Access, Who};
use crate::operation::Operation;
use crate::problem::{MEDIA_TYPE, Sent};
use crate::schema::{Schema, Schemas, bound, plain};

const INTRODUCTION: &str = "Wallets, holds, budgets, usage and margin over HTTP. Amounts are strings of base units; instants \
    are milliseconds since the Unix epoch in fields that end in `_ms`; ids are a prefix, `_` and 32 hexadecimal digits.";

/// No control characters.
const PRINTABLE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// The document.
#[must_use]
pub fn document(operations: &[Operation]) -> Value {
    let mut schemas = Schemas::default();
    let problem = schemas.output::<Sent<'static>>();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let described = describe(operation, &mut schemas);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = described;
    }
    let mut tags: Vec<&str> = operations.iter().map(|operation| operation.tag).collect();
    tags.sort_unstable();
    tags.dedup();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Farthing billing",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "tags": tags.iter().map(|tag| json!({ "name": tag })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "responses": { "Problem": problem_response(&problem) },
            "securitySchemes": {
                "apiKey": {
                    "type": "http", "scheme": "bearer",
                    "description": "An API key, or where it says so the token of a budget.",
                },
            },
        },
    });
    plain(&mut document);
    bound(&mut document);
    document
}

fn problem_response(problem: &Schema) -> Value {
    json!({
        "description": "A problem (RFC 9457). `code` is stable, and the page of errors lists all of them.",
        "headers": { "X-Request-Id": { "schema": { "type": "string" } } },
        "content": { MEDIA_TYPE: { "schema": problem } },
    })
}

fn describe(operation: &Operation, schemas: &mut Schemas) -> Value {
    let shapes = operation.shapes;
    let mut parameters = parameters(&(shapes.path)(schemas), schemas, "path");
    parameters.extend(self::parameters(&(shapes.query)(schemas), schemas, "query"));
    if operation.csv.is_some() {
        let schema = json!({ "type": "string", "enum": ["json", "csv"] });
        let description = "CSV of all pages, as `Accept: text/csv` asks for too.";
        parameters
            .push(json!({ "name": "format", "in": "query", "description": description, "schema": schema }));
    }
    if changes(&operation.method) {
        parameters.push(idempotency_key());
    }
    let mut content = Map::new();
    content.insert(shapes.media_type.to_owned(), json!({ "schema": (shapes.answer)(schemas) }));
    if operation.csv.is_some() {
        content.insert("text/csv".to_owned(), json!({ "schema": { "type": "string" } }));
    }
    let mut responses = Map::new();
    responses.insert(
        shapes.status.as_str().to_owned(),
        json!({ "description": shapes.status.canonical_reason(), "content": content }),
    );
    for status in problems(operation) {
        responses.insert(status.to_string(), json!({ "$ref": "#/components/responses/Problem" }));
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": parameters,
        "responses": responses,
        "security": match operation.access.who() {
            Who::Anybody => json!([]),
            Who::Key | Who::KeyOrToken => json!([{ "apiKey": [] }]),
        },
    });
    if let Some(note) = access_note(operation.access) {
        described["description"] = note.into();
    }
    if let Some(body) = shapes.body {
        let schema = body(schemas);
        described["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    described
}

fn access_note(access: Access) -> Option<String> {
    let scope = access.scope()?;
    Some(match access.who() {
        Who::KeyOrToken => format!("Needs a key with the scope `{scope}`, or the token of a budget."),
        _ => format!("Needs a key with the scope `{scope}`."),
    })
}

/// The statuses of problems that an operation can answer.
fn problems(operation: &Operation) -> Vec<u16> {
    let mut statuses = vec![400, 503];
    if operation.access.who() != Who::Anybody {
        statuses.extend([401, 403, 404, 409, 422, 429]);
    }
    if operation.shapes.body.is_some() {
        statuses.extend([413, 415]);
    }
    statuses.sort_unstable();
    statuses
}

const fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET)
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes the request safe to send again: the same key and content answer what they answered before, with \
            `Idempotency-Replayed: true`, and do nothing.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]{1,200}$" },
    })
}

/// The fields of an object's schema as parameters.
fn parameters(schema: &Schema, schemas: &mut Schemas, place: &str) -> Vec<Value> {
    let whole = schemas.resolve(schema);
    let Some(Value::Object(properties)) = whole.get("properties") else { return Vec::new() };
    let required = |name: &str| {
        place == "path"
            || whole
                .get("required")
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().any(|r| r == name))
    };
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        not_null(&mut schema);
        if place == "query" {
            printable(&mut schema);
        }
        let description = schema.as_object_mut().and_then(|fields| fields.remove("description"));
        let mut parameter =
            json!({ "name": name, "in": place, "required": required(name), "schema": schema });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        parameter
    };
    properties.iter().map(parameter).collect()
}

/// A query with a control character is refused, whichever parameter has it.
fn printable(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    let free = ["pattern", "enum", "const"].iter().all(|rule| !fields.contains_key(*rule));
    if free && fields.get("type").is_some_and(|name| name == "string") {
        fields.insert("pattern".to_owned(), PRINTABLE.into());
    }
}

/// A parameter that is not there is not null: there is no null in a query.
fn not_null(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            fields.remove("anyOf");
            fields.extend(only);
        }
    }
    fields.remove("default");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::Value;

    use super::{PRINTABLE, document};

    fn integers<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
        if value["type"].as_str() == Some("integer") {
            found.push(value);
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|field| integers(field, found)),
            Value::Array(items) => items.iter().for_each(|item| integers(item, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_bounds_what_is_bounded() {
        let document = document(&crate::v1::operations());
        let mut found = Vec::new();
        integers(&document, &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for integer in found {
            assert!(integer.get("maximum").is_some(), "{integer}");
        }
        let parameters = &document["paths"]["/v1/quotes"]["get"]["parameters"];
        let vendor = parameters.as_array().unwrap().iter().find(|one| one["name"] == "vendor").unwrap();
        assert_eq!(
            (&vendor["schema"]["maxLength"], &vendor["schema"]["pattern"]),
            (&256.into(), &PRINTABLE.into())
        );
    }
}
