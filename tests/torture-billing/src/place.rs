//! Where a run's store is: a SQLite file, or a database on a server that was started for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use farthing_ledger::record::RecordStore;
use farthing_ledger::verify::{Fault, Report};
use farthing_store::PgUrl;
use farthing_store::ledger::SqliteLedger;
use farthing_store::pg_ledger::PgLedger;
use farthing_store::testkit::postgres::Cluster;
use tempfile::TempDir;

/// A store of a run. Ends with it.
pub struct Place {
    folder: TempDir,
    cluster: Option<Cluster>,
    url: Option<String>,
}

impl Place {
    /// A new one.
    ///
    /// # Errors
    /// A sentence.
    pub fn new(postgres: bool) -> Result<Self, String> {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        if !postgres {
            return Ok(Self { folder, cluster: None, url: None });
        }
        let bin = Cluster::find().ok_or("there is no PostgreSQL on this machine")?;
        let cluster = Cluster::start(&bin).map_err(|error| error.to_string())?;
        let url = Some(cluster.database());
        Ok(Self { folder, cluster: Some(cluster), url })
    }

    /// How many processes share it.
    pub const fn processes(&self) -> usize {
        if self.cluster.is_some() { 2 } else { 1 }
    }

    /// As a process is told of it.
    pub fn name(&self) -> String {
        self.url.clone().unwrap_or_else(|| self.folder.path().join("billing.db").display().to_string())
    }

    /// Where files of the run may be.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file of the scripted card processor.
    pub fn source(&self) -> PathBuf {
        self.folder.path().join("payments")
    }

    /// SIGKILL for the database, which is started again.
    ///
    /// # Errors
    /// A sentence: there is none, or it does not come back.
    pub fn kill_database(&self) -> Result<(), String> {
        let cluster = self.cluster.as_ref().ok_or("there is no database to kill: add --postgres")?;
        cluster.kill();
        cluster.resume().map_err(|error| error.to_string())
    }

    /// Proves the ledger, from outside.
    ///
    /// # Errors
    /// A sentence, when it cannot be read.
    pub async fn prove(&self) -> Result<Result<Report, Fault>, String> {
        match &self.url {
            Some(url) => {
                let url = PgUrl::parse(url).map_err(|error| error.to_string())?;
                farthing_store::pg_ledger::verify_database(&url, 0).await.map_err(|error| error.to_string())
            }
            None => farthing_store::ledger::verify_file(self.name()).map_err(|error| error.to_string()),
        }
    }
}

/// Opens the store with this name.
///
/// # Errors
/// A sentence.
pub async fn open(name: &str) -> Result<Arc<dyn RecordStore>, String> {
    if PgUrl::is_one(name) {
        let url = PgUrl::parse(name).map_err(|error| error.to_string())?;
        let ledger = PgLedger::open(url, rand::random()).await.map_err(|error| error.to_string())?;
        return Ok(Arc::new(ledger));
    }
    // The process before it may not be quite gone.
    let mut last = String::new();
    for _ in 0..200 {
        match SqliteLedger::open(name, rand::random()) {
            Ok(ledger) => return Ok(Arc::new(ledger)),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Err(last)
}
