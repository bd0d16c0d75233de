//! Who may what: every operation without a key, with a key that lacks the scope, and with names that are another tenant's.

use farthing_billing::service::key::Scope;
use serde_json::{Value, json};

use crate::harness::Server;

/// Every operation of the document: method, template, whether it is open to anybody.
fn operations(server: &Server) -> Vec<(String, String, bool)> {
    let paths = server.document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| {
            let open = operation["security"].as_array().unwrap().is_empty();
            (method.to_ascii_uppercase(), path.clone(), open)
        })
    });
    all.collect()
}

/// A path with names for its parameters.
fn filled(template: &str, name: impl Fn(&str) -> String) -> String {
    let mut parts = template.split('/').map(|part| {
        part.strip_prefix('{').and_then(|part| part.strip_suffix('}')).map_or_else(|| part.to_owned(), &name)
    });
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |path, part| path + "/" + &part)
}

fn nobody(_: &str) -> String {
    "cus_000000000000000000000000000000ff".to_owned()
}

#[tokio::test]
async fn nothing_is_done_for_whoever_is_not_known() {
    let server = Server::start().await;
    let good = server.admin().await;
    let damaged = format!("{}{}", &good[..good.len() - 1], if good.ends_with('0') { '1' } else { '0' });
    let operations = operations(&server);
    assert!(operations.len() > 20);
    for (method, path, open) in operations {
        let line = format!("{method} {}", filled(&path, nobody));
        for key in ["", "x", &damaged, &good.to_uppercase()] {
            let answer = server.ask(key, &line).json(&json!({})).send().await;
            if open {
                answer.ok();
                continue;
            }
            assert_eq!(answer.status, 401, "{line} with {key:?}");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{line}");
            assert!(key.len() < 5 || !answer.text.contains(key), "{line} repeats the key");
        }
    }
}

#[tokio::test]
async fn a_scope_that_is_missing_is_said() {
    let server = Server::start().await;
    let tenant = server.tenant().await;
    // A key can at most what these let it: whatever needs another scope is refused, before its input is looked at.
    let scopes = [
        Scope::Read,
        Scope::Customers,
        Scope::Wallets,
        Scope::Holds,
        Scope::Budgets,
        Scope::Usage,
        Scope::Prices,
        Scope::TopUps,
        Scope::Webhooks,
    ];
    let mut refused = 0;
    for scope in scopes {
        let key = server.key(tenant, &[scope]).await;
        let text = serde_json::to_value(scope).unwrap();
        let own = format!("`{}`", text.as_str().unwrap());
        for (method, path, open) in operations(&server) {
            let operation = &server.document["paths"][&path][method.to_ascii_lowercase()];
            let needs_own = operation["description"].as_str().is_some_and(|text| text.contains(&own));
            let line = format!("{method} {}", filled(&path, nobody));
            let answer = server.ask(&key, &line).json(&Value::Null).send().await;
            let missing = answer.refusal() == (403, "missing_scope");
            assert_eq!(missing, !open && !needs_own, "{line} with {own}: {}", answer.text);
            refused += usize::from(missing);
        }
    }
    assert!(refused > 100);
}

#[tokio::test]
async fn what_is_another_tenants_is_not_there() {
    let server = Server::start().await;
    let (mine, other) = (&server.admin().await, &server.admin().await);
    let things = crate::resources::everything(&server, mine).await;
    // The other has an asset of the same code, so that only the customer and what is below it can be what is not found.
    server.funded(other, "theirs", "5").await;
    for (method, path, open) in operations(&server) {
        if open || !path.contains('{') {
            continue;
        }
        let name =
            |parameter: &str| things.get(parameter).cloned().unwrap_or_else(|| panic!("no {parameter}"));
        let line = format!("{method} {}", filled(&path, name));
        if path == "/v1/assets/{asset}" {
            // Both have a USD, and neither is the other's.
            continue;
        }
        let body = crate::resources::body(&method, &path, &things);
        let answer = server.ask(other, &line).json(&body).send().await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{line}: {}", answer.text);
    }
    // And nothing that is listed is another's.
    for (method, path, open) in operations(&server) {
        if open || method != "GET" || path.contains('{') {
            continue;
        }
        let listed = server.get(other, &path).await;
        for (parameter, id) in &things {
            assert!(parameter == "asset" || !listed.text.contains(id.as_str()), "{path} shows {id}");
        }
    }
}
