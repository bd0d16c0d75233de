//! The gateway: the same gate, proxy, store and server that `farthing serve` puts together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farthing_gate::proxy::{Proxy, ProxyOptions};
use farthing_gate::server::{ServerOptions, serve as serve_gate};
use farthing_gate::{Gate, Route, RouteOffer};
use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::ports::{Price, Verifier};
use farthing_protocol::{Binder, Secret};
use farthing_rails::example::{ExampleVerifier, VoucherBook};
use farthing_rails::tempo::{TempoCharge, TempoRpc};
use farthing_store::SqliteClaims;
use http::Method;

use super::rail::Patient;
use crate::Failure;
use crate::clock::SystemClock;

const CHAIN_ID: u64 = 42431;
const RECIPIENT: &str = "0x742d35cc6634c0532925a3b844bc9e7595f8fe00";
const CURRENCY: &str = "0x20c0000000000000000000000000000000000000";
/// Never asked: an offer needs no chain.
const RPC: &str = "http://127.0.0.1:9";
const PRICE: u128 = 10_000;
const VOUCHERS: u64 = 1_000_000;

/// What differs between measurements.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where free and paid requests go
    #[arg(long)]
    upstream: SocketAddr,
    /// The file of the claim store
    #[arg(long)]
    store: PathBuf,
    /// How long the example rail takes to settle, in milliseconds
    #[arg(long, default_value_t = 0)]
    settle_ms: u64,
}

pub(super) async fn serve(args: Args) -> Result<(), Failure> {
    let store = Arc::new(SqliteClaims::open(&args.store)?);
    let binder = Binder::new(Secret::new(vec![0x5a; 32])?, None);
    let settles_after = Duration::from_millis(args.settle_ms);
    let gate = Gate::builder("api.example.com", binder, store, Arc::new(SystemClock))
        .boot_nonce(0x00c0_ffee)
        .route(Route::free([], "/free"))
        .route(Route::free([], "/stream/{bytes}"))
        .route(Route::priced([Method::GET], "/paid", [tempo_offer()?]))
        .route(Route::priced([Method::GET], "/charge", [example_offer(settles_after)?]))
        .build()?;
    gate.recover().await?;
    let mut options = ProxyOptions::new(format!("http://{}", args.upstream).parse()?);
    options.max_request_body_bytes = 4 << 30;
    let proxy = Proxy::new(options)?;
    let listener = super::listen().await?;
    super::ready(listener.local_addr()?);
    serve_gate(listener, gate, proxy, ServerOptions::default(), super::parent_leaves()).await?;
    Ok(())
}

fn tempo_offer() -> Result<RouteOffer, Failure> {
    let recipient = RECIPIENT.parse().map_err(|_| "a bad recipient")?;
    let currency = CURRENCY.parse().map_err(|_| "a bad currency")?;
    let charge = TempoCharge::builder(CHAIN_ID, TempoRpc::new(RPC)?, recipient, currency).build()?;
    Ok(offer(Arc::new(charge)))
}

fn example_offer(settles_after: Duration) -> Result<RouteOffer, Failure> {
    let asset = Asset::new("CREDITS", 0, AssetKind::Custom)?;
    let vouchers = (0..VOUCHERS).map(|number| (number, Amount::from_base(PRICE)));
    let inner = ExampleVerifier::new(asset, VoucherBook::new(vouchers));
    Ok(offer(Arc::new(Patient::new(inner, settles_after))))
}

fn offer(verifier: Arc<dyn Verifier>) -> RouteOffer {
    let money = Money::new(Amount::from_base(PRICE), verifier.asset().clone());
    RouteOffer { verifier, price: Price { money, description: None, external_id: None } }
}
