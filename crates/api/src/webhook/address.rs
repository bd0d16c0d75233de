//! [`Reach`]: which addresses a webhook may be sent to. Tenants choose addresses, and the server that connects to them stands
//! inside: what only the inside can reach is refused, whatever name it has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;
use url_host::Host;

/// Parts of the Internet, as `10.0.0.0/8` or `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

/// A network that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no network: write it as 10.0.0.0/8 or fd00::/8")]
pub struct BadNetwork(String);

impl Network {
    /// Reads `ADDRESS/LENGTH`, or an address alone.
    ///
    /// # Errors
    /// [`BadNetwork`].
    pub fn parse(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(most), str::parse).map_err(|_| bad())?;
        if length > most {
            return Err(bad());
        }
        Ok(Self { address, length })
    }

    const fn v4(a: u8, b: u8, c: u8, length: u8) -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, 0)), length }
    }

    const fn v6(a: u16, b: u16, length: u8) -> Self {
        Self { address: IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)), length }
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        let same = |mine: u128, other: u128, bits: u8| {
            let rest = u32::from(bits - self.length);
            mine.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => same(mine.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(mine), IpAddr::V6(other)) => same(mine.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

/// What of IPv4 is not the public Internet (the special-purpose registry of IANA), and addresses of clouds that look public.
const INSIDE_V4: [Network; 16] = [
    Network::v4(0, 0, 0, 8),
    Network::v4(10, 0, 0, 8),
    Network::v4(100, 64, 0, 10),
    Network::v4(127, 0, 0, 8),
    // Link-local, where clouds answer questions about a machine and its credentials.
    Network::v4(169, 254, 0, 16),
    Network::v4(172, 16, 0, 12),
    Network::v4(192, 0, 0, 24),
    Network::v4(192, 0, 2, 24),
    Network::v4(192, 88, 99, 24),
    Network::v4(192, 168, 0, 16),
    Network::v4(198, 18, 0, 15),
    Network::v4(198, 51, 100, 24),
    Network::v4(203, 0, 113, 24),
    Network::v4(224, 0, 0, 4),
    Network::v4(240, 0, 0, 4),
    // The platform of one cloud, from within it.
    Network { address: IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)), length: 32 },
];

/// Global unicast is all of IPv6 that is the public Internet, and these parts of it are not.
const GLOBAL_V6: Network = Network::v6(0x2000, 0, 3);
const INSIDE_V6: [Network; 4] = [
    Network::v6(0x2001, 0, 23),
    Network::v6(0x2001, 0xdb8, 32),
    Network::v6(0x2002, 0, 16),
    Network::v6(0x3fff, 0, 20),
];
/// Addresses that a translator makes of IPv4 addresses.
const TRANSLATED: Network = Network::v6(0x64, 0xff9b, 96);

/// Whether the public Internet reaches `address`.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !INSIDE_V4.iter().any(|network| network.has(IpAddr::V4(v4))),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public(IpAddr::V4(v4)),
            None if TRANSLATED.has(address) => {
                let [.., a, b, c, d] = v6.octets();
                is_public(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
            }
            None => GLOBAL_V6.has(address) && !INSIDE_V6.iter().any(|network| network.has(address)),
        },
    }
}

/// Why an address is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is no address that webhooks go to.
    #[error("{0}")]
    Url(&'static str),
    /// It is not on the public Internet.
    #[error("{0} is not on the public Internet")]
    Inside(IpAddr),
    /// A name has no address that is.
    #[error("the name has no address on the public Internet")]
    NoneOutside,
}

/// Which addresses may be connected to. By default: public ones, over https.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Networks that are allowed although they are not public.
    pub allowed: Vec<Network>,
    /// Whether http without TLS is allowed.
    pub plain_http: bool,
}

impl Reach {
    /// Whether `address` may be connected to.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        is_public(address) || self.allowed.iter().any(|network| network.has(address))
    }

    /// Reads an endpoint's address, and checks what can be checked without asking for names. A host that is written as a number in
    /// whatever way is an address by then.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn url(&self, text: &str) -> Result<Url, Refusal> {
        let url = Url::parse(text).map_err(|_| Refusal::Url("it is not a URL"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.plain_http => {}
            "http" => return Err(Refusal::Url("only https is allowed")),
            _ => return Err(Refusal::Url("only https and http are allowed")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Url("an address has no user and no password"));
        }
        match url_host::of(&url) {
            None => Err(Refusal::Url("it has no host")),
            Some(Host::Address(address)) if !self.allows(address) => Err(Refusal::Inside(address)),
            Some(Host::Address(_) | Host::Name) => Ok(url),
        }
    }
}

/// The host of a URL, as an address where it is one.
mod url_host {
    use std::net::IpAddr;

    use reqwest::Url;

    pub(super) enum Host {
        Address(IpAddr),
        Name,
    }

    pub(super) fn of(url: &Url) -> Option<Host> {
        let text = url.host_str().filter(|host| !host.is_empty())?;
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        Some(bare.parse().map_or(Host::Name, Host::Address))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Network, Reach, is_public};

    #[test]
    fn what_the_inside_reaches_is_refused_and_what_is_beside_it_is_not() {
        // First and last address of each part, and its neighbours.
        for (inside, outside) in [
            ("0.0.0.0 0.255.255.255", "1.0.0.0"),
            ("10.0.0.0 10.255.255.255", "9.255.255.255 11.0.0.0"),
            ("100.64.0.0 100.127.255.255 100.100.100.200", "100.63.255.255 100.128.0.0"),
            ("127.0.0.1 127.255.255.255", "126.255.255.255 128.0.0.0"),
            ("169.254.0.0 169.254.169.254 169.254.255.255", "169.253.255.255 169.255.0.0"),
            ("172.16.0.0 172.31.255.255", "172.15.255.255 172.32.0.0"),
            ("192.0.0.192 192.0.2.1 192.88.99.1", "192.0.1.1 192.0.3.0 192.88.98.1"),
            ("192.168.0.0 192.168.255.255", "192.167.255.255 192.169.0.0"),
            ("198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.9", "198.17.255.255 198.20.0.0"),
            ("224.0.0.1 239.255.255.255 240.0.0.0 255.255.255.255", "223.255.255.255"),
            ("168.63.129.16", "168.63.129.15 168.63.129.17"),
            (":: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254", "::ffff:8.8.8.8"),
            ("64:ff9b::10.0.0.1 64:ff9b::127.0.0.1 64:ff9b:1::1", "64:ff9b::8.8.8.8"),
            ("fc00::1 fd00:ec2::254 fdff::1 fe80::1 fec0::1 ff02::1 100::1 5f00::1", "2606:4700::1111"),
            ("2001::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1", "2001:4860:4860::8888 2a00::1"),
        ] {
            for address in inside.split(' ') {
                assert!(!is_public(address.parse().unwrap()), "{address} is inside");
            }
            for address in outside.split(' ') {
                assert!(is_public(address.parse().unwrap()), "{address} is outside");
            }
        }
    }

    #[test]
    fn networks_are_read_and_hold_what_they_say() {
        let has =
            |network: &str, address: &str| Network::parse(network).unwrap().has(address.parse().unwrap());
        assert!(has("10.0.0.0/8", "10.1.2.3") && !has("10.0.0.0/8", "11.0.0.0"));
        assert!(has("0.0.0.0/0", "255.0.0.1") && !has("0.0.0.0/0", "::1"));
        assert!(has("127.0.0.1", "127.0.0.1") && !has("127.0.0.1", "127.0.0.2"));
        assert!(has("::/0", "fe80::1") && has("fd00::/8", "fd12::1") && !has("fd00::/8", "fe00::1"));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "localhost"] {
            Network::parse(bad).unwrap_err();
        }
    }

    #[test]
    fn a_host_is_an_address_however_it_is_written() {
        let strict = Reach::default();
        for url in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:a9fe:a9fe]/latest/meta-data",
            "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
            "https://169.254.169.254./",
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://user@example.com/",
            "https://:secret@example.com/",
            "https:///",
            "example.com",
        ] {
            strict.url(url).expect_err(url);
        }
        strict.url("https://example.com:8443/hook?x=1").unwrap();
        let lenient = Reach { allowed: vec![Network::parse("127.0.0.0/8").unwrap()], plain_http: true };
        lenient.url("http://127.0.0.1:8080/").unwrap();
        lenient.url("http://[::ffff:127.0.0.1]:8080/").unwrap();
        lenient.url("http://10.0.0.1/").unwrap_err();
    }
}
