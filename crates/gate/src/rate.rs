//! [`RateLimiter`]: how often one address may be issued challenges and have payments looked at (C30). A bucket of tokens for
//! each, filled at a steady rate; an address whose bucket is empty is told to come again (429), and nothing else is done for it.
//!
//! It keeps a fixed number of addresses and allocates nothing for a request: who has the fullest buckets is forgotten first, and
//! starts again with full ones, so that no flood makes it keep more or limits somebody else.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use farthing_protocol::UnixMs;
use http::StatusCode;
use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use crate::address::{PrivateAddresses, counted};
use crate::answer::{Answer, plain};
use crate::credential::Found;
use crate::gate::Gate;
use crate::observe::{GateEvent, Told};
use crate::proxy::{ClientAddr, ForwardedTrust};

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So often a second, for as long as it lasts. 0 for any number.
    pub per_second: u32,
    /// So often at once. At least 1.
    pub burst: u32,
}

impl Rate {
    /// Any number.
    pub const UNLIMITED: Self = Self { per_second: 0, burst: 1 };

    const fn pack(self) -> u64 {
        (self.per_second as u64) << 32 | self.burst as u64
    }

    const fn unpack(packed: u64) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
        Self { per_second: (packed >> 32) as u32, burst: packed as u32 }
    }
}

/// What is limited, for each address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Challenges that are issued to requests without a credential.
    pub challenges: Rate,
    /// Requests for something that has a price, with a credential, good or not.
    pub verifications: Rate,
    /// Whether the client's address is the one that a trusted proxy in front wrote last into `X-Forwarded-For`, or without that
    /// into `Forwarded`.
    pub forwarded: ForwardedTrust,
    /// Whether addresses of networks of ours are limited.
    pub private: PrivateAddresses,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            challenges: Rate { per_second: 100, burst: 1_000 },
            verifications: Rate { per_second: 50, burst: 500 },
            forwarded: ForwardedTrust::Replace,
            private: PrivateAddresses::Uncounted,
        }
    }
}

/// What a token is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Challenge = 0,
    Verification = 1,
}

/// Tokens of every address. Share one between the gates of one process.
pub struct RateLimiter {
    hasher: RandomState,
    sets: Box<[Mutex<Set>]>,
    rates: [AtomicU64; 2],
    trusts_forwarded: AtomicBool,
    counts_private: AtomicBool,
}

/// Addresses whose hashes begin alike.
type Set = [Slot; WAYS];

const WAYS: usize = 8;

/// One address. Its times are in microseconds: when its bucket would be full again.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// 0 for nobody.
    key: u64,
    full_at_us: [u64; 2],
}

impl std::fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimiter").finish_non_exhaustive()
    }
}

impl RateLimiter {
    /// Addresses that are kept, in two megabytes.
    pub const ADDRESSES: usize = 65_536;

    /// A limiter with these limits, and full buckets for everybody.
    #[must_use]
    pub fn new(limits: &RateLimits) -> Self {
        Self::sized(limits, Self::ADDRESSES / WAYS)
    }

    fn sized(limits: &RateLimits, sets: usize) -> Self {
        let limiter = Self {
            hasher: RandomState::new(),
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            rates: [AtomicU64::new(0), AtomicU64::new(0)],
            trusts_forwarded: AtomicBool::new(false),
            counts_private: AtomicBool::new(false),
        };
        limiter.set(limits);
        limiter
    }

    /// Changes the limits. What was used up stays used up.
    pub fn set(&self, limits: &RateLimits) {
        self.rates[Kind::Challenge as usize].store(limits.challenges.pack(), Relaxed);
        self.rates[Kind::Verification as usize].store(limits.verifications.pack(), Relaxed);
        self.trusts_forwarded.store(limits.forwarded == ForwardedTrust::Append, Relaxed);
        self.counts_private.store(limits.private == PrivateAddresses::Counted, Relaxed);
    }

    /// Takes a token, or says how many seconds to wait for one.
    fn take(&self, kind: Kind, caller: SocketAddr, headers: &HeaderMap, now: UnixMs) -> Result<(), u32> {
        let rate = Rate::unpack(self.rates[kind as usize].load(Relaxed));
        if rate.per_second == 0 {
            return Ok(());
        }
        let ip = if self.trusts_forwarded.load(Relaxed) {
            last_hop(headers).unwrap_or(caller.ip())
        } else {
            caller.ip()
        };
        let private = if self.counts_private.load(Relaxed) {
            PrivateAddresses::Counted
        } else {
            PrivateAddresses::Uncounted
        };
        let Some(network) = counted(ip, private) else { return Ok(()) };
        let hash = self.hasher.hash_one(network);
        let sets = u64::try_from(self.sets.len()).unwrap_or(1);
        let set = usize::try_from((hash >> 1) % sets).unwrap_or_default();
        let mut set = self.sets[set].lock().unwrap_or_else(PoisonError::into_inner);
        let now_us = now.as_ms().saturating_mul(1_000);
        slot(&mut set, hash | 1, now_us).take(kind, rate, now_us)
    }
}

/// The address's slot: its own, or that of whoever has the fullest buckets, which says the least about anybody.
fn slot(set: &mut Set, key: u64, now_us: u64) -> &mut Slot {
    let found = set.iter().position(|slot| slot.key == key);
    let place = found.unwrap_or_else(|| {
        let owed = |slot: &Slot| {
            slot.full_at_us.iter().map(|at| at.saturating_sub(now_us)).fold(0, u64::saturating_add)
        };
        let fullest = set.iter().enumerate().min_by_key(|(_, slot)| owed(slot));
        let place = fullest.map_or(0, |(place, _)| place);
        set[place] = Slot { key, full_at_us: [0; 2] };
        place
    });
    &mut set[place]
}

impl Slot {
    /// The generic cell rate algorithm: a token costs an interval, and so many intervals as the burst has may be owed.
    fn take(&mut self, kind: Kind, rate: Rate, now_us: u64) -> Result<(), u32> {
        let interval_us = 1_000_000 / u64::from(rate.per_second.max(1));
        let most_us = interval_us.max(1).saturating_mul(u64::from(rate.burst.max(1)));
        // More can only be owed when the clock went back, or the burst was larger.
        let full_at_us = self.full_at_us[kind as usize].clamp(now_us, now_us.saturating_add(most_us));
        let then_us = full_at_us.saturating_add(interval_us.max(1));
        let over_us = then_us.saturating_sub(now_us.saturating_add(most_us));
        self.full_at_us[kind as usize] = full_at_us;
        if over_us > 0 {
            return Err(u32::try_from(over_us.div_ceil(1_000_000)).unwrap_or(u32::MAX));
        }
        self.full_at_us[kind as usize] = then_us;
        Ok(())
    }
}

/// The address that the proxy in front saw: the last one, which it wrote itself.
fn last_hop(headers: &HeaderMap) -> Option<IpAddr> {
    const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    let last = |name: &HeaderName| headers.get_all(name).iter().next_back()?.to_str().ok();
    if let Some(list) = last(&X_FORWARDED_FOR) {
        return address(list.rsplit(',').next()?);
    }
    let element = last(&FORWARDED)?.rsplit(',').next()?;
    let pair = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pair.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    address(named.next()?.1)
}

/// An address as proxies write it: with a port or without, in quotes, in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let host = |text: &str| text.parse::<IpAddr>().ok();
    host(text)
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| host(text.strip_prefix('[')?.strip_suffix(']')?))
}

impl Gate {
    /// The answer to a request that comes too often; none while there are tokens, or nobody knows where it comes from.
    pub(crate) fn limited(
        &self,
        found: &Found,
        (client, headers): (Option<ClientAddr>, &HeaderMap),
        told: &mut Told,
    ) -> Option<Answer> {
        let limiter = self.inner().rates.as_ref()?;
        let ClientAddr(caller) = client?;
        let kind = if matches!(found, Found::None) { Kind::Challenge } else { Kind::Verification };
        let now = self.inner().clock.now();
        let wait_s = limiter.take(kind, caller, headers, now).err()?;
        let mut answer = match kind {
            Kind::Challenge => {
                let detail = "You are asking for too many challenges. Ask again later.";
                told.code = Some("too_many_challenges");
                plain(StatusCode::TOO_MANY_REQUESTS, "too_many_challenges", detail)
            }
            Kind::Verification => {
                let detail =
                    "You are sending too many payments. Do not pay again: send the same credential later.";
                told.code = Some("too_many_verifications");
                plain(StatusCode::TOO_MANY_REQUESTS, "too_many_verifications", detail)
            }
        };
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait_s));
        let route = told.route.map(|index| &*self.inner().routes[index].name);
        if let Some(code) = told.code {
            self.inner().observer.observe(GateEvent::RateLimited { route, code });
        }
        Some(answer)
    }
}

#[cfg(test)]
mod tests;
