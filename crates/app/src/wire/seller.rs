//! The seller: a gateway from its configuration. Used by `serve` and by `demo` alike.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use farthing_gate::observe::Observer;
use farthing_gate::proxy::{InjectedHeader, Proxy, ProxyOptions};
use farthing_gate::{Access, BindBody, Gate, GateBuilder, Route, RouteOffer, ServiceTerms};
use farthing_money::Money;
use farthing_protocol::Binder;
use farthing_protocol::ports::{ClaimStore, Price, Verifier};
use farthing_rails::prepaid::{PrepaidBook, PrepaidRefunder, PrepaidVerifier};
use farthing_rails::tempo::{self, Split, Sponsorship, TempoCharge, TempoRpc, Wallet};

use crate::billing::client::BillingClient;
use crate::billing::prepaid::ServiceBook;
use crate::billing::sales::Sales;
use crate::clock::SystemClock;
use crate::config::books::BooksConfig;
use crate::config::gateway::{GatewayConfig, Upstream};
use crate::config::route::{BodyBinding, Fees, Priced, RouteConfig, RouteTerms, SplitConfig};
use crate::config::tempo::{Modes, SponsorConfig, TempoConfig};
use crate::error::CliError;
use crate::wire::account;

/// How long the chain may take at start.
const GREETING: Duration = Duration::from_secs(10);
/// What the gateway's own part of a call may take, beside the longest waits for the upstream.
const SERVICE_MARGIN: Duration = Duration::from_secs(5);

/// What serves: the gate, and the proxy behind it.
pub struct Seller {
    /// Decides and settles.
    pub gate: Gate,
    /// Forwards.
    pub proxy: Proxy,
    /// The account that pays fees, where there is one.
    pub sponsor: Option<alloy_primitives::Address>,
}

/// Makes a gateway. Nothing is sent anywhere.
///
/// # Errors
/// [`CliError`] for what the configuration file alone could not tell.
pub fn build(
    config: &GatewayConfig,
    store: Arc<dyn ClaimStore>,
    observer: Arc<dyn Observer>,
) -> Result<Seller, CliError> {
    build_with(config, store, observer, |gate| gate)
}

/// The same, with what is not in the configuration: what `adjust` gives the gate.
///
/// # Errors
/// As [`build`].
pub fn build_with(
    config: &GatewayConfig,
    store: Arc<dyn ClaimStore>,
    observer: Arc<dyn Observer>,
    adjust: impl FnOnce(GateBuilder) -> GateBuilder,
) -> Result<Seller, CliError> {
    let rpc = TempoRpc::new(config.tempo.rpc_url.as_str())?;
    let sponsorship =
        config.tempo.sponsor.as_ref().map(|sponsor| sponsorship(&config.tempo, sponsor)).transpose()?;
    let sponsor = sponsorship.as_ref().map(|sponsorship| sponsorship.key.address());
    let refunder = account::refunder(&config.tempo, &rpc)?;
    let prepaid =
        config.books.as_ref().map(|books| Prepaid::new(books, &config.realm)).transpose()?.flatten();
    let mut rails =
        Rails { tempo: &config.tempo, rpc, sponsorship, made: BTreeMap::new(), prepaid: prepaid.as_ref() };
    let base = rails.plain()?;
    let routes = config.routes.iter().map(|route| rails.route(route)).collect::<Result<Vec<_>, _>>()?;
    let binder = Binder::new(config.secret.clone(), config.previous_secrets.clone());
    // The waits for the upstream's head are at most twice as long as they are said to be.
    let service = config.upstream.response_timeout * 2
        + config.upstream.connect_timeout
        + Duration::from_millis(config.answers.options.hold_ms)
        + SERVICE_MARGIN;
    let gate = Gate::builder(&config.realm, binder, store, Arc::new(SystemClock))
        .observer(observer)
        .boot_nonce(rand::random())
        .credential_header(config.credential_header)
        .challenge_lifetime_ms(millis(config.challenge_ttl))
        .lease_ms(config.answers.lease_ms)
        .answers(config.answers.options)
        .service_timeout_ms(millis(service))
        .bound_bodies(config.limits.bound_bodies)
        .max_verifications(config.limits.max_verifications)
        .routes(routes)
        // Settles what is open even when no route has a price any more.
        .retired_rail(base);
    let gate = match refunder {
        Some(refunder) => gate.refunder(Arc::new(refunder)),
        None => gate,
    };
    let gate = match &prepaid {
        Some(prepaid) => {
            gate.retired_rail(Arc::clone(&prepaid.rail) as _).refunder(prepaid.refunder(&config.realm))
        }
        None => gate,
    };
    let gate = adjust(gate).build().map_err(|error| CliError::usage(error.code(), error.to_string()))?;
    Ok(Seller { gate, proxy: proxy(&config.upstream)?, sponsor })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn proxy(upstream: &Upstream) -> Result<Proxy, CliError> {
    let bad = |error: String| CliError::usage("upstream", format!("the upstream cannot be used: {error}"));
    let uri = upstream.url.as_str().parse().map_err(|error: http::uri::InvalidUri| bad(error.to_string()))?;
    let mut options = ProxyOptions::new(uri);
    options.connect_timeout_ms = millis(upstream.connect_timeout);
    options.head_timeout_ms = millis(upstream.response_timeout);
    options.idle_timeout_ms = millis(upstream.idle_timeout);
    options.max_request_body_bytes = upstream.max_body_bytes;
    options.host = upstream.host;
    options.forwarded = upstream.forwarded;
    let inject = |(name, value): &(http::HeaderName, http::HeaderValue)| {
        InjectedHeader::new(name.clone(), value.clone())
    };
    options.inject = upstream.headers.iter().map(inject).collect();
    Proxy::new(options).map_err(|error| CliError::usage(error.code(), error.to_string()))
}

fn sponsorship(tempo: &TempoConfig, sponsor: &SponsorConfig) -> Result<Sponsorship, CliError> {
    let key = account::unlock(&sponsor.key, "tempo.sponsor")?;
    Ok(Sponsorship::new(tempo.chain_id, key, sponsor.budget_per_day))
}

/// What makes one rail differ from another: routes with the same terms share one.
type Terms = (Fees, Modes, Vec<(alloy_primitives::Address, u128, Option<[u8; 32]>)>);

/// The rails of a gateway. All have the chain's own name, so that any of them settles what any other has begun.
struct Rails<'a> {
    tempo: &'a TempoConfig,
    rpc: TempoRpc,
    sponsorship: Option<Sponsorship>,
    made: BTreeMap<Terms, Arc<dyn Verifier>>,
    prepaid: Option<&'a Prepaid>,
}

/// The rail that takes balances.
struct Prepaid {
    rail: Arc<PrepaidVerifier>,
    book: Arc<dyn PrepaidBook>,
}

impl Prepaid {
    /// `None` where no balances are taken. The realm is the issuer's name: it is what buyers call.
    fn new(books: &BooksConfig, realm: &str) -> Result<Option<Self>, CliError> {
        let Some(asset) = &books.prepaid else { return Ok(None) };
        let client = client(books)?;
        let book: Arc<dyn PrepaidBook> = Arc::new(ServiceBook::new(client, asset.clone(), realm.to_owned()));
        let rail = Arc::new(PrepaidVerifier::new(asset.clone(), realm, Arc::clone(&book)));
        Ok(Some(Self { rail, book }))
    }

    fn refunder(&self, realm: &str) -> Arc<PrepaidRefunder> {
        Arc::new(PrepaidRefunder::new(&self.rail, realm, Arc::clone(&self.book)))
    }
}

fn client(books: &BooksConfig) -> Result<BillingClient, CliError> {
    BillingClient::new(&books.url, &books.key).map_err(|why| CliError::usage("billing_url", why))
}

/// What tells the gateway's revenue to the billing service, where there is one.
///
/// # Errors
/// [`CliError`] for a service that cannot be asked.
pub fn sales(config: &GatewayConfig, store: Arc<dyn ClaimStore>) -> Result<Option<Sales>, CliError> {
    let Some(books) = &config.books else { return Ok(None) };
    let cost = |route: &RouteConfig| match &route.terms {
        RouteTerms::Priced(Priced { cost: Some(cost), .. }) => Some(cost.clone()),
        _ => None,
    };
    let named = config.routes.iter().filter_map(|route| {
        let methods = route.methods.iter().cloned();
        cost(route).map(|cost| (Route::free(methods, &route.path).name(), cost))
    });
    Ok(Some(Sales {
        client: client(books)?,
        store,
        clock: Arc::new(SystemClock),
        realm: config.realm.clone(),
        asset: books.asset.clone(),
        currency: config.tempo.currency.asset.clone(),
        costs: named.collect(),
        state_file: books.state_file.clone(),
    }))
}

impl Rails<'_> {
    fn plain(&mut self) -> Result<Arc<dyn Verifier>, CliError> {
        self.rail(Fees::Buyer, Modes::PullAndPush, &[])
    }

    fn rail(
        &mut self,
        fees: Fees,
        modes: Modes,
        splits: &[SplitConfig],
    ) -> Result<Arc<dyn Verifier>, CliError> {
        let parts = splits.iter().map(|split| (split.recipient, split.amount.base(), split.memo)).collect();
        let terms: Terms = (fees, modes, parts);
        if let Some(rail) = self.made.get(&terms) {
            return Ok(Arc::clone(rail));
        }
        let tempo = self.tempo;
        let mut builder =
            TempoCharge::builder(tempo.chain_id, self.rpc.clone(), tempo.recipient, tempo.currency.address)
                .asset(tempo.currency.asset.clone())
                .modes(wire_modes(modes))
                .splits(splits.iter().map(wire_split).collect());
        if let (Fees::Sponsored, Some(sponsorship)) = (fees, &self.sponsorship) {
            builder = builder.sponsor(sponsorship.clone());
        }
        let rail = builder.build().map_err(|error| CliError::usage("terms", error.to_string()))?;
        let rail: Arc<dyn Verifier> = Arc::new(rail);
        self.made.insert(terms, Arc::clone(&rail));
        Ok(rail)
    }

    fn route(&mut self, route: &RouteConfig) -> Result<Route, CliError> {
        let methods = route.methods.iter().cloned();
        let priced = match &route.terms {
            RouteTerms::Free => return Ok(Route::free(methods, &route.path)),
            RouteTerms::Priced(priced) => priced,
        };
        let offer = RouteOffer {
            verifier: self.rail(priced.fees, priced.modes, &priced.splits)?,
            price: self.price(priced),
        };
        let mut offers = vec![offer];
        if let (Some(amount), Some(prepaid)) = (priced.prepaid, self.prepaid) {
            let money = Money::new(amount, prepaid.rail.asset().clone());
            let verifier = Arc::clone(&prepaid.rail) as Arc<dyn Verifier>;
            offers.push(RouteOffer { verifier, price: Price { money, ..self.price(priced) } });
        }
        let bind_body = match priced.body {
            BodyBinding::Free => BindBody::No,
            BodyBinding::Bound => BindBody::Yes,
        };
        let service = ServiceTerms { settle: priced.settle, on_failure: priced.on_failure };
        let access = Access::Priced { offers, bind_body, service };
        Ok(Route { path: route.path.clone(), methods: route.methods.clone(), access })
    }

    fn price(&self, priced: &Priced) -> Price {
        Price {
            money: Money::new(priced.amount, self.tempo.currency.asset.clone()),
            description: priced.description.clone(),
            external_id: priced.external_id.clone(),
        }
    }
}

const fn wire_modes(modes: Modes) -> tempo::Modes {
    match modes {
        Modes::PullAndPush => tempo::Modes::Both,
        Modes::Pull => tempo::Modes::Only(tempo::Mode::Pull),
        Modes::Push => tempo::Modes::Only(tempo::Mode::Push),
    }
}

fn wire_split(split: &SplitConfig) -> Split {
    Split { recipient: split.recipient, amount: split.amount, memo: split.memo.map(Into::into) }
}

/// Asks the chain whether it is the one that was configured, and the token whether it has the decimals that prices assume.
///
/// # Errors
/// When it is not, has not, or does not answer.
pub async fn check_chain(tempo: &TempoConfig) -> Result<(), CliError> {
    let rpc = TempoRpc::new(tempo.rpc_url.as_str())?.with_timeout(GREETING);
    let told = |error: CliError| CliError {
        message: format!("tempo.rpc_url ({}): {}", tempo.rpc_url.host_str().unwrap_or("?"), error.message),
        ..error
    };
    rpc.expect_chain(tempo.chain_id).await.map_err(|error| {
        told(error.into()).help(
            "start the chain (farthing sandbox for a local one), or correct tempo.rpc_url or tempo.chain_id",
        )
    })?;
    let scale = Wallet::new(tempo.chain_id, rpc).decimals(tempo.currency.address).await.map_err(|error| {
        told(error.into()).help("is tempo.currency the address of a token on this chain?")
    })?;
    if scale == tempo.currency.asset.scale() {
        return Ok(());
    }
    Err(CliError::usage(
        "token_scale",
        format!(
            "tempo.currency: the token {} has {scale} decimals, and prices assume 6",
            tempo.currency.address
        ),
    )
    .help("take one of Tempo's stablecoins"))
}
