//! Who asks: the bearer of an API key, or of a budget's token. Asked of the store once a second and key at most: in between, what
//! was found is remembered under a hash of what was presented. A key that is revoked here is forgotten at once; one that another
//! process revokes works here for a second more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use farthing_billing::service::{ServiceError, token};
use farthing_ledger::Timestamp;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use crate::Api;
use crate::access::{Caller, missing};
use crate::problem::Problem;

/// How long what was found is believed.
const VALID_MS: u64 = 1_000;

/// As many are remembered at most.
const MOST: usize = 8_192;

/// The longest secret that is looked at.
const MAX_SECRET: usize = 256;

#[derive(Debug, Clone)]
struct Known {
    caller: Caller,
    until: Timestamp,
}

/// Callers that were found lately.
#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<HashMap<[u8; 32], Known>>);

impl Keys {
    /// Forgets all, because one of them may not be right any more.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    fn find(&self, hash: &[u8; 32], now: Timestamp) -> Option<Caller> {
        let known = self.lock();
        let found = known.get(hash)?;
        // Believed from when it was found, and not when the clock has gone back before that.
        let since = found.until.unix_ms().saturating_sub(VALID_MS);
        (now < found.until && now.unix_ms() >= since).then(|| found.caller.clone())
    }

    fn keep(&self, hash: [u8; 32], caller: &Caller, now: Timestamp) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.retain(|_, entry| now < entry.until);
            if known.len() >= MOST {
                known.clear();
            }
        }
        let until = Timestamp::from_unix_ms(now.unix_ms().saturating_add(VALID_MS));
        known.insert(hash, Known { caller: caller.clone(), until });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who presents the `Authorization` of these headers.
///
/// # Errors
/// 401, with why.
pub(crate) async fn caller(api: &Api, headers: &HeaderMap) -> Result<Caller, Problem> {
    let presented = presented(headers)?;
    let now = api.world().now();
    let hash: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
    if let Some(caller) = api.keys().find(&hash, now) {
        return Ok(caller);
    }
    let is_token = presented.strip_prefix(token::PREFIX).is_some_and(|rest| rest.starts_with('_'));
    let caller = if is_token {
        Caller::Token(Arc::new(api.billing().present_token(presented).await.map_err(refused)?))
    } else {
        Caller::Key(Arc::new(api.billing().authenticate(now, presented).await.map_err(refused)?))
    };
    api.keys().keep(hash, &caller, now);
    Ok(caller)
}

fn refused(error: ServiceError) -> Problem {
    match error {
        ServiceError::Unauthenticated { code, why } => Problem::unauthenticated(code, why),
        other => other.into(),
    }
}

fn presented(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut said = headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (said.next(), said.next()) else { return Err(missing()) };
    let (scheme, secret) = one.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    let secret = secret.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || secret.is_empty() || secret.len() > MAX_SECRET {
        return Err(missing());
    }
    Ok(secret)
}
