//! Tenants, API keys, assets and customers; and that nobody sees or moves what is another tenant's.

use std::collections::BTreeSet;

use farthing_billing::CustomerId;
use farthing_billing::service::customer::{CustomerChange, CustomerState, NewCustomer};
use farthing_billing::service::key::{self, NewApiKey, Scope};
use farthing_billing::service::tenant::TenantState;
use farthing_billing::service::{Cx, PageQuery, Secret};
use farthing_ledger::Timestamp;
use farthing_money::{Asset, AssetKind};

use crate::world::{HOUR, World};

fn secret(byte: u8) -> Secret {
    Secret::from_bytes([byte; 32])
}

fn shown(byte: u8) -> String {
    secret(byte).present(key::PREFIX)
}

#[tokio::test]
async fn a_key_is_known_by_its_secret_until_it_is_rotated_revoked_or_runs_out() {
    let world = World::new().await;
    let scopes: BTreeSet<Scope> = [Scope::Read, Scope::Holds].into();
    let new = NewApiKey { name: "worker".into(), scopes, expires_ms: Some(world.now() + 10 * HOUR) };
    let made = world.billing.create_key(&world.cx(), &new, &secret(1)).await.unwrap();
    let known = async |byte: u8| {
        let now = Timestamp::from_unix_ms(world.now());
        world.billing.authenticate(now, &shown(byte)).await.map_err(|error| error.code())
    };
    let who = known(1).await.unwrap();
    assert_eq!((who.tenant, who.key), (world.tenant, made.id));
    assert!(who.may(Scope::Holds) && !who.may(Scope::Wallets));
    assert_eq!(known(2).await.unwrap_err(), "key_unknown");

    let until = Timestamp::from_unix_ms(world.now() + HOUR);
    world.billing.rotate_key(&world.cx(), made.id, &secret(2), Some(until)).await.unwrap();
    assert!(known(1).await.is_ok() && known(2).await.is_ok());
    world.pass(HOUR);
    assert_eq!(known(1).await.unwrap_err(), "key_unknown");
    world.billing.rotate_key(&world.cx(), made.id, &secret(3), None).await.unwrap();
    assert_eq!(known(2).await.unwrap_err(), "key_unknown");
    assert!(known(3).await.is_ok());

    world.billing.set_tenant_state(&world.cx(), world.tenant, TenantState::Suspended).await.unwrap();
    assert_eq!(known(3).await.unwrap_err(), "tenant_suspended");
    world.billing.set_tenant_state(&world.cx(), world.tenant, TenantState::Active).await.unwrap();
    world.pass(10 * HOUR);
    assert_eq!(known(3).await.unwrap_err(), "key_expired");
    world.billing.revoke_key(&world.cx(), made.id).await.unwrap();
    assert_eq!(known(3).await.unwrap_err(), "key_unknown");
    let again = world.billing.rotate_key(&world.cx(), made.id, &secret(4), None).await;
    assert_eq!(again.unwrap_err().code(), "wrong_state");
    // A secret belongs to one key.
    let late = NewApiKey { expires_ms: None, ..new.clone() };
    world.billing.create_key(&world.cx(), &late, &secret(5)).await.unwrap();
    let twice = world.billing.create_key(&world.cx(), &late, &secret(5)).await;
    assert_eq!(twice.unwrap_err().code(), "already_exists");
    assert_eq!(world.billing.list_keys(&world.cx(), &PageQuery::default()).await.unwrap().data.len(), 2);
}

#[tokio::test]
async fn no_secret_is_in_what_is_kept() {
    use farthing_ledger::record::{Order, Scan, Table};
    let world = World::new().await;
    let new = NewApiKey { name: "k".into(), scopes: [Scope::Admin].into(), expires_ms: None };
    world.billing.create_key(&world.cx(), &new, &secret(0x5a)).await.unwrap();
    for table in
        [Table::new("api_key"), Table::new("secret_hash"), Table::new("event"), Table::new("idempotency")]
    {
        let scan = Scan { table, prefix: String::new(), after: None, order: Order::Ascending, limit: 100 };
        for record in world.billing.store().scan(scan).await.unwrap() {
            let text = format!("{} {}", record.key, record.body);
            assert!(!text.contains("5a5a5a5a"), "{text}");
        }
    }
}

#[tokio::test]
async fn an_asset_is_made_once_and_its_code_means_one_thing() {
    let world = World::new().await;
    let make = async |asset: &Asset| {
        world.billing.create_asset(&world.cx(), asset).await.map_err(|error| error.code())
    };
    let tokens = Asset::new("TOKENS", 0, AssetKind::Custom).unwrap();
    let first = make(&tokens).await.unwrap();
    assert_eq!(make(&tokens).await.unwrap(), first);
    assert_eq!(
        make(&Asset::new("TOKENS", 2, AssetKind::Custom).unwrap()).await.unwrap_err(),
        "already_exists"
    );
    for code in ["A/B", "A2345678901234567890123456"] {
        assert_eq!(
            make(&Asset::new(code, 0, AssetKind::Custom).unwrap()).await.unwrap_err(),
            "invalid_field"
        );
    }
    let usd = world.billing.asset(&world.cx(), "USD").await.unwrap();
    let tokens = world.billing.asset(&world.cx(), "TOKENS").await.unwrap();
    assert_ne!(usd.chart().money, tokens.chart().money);
    assert_eq!(usd.chart().seats, tokens.chart().seats);
    let other = Cx { tenant: world.new_tenant("two").await, ..world.cx() };
    let theirs = world.billing.asset(&other, "USD").await.unwrap();
    assert!(theirs.chart().money != usd.chart().money && theirs.chart().seats != usd.chart().seats);
    for id in theirs.outside().all() {
        assert!(!usd.outside().all().contains(&id));
        assert!(world.billing.store().accounts(&[id]).await.unwrap()[0].is_some());
    }
    assert_eq!(world.billing.asset(&world.cx(), "EUR").await.unwrap_err().code(), "not_found");
    assert_eq!(usd.view().asset, crate::world::usd());
}

#[tokio::test]
async fn a_customer_has_one_external_id_in_its_tenant() {
    let world = World::new().await;
    let named = |external_id: &str| NewCustomer { external_id: external_id.into(), ..NewCustomer::default() };
    let make = async |cx: &Cx, id: &str| {
        world.billing.create_customer(cx, &named(id)).await.map_err(|error| error.code())
    };
    assert_eq!(make(&world.cx(), "first").await.unwrap_err(), "already_exists");
    assert_eq!(make(&world.cx(), "").await.unwrap_err(), "customer_bad_external_id");
    let longest = "é".repeat(128);
    let made = make(&world.cx(), &longest).await.unwrap();
    assert_eq!(world.billing.customer_by_external_id(&world.cx(), &longest).await.unwrap(), made);
    let other = Cx { tenant: world.new_tenant("two").await, ..world.cx() };
    assert_eq!(world.billing.customer_by_external_id(&other, "first").await.unwrap_err().code(), "not_found");
    let theirs = make(&other, "first").await.unwrap();
    assert_eq!(world.billing.customer(&world.cx(), theirs.id).await.unwrap_err().code(), "not_found");

    let change = CustomerChange { name: Some("A name".into()), ..CustomerChange::default() };
    let changed = world.billing.update_customer(&world.cx(), made.id, &change).await.unwrap();
    assert_eq!((changed.name.as_deref(), changed.state), (Some("A name"), CustomerState::Active));
    let archive = CustomerChange { state: Some(CustomerState::Archived), ..CustomerChange::default() };
    let changed = world.billing.update_customer(&world.cx(), made.id, &archive).await.unwrap();
    assert_eq!((changed.name.as_deref(), changed.state), (Some("A name"), CustomerState::Archived));
    assert_eq!(world.billing.list_customers(&world.cx(), &PageQuery::default()).await.unwrap().data.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_gets_the_external_id_and_every_asset_its_numbers() {
    let world = std::sync::Arc::new(World::new().await);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..24 {
        let world = std::sync::Arc::clone(&world);
        tasks.spawn(async move {
            let new = NewCustomer { external_id: "same".into(), ..NewCustomer::default() };
            let customer =
                world.billing.create_customer(&world.cx(), &new).await.map_err(|error| error.code());
            let asset = Asset::new(&format!("A{n}"), 0, AssetKind::Custom).unwrap();
            // A lost race for the numbers may be told to try again.
            while let Err(error) = world.billing.create_asset(&world.cx(), &asset).await {
                assert_eq!(error.code(), "contention");
            }
            (
                customer.map(|customer| customer.id),
                world.billing.asset(&world.cx(), asset.code()).await.unwrap(),
            )
        });
    }
    let made = tasks.join_all().await;
    let customers: Vec<&CustomerId> =
        made.iter().filter_map(|(customer, _)| customer.as_ref().ok()).collect();
    assert_eq!(customers.len(), 1);
    let numbers: BTreeSet<u32> = made
        .iter()
        .flat_map(|(_, asset)| [asset.chart().money.as_u32(), asset.chart().allowance.as_u32()])
        .collect();
    assert_eq!(numbers.len(), 48);
}
