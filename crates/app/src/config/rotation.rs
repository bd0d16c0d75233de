//! The secrets that bind challenges: the one that binds new ones, and those that are good for what they have bound. Here is also
//! what becomes of the ones before when a reload brings another.

use std::time::Duration;

use farthing_protocol::{PreviousSecret, Secret, UnixMs};

use super::GatewayConfig;
use super::read::{Field, Section};
use super::secret::{Found, SecretKeys, Surroundings};

/// What becomes of the secret before when a reload brings another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rotation {
    /// Only what the file names is good.
    #[default]
    AsWritten,
    /// It is good for what it has bound, for as long as that can be presented.
    KeepOld,
}

/// The most secrets that are good beside the one that binds. Each costs a hash for every credential that none has bound.
pub const MAX_PREVIOUS: usize = 32;
/// How long after a challenge has expired a payment for it may still be looked at, at most: no rail does so for longer.
const LATE: Duration = Duration::from_hours(1);
/// What to do about a secret that is none.
const COMMAND: &str = "openssl rand -hex 32 > secret.txt";
const ADVICE: &str = "what binds challenges to this gateway, at least 32 bytes; make one with: openssl rand -hex 32 > secret.txt";

/// The secrets of `[gateway]`.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) current: Secret,
    pub(super) previous: Vec<PreviousSecret>,
    pub(super) rotation: Rotation,
}

impl Secrets {
    /// Reads them; what is wrong is noted.
    pub(super) fn read(
        section: &Section<'_>,
        around: Surroundings<'_>,
        warnings: &mut Vec<String>,
    ) -> Option<Self> {
        let keys = SecretKeys { inline: Some("secret"), file: "secret_file", env: "secret_env" };
        if !["secret", "secret_file", "secret_env"].iter().any(|key| section.has(key)) {
            section.missing("secret_file", ADVICE);
        }
        let current = one(section, keys, around, warnings);
        let keys = SecretKeys {
            inline: Some("previous_secret"),
            file: "previous_secret_file",
            env: "previous_secret_env",
        };
        let mut previous: Vec<PreviousSecret> =
            one(section, keys, around, warnings).map(PreviousSecret::from).into_iter().collect();
        let files = section.texts("previous_secret_files").unwrap_or_default();
        if files.len() >= MAX_PREVIOUS {
            section.fault(format!("has too many previous secrets: {MAX_PREVIOUS} are the most"));
        }
        for field in files.iter().take(MAX_PREVIOUS) {
            let found = around.secret_in(field);
            previous.extend(found.and_then(|found| checked(found, Some(field), warnings)).map(Into::into));
        }
        let keeps_old = section.flag("keep_old_secret").is_some_and(|field| field.value);
        let rotation = if keeps_old { Rotation::KeepOld } else { Rotation::AsWritten };
        Some(Self { current: current?, previous, rotation })
    }
}

fn one(
    section: &Section<'_>,
    keys: SecretKeys,
    around: Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Option<Secret> {
    let found = around.secret(section, keys)?;
    let names = [keys.inline.unwrap_or_default(), keys.file, keys.env];
    let used = names.into_iter().find_map(|key| section.text(key));
    checked(found, used.as_ref(), warnings)
}

fn checked(found: Found, field: Option<&Field<'_, &str>>, warnings: &mut Vec<String>) -> Option<Secret> {
    warnings.extend(found.warning);
    match Secret::new(found.secret.as_bytes().to_vec()) {
        Ok(secret) => Some(secret),
        Err(short) => {
            let message = format!("the secret has {} bytes; it needs at least 32: {COMMAND}", short.bytes);
            if let Some(field) = field {
                field.fault(message);
            }
            None
        }
    }
}

/// Keeps what was good until now good for what it has bound, where `next` says so: `longest` is the longest life that a challenge had
/// under it.
pub fn keep_old(before: &GatewayConfig, next: &mut GatewayConfig, longest: Duration, now: UnixMs) {
    if next.rotation == Rotation::AsWritten {
        return;
    }
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let expires_until = Some(now.plus_ms(ms(longest)));
    let retired = PreviousSecret { secret: before.secret.clone(), expires_until };
    let older = before.previous_secrets.iter().map(|previous| PreviousSecret {
        expires_until: previous.expires_until.or(expires_until),
        ..previous.clone()
    });
    let mut kept: Vec<PreviousSecret> = Vec::new();
    for previous in std::iter::once(retired).chain(older) {
        let named = next.secret == previous.secret
            || next.previous_secrets.iter().chain(&kept).any(|other| other.secret == previous.secret);
        let useful = previous.expires_until.is_none_or(|until| now < until.plus_ms(ms(LATE)));
        if !named && useful {
            kept.push(previous);
        }
    }
    // The newest come first.
    kept.truncate(MAX_PREVIOUS.saturating_sub(next.previous_secrets.len()));
    next.previous_secrets.extend(kept);
}
