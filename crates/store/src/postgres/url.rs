//! Where the database is: one URL, read strictly. What it says is never shown but for the server's name and the database's.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};

use super::serving::Serving;
use super::tls::Tls;

/// A PostgreSQL database: `postgres://user@host:5432/name?sslmode=verify-full`.
#[derive(Clone)]
pub struct PgUrl {
    config: Config,
    tls: Option<Tls>,
    shown: String,
}

/// Why a URL was refused. It is never repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PgUrlError {
    /// It cannot be read.
    #[error("the store's URL cannot be read: {why}; write postgres://USER@HOST:PORT/DATABASE")]
    Malformed {
        /// What is wrong, without the URL.
        why: String,
    },
    /// A mode of TLS that this version does not know or does not take.
    #[error(
        "sslmode={mode} is not taken: write verify-full (the certificate is checked, which `require` means here too), or \
         disable for a server on this machine or a network of your own"
    )]
    SslMode {
        /// The mode.
        mode: String,
    },
    /// The certificates to trust cannot be read.
    #[error("sslrootcert: {} cannot be read: {why}", path.display())]
    RootCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No certificates to trust were found on this machine.
    #[error("this machine has no certificates to trust: install them, or name a file with sslrootcert")]
    NoRootCertificates,
}

impl PgUrlError {
    /// The stable code of the failure, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "store_url_malformed",
            Self::SslMode { .. } => "store_url_sslmode",
            Self::RootCertificate { .. } => "store_url_root_certificate",
            Self::NoRootCertificates => "store_no_root_certificates",
        }
    }
}

impl PartialEq for PgUrl {
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config
    }
}

impl Eq for PgUrl {}

impl fmt::Debug for PgUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PgUrl").field(&self.shown).finish()
    }
}

impl fmt::Display for PgUrl {
    /// The server and the database, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// What the store's parameters of the URL say, apart from the driver's own.
#[derive(Debug, Default)]
struct Ours {
    mode: Option<String>,
    roots: Option<PathBuf>,
}

impl PgUrl {
    /// Whether a store of this name is a PostgreSQL database.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Reads a URL. Without `sslmode`, servers on this machine (sockets and loopback addresses) are reached in the clear, and all
    /// others by TLS with a certificate that is checked.
    ///
    /// # Errors
    /// [`PgUrlError`].
    pub fn parse(text: &str) -> Result<Self, PgUrlError> {
        let malformed = |why: &str| PgUrlError::Malformed { why: why.to_owned() };
        if !Self::is_one(text) {
            return Err(malformed("it does not begin with postgres://"));
        }
        let (text, ours) = take_ours(text)?;
        // The driver's message may quote a parameter's value.
        let mut config: Config =
            text.parse().map_err(|_| malformed("a part of it is not as it should be"))?;
        let Some(database) = config.get_dbname().map(str::to_owned) else {
            return Err(malformed("it names no database"));
        };
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(malformed("it names no host"));
        }
        let wants_tls = match ours.mode.as_deref() {
            None => !config.get_hosts().iter().all(is_local),
            Some("disable") => false,
            Some("require" | "verify-full") => true,
            Some(mode) => return Err(PgUrlError::SslMode { mode: mode.to_owned() }),
        };
        let shown = format!("postgres://{}/{database}", shown_hosts(&config));
        config
            .ssl_mode(if wants_tls { SslMode::Require } else { SslMode::Disable })
            .application_name("farthing")
            .connect_timeout(Duration::from_secs(5))
            .tcp_user_timeout(Duration::from_secs(15))
            .keepalives_idle(Duration::from_secs(15));
        let tls = if wants_tls { Some(Tls::new(ours.roots.as_deref())?) } else { None };
        Ok(Self { config, tls, shown })
    }

    /// The same, with this password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// The URL as it is written, without its password, for somebody who goes on with it. None for what is no URL of ours.
    #[must_use]
    pub fn without_password(text: &str) -> Option<String> {
        let (scheme, rest) = text.split_once("://").filter(|_| Self::is_one(text))?;
        let (user, place) = match rest.split_once('@') {
            Some((user, place)) => (Some(user.split_once(':').map_or(user, |(user, _)| user)), place),
            None => (None, rest),
        };
        let (place, query) = place.split_once('?').unwrap_or((place, ""));
        let kept: Vec<&str> =
            query.split('&').filter(|pair| !is_password(pair) && !pair.is_empty()).collect();
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        let bare = format!("{scheme}://{user}{place}{query}");
        Self::parse(&bare).is_ok_and(|url| !url.has_password()).then_some(bare)
    }

    /// Whether the URL holds a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// A connection, and its other half, by which it is to be served.
    pub(super) async fn connect(&self) -> Result<(Client, Serving), tokio_postgres::Error> {
        let broke = |shown: String, error: tokio_postgres::Error| {
            tracing::debug!(server = %shown, %error, "a connection to the database broke");
        };
        let shown = self.shown.clone();
        match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                let serving = async move { connection.await.unwrap_or_else(|error| broke(shown, error)) };
                Ok((client, Serving::new(serving)))
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                let serving = async move { connection.await.unwrap_or_else(|error| broke(shown, error)) };
                Ok((client, Serving::new(serving)))
            }
        }
    }
}

/// Takes the parameters out that the driver does not know.
fn take_ours(text: &str) -> Result<(String, Ours), PgUrlError> {
    let mut ours = Ours::default();
    let Some((base, query)) = text.split_once('?') else { return Ok((text.to_owned(), ours)) };
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = || {
            let why = "a parameter is not UTF-8".to_owned();
            percent_decode_str(value).decode_utf8().map_err(|_| PgUrlError::Malformed { why })
        };
        match name {
            "sslmode" => ours.mode = Some(value()?.into_owned()),
            "sslrootcert" => ours.roots = Some(PathBuf::from(value()?.as_ref())),
            _ => rest.push(pair),
        }
    }
    if rest.is_empty() {
        Ok((base.to_owned(), ours))
    } else {
        Ok((format!("{base}?{}", rest.join("&")), ours))
    }
}

/// Whether a parameter is the password, however its name is written.
fn is_password(pair: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    percent_decode_str(name).decode_utf8().is_ok_and(|name| name == "password")
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn shown_hosts(config: &Config) -> String {
    let ports = config.get_ports();
    let port = |place: usize| ports.get(place).or(ports.first()).copied().unwrap_or(5432);
    let host = |(place, host): (usize, &Host)| match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]:{}", port(place)),
        Host::Tcp(name) => format!("{name}:{}", port(place)),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    };
    let hosts: Vec<String> = config.get_hosts().iter().enumerate().map(host).collect();
    hosts.join(",")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tokio_postgres::config::SslMode;

    use super::PgUrl;

    #[test]
    fn a_url_can_be_shown_whole_but_for_its_password() {
        for (text, expected) in [
            ("postgres://u:secret@localhost:6000/db", Some("postgres://u@localhost:6000/db")),
            (
                "postgresql://u@localhost/db?sslmode=disable",
                Some("postgresql://u@localhost/db?sslmode=disable"),
            ),
            ("postgres://localhost/db", Some("postgres://localhost/db")),
            (
                "postgres:///db?host=/run/pg&user=u&password=secret",
                Some("postgres:///db?host=/run/pg&user=u"),
            ),
            ("postgres://u@localhost/db?pass%77ord=secret", Some("postgres://u@localhost/db")),
            ("postgres://u:se%40cr:et@localhost/db", Some("postgres://u@localhost/db")),
            ("mysql://u:secret@h/db", None),
            ("postgres://u:secret@localhost", None),
        ] {
            assert_eq!(PgUrl::without_password(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn urls_say_how_they_are_reached() {
        let cases = [
            ("postgres://u:secret@localhost/db", Ok((SslMode::Disable, "postgres://localhost:5432/db"))),
            ("postgresql://u@127.0.0.1:6000/db", Ok((SslMode::Disable, "postgres://127.0.0.1:6000/db"))),
            ("postgres://u:secret@[::1]/db", Ok((SslMode::Disable, "postgres://[::1]:5432/db"))),
            ("postgres:///db?host=/run/pg&user=u", Ok((SslMode::Disable, "postgres:///run/pg/db"))),
            ("postgres://u@%2Frun%2Fpg/db", Ok((SslMode::Disable, "postgres:///run/pg/db"))),
            ("postgres://u:secret@db.example/db", Ok((SslMode::Require, "postgres://db.example:5432/db"))),
            (
                "postgres://u@10.0.0.1/db?sslmode=disable",
                Ok((SslMode::Disable, "postgres://10.0.0.1:5432/db")),
            ),
            (
                "postgres://u@localhost/db?sslmode=require",
                Ok((SslMode::Require, "postgres://localhost:5432/db")),
            ),
            ("postgres://u@a,b:1/db?sslmode=verify-full", Ok((SslMode::Require, "postgres://a:5432,b:1/db"))),
            ("postgres://u:secret@h/db?sslmode=prefer", Err("sslmode=prefer")),
            ("postgres://u:secret@h/db?sslmode=verify-ca", Err("sslmode=verify-ca")),
            ("postgres://u:secret@h/db?sslmode=", Err("sslmode=")),
            ("postgres://u:secret@h/db?sslrootcert=/no/such.pem", Err("/no/such.pem")),
            ("postgres://u:secret@h/db?password2=secret", Err("cannot be read")),
            ("postgres://u:secret@h:secret/db", Err("cannot be read")),
            ("postgres://u:secret@h", Err("no database")),
            ("mysql://u:secret@h/db", Err("postgres://")),
        ];
        for (text, expected) in cases {
            match (PgUrl::parse(text), expected) {
                (Ok(url), Ok((mode, shown))) => {
                    assert_eq!(
                        (url.config.get_ssl_mode(), url.to_string().as_str()),
                        (mode, shown),
                        "{text}"
                    );
                    assert!(!format!("{url:?}").contains("secret"));
                    assert_eq!(url.has_password(), text.contains("secret"));
                }
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{text}: {error}");
                    assert!(
                        !error.to_string().contains("secret") && !format!("{error:?}").contains("secret")
                    );
                }
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
