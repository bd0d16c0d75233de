//! An axum router with one paid route. Run it, then look at the challenge with `curl -i http://127.0.0.1:8402/report`.
//!
//! It takes vouchers of the example rail; `farthing_rails::tempo` takes dollars in the same place.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::{Extension, Router, routing::get};
use farthing_gate::{Gate, GateLayer, PaidBy, Route, RouteOffer, Unmatched};
use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::ports::Price;
use farthing_protocol::{Binder, Secret, UnixMs};
use farthing_rails::example::{ExampleVerifier, VoucherBook};
use farthing_store::MemoryClaims;
use http::Method;

#[allow(clippy::disallowed_methods, reason = "a program reads the clock and hands it to the gate")]
fn now() -> UnixMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs::from_ms(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

async fn report(Extension(paid): Extension<PaidBy>) -> String {
    format!("The report that {} paid for.", paid.reference.unwrap_or_default())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let asset = Asset::new("VOUCHER", 2, AssetKind::Fiat)?;
    let book = VoucherBook::new((0..100).map(|n| (n, Amount::from_base(100))));
    let rail = Arc::new(ExampleVerifier::new(asset.clone(), book));
    let money = Money::new(Amount::from_decimal("0.10", 2)?, asset);
    let price = Price { money, description: Some("A report".into()), external_id: None };

    // A secret of your own, the same over restarts; a store that lasts (`farthing_store::SqliteClaims`) for real money.
    let binder = Binder::new(Secret::new(rand::random::<[u8; 32]>().to_vec())?, None);
    let gate = Gate::builder("localhost", binder, Arc::new(MemoryClaims::new()), Arc::new(now))
        .boot_nonce(rand::random())
        .route(Route::priced([Method::GET], "/report", [RouteOffer { verifier: rail, price }]))
        .unmatched(Unmatched::PassThrough)
        .build()?;
    gate.recover().await?;

    let app = Router::new()
        .route("/report", get(report))
        .route("/", get(|| async { "Free: GET /report costs 0.10." }))
        .layer(GateLayer::new(gate));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8402").await?;
    Ok(axum::serve(listener, app).await?)
}
