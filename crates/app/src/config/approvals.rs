//! The hosts that a person has approved when asked: a file of Farthing's own beside the policy file, `NAME.approvals.toml`
//! beside `NAME.toml`. The policy's own words go before it: a host that is denied stays denied.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use farthing_client::policy::HostPattern;

use super::fault::ConfigError;
use super::read::Reader;
use crate::error::CliError;
use crate::private_file;

const HEAD: &str = "# Hosts that a person approved when `farthing` asked about them. Remove a line to be asked again.\n\
                    # Written by farthing; the policy file beside it goes before it.\n";

/// The file of approved hosts.
#[derive(Debug, Clone)]
pub struct Approvals {
    path: PathBuf,
}

impl Approvals {
    /// The approvals that belong to a policy file.
    pub fn beside(policy: &Path) -> Self {
        Self { path: policy.with_extension("approvals.toml") }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hosts, as they were written: `api.example.com:443`.
    ///
    /// # Errors
    /// A file that cannot be read, and everything that is wrong with one that can.
    pub fn hosts(&self) -> Result<Vec<String>, CliError> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(parse(&self.path, &text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(CliError::file("read the approvals", &self.path, &error)),
        }
    }

    /// Adds a host, durably. Others that write at the same time wait.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn add(&self, host: &str) -> Result<(), CliError> {
        let failed = |error: io::Error| CliError::file("write the approvals", &self.path, &error);
        let lock = File::options().create(true).append(true).open(self.path.with_extension("toml.lock"));
        let lock = lock.map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut hosts = self.hosts()?;
        if hosts.iter().any(|known| known == host) {
            return Ok(());
        }
        hosts.push(host.to_owned());
        hosts.sort();
        let lines: String = hosts.iter().map(|host| format!("  {host:?},\n")).collect();
        private_file::replace(&self.path, format!("{HEAD}hosts = [\n{lines}]\n").as_bytes()).map_err(failed)
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<String>, ConfigError> {
    Reader::run(&path.display().to_string(), text, |root| {
        let mut hosts = Vec::new();
        for field in root.texts("hosts").unwrap_or_default() {
            match HostPattern::parse(field.value) {
                Ok(_) => hosts.push(field.value.to_owned()),
                Err(error) => field.fault(error.to_string()),
            }
        }
        Some(hosts)
    })
}
