//! `gateway.store`: where payments are remembered, and the password of that place. Nothing here opens it, or shows a password.

use farthing_store::Location;

use super::read::Section;
use super::secret::{SecretKeys, Surroundings};
use super::value;

/// The keys of the store's password.
const PASSWORD: SecretKeys =
    SecretKeys { inline: None, file: "store_password_file", env: "store_password_env" };

/// Reads `store` and its password from the section `gateway`.
pub fn read(section: &Section<'_>, around: Surroundings<'_>, warnings: &mut Vec<String>) -> Option<Location> {
    let what =
        "what remembers payments: a file such as \"farthing.db\", or \"postgres://USER@HOST/DATABASE\"";
    let location = section.require("store", what, |text| {
        Location::parse(text, |path| value::beside(around.file, path)).map_err(|error| error.to_string())
    });
    let password = around.secret(section, PASSWORD);
    match (location?, password) {
        (Location::Sqlite(path), Some(_)) => {
            section.fault("has a password for the store, which is a file; take it away");
            Some(Location::Sqlite(path))
        }
        (Location::Postgres(url), found) => {
            if url.has_password() {
                let why = "`store` holds its password in the configuration file; prefer `store_password_file` or \
                           `store_password_env`, so that the file can be shared";
                warnings.push(why.into());
            }
            let Some(found) = found else { return Some(Location::Postgres(url)) };
            warnings.extend(found.warning);
            Some(Location::Postgres(url).with_password(&found.secret))
        }
        (location, None) => Some(location),
    }
}
