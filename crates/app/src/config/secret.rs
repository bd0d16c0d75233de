//! Where secrets come from: a file, an environment variable, or (with a warning) the configuration file itself.
//! Nothing here shows a secret.

use std::path::Path;

use zeroize::Zeroizing;

use super::read::{Field, Section};
use super::value;

/// The keys of one secret: `secret`, `secret_file`, `secret_env`.
#[derive(Debug, Clone, Copy)]
pub struct SecretKeys {
    /// Inline; `None` where a secret may not be inline.
    pub inline: Option<&'static str>,
    /// Path of a file.
    pub file: &'static str,
    /// Name of an environment variable.
    pub env: &'static str,
}

/// What surrounds the configuration file.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The file: paths in it are relative to its directory.
    pub file: &'a Path,
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// A secret that was found, and what a person should know about how.
pub struct Found {
    /// The secret.
    pub secret: Zeroizing<String>,
    /// A warning.
    pub warning: Option<String>,
}

impl Surroundings<'_> {
    /// The secret of these keys. Faults are noted: more than one source, an unreadable file, an empty variable.
    pub fn secret(&self, section: &Section<'_>, keys: SecretKeys) -> Option<Found> {
        let inline = keys.inline.and_then(|key| section.text(key));
        let (file, env) = (section.text(keys.file), section.text(keys.env));
        let sources =
            usize::from(inline.is_some()) + usize::from(file.is_some()) + usize::from(env.is_some());
        if sources > 1 {
            let inline = keys.inline.map(|key| format!("`{key}`, ")).unwrap_or_default();
            section
                .fault(format!("has more than one of {inline}`{}` and `{}`; keep one", keys.file, keys.env));
            return None;
        }
        if let Some(field) = inline {
            let secret = Zeroizing::new(field.value.to_owned());
            let name = keys.inline.unwrap_or_default();
            let warning = format!(
                "`{name}` stands in the configuration file; prefer `{}` or `{}`, so that the file can be shared",
                keys.file, keys.env
            );
            return Some(Found { secret, warning: Some(warning) });
        }
        if let Some(field) = env {
            let Some(secret) = (self.env)(field.value) else {
                field.fault(format!("the environment variable {} is not set", field.value));
                return None;
            };
            return Some(Found { secret: Zeroizing::new(secret), warning: None });
        }
        self.secret_in(&file?)
    }

    /// The secret in the file that `field` names.
    pub fn secret_in(&self, field: &Field<'_, &str>) -> Option<Found> {
        let path = value::beside(self.file, field.value);
        match read_secret(&path) {
            Ok(secret) => Some(Found { secret, warning: open_to_others(&path) }),
            Err(error) => {
                field.fault(format!("cannot read {}: {}", path.display(), crate::error::plain_io(&error)));
                None
            }
        }
    }
}

/// The text of a file without its last line break.
pub fn read_secret(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let text = Zeroizing::new(std::fs::read_to_string(path)?);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A warning, when others than its owner can read a file that should be secret.
#[cfg(unix)]
pub fn open_to_others(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| {
        format!("others on this machine can read {}; run: chmod 600 {}", path.display(), path.display())
    })
}

/// Nothing: files have no mode here.
#[cfg(not(unix))]
pub fn open_to_others(_: &Path) -> Option<String> {
    None
}
