//! Rules for top-ups: whoever watches them is told where to look.

use farthing_billing::CustomerId;
use farthing_billing::service::Named as _;
use farthing_billing::service::key::Scope;
use farthing_billing::service::topup::run::RuleName;
use serde_json::json;

use crate::harness::Server;

#[tokio::test]
async fn a_rule_that_was_set_or_resumed_is_looked_at_at_once_and_no_other() {
    let server = Server::start().await;
    let tenant = server.tenant().await;
    let key = &server.key(tenant, &[Scope::Admin, Scope::Read]).await;
    let customer = server.funded(key, "one", "1000000").await;
    let wallet = format!("/v1/customers/{customer}/wallets/USD");
    let name = RuleName { tenant, customer: CustomerId::read(&customer).unwrap(), asset: "USD".to_owned() };
    let looked = || std::mem::take(&mut *server.looked.lock().unwrap());
    let put = async |threshold: &str| {
        let rule = json!({
            "threshold": threshold, "size": { "steps": "1000000" }, "cap_per_day": "5000000",
            "source": { "kind": "card", "customer": "cus_x", "payment_method": "pm_x" },
        });
        server.ask(key, &format!("PUT {wallet}/topup_rule")).json(&rule).send().await
    };

    assert_eq!(put("0x1").await.refusal().0, 400);
    assert_eq!(looked(), [], "a rule that was refused is none");
    put("500000").await.ok();
    assert_eq!(looked(), std::slice::from_ref(&name));
    server.post(key, &format!("{wallet}/topup_rule/pause"), json!({})).await.ok();
    assert_eq!(looked(), []);
    server.post(key, &format!("{wallet}/topup_rule/resume"), json!({})).await.ok();
    assert_eq!(looked(), [name]);
}
