//! Where a store is, as one line of configuration says it: a SQLite file or a PostgreSQL database.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use farthing_protocol::ports::{ClaimStore, StoreEpoch, StoreError};

use crate::{OpenError, PgClaims, PgUrl, PgUrlError, Report, SqliteClaims};

/// Where a store is. Shown without user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file that one process owns.
    Sqlite(PathBuf),
    /// A database that several processes may share.
    Postgres(Box<PgUrl>),
}

/// A store that is only looked at.
pub enum Looker {
    /// A file.
    Sqlite(SqliteClaims),
    /// A database.
    Postgres(Box<PgClaims>),
}

impl Location {
    /// Reads `farthing.db`, `sqlite:farthing.db` or `postgres://…`. Paths are resolved by `resolve`.
    ///
    /// # Errors
    /// [`PgUrlError`] for URLs that cannot be used.
    pub fn parse(text: &str, resolve: impl FnOnce(&str) -> PathBuf) -> Result<Self, PgUrlError> {
        if PgUrl::is_one(text) {
            return PgUrl::parse(text).map(Box::new).map(Self::Postgres);
        }
        let path = text.strip_prefix("sqlite:").unwrap_or(text);
        let malformed = |why: &str| PgUrlError::Malformed { why: why.to_owned() };
        if path.is_empty() {
            return Err(malformed("it is empty"));
        }
        // A file of such a name would be a misspelt database, and perhaps its password in a directory.
        if path.contains("://") {
            return Err(malformed("its kind is not known"));
        }
        Ok(Self::Sqlite(resolve(path)))
    }

    /// The same, with this password; a file has none.
    #[must_use]
    pub fn with_password(self, password: &str) -> Self {
        match self {
            Self::Postgres(url) => Self::Postgres(Box::new(url.with_password(password))),
            file @ Self::Sqlite(_) => file,
        }
    }

    /// Opens the store, makes it when there is none, and brings it up to date.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self) -> Result<Arc<dyn ClaimStore>, OpenError> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqliteClaims::open(path)?),
            Self::Postgres(url) => Arc::new(PgClaims::open((**url).clone()).await?),
        })
    }

    /// Opens the store for reading only, whoever uses it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn look(&self) -> Result<Looker, OpenError> {
        Ok(match self {
            Self::Sqlite(path) => Looker::Sqlite(SqliteClaims::open_to_look(path)?),
            Self::Postgres(url) => Looker::Postgres(Box::new(PgClaims::open_to_look((**url).clone()).await?)),
        })
    }

    /// Gives the store another epoch, so that credentials of challenges that were issued before are not honoured any more.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn fence(&self) -> Result<StoreEpoch, OpenError> {
        match self {
            // One that is not there has nothing to fence, and is not made.
            Self::Sqlite(path) => match std::fs::metadata(path) {
                Ok(_) => SqliteClaims::fence(path),
                Err(source) => Err(OpenError::Io { path: path.clone(), source }),
            },
            Self::Postgres(url) => PgClaims::fence(url).await,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl Looker {
    /// Its claims.
    #[must_use]
    pub fn claims(&self) -> &dyn ClaimStore {
        match self {
            Self::Sqlite(store) => store,
            Self::Postgres(store) => &**store,
        }
    }

    /// Looks over the whole store. Takes as long as it is large.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn check(&self) -> Result<Report, StoreError> {
        match self {
            Self::Sqlite(store) => store.check().await,
            Self::Postgres(store) => store.check().await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::Location;

    #[test]
    fn one_line_says_where() {
        let parse = |text: &str| Location::parse(text, |path| Path::new("/etc").join(path));
        for (text, shown) in [
            ("farthing.db", "/etc/farthing.db"),
            ("sqlite:farthing.db", "/etc/farthing.db"),
            ("sqlite:/var/farthing.db", "/var/farthing.db"),
            ("/var/farthing.db", "/var/farthing.db"),
            ("postgres://u:secret@localhost/db", "postgres://localhost:5432/db"),
        ] {
            let location = parse(text).unwrap();
            assert_eq!(location.to_string(), shown);
            assert!(!format!("{location:?}").contains("secret"));
            let other = location.clone().with_password("other");
            assert_eq!(
                other == location,
                matches!(location, Location::Sqlite(_)),
                "a password is part of it"
            );
        }
        for text in
            ["", "sqlite:", "postgre://u:secret@h/db", "postgres://u:secret@h", "mysql://u:secret@h/db"]
        {
            let error = parse(text).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
