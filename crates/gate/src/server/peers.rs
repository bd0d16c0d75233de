//! [`Peers`]: how many connections each address has, so that one stranger cannot take all places.
//!
//! Addresses that only our own network reaches are not counted: a TLS terminator in front of the gate (C18) has one of
//! them, and speaks for everybody.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::address::{PrivateAddresses, counted};

/// Connections by address.
#[derive(Debug, Default)]
pub(super) struct Peers {
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place among those of its address, given back when it is dropped.
#[derive(Debug)]
pub(super) struct PeerPlace(Option<(Arc<Peers>, IpAddr)>);

impl Peers {
    /// A place for a connection from `ip` among at most `most`; 0 for any number. None when it has too many.
    pub(super) fn enter(
        self: &Arc<Self>,
        ip: IpAddr,
        most: usize,
        private: PrivateAddresses,
    ) -> Option<PeerPlace> {
        let Some(key) = counted(ip, private).filter(|_| most > 0) else { return Some(PeerPlace(None)) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(key).or_default();
        if *count >= most {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_stranger_cannot_take_all_places() {
        let (stranger, other) = ("203.0.113.7".parse().unwrap(), "203.0.113.8".parse().unwrap());
        for (most, ip, entered) in
            [(3, stranger, 3), (3, "127.0.0.1".parse().unwrap(), 10), (0, stranger, 10)]
        {
            let peers = Arc::new(Peers::default());
            let enter = |ip| peers.enter(ip, most, PrivateAddresses::Uncounted);
            let mut places: Vec<PeerPlace> = (0..10).filter_map(|_| enter(ip)).collect();
            assert_eq!(places.len(), entered, "{most} {ip}");
            assert!(enter(other).is_some());
            places.pop();
            assert!(enter(ip).is_some(), "a place that was left is free");
            drop(places);
            assert!(peers.open.lock().unwrap().is_empty(), "nothing is kept of who has gone");
        }
    }
}
