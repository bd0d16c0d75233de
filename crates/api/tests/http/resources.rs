//! A walk through every resource, as a platform would take it; what it does not touch, the last line finds.

use std::collections::BTreeMap;

use farthing_billing::service::TenantId;
use serde_json::{Value, json};

use crate::harness::Server;

#[tokio::test]
async fn every_operation_does_what_it_says() {
    let server = Server::start().await;
    let key = &server.admin().await;
    meta(&server).await;
    let customer = &assets_and_customers(&server, key).await;
    wallets(&server, key, customer).await;
    grants(&server, key, customer).await;
    holds(&server, key, customer).await;
    webhooks(&server, key).await;
    budgets(&server, key, customer).await;
    usage(&server, key, customer).await;
    vendors(&server, key).await;
    funding(&server, key, customer).await;
    keys(&server, key).await;
    events(&server, key).await;

    let seen = server.seen.lock().unwrap();
    let missed: Vec<&str> = server.document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        // A stream is never at its end, and what a chain or a token's signature tells is not this
        // test's: they have tests of their own.
        .filter(|id| !matches!(*id, "streamWallet" | "getDeposit" | "assignDeposit" | "checkSignature"))
        .filter(|id| !seen.iter().any(|(seen, status)| seen == id && (200..300).contains(status)))
        .collect();
    assert!(missed.is_empty(), "nobody has seen these succeed: {missed:?}");
}

async fn meta(server: &Server) {
    let health = server.get("", "/v1/health").await.ok();
    assert_eq!(health["status"], "ok");
    server.get("", "/v1/openapi.json").await.ok();
}

async fn assets_and_customers(server: &Server, key: &str) -> String {
    let usd = json!({ "code": "USD", "scale": 6, "kind": "fiat" });
    let made = server.post(key, "/v1/assets", usd.clone()).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.body["kind"], "fiat");
    // The same again is the same; another under its name is refused.
    server.post(key, "/v1/assets", usd).await.ok();
    let other = json!({ "code": "USD", "scale": 2, "kind": "fiat" });
    assert_eq!(server.post(key, "/v1/assets", other).await.refusal(), (409, "already_exists"));
    let token = json!({
        "code": "USDC", "scale": 6, "kind": "token", "network": "eip155:4217", "address": "0xABCD",
    });
    assert_eq!(server.post(key, "/v1/assets", token).await.ok()["address"], "0xabcd");
    let half = json!({ "code": "X", "scale": 6, "kind": "token" });
    assert_eq!(server.post(key, "/v1/assets", half).await.refusal(), (422, "invalid_field"));
    assert_eq!(server.get(key, "/v1/assets/USD").await.ok()["scale"], 6);
    assert_eq!(server.get(key, "/v1/assets").await.ok()["data"].as_array().unwrap().len(), 2);

    let new = json!({ "external_id": "acme", "name": "=Acme", "metadata": { "plan": "pro" } });
    let made = server.post(key, "/v1/customers", new.clone()).await.ok();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(server.post(key, "/v1/customers", new).await.refusal(), (409, "already_exists"));
    assert_eq!(server.get(key, &format!("/v1/customers/{id}")).await.ok(), made);
    let change = json!({ "metadata": { "plan": "free" } });
    let changed = server.ask(key, &format!("PATCH /v1/customers/{id}")).json(&change).send().await.ok();
    assert_eq!((&changed["name"], &changed["metadata"]["plan"]), (&json!("=Acme"), &json!("free")));
    let found = server.get(key, "/v1/customers?external_id=acme").await.ok();
    assert_eq!(found["data"][0]["id"].as_str(), Some(&*id));
    assert_eq!(server.get(key, "/v1/customers?external_id=none").await.ok()["data"], json!([]));
    pages_and_csv(server, key).await;
    id
}

async fn pages_and_csv(server: &Server, key: &str) {
    for n in 0..4 {
        // Names are ordered by the clock.
        server.advance(1);
        server.post(key, "/v1/customers", json!({ "external_id": format!("c{n}") })).await.ok();
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = server.get(key, &format!("/v1/customers?limit=2{after}")).await.ok();
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= 2);
        found.extend(data.iter().map(|customer| customer["external_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(found, ["c3", "c2", "c1", "c0", "acme"]);
    // All pages in one file, whatever the page's length, and nothing in it that a spreadsheet would run.
    let by_parameter = server.get(key, "/v1/customers?format=csv&limit=2").await;
    let by_header = server.ask(key, "GET /v1/customers").header("accept", "text/csv").send().await;
    assert_eq!(by_parameter.text, by_header.text);
    assert_eq!(by_parameter.header("content-type"), Some("text/csv; charset=utf-8"));
    let lines: Vec<&str> = by_parameter.text.split("\r\n").collect();
    assert_eq!(lines[0], "id,external_id,name,state,created_ms,updated_ms");
    assert_eq!(lines.len(), 7, "a head, five customers, and the end of the last line");
    assert!(lines[5].contains(",acme,'=Acme,active,"), "{}", lines[5]);
}

async fn wallets(server: &Server, key: &str, customer: &str) {
    let wallet = &format!("/v1/customers/{customer}/wallets/USD");
    assert_eq!(server.get(key, wallet).await.refusal(), (404, "not_found"));
    let opened = server.ask(key, &format!("PUT {wallet}")).json(&json!({})).send().await.ok();
    assert_eq!((&opened["available"], &opened["state"]), (&json!("0"), &json!("open")));
    let credit = json!({ "amount": "1000", "reference": "wire 7" });
    let credited = server.post(key, &format!("{wallet}/credits"), credit).await;
    assert_eq!(credited.status, 201);
    let before = server.stage_ms();
    server.advance(10_000);
    let debit = json!({ "direction": "debit", "amount": "300", "reason": "a mistake" });
    server.post(key, &format!("{wallet}/adjustments"), debit).await.ok();
    let too_much = json!({ "direction": "debit", "amount": "701", "reason": "a mistake" });
    let refused = server.post(key, &format!("{wallet}/adjustments"), too_much).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    let back = json!({ "amount": "800", "reference": "dispute 1" });
    server.post(key, &format!("{wallet}/chargebacks"), back).await.ok();
    let now = server.get(key, wallet).await.ok();
    assert_eq!((&now["settled"], &now["debt"]), (&json!("-100"), &json!("100")));
    let lent =
        server.ask(key, &format!("PUT {wallet}/overdraft")).json(&json!({ "limit": "50" })).send().await.ok();
    assert_eq!(lent["overdraft_limit"], "50");
    let then = server.get(key, &format!("{wallet}?at_ms={before}")).await.ok();
    assert_eq!(then["settled"], "1000");
    let later = server.get(key, &format!("{wallet}?at_ms=99999999999999")).await;
    assert_eq!(later.refusal(), (422, "invalid_query"));
    let all = server.get(key, &format!("/v1/customers/{customer}/wallets")).await.ok();
    assert_eq!(all["data"].as_array().unwrap().len(), 1);
    let happened = server.get(key, &format!("{wallet}/transactions")).await.ok();
    assert!(happened["data"].as_array().unwrap().iter().any(|one| one["reference"] == "wire 7"));
    let csv = server.get(key, &format!("{wallet}/transactions?format=csv")).await;
    assert_eq!(csv.text.lines().count(), 1 + happened["data"].as_array().unwrap().len());
    let closed =
        server.ask(key, &format!("PUT {wallet}")).json(&json!({ "state": "closed" })).send().await.ok();
    assert_eq!(closed["state"], "closed");
    server.ask(key, &format!("PUT {wallet}")).json(&json!({ "state": "open" })).send().await.ok();
}

async fn grants(server: &Server, key: &str, customer: &str) {
    let wallet = &format!("/v1/customers/{customer}/wallets/USD");
    let grant = json!({ "purpose": "promotional", "amount": "40", "priority": 5, "reason": "welcome" });
    let granted = server.post(key, &format!("{wallet}/grants"), grant).await.ok();
    let id = granted["id"].as_str().unwrap();
    assert_eq!(server.get(key, &format!("{wallet}/grants/{id}")).await.ok(), granted);
    let all = server.get(key, &format!("{wallet}/grants")).await.ok();
    assert_eq!(all["data"][0]["id"].as_str(), Some(id));
    let monthly = json!({ "amount": "10", "unused": "replace" });
    let entitled = server.post(key, &format!("{wallet}/entitlements"), monthly).await.ok();
    let series = entitled["id"].as_str().unwrap();
    server.ask(key, &format!("DELETE {wallet}/entitlements/{series}")).send().await.ok();
    let again = server.ask(key, &format!("DELETE {wallet}/entitlements/{series}")).send().await;
    assert_eq!(again.refusal(), (404, "not_found"));
}

async fn holds(server: &Server, key: &str, customer: &str) {
    let expires = server.stage_ms() + 60_000;
    let new = json!({
        "customer": customer, "asset": "USD", "amount": "30", "counterparty": "api.example", "subject": "task 47",
        "expires_ms": expires,
    });
    let placed = server.post(key, "/v1/holds", new.clone()).await;
    assert_eq!(placed.status, 201, "{}", placed.text);
    let id = placed.body["id"].as_str().unwrap();
    let path = &format!("/v1/holds/{id}");
    assert_eq!(server.get(key, path).await.ok(), placed.body);
    let part = json!({ "amount": "10", "final": false, "reference": "0xabc" });
    let captured = server.post(key, &format!("{path}/capture"), part).await.ok();
    assert_eq!((&captured["held"], &captured["state"]), (&json!("20"), &json!("open")));
    let too_much = server.post(key, &format!("{path}/capture"), json!({ "amount": "21" })).await;
    assert_eq!(too_much.status, 409, "{}", too_much.text);
    let captured = server.post(key, &format!("{path}/capture"), json!({ "amount": "5" })).await.ok();
    assert_eq!((&captured["captured"], &captured["state"]), (&json!("15"), &json!("captured")));
    assert_eq!(server.post(key, &format!("{path}/void"), json!({})).await.refusal(), (409, "wrong_state"));
    let back = server.post(key, &format!("{path}/refund"), json!({ "amount": "4" })).await.ok();
    assert_eq!(back["refunded"], "4");
    let second = server.post(key, "/v1/holds", new).await.ok();
    let path = format!("/v1/holds/{}/void", second["id"].as_str().unwrap());
    assert_eq!(server.post(key, &path, json!({ "reason": "the call failed" })).await.ok()["state"], "voided");
    for (query, count) in [
        (String::new(), 2),
        (format!("?customer={customer}&state=voided"), 1),
        (format!("?customer={customer}&subject=task%2047"), 2),
    ] {
        let found = server.get(key, &format!("/v1/holds{query}")).await.ok();
        assert_eq!(found["data"].as_array().unwrap().len(), count, "{query}");
    }
    let csv = server.get(key, "/v1/holds?format=csv").await;
    assert_eq!(csv.text.lines().count(), 3);
    let poor = json!({ "customer": customer, "asset": "USD", "amount": "99999999" });
    assert_eq!(server.post(key, "/v1/holds", poor).await.status, 409);
}

async fn webhooks(server: &Server, key: &str) {
    let new = json!({ "url": "https://hooks.example/in", "types": ["customer.created"] });
    let made = server.post(key, "/v1/webhook_endpoints", new).await.ok();
    let path = &format!("/v1/webhook_endpoints/{}", made["id"].as_str().unwrap());
    server.get(key, path).await.ok();
    server.get(key, "/v1/webhook_endpoints").await.ok();
    let change = json!({ "description": "ours" });
    server.ask(key, &format!("PATCH {path}")).json(&change).send().await.ok();
    server.post(key, &format!("{path}/rotate_secret"), json!({})).await.ok();
    server.post(key, "/v1/customers", json!({ "external_id": "told" })).await.ok();
    server.billing.fan_out(server.cx(TenantId::from_u128(0)).now).await.unwrap();
    let deliveries = server.get(key, &format!("{path}/deliveries")).await.ok();
    let event = deliveries["data"][0]["event"].as_str().unwrap();
    server.get(key, &format!("{path}/deliveries/{event}")).await.ok();
    server.post(key, &format!("{path}/deliveries/{event}/replay"), json!({})).await.ok();
    server.post(key, &format!("{path}/replay_dead_letters"), json!({})).await.ok();
    server.ask(key, &format!("DELETE {path}")).send().await.ok();
}

async fn budgets(server: &Server, key: &str, customer: &str) {
    let wallet = &format!("/v1/customers/{customer}/wallets/USD");
    server.post(key, &format!("{wallet}/credits"), json!({ "amount": "1000" })).await.ok();
    let new = json!({
        "customer": customer, "asset": "USD", "name": "research", "funding": { "kind": "shared", "total": "100" },
        "children": { "most": 3, "levels": 2 },
    });
    let made = server.post(key, "/v1/budgets", new).await.ok();
    let id = made["id"].as_str().unwrap();
    let path = &format!("/v1/budgets/{id}");
    server.get(key, path).await.ok();
    let changed =
        server.ask(key, &format!("PATCH {path}")).json(&json!({ "per_call": "20" })).send().await.ok();
    assert_eq!(changed["per_call"], "20");
    let listed = server.get(key, &format!("/v1/budgets?customer={customer}&asset=USD")).await.ok();
    assert_eq!(listed["data"][0]["id"], id);
    assert_eq!(server.get(key, "/v1/budgets").await.status, 422);

    // A token spends its budget, makes budgets below it, and does nothing else.
    let new = json!({
        "budget": id, "actions": ["spend", "create_children"], "expires_ms": server.stage_ms() + 3_600_000,
    });
    let token = server.post(key, "/v1/tokens", new).await.ok();
    let (token_id, secret) = (token["id"].as_str().unwrap(), token["secret"].as_str().unwrap());
    let hold = server.post(secret, "/v1/holds", json!({ "budget": id, "amount": "15" })).await.ok();
    assert_eq!(hold["token"].as_str(), Some(token_id));
    let hold = format!("/v1/holds/{}", hold["id"].as_str().unwrap());
    server.post(secret, &format!("{hold}/capture"), json!({ "amount": "12" })).await.ok();
    let child = json!({ "parent": id, "funding": { "kind": "carved", "amount": "30" } });
    let child = server.post(secret, "/v1/budgets", child).await.ok();
    for (line, body, status, code) in [
        ("POST /v1/holds", json!({ "budget": id, "amount": "21" }), 409, "budget_per_call"),
        (
            "POST /v1/holds",
            json!({ "customer": customer, "asset": "USD", "amount": "1" }),
            403,
            "not_with_a_token",
        ),
        ("GET /v1/customers", json!(null), 403, "token_not_accepted"),
        ("POST /v1/api_keys", json!({}), 403, "token_not_accepted"),
    ] {
        let refused = server.ask(secret, line).json(&body).send().await;
        assert_eq!(refused.status, status, "{line}: {}", refused.text);
        assert!(
            status == 409 || code == "not_with_a_token" || refused.body["code"] == code,
            "{}",
            refused.text
        );
    }
    let tree = server.get(key, &format!("{path}/tree")).await.ok();
    assert!(tree.to_string().contains(child["id"].as_str().unwrap()));
    server.get(key, &format!("{path}/spending")).await.ok();
    server.get(key, &format!("{wallet}/spending")).await.ok();
    server.get(key, &format!("/v1/tokens?budget={id}")).await.ok();
    server.get(key, &format!("/v1/tokens/{token_id}")).await.ok();
    server.post(key, &format!("/v1/tokens/{token_id}/revoke"), json!({})).await.ok();
    let refused = server.post(secret, "/v1/holds", json!({ "budget": id, "amount": "1" })).await;
    assert!(matches!(refused.status, 401 | 403), "{}", refused.text);
    let child = format!("/v1/budgets/{}", child["id"].as_str().unwrap());
    server.post(key, &format!("{child}/close"), json!({})).await.ok();
    server.post(key, &format!("{child}/reclaim"), json!({})).await.ok();
}

async fn usage(server: &Server, key: &str, customer: &str) {
    let price = json!({ "model": { "type": "per_unit", "unit": "3" } });
    let new = json!({ "name": "search", "asset": "USD", "price": price });
    let product = server.post(key, "/v1/products", new).await.ok();
    let product = product["id"].as_str().unwrap();
    server.get(key, "/v1/products").await.ok();
    server.get(key, &format!("/v1/products/{product}")).await.ok();
    let event = |id: &str| {
        json!({
            "event_id": id, "customer": customer, "subject": "task 48", "product": product, "event_type": "search",
            "quantity": 4, "costs": [{ "vendor": "api.example", "amount": "5" }],
        })
    };
    let recorded = server.post(key, "/v1/usage_events", event("e1")).await.ok();
    assert_eq!(recorded["status"], "recorded");
    assert_eq!(server.post(key, "/v1/usage_events", event("e1")).await.ok()["status"], "exists");
    let id = recorded["id"].as_str().unwrap();
    server.get(key, &format!("/v1/usage_events/{id}")).await.ok();
    let mut bad = event("e3");
    bad["quantity"] = json!(5);
    bad["event_id"] = json!("e1");
    let batch = json!({ "events": [event("e2"), bad] });
    let told = server.post(key, "/v1/usage_events/batch", batch).await.ok();
    assert_eq!(told["results"][0]["recorded"]["status"], "recorded");
    assert_eq!(told["results"][1]["problem"]["status"], 409);
    let csv = server.get(key, "/v1/usage_events?format=csv").await;
    assert_eq!(csv.text.lines().count(), 3, "{}", csv.text);
    // A sale of another customer, so that the figures below stay what they are.
    let other = server.post(key, "/v1/customers", json!({ "external_id": "payer" })).await.ok();
    let mut sale = event("s1");
    sale["customer"] = other["id"].clone();
    server.post(key, "/v1/sales", json!({ "usage": sale, "paid": "12" })).await.ok();
    server.get(key, &format!("/v1/usage_events?customer={customer}")).await.ok();
    let subjects = server.get(key, &format!("/v1/customers/{customer}/subjects")).await.ok();
    let subject = subjects["data"][0]["id"].as_str().unwrap();
    server.get(key, &format!("/v1/subjects/{subject}")).await.ok();
    let part = json!({ "name": "call 1", "parent": "task 48" });
    let subjects = &format!("/v1/customers/{customer}/subjects");
    let part = server.post(key, subjects, part).await.ok();
    assert_eq!(part["ancestors"], json!([subject]));
    let other = server.post(key, subjects, json!({ "name": "call 1", "parent": "call 1" })).await;
    assert_eq!(other.refusal(), (409, "already_exists"));
    let mut beneath = event("e3");
    (beneath["subject"], beneath["subject_parent"]) = (json!("call 2"), json!("call 1"));
    beneath["customer"] = json!(customer);
    server.post(key, "/v1/usage_events", beneath).await.ok();
    let whole = server.get(key, &format!("/v1/subjects/{subject}")).await.ok();
    let total = &whole["totals"][0];
    assert_eq!((&total["revenue"], &total["rolled_up"]["revenue"]), (&json!("24"), &json!("36")));
    let under = server.get(key, &format!("/v1/subjects/{subject}/subjects")).await.ok();
    assert_eq!(under["data"][0]["name"], "call 1");
    server.get(key, &format!("/v1/subjects/{subject}/usage_events")).await.ok();
    let which = "by=customer&asset=USD&over=month";
    let report = server.get(key, &format!("/v1/reports/margin?{which}")).await.ok();
    let mine = report["data"].as_array().unwrap().iter().find(|row| row["id"] == customer).unwrap();
    assert_eq!((&mine["revenue"], &mine["cost"]), (&json!("36"), &json!("15")));
    let back =
        server.post(key, &format!("/v1/usage_events/{id}/refund"), json!({ "amount": "5" })).await.ok();
    assert_eq!(
        (&back["amount"], &back["refunded"], &back["price"]),
        (&json!("5"), &json!("5"), &json!("12"))
    );
    let too_much = server.post(key, &format!("/v1/usage_events/{id}/refund"), json!({ "amount": "8" })).await;
    assert_eq!(too_much.refusal(), (409, "refund_exceeds_spent"));
    let csv = server.get(key, &format!("/v1/reports/margin?{which}&format=csv")).await.text;
    let head = "id,name,events,quantity,revenue,cost,margin,margin_millionths,refunded,charged_back";
    assert_eq!(csv.lines().next(), Some(head));
    // The wallet's tests took 800 back.
    let mine = csv.lines().find(|line| line.starts_with(customer)).unwrap();
    assert!(mine.ends_with(",3,12,36,15,16,516129,5,800"), "{mine}");
    server.get(key, &format!("/v1/reports/margin/top?{which}&order=margin")).await.ok();
    let now = server.stage_ms();
    let series =
        format!("by=customer&id={customer}&asset=USD&over=day&from_ms={}&to_ms={now}", now - 86_400_000);
    server.get(key, &format!("/v1/reports/margin/series?{series}")).await.ok();
    let newer = json!({ "price": { "model": { "type": "per_unit", "unit": "4" } } });
    let trial = json!({ "price": newer["price"], "from_ms": now - 1_000, "to_ms": now + 1_000 });
    let tried = server.post(key, &format!("/v1/products/{product}/simulate"), trial).await.ok();
    assert_eq!((&tried["before"], &tried["after"]), (&json!("48"), &json!("64")));
    // A price counts from later than the one before.
    server.advance(1);
    server.post(key, &format!("/v1/products/{product}/prices"), newer).await.ok();
    server.get(key, &format!("/v1/products/{product}/prices")).await.ok();
}

async fn vendors(server: &Server, key: &str) {
    let policy = json!({ "floor_millionths": 100_000, "on_change": "block" });
    server.ask(key, "PUT /v1/vendor_policy?vendor=api.example").json(&policy).send().await.ok();
    assert_eq!(
        server.get(key, "/v1/vendor_policy?vendor=api.example").await.ok()["policy"]["on_change"],
        "block"
    );
    let quote = |amount: &str| json!({ "vendor": "api.example", "offer": "/search", "asset": "USD", "amount": amount });
    server.post(key, "/v1/quotes", quote("5")).await.ok();
    server.post(key, "/v1/quotes", quote("6")).await.ok();
    server.get(key, "/v1/quotes?vendor=api.example").await.ok();
    let changes = server.get(key, "/v1/quotes/changes?vendor=api.example").await.ok();
    assert_eq!(changes["data"].as_array().unwrap().len(), 2);
    server.post(key, "/v1/quotes/accept", quote("6")).await.ok();
    server.get(key, "/v1/vendors").await.ok();
}

async fn deposit_addresses(server: &Server, key: &str, customer: &str) {
    let path = |asset| format!("/v1/customers/{customer}/wallets/{asset}/deposit_addresses");
    let ask = |asset, once| {
        let line = format!("POST {}", path(asset));
        server.ask(key, &line).header("idempotency-key", once).json(&json!({})).send()
    };
    let made = ask("USDC", "address").await.ok();
    assert_eq!(made["address"], format!("0x{:040x}", 0));
    let again = ask("USDC", "address").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.ok(), made);
    assert_eq!(ask("USDC", "another").await.ok(), made, "there is one");
    assert_eq!(ask("USD", "third").await.refusal(), (422, "invalid_field"), "no token");
    // A key that belongs to another call is told at once, and not as a race that was lost.
    let other = server.post(key, "/v1/customers", json!({ "external_id": "pays in too" })).await.ok();
    let line = format!("POST {}", path("USDC").replace(customer, other["id"].as_str().unwrap()));
    let reused = server.ask(key, &line).header("idempotency-key", "address").json(&json!({})).send().await;
    assert_eq!(reused.refusal(), (422, "idempotency_key_reused"));
}

async fn funding(server: &Server, key: &str, customer: &str) {
    let rule = &format!("/v1/customers/{customer}/wallets/USD/topup_rule");
    let new = json!({
        "threshold": "500000", "size": { "steps": "1000000" }, "cap_per_day": "5000000",
        "source": { "kind": "card", "customer": "cus_x", "payment_method": "pm_x" },
    });
    server.ask(key, &format!("PUT {rule}")).json(&new).send().await.ok();
    server.get(key, rule).await.ok();
    server.post(key, &format!("{rule}/pause"), json!({})).await.ok();
    server.post(key, &format!("{rule}/resume"), json!({})).await.ok();
    server.get(key, &format!("/v1/customers/{customer}/wallets/USD/topups")).await.ok();
    server.get(key, &format!("/v1/customers/{customer}/topup_rules")).await.ok();
    server.ask(key, &format!("DELETE {rule}")).send().await.ok();
    server.get(key, "/v1/deposits").await.ok();
    deposit_addresses(server, key, customer).await;
    server.get(key, "/v1/deposits/exceptions").await.ok();
}

async fn keys(server: &Server, key: &str) {
    let new = json!({ "name": "reader", "scopes": ["read"] });
    let made = server.post(key, "/v1/api_keys", new).await.ok();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    server.get(secret, "/v1/customers").await.ok();
    let shown = server.get(key, &format!("/v1/api_keys/{id}")).await;
    assert!(!shown.text.contains(secret) && !shown.text.contains("hash"), "{}", shown.text);
    assert_eq!(server.get(key, "/v1/api_keys").await.ok()["data"].as_array().unwrap().len(), 2);
    let until = json!({ "previous_until_ms": server.stage_ms() + 5_000 });
    let rotated = server.post(key, &format!("/v1/api_keys/{id}/rotate"), until).await.ok();
    let fresh = rotated["secret"].as_str().unwrap();
    server.get(fresh, "/v1/customers").await.ok();
    server.get(secret, "/v1/customers").await.ok();
    server.advance(6_000);
    assert_eq!(server.get(secret, "/v1/customers").await.status, 401);
    server.get(fresh, "/v1/customers").await.ok();
    // Revoked here, it is forgotten here at once, although it was seen just now.
    server.post(key, &format!("/v1/api_keys/{id}/revoke"), json!({})).await.ok();
    assert_eq!(server.get(fresh, "/v1/customers").await.status, 401);
}

async fn events(server: &Server, key: &str) {
    let all = server.get(key, "/v1/events?limit=500").await.ok();
    let event = &all["data"][0];
    let id = event["id"].as_str().unwrap();
    assert_eq!(server.get(key, &format!("/v1/events/{id}")).await.ok(), *event);
    let kinds: Vec<&str> =
        all["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"customer.created") && kinds.contains(&"wallet.credited"), "{kinds:?}");
}

/// Names of one of everything that `key`'s tenant has, by the parameter that they stand for.
pub async fn everything(server: &Server, key: &str) -> BTreeMap<String, String> {
    let customer = server.funded(key, "mine", "1000").await;
    let wallet = &format!("/v1/customers/{customer}/wallets/USD");
    let grant = json!({ "purpose": "promotional", "amount": "40" });
    let grant = server.post(key, &format!("{wallet}/grants"), grant).await.ok();
    let keys = server.get(key, "/v1/api_keys").await.ok();
    let hold = json!({ "customer": customer, "asset": "USD", "amount": "3" });
    let hold = server.post(key, "/v1/holds", hold).await.ok();
    let endpoint = json!({ "url": "https://hooks.example/in" });
    let endpoint = server.post(key, "/v1/webhook_endpoints", endpoint).await.ok();
    let events = server.get(key, "/v1/events").await.ok();
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let budget = json!({ "customer": customer, "asset": "USD" });
    let budget = id(&server.post(key, "/v1/budgets", budget).await.ok());
    let token = json!({ "budget": budget, "actions": ["spend"], "expires_ms": server.stage_ms() + 60_000 });
    let token = server.post(key, "/v1/tokens", token).await.ok();
    let price = json!({ "model": { "type": "per_unit", "unit": "3" } });
    let product =
        server.post(key, "/v1/products", json!({ "name": "p", "asset": "USD", "price": price })).await.ok();
    let usage = json!({
        "event_id": "mine", "customer": customer, "subject": "mine", "product": product["id"], "event_type": "t", "quantity": 1,
    });
    let usage = server.post(key, "/v1/usage_events", usage).await.ok();
    let subjects = server.get(key, &format!("/v1/customers/{customer}/subjects")).await.ok();
    let rule = json!({
        "threshold": "500000", "size": { "steps": "1000000" }, "cap_per_day": "5000000",
        "source": { "kind": "card", "customer": "cus_x", "payment_method": "pm_x" },
    });
    server.ask(key, &format!("PUT {wallet}/topup_rule")).json(&rule).send().await.ok();
    let named = [
        ("budget", budget),
        ("token", id(&token)),
        ("product", id(&product)),
        ("usage", id(&usage)),
        ("subject", id(&subjects["data"][0])),
        ("deposit", "dep_000000000000000000000000000000ff".to_owned()),
        ("customer", customer),
        ("asset", "USD".to_owned()),
        ("grant", id(&grant)),
        ("hold", id(&hold)),
        ("endpoint", id(&endpoint)),
        ("key", id(&keys["data"][0])),
        ("event", id(&events["data"][0])),
    ];
    named.into_iter().map(|(name, id)| (name.to_owned(), id)).collect()
}

/// A body that an operation would accept.
pub fn body(method: &str, path: &str, _things: &BTreeMap<String, String>) -> Value {
    let last = path.rsplit('/').next().unwrap_or_default();
    match (method, last) {
        (_, "credits") => json!({ "amount": "1" }),
        (_, "adjustments") => json!({ "direction": "credit", "amount": "1", "reason": "r" }),
        (_, "chargebacks") => json!({ "amount": "1", "reference": "r" }),
        (_, "overdraft") => json!({ "limit": "1" }),
        (_, "subjects") => json!({ "name": "n" }),
        (_, "grants") => json!({ "purpose": "promotional", "amount": "1" }),
        (_, "prices") => json!({ "price": { "model": { "type": "per_unit", "unit": "3" } } }),
        (_, "simulate") => {
            json!({ "price": { "model": { "type": "per_unit", "unit": "3" } }, "from_ms": 1, "to_ms": 2 })
        }
        (_, "assign") => json!({ "customer": "cus_000000000000000000000000000000ff" }),
        ("PUT", "topup_rule") => json!({
            "threshold": "500000", "size": { "steps": "1000000" }, "cap_per_day": "5000000",
            "source": { "kind": "card", "customer": "cus_x", "payment_method": "pm_x" },
        }),
        (_, "entitlements") => json!({ "amount": "1", "unused": "replace" }),
        _ => json!({}),
    }
}
