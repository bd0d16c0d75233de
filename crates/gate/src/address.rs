//! What strangers are counted under: an address, or the IPv6 network that one customer of a provider gets. And which
//! addresses are no strangers'. It looks nothing up.

use std::net::{IpAddr, Ipv6Addr};

/// What happens to addresses that only networks of ours reach: loopback, private, link-local.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrivateAddresses {
    /// They are not counted: a TLS terminator in front of the gate (C18) has one of them, and speaks for everybody.
    #[default]
    Uncounted,
    /// They are counted like any other.
    Counted,
}

/// What an address is counted under; none for one that is not.
pub(crate) fn counted(ip: IpAddr, private: PrivateAddresses) -> Option<IpAddr> {
    let counts_all = private == PrivateAddresses::Counted;
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let ours = v4.is_loopback() || v4.is_private() || v4.is_link_local();
            (counts_all || !ours).then_some(IpAddr::V4(v4))
        }
        IpAddr::V6(v6) => {
            let ours = v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local();
            let network = v6.to_bits() & (u128::MAX << 64);
            (counts_all || !ours).then(|| IpAddr::V6(Ipv6Addr::from_bits(network)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn strangers_are_counted_by_address() {
        for (ip, key, all) in [
            ("203.0.113.7", Some("203.0.113.7"), "203.0.113.7"),
            ("::ffff:203.0.113.7", Some("203.0.113.7"), "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", Some("2001:db8:1:2::"), "2001:db8:1:2::"),
            ("100.64.0.1", Some("100.64.0.1"), "100.64.0.1"),
            ("127.0.0.1", None, "127.0.0.1"),
            ("::ffff:127.0.0.1", None, "127.0.0.1"),
            ("::1", None, "::"),
            ("10.1.2.3", None, "10.1.2.3"),
            ("172.17.0.1", None, "172.17.0.1"),
            ("192.168.0.9", None, "192.168.0.9"),
            ("fd00::1", None, "fd00::"),
            ("fe80::1", None, "fe80::"),
        ] {
            let ip = ip.parse().unwrap();
            let key = key.map(|key| key.parse().unwrap());
            assert_eq!(counted(ip, PrivateAddresses::Uncounted), key, "{ip}");
            assert_eq!(counted(ip, PrivateAddresses::Counted), Some(all.parse().unwrap()), "{ip}");
        }
    }
}
