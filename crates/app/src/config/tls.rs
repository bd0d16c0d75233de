//! `[tls]`: the certificates that the gateway greets with. The files are read here, so that a wrong one is told with its line.

use std::time::Duration;

use farthing_gate::server::{Tls, TlsError};

use super::limits::within;
use super::read::Section;
use super::secret::{Surroundings, open_to_others, read_secret};
use super::value;

/// How TLS is spoken.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// The chain and its key.
    pub tls: Tls,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
}

impl TlsConfig {
    /// Reads `[tls]` and the files that it names.
    pub fn read(section: &Section<'_>, around: Surroundings<'_>, warnings: &mut Vec<String>) -> Option<Self> {
        let handshake_timeout = section
            .parse("handshake_timeout", |text| within(text, "100ms", "10m"))
            .unwrap_or(Duration::from_secs(10));
        if !section.has("cert_file") {
            section.missing("cert_file", "the chain of certificates in PEM, the server's own first");
        }
        if !section.has("key_file") {
            section.missing("key_file", "the private key of the first certificate, in PEM");
        }
        let (chain, key) = (section.text("cert_file"), section.text("key_file"));
        section.refuse_unknown();
        let (chain_field, key_field) = (chain?, key?);
        let (chain_path, key_path) =
            (value::beside(around.file, chain_field.value), value::beside(around.file, key_field.value));
        let unreadable = |path: &std::path::Path, error: &std::io::Error| {
            format!("cannot read {}: {}", path.display(), crate::error::plain_io(error))
        };
        let chain = std::fs::read(&chain_path)
            .map_err(|error| chain_field.fault(unreadable(&chain_path, &error)))
            .ok();
        let key = read_secret(&key_path).map_err(|error| key_field.fault(unreadable(&key_path, &error))).ok();
        warnings.extend(open_to_others(&key_path));
        let told = |error: TlsError| {
            let (field, path) =
                if error.is_about_key() { (&key_field, &key_path) } else { (&chain_field, &chain_path) };
            field.fault(format!("{}: {error}", path.display()));
        };
        let tls = Tls::from_pem(&chain?, key?.as_bytes()).map_err(told).ok()?;
        Some(Self { tls, handshake_timeout })
    }
}
