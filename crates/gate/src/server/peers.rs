//! [`Peers`]: how many connections each address has, so that one stranger cannot take all places.
//!
//! Addresses that only our own network reaches are not counted: a TLS terminator in front of the gate (C18) has one of
//! them, and speaks for everybody.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections by address.
#[derive(Debug)]
pub(super) struct Peers {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place among those of its address, given back when it is dropped.
#[derive(Debug)]
pub(super) struct PeerPlace(Option<(Arc<Peers>, IpAddr)>);

impl Peers {
    /// At most `most` connections of one address; 0 for any number.
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Mutex::default() }
    }

    /// A place for a connection from `ip`, unless it has too many.
    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<PeerPlace> {
        let Some(key) = counted(ip).filter(|_| self.most > 0) else { return Some(PeerPlace(None)) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(key).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(PeerPlace(Some((Arc::clone(self), key))))
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        let Some((peers, key)) = &self.0 else { return };
        let mut open = peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                open.remove(key);
            }
        }
    }
}

/// What a connection is counted under; none for those that are not. Of an IPv6 address the network, which is what one
/// customer of a provider gets.
fn counted(ip: IpAddr) -> Option<IpAddr> {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            (!v4.is_loopback() && !v4.is_private() && !v4.is_link_local()).then_some(IpAddr::V4(v4))
        }
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & (u128::MAX << 64);
            (!v6.is_loopback() && !v6.is_unique_local() && !v6.is_unicast_link_local())
                .then(|| IpAddr::V6(Ipv6Addr::from_bits(network)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn strangers_are_counted_by_address() {
        for (ip, key) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("2001:db8:1:2:3:4:5:6", Some("2001:db8:1:2::")),
            ("100.64.0.1", Some("100.64.0.1")),
            ("127.0.0.1", None),
            ("::ffff:127.0.0.1", None),
            ("::1", None),
            ("10.1.2.3", None),
            ("172.17.0.1", None),
            ("192.168.0.9", None),
            ("fd00::1", None),
            ("fe80::1", None),
        ] {
            assert_eq!(counted(ip.parse().unwrap()), key.map(|key| key.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn one_stranger_cannot_take_all_places() {
        let (stranger, other) = ("203.0.113.7".parse().unwrap(), "203.0.113.8".parse().unwrap());
        for (most, ip, entered) in
            [(3, stranger, 3), (3, "127.0.0.1".parse().unwrap(), 10), (0, stranger, 10)]
        {
            let peers = Arc::new(Peers::new(most));
            let mut places: Vec<PeerPlace> = (0..10).filter_map(|_| peers.enter(ip)).collect();
            assert_eq!(places.len(), entered, "{most} {ip}");
            assert!(peers.enter(other).is_some());
            places.pop();
            assert!(peers.enter(ip).is_some(), "a place that was left is free");
            drop(places);
            assert!(peers.open.lock().unwrap().is_empty(), "nothing is kept of who has gone");
        }
    }
}
