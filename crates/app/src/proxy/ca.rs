//! [`Authority`]: the proxy's own certificate authority: one P-256 key in a file that its owner alone can read, and a
//! certificate that is good for the hosts that were named and for no others. It is not in any trust store; a program is told
//! to read it by the environment that it runs in.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farthing_protocol::UnixMs;
use rand::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Host;
use zeroize::Zeroizing;

use crate::private_file;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// How long an authority's certificate lasts.
const LIFETIME_MS: u64 = 365 * DAY_MS;
/// How long before its end it is made anew.
const RENEW_BEFORE_MS: u64 = 30 * DAY_MS;
/// How long a host's certificate lasts.
pub const LEAF_LIFETIME_MS: u64 = DAY_MS;
/// What clocks may differ by.
const SKEW_MS: u64 = HOUR_MS;
/// The comment line in the certificate's file that says what is in it.
const FACTS: &str = "# farthing: ";
/// What every subject of ours begins with: such certificates are never among those that a server is trusted by.
pub const SUBJECT: &str = "Farthing proxy CA ";
/// Names are limited to none rather than left open where no host was named.
const NO_HOST: &str = "farthing.invalid";

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// A file could not be read or written.
    #[error("the proxy's certificates in {} cannot be used: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others than the owner can read the key.
    #[error("others on this machine can read the proxy's key {}", path.display())]
    Exposed {
        /// The key's file.
        path: PathBuf,
    },
    /// A file is there and is not what it should be.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What is wrong; it never repeats the content.
        why: &'static str,
    },
    /// A certificate could not be made.
    #[error("a certificate for {host} could not be made: {why}")]
    Unissued {
        /// For whom.
        host: String,
        /// What went wrong.
        why: String,
    },
}

impl CaError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "proxy_ca_unusable",
            Self::Exposed { .. } => "proxy_ca_exposed",
            Self::Damaged { .. } => "proxy_ca_damaged",
            Self::Unissued { .. } => "proxy_ca_unissued",
        }
    }
}

/// The certificate's facts, kept beside it so that nothing here parses X.509.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Facts {
    /// The SHA-256 of the public key, in hexadecimal.
    key: String,
    ends_ms: u64,
    /// The hosts that it is good for; a domain stands for all below it too.
    hosts: BTreeSet<String>,
}

/// Where the files are.
#[derive(Debug, Clone)]
pub struct CaFiles {
    directory: PathBuf,
}

impl CaFiles {
    /// In Farthing's directory.
    pub fn below(home: &Path) -> Self {
        Self { directory: home.join("proxy") }
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The certificates that this machine trusts, and the authority's.
    pub fn bundle(&self) -> PathBuf {
        self.directory.join("bundle.pem")
    }

    fn key(&self) -> PathBuf {
        self.directory.join("ca-key.pem")
    }

    fn lock(&self) -> PathBuf {
        self.directory.join("lock")
    }
}

/// A certificate authority. Its key is in memory for as long as it lives, and is never shown.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    facts: Facts,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority in `files`, good for `hosts` (`api.example.com`, `*.example.com`, with or without a port) and for those it
    /// was good for before. It is made where there is none, and made anew with the same key where it ends soon or `hosts` has
    /// new ones. Processes wait for each other here.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn open(files: &CaFiles, hosts: &BTreeSet<String>, now: UnixMs) -> Result<Self, CaError> {
        let wanted: BTreeSet<String> = hosts.iter().map(|host| bare(host)).collect();
        let _lock = lock(files)?;
        let key = key(files)?;
        let id = hex::encode(Sha256::digest(key.public_key_raw()));
        let path = files.certificate();
        let found = read(&path)?.filter(|(facts, _)| facts.key == id);
        if let Some((facts, certificate)) = &found
            && facts.ends_ms > now.as_ms().saturating_add(RENEW_BEFORE_MS)
            && wanted.is_subset(&facts.hosts)
        {
            let params = params(&id, facts);
            let issuer = Issuer::new(params, key);
            return Ok(Self { issuer, certificate: certificate.clone(), facts: facts.clone() });
        }
        let mut facts = Facts { key: id, ends_ms: now.as_ms() + LIFETIME_MS, hosts: wanted };
        facts.hosts.extend(found.into_iter().flat_map(|(facts, _)| facts.hosts));
        let params = params(&facts.key, &facts);
        let certificate = params.self_signed(&key).map_err(|error| unissued("the proxy itself", &error))?;
        let told = serde_json::to_string(&facts)
            .map_err(|error| CaError::Unissued { host: "the proxy itself".into(), why: error.to_string() })?;
        let text = format!(
            "# {SUBJECT}of this machine. It is good for the hosts below only. Its key is in ca-key.pem.\n{FACTS}{told}\n{}",
            certificate.pem()
        );
        private_file::replace(&path, text.as_bytes()).map_err(|source| CaError::File { path, source })?;
        let certificate = certificate.der().clone();
        Ok(Self { issuer: Issuer::new(params, key), certificate, facts })
    }

    /// The authority's certificate.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The SHA-256 of the certificate, as tools write it.
    pub fn fingerprint(&self) -> String {
        let bytes: Vec<String> =
            Sha256::digest(&self.certificate).iter().map(|byte| format!("{byte:02X}")).collect();
        bytes.join(":")
    }

    /// The hosts that it is good for.
    pub const fn hosts(&self) -> &BTreeSet<String> {
        &self.facts.hosts
    }

    /// When it ends.
    pub const fn ends(&self) -> UnixMs {
        UnixMs::from_ms(self.facts.ends_ms)
    }

    /// Whether it is time to make it anew.
    pub fn ends_soon(&self, now: UnixMs) -> bool {
        self.facts.ends_ms <= now.as_ms().saturating_add(RENEW_BEFORE_MS)
    }

    /// A certificate for one host with the key `key`, for [`LEAF_LIFETIME_MS`].
    ///
    /// # Errors
    /// [`CaError::Unissued`].
    pub fn leaf(
        &self,
        host: &Host<String>,
        key: &KeyPair,
        now: UnixMs,
    ) -> Result<CertificateDer<'static>, CaError> {
        let failed = |error: rcgen::Error| unissued(&host.to_string(), &error);
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![match host {
            Host::Domain(name) => SanType::DnsName(name.as_str().try_into().map_err(failed)?),
            Host::Ipv4(address) => SanType::IpAddress(IpAddr::V4(*address)),
            Host::Ipv6(address) => SanType::IpAddress(IpAddr::V6(*address)),
        }];
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Farthing proxy");
        params.serial_number = Some(serial());
        let until_ms = (now.as_ms() + LEAF_LIFETIME_MS).min(self.facts.ends_ms);
        set_validity(&mut params, now.as_ms().saturating_sub(SKEW_MS), until_ms);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer).map_err(failed)?;
        Ok(certificate.der().clone())
    }
}

fn unissued(host: &str, error: &rcgen::Error) -> CaError {
    CaError::Unissued { host: host.to_owned(), why: error.to_string() }
}

/// Held while files are read and written; a process that dies lets it go.
fn lock(files: &CaFiles) -> Result<File, CaError> {
    let told = |path: PathBuf| move |source| CaError::File { path, source };
    private_file::directory(&files.directory).map_err(told(files.directory.clone()))?;
    let path = files.lock();
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(told(path.clone()))?;
    file.lock().map_err(told(path))?;
    Ok(file)
}

/// The key: read, or made.
fn key(files: &CaFiles) -> Result<KeyPair, CaError> {
    let path = files.key();
    let damaged = |why| CaError::Damaged { path: path.clone(), why };
    match std::fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(text) => {
            if private_file::is_exposed(&path) {
                return Err(CaError::Exposed { path });
            }
            KeyPair::from_pem_and_sign_algo(&text, &rcgen::PKCS_ECDSA_P256_SHA256)
                .map_err(|_| damaged("it is not a P-256 key in PEM"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
                .map_err(|error| unissued("the proxy itself", &error))?;
            let text = Zeroizing::new(key.serialize_pem());
            private_file::replace(&path, text.as_bytes()).map_err(|source| CaError::File { path, source })?;
            Ok(key)
        }
        Err(source) => Err(CaError::File { path, source }),
    }
}

/// The certificate and its facts; nothing where there is no file, or one that says less than is needed.
fn read(path: &Path) -> Result<Option<(Facts, CertificateDer<'static>)>, CaError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CaError::File { path: path.to_owned(), source }),
    };
    let facts = text.lines().find_map(|line| serde_json::from_str(line.strip_prefix(FACTS)?).ok());
    Ok(facts.zip(CertificateDer::from_pem_slice(text.as_bytes()).ok()))
}

/// What the authority's certificate says; the subject names the key, so that two homes differ.
fn params(key: &str, facts: &Facts) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{SUBJECT}{}", &key[..12]));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(serial());
    set_validity(&mut params, facts.ends_ms.saturating_sub(LIFETIME_MS + SKEW_MS), facts.ends_ms);
    params.name_constraints = Some(constraints(&facts.hosts));
    params
}

/// RFC 5280, section 4.2.1.10: a kind of name that is not mentioned is not limited, so both kinds always are.
fn constraints(hosts: &BTreeSet<String>) -> NameConstraints {
    let mut permitted = vec![GeneralSubtree::DnsName(NO_HOST.to_owned())];
    let mut addresses = false;
    for host in hosts {
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        addresses |= address.is_some();
        permitted.push(match address {
            Some(address) => GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
                address,
                if address.is_ipv4() { 32 } else { 128 },
            )),
            None => GeneralSubtree::DnsName(host.clone()),
        });
    }
    let every = [CidrSubnet::V4([0; 4], [0; 4]), CidrSubnet::V6([0; 16], [0; 16])];
    let excluded =
        if addresses { Vec::new() } else { every.into_iter().map(GeneralSubtree::IpAddress).collect() };
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded }
}

/// A pattern of a policy as the name that a certificate is limited to: without `*.` and without a port.
fn bare(pattern: &str) -> String {
    let host = pattern.strip_prefix("*.").unwrap_or(pattern);
    let url = url::Url::parse(&format!("http://{host}/"));
    let host = url.ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| host.to_owned());
    host.trim_end_matches('.').to_owned()
}

/// Random and positive: two certificates of one issuer never share a number.
fn serial() -> SerialNumber {
    let mut bytes = [0_u8; 16];
    rand::rng().fill(&mut bytes);
    bytes[0] = (bytes[0] & 0x3f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// Sets when a certificate begins and ends.
fn set_validity(params: &mut CertificateParams, from_ms: u64, until_ms: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from_ms / 1000);
    params.not_after = epoch + Duration::from_secs(until_ms / 1000);
}

/// Writes the certificates that this machine trusts and the authority's into one file, for programs that read one file instead
/// of the machine's own. Certificates of ours that are in the environment's file already are left out.
///
/// # Errors
/// [`CaError::File`].
pub fn write_bundle(
    files: &CaFiles,
    authority: &Authority,
    trusted: &[CertificateDer<'_>],
) -> Result<(), CaError> {
    let mut text = Vec::new();
    let mine = pem(authority.certificate());
    let others = trusted.iter().filter(|certificate| !is_ours(certificate)).map(pem);
    for certificate in std::iter::once(mine).chain(others) {
        // Writing to memory does not fail.
        let _ = text.write_all(certificate.as_bytes());
    }
    let path = files.bundle();
    private_file::replace(&path, &text).map_err(|source| CaError::File { path, source })
}

/// Whether it is a proxy's own certificate.
pub fn is_ours(certificate: &CertificateDer<'_>) -> bool {
    certificate.windows(SUBJECT.len()).any(|window| window == SUBJECT.as_bytes())
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let body = base64_simd::STANDARD.encode_to_string(certificate.as_ref());
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests;
