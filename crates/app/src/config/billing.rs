//! The configuration of `farthing billing`: where it listens, where its books are, and how much it takes on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farthing_api::webhook::{Network, Reach};
use farthing_api::{Settings, World as _};
use farthing_billing::service::retention::Retention;
use farthing_ledger::record::RecordStore;
use farthing_store::Location;
use farthing_store::ledger::{LedgerLooker, LedgerOpenError, SqliteLedger};
use farthing_store::pg_ledger::PgLedger;

use super::env;
use super::funding::FundingTables;
use super::read::{Reader, Section};
use super::secret::Surroundings;
use super::value;
use crate::cli::billing::System;
use crate::error::CliError;

/// Where it listens when nothing is said.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9410);

/// The store when nothing is said.
const STORE: &str = "billing.db";

/// The configuration of `farthing billing`.
#[derive(Debug)]
pub struct BillingConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the books are.
    pub store: Location,
    /// How much it takes on.
    pub settings: Settings,
    /// How long is kept what is not kept for good.
    pub retention: Retention,
    /// Where the money of wallets comes from.
    pub funding: FundingTables,
    /// What a person should know about it.
    pub warnings: Vec<String>,
    /// Whether keys may travel an open network without TLS.
    allow_plaintext: bool,
}

const PLAINTEXT: &str = "would take API keys without TLS on an address that others reach; listen on 127.0.0.1 behind a TLS \
    terminator, or write allow_plaintext = true if one stands in front";

/// The configuration of a file, or the one that needs none.
///
/// # Errors
/// With everything that is wrong.
pub fn load(file: Option<&Path>, store: Option<&str>) -> Result<BillingConfig, CliError> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file)
            .map_err(|error| CliError::file("read the configuration", file, &error))?;
        let read = Reader::run(&file.display().to_string(), &text, |root| read_root(root, file));
        return Ok(read?.with_password());
    }
    let store = Location::parse(store.unwrap_or(STORE), |path| PathBuf::from(path))
        .map_err(|error| CliError::usage(error.code(), error.to_string()))?;
    let config = BillingConfig {
        listen: LISTEN,
        store,
        settings: Settings::default(),
        retention: Retention::default(),
        funding: FundingTables::default(),
        warnings: Vec::new(),
        allow_plaintext: false,
    };
    Ok(config.with_password())
}

fn read_root(root: &Section<'_>, file: &Path) -> Option<BillingConfig> {
    let Some(billing) = root.section("billing") else {
        if !root.has("billing") {
            root.missing("billing", "write [billing] with a store, such as \"billing.db\"");
        }
        return None;
    };
    let what = "where the books are: a file such as \"billing.db\", or \"postgres://USER@HOST/DATABASE\"";
    let store = billing.require("store", what, |text| {
        Location::parse(text, |path| value::beside(file, path)).map_err(|error| error.to_string())
    });
    let listen = billing.parse("listen", value::listen).unwrap_or(LISTEN);
    let allow_plaintext = billing.flag("allow_plaintext").is_some_and(|field| field.value);
    if let Some(field) = billing.text("listen")
        && !listen.ip().is_loopback()
        && !allow_plaintext
    {
        field.fault(PLAINTEXT);
    }
    let mut settings = Settings::default();
    if let Some(types) = billing.text("problem_types") {
        settings.problem_types = types.value.to_owned();
    }
    let retention = read_retention(&billing);
    billing.refuse_unknown();
    if let Some(limits) = root.section("limits") {
        read_limits(&limits, &mut settings);
    }
    if let Some(webhooks) = root.section("webhooks") {
        settings.webhooks = read_webhooks(&webhooks);
    }
    let mut warnings = Vec::new();
    let around = Surroundings { file, env: &env::read };
    let funding = FundingTables::read(root, around, &mut warnings);
    Some(BillingConfig { listen, store: store?, settings, retention, funding, warnings, allow_plaintext })
}

/// How long is kept what is not kept for good. Whoever sends a call again because its answer was lost does so within a week.
fn read_retention(billing: &Section<'_>) -> Retention {
    let mut retention = Retention::default();
    for (key, kept_ms, least) in [
        ("keep_answers", &mut retention.answers_ms, "168h"),
        ("keep_deliveries", &mut retention.delivered_ms, "72h"),
        ("keep_dead_letters", &mut retention.dead_ms, "72h"),
    ] {
        let limits = value::duration(least).and_then(|least| Ok(least..=value::duration("87600h")?));
        let kept = billing.parse(key, |text| {
            let kept = value::duration(text)?;
            let within = limits.as_ref().is_ok_and(|limits| limits.contains(&kept));
            if within { Ok(kept) } else { Err(format!("is {least} to 87600h")) }
        });
        if let Some(kept) = kept {
            *kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
        }
    }
    retention
}

/// Where webhooks may go, beside the public Internet with TLS.
fn read_webhooks(webhooks: &Section<'_>) -> Reach {
    let mut reach = Reach::default();
    for field in webhooks.texts("allowed_networks").unwrap_or_default() {
        match Network::parse(field.value) {
            Ok(network) => reach.allowed.push(network),
            Err(error) => field.fault(error.to_string()),
        }
    }
    reach.plain_http = webhooks.flag("allow_plaintext").is_some_and(|field| field.value);
    webhooks.refuse_unknown();
    reach
}

fn read_limits(limits: &Section<'_>, settings: &mut Settings) {
    let number = |key: &'static str, most: u64, keep: &mut dyn FnMut(u64)| {
        let Some(field) = limits.number(key) else { return };
        if (1..=most).contains(&field.value) {
            keep(field.value)
        } else {
            field.fault(format!("is 1 to {most}"))
        }
    };
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let rate = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    number("max_body_bytes", 64 << 20, &mut |n| settings.max_body = count(n));
    number("timeout_ms", 600_000, &mut |n| settings.timeout = Duration::from_millis(n));
    number("max_requests", 1_000_000, &mut |n| settings.max_requests = count(n));
    number("max_streams", 1_000_000, &mut |n| settings.max_streams = count(n));
    number("requests_per_second", 1_000_000, &mut |n| settings.rate = rate(n));
    number("burst", 1_000_000, &mut |n| settings.burst = rate(n));
    limits.refuse_unknown();
}

impl BillingConfig {
    /// Listens elsewhere.
    ///
    /// # Errors
    /// For an address that others reach, when the configuration does not allow it.
    pub fn set_listen(&mut self, listen: SocketAddr) -> Result<(), CliError> {
        if !listen.ip().is_loopback() && !self.allow_plaintext {
            return Err(CliError::usage("plaintext", format!("{listen} {PLAINTEXT}")));
        }
        self.listen = listen;
        Ok(())
    }

    fn with_password(self) -> Self {
        let password = env::read(env::STORE_PASSWORD).map(zeroize::Zeroizing::new);
        let store = match (&self.store, password) {
            (Location::Postgres(_), Some(password)) => self.store.with_password(&password),
            _ => self.store,
        };
        Self { store, ..self }
    }

    /// Opens the store.
    ///
    /// # Errors
    /// When it cannot be opened, or is another process's.
    pub async fn open(&self) -> Result<Arc<dyn RecordStore>, CliError> {
        open(&self.store).await
    }

    /// Opens the store to read its records, beside whatever process has it open.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn look(&self) -> Result<Arc<dyn RecordStore>, CliError> {
        look(&self.store).await
    }

    /// Opens the record of collections. It stands in the store itself where several processes share that; beside a file, which is one
    /// process's own, it is a file of its own.
    ///
    /// # Errors
    /// When it cannot be opened: another process may be collecting.
    pub async fn collections(&self) -> Result<Arc<dyn RecordStore>, CliError> {
        open(&self.beside()).await
    }

    /// Opens the record of collections to read it; `None` where nothing was collected yet.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn look_at_collections(&self) -> Result<Option<Arc<dyn RecordStore>>, CliError> {
        let location = self.beside();
        match &location {
            Location::Sqlite(path) if !path.exists() => Ok(None),
            _ => look(&location).await.map(Some),
        }
    }

    /// Where collections are written down.
    fn beside(&self) -> Location {
        match &self.store {
            Location::Sqlite(path) => Location::Sqlite(path.with_extension("collections.db")),
            shared @ Location::Postgres(_) => shared.clone(),
        }
    }
}

async fn open(location: &Location) -> Result<Arc<dyn RecordStore>, CliError> {
    let [a, b, c, d, e, f, g, h, ..] = System.random();
    let seed = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    match location {
        Location::Sqlite(path) => in_file(path, move |path| SqliteLedger::open(path, seed)).await,
        Location::Postgres(url) => Ok(Arc::new(PgLedger::open((**url).clone(), seed).await?)),
    }
}

async fn look(location: &Location) -> Result<Arc<dyn RecordStore>, CliError> {
    match location {
        Location::Sqlite(path) => in_file(path, |path| LedgerLooker::open(path)).await,
        shared @ Location::Postgres(_) => open(shared).await,
    }
}

/// Opens a file on a thread that may block.
async fn in_file<T: RecordStore + 'static>(
    path: &Path,
    open: impl FnOnce(&Path) -> Result<T, LedgerOpenError> + Send + 'static,
) -> Result<Arc<dyn RecordStore>, CliError> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || open(&path)).await;
    let opened = opened.map_err(|error| CliError::unexpected("store", error.to_string()))?;
    Ok(Arc::new(opened?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{BillingConfig, Path, Reader, Retention, read_root};

    fn read(more: &str) -> Result<BillingConfig, String> {
        let text = format!("[billing]\nstore = \"billing.db\"\n{more}\n");
        let read = Reader::run("billing.toml", &text, |root| read_root(root, Path::new("billing.toml")));
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_kept_for_a_while_is_kept_for_as_long_as_the_file_says_and_never_too_short() {
        assert_eq!(read("").unwrap().retention, Retention::default());
        let hour = 3_600_000;
        let all = "keep_answers = \"168h\"\nkeep_deliveries = \"72h\"\nkeep_dead_letters = \"87600h\"";
        let expected = Retention { answers_ms: 168 * hour, delivered_ms: 72 * hour, dead_ms: 87_600 * hour };
        assert_eq!(read(all).unwrap().retention, expected);
        for (line, why) in [
            ("keep_answers = \"167h\"", "is 168h to 87600h"),
            ("keep_deliveries = \"71h\"", "is 72h to 87600h"),
            ("keep_dead_letters = \"87601h\"", "is 72h to 87600h"),
            ("keep_answers = \"a week\"", "is not a duration"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
