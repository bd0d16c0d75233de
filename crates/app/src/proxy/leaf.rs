//! [`Leaves`]: the certificates of hosts, made when a program first asks for one, short-lived, and kept for as long as they are
//! good; never more than [`MOST`] of them.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use farthing_protocol::UnixMs;
use farthing_protocol::ports::Clock;
use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use url::Host;

use super::ca::{Authority, CaError, CaFiles, LEAF_LIFETIME_MS};

/// The most hosts whose certificates are kept.
const MOST: usize = 256;
/// How long before its end a certificate is made anew.
const FRESH_MS: u64 = 60 * 60 * 1000;

struct Kept {
    config: Arc<ServerConfig>,
    ends: UnixMs,
}

/// What makes and keeps certificates. One key serves them all; it lives as long as the process.
pub struct Leaves {
    files: CaFiles,
    hosts: BTreeSet<String>,
    authority: Mutex<Arc<Authority>>,
    key: KeyPair,
    kept: Mutex<HashMap<String, Kept>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaves").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Leaves {
    /// Opens the authority in `files` for `hosts`.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn open(files: CaFiles, hosts: BTreeSet<String>, clock: Arc<dyn Clock>) -> Result<Self, CaError> {
        let authority = Authority::open(&files, &hosts, clock.now())?;
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|error| CaError::Unissued { host: "any host".into(), why: error.to_string() })?;
        Ok(Self {
            files,
            hosts,
            authority: Mutex::new(Arc::new(authority)),
            key,
            kept: Mutex::default(),
            clock,
        })
    }

    /// The authority.
    pub fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.authority.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a TLS server for `host` is configured with. May block on files, once in eleven months.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn config(&self, host: &Host<String>) -> Result<Arc<ServerConfig>, CaError> {
        let (now, name) = (self.clock.now(), host.to_string());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(&name)
            && found.ends.as_ms() > now.as_ms() + FRESH_MS
        {
            return Ok(Arc::clone(&found.config));
        }
        let config = Arc::new(self.make(host, now)?);
        if kept.len() >= MOST {
            // The one that ends first was used longest ago, or is about to be made anew anyway.
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.ends).map(|(name, _)| name.clone());
            oldest.and_then(|name| kept.remove(&name));
        }
        let ends = UnixMs::from_ms(now.as_ms() + LEAF_LIFETIME_MS);
        kept.insert(name, Kept { config: Arc::clone(&config), ends });
        Ok(config)
    }

    fn make(&self, host: &Host<String>, now: UnixMs) -> Result<ServerConfig, CaError> {
        let failed = |why: String| CaError::Unissued { host: host.to_string(), why };
        let authority = self.current(now)?;
        let leaf = authority.leaf(host, &self.key, now)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(vec![leaf, authority.certificate().clone()], key)
            .map_err(|error| failed(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The authority, made anew where it ends soon.
    fn current(&self, now: UnixMs) -> Result<Arc<Authority>, CaError> {
        let mut authority = self.authority.lock().unwrap_or_else(PoisonError::into_inner);
        if authority.ends_soon(now) {
            *authority = Arc::new(Authority::open(&self.files, &self.hosts, now)?);
        }
        Ok(Arc::clone(&authority))
    }
}
