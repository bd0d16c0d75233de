#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn limits(per_second: u32, burst: u32) -> RateLimits {
    let rate = Rate { per_second, burst };
    RateLimits { challenges: rate, verifications: rate, ..RateLimits::default() }
}

fn ms(ms: u64) -> UnixMs {
    UnixMs::from_ms(1_800_000_000_000 + ms)
}

fn take(limiter: &RateLimiter, ip: &str, at: UnixMs) -> Result<(), u32> {
    limiter.take(Kind::Challenge, format!("{ip}:1").parse().unwrap(), &HeaderMap::new(), at)
}

#[test]
fn a_burst_and_then_the_rate() {
    let limiter = RateLimiter::new(&limits(10, 3));
    let us = "203.0.113.7";
    for _ in 0..3 {
        assert_eq!(take(&limiter, us, ms(0)), Ok(()));
    }
    assert_eq!(take(&limiter, us, ms(0)), Err(1));
    assert_eq!(take(&limiter, us, ms(99)), Err(1), "a tenth of a second a token");
    assert_eq!(take(&limiter, us, ms(100)), Ok(()));
    assert_eq!(take(&limiter, us, ms(100)), Err(1));
    // Refusals cost nothing.
    assert_eq!(take(&limiter, us, ms(200)), Ok(()));
    // The other kind, and others, have buckets of their own.
    let other =
        limiter.take(Kind::Verification, "203.0.113.7:1".parse().unwrap(), &HeaderMap::new(), ms(200));
    assert_eq!((other, take(&limiter, "203.0.113.8", ms(200))), (Ok(()), Ok(())));
    // A bucket holds no more than the burst.
    let taken = (0..10).filter(|_| take(&limiter, us, ms(60_000)).is_ok()).count();
    assert_eq!(taken, 3);
}

#[test]
fn the_wait_is_told_in_whole_seconds() {
    let limiter = RateLimiter::new(&RateLimits {
        challenges: Rate { per_second: 1, burst: 1 },
        ..RateLimits::default()
    });
    assert_eq!(take(&limiter, "203.0.113.7", ms(0)), Ok(()));
    assert_eq!(take(&limiter, "203.0.113.7", ms(1)), Err(1));
    // A clock that goes back makes nobody wait for longer than a whole burst.
    assert_eq!(take(&limiter, "203.0.113.7", UnixMs::from_ms(1_000)), Err(1));
    assert_eq!(take(&limiter, "203.0.113.7", UnixMs::from_ms(2_000)), Ok(()));
}

#[test]
fn a_network_is_one_address() {
    let limiter = RateLimiter::new(&limits(1, 1));
    assert_eq!(take(&limiter, "[2001:db8:1:2::1]", ms(0)), Ok(()));
    assert_eq!(take(&limiter, "[2001:db8:1:2:ffff::9]", ms(0)), Err(1));
    assert_eq!(take(&limiter, "[2001:db8:1:3::1]", ms(0)), Ok(()));
    assert_eq!(take(&limiter, "[::ffff:203.0.113.7]", ms(0)), Ok(()));
    assert_eq!(take(&limiter, "203.0.113.7", ms(0)), Err(1));
}

#[test]
fn ours_are_counted_only_when_it_is_said() {
    let mut limits = limits(1, 1);
    let limiter = RateLimiter::new(&limits);
    for _ in 0..10 {
        assert_eq!(take(&limiter, "127.0.0.1", ms(0)), Ok(()));
    }
    limits.private = PrivateAddresses::Counted;
    limiter.set(&limits);
    assert_eq!((take(&limiter, "127.0.0.1", ms(0)), take(&limiter, "127.0.0.1", ms(0))), (Ok(()), Err(1)));
    limiter.set(&RateLimits { challenges: Rate::UNLIMITED, ..limits });
    assert_eq!(take(&limiter, "127.0.0.1", ms(0)), Ok(()));
}

/// Many addresses change neither what is kept nor what somebody who floods is owed.
#[test]
fn memory_is_bounded_and_the_worst_are_remembered() {
    let limiter = RateLimiter::sized(&limits(1, 5), 1);
    let flood = "203.0.113.7";
    while take(&limiter, flood, ms(0)).is_ok() {}
    for n in 0..10_000_u32 {
        assert_eq!(take(&limiter, &format!("198.{}.{}.1", n / 200, n % 200), ms(0)), Ok(()));
        assert_eq!(take(&limiter, flood, ms(0)), Err(1), "after {n} others");
    }
    assert_eq!(limiter.sets.len(), 1);
    assert!(size_of::<Mutex<Set>>() * RateLimiter::ADDRESSES / WAYS < 3 << 20);
}

#[test]
fn the_last_hop_is_the_proxys_word() {
    for (lines, hop) in [
        (vec![("x-forwarded-for", "203.0.113.7")], Some("203.0.113.7")),
        (vec![("x-forwarded-for", "10.9.9.9, 203.0.113.7")], Some("203.0.113.7")),
        (vec![("x-forwarded-for", "10.9.9.9"), ("x-forwarded-for", "203.0.113.7:1234")], Some("203.0.113.7")),
        (vec![("x-forwarded-for", "[2001:db8::1]:80")], Some("2001:db8::1")),
        (vec![("x-forwarded-for", "2001:db8::1")], Some("2001:db8::1")),
        (vec![("forwarded", "for=10.9.9.9, for=203.0.113.7;proto=https;host=x")], Some("203.0.113.7")),
        (vec![("forwarded", "proto=https;For=\"[2001:db8::1]:80\"")], Some("2001:db8::1")),
        (vec![("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "203.0.113.7")], Some("203.0.113.7")),
        (vec![("forwarded", "for=_hidden")], None),
        (vec![("forwarded", "for=unknown")], None),
        (vec![("x-forwarded-for", "203.0.113.7, evil")], None),
        (vec![("x-forwarded-for", "")], None),
        (vec![], None),
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in &lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        assert_eq!(last_hop(&headers), hop.map(|hop| hop.parse().unwrap()), "{lines:?}");
    }
}
