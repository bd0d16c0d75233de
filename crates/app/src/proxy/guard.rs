//! [`Guard`]: the addresses that the proxy never connects to: itself, and (unless allowed) those that only this machine or its
//! host may talk to. It keeps a program from reaching through the proxy what it could not reach by itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpStream;
use url::Host;

/// How long a connection may take to come about.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Services of a cloud about its machines, outside of the link-local range.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether link-local and metadata addresses may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkLocal {
    /// No.
    #[default]
    Refuse,
    /// Yes.
    Allow,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// The name has no address.
    #[error("the name {host} could not be resolved: {why}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the system said.
        why: String,
    },
    /// It has addresses that are not to be reached.
    #[error("{host} is at {address}, which the proxy does not connect to")]
    Forbidden {
        /// The name.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// It is this proxy.
    #[error("{address} is this proxy itself")]
    Loop {
        /// Where.
        address: SocketAddr,
    },
    /// Nothing answers there.
    #[error("no connection to {host}: {why}")]
    Unreachable {
        /// The name.
        host: String,
        /// What the system said.
        why: String,
    },
}

impl ReachError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unresolved { .. } => "host_not_resolved",
            Self::Forbidden { .. } => "address_refused",
            Self::Loop { .. } => "proxy_loop",
            Self::Unreachable { .. } => "host_unreachable",
        }
    }
}

/// Decides about addresses. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    listen: SocketAddr,
    link_local: LinkLocal,
}

impl Guard {
    /// For a proxy that listens on `listen`.
    pub const fn new(listen: SocketAddr, link_local: LinkLocal) -> Self {
        Self { listen, link_local }
    }

    /// Whether an address may be connected to. A proxy for other machines does not reach this machine's own services.
    fn admits(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        let own = address.is_loopback() || address.is_unspecified();
        if own && !self.listen.ip().is_loopback() {
            return false;
        }
        self.link_local == LinkLocal::Allow || !is_link_local(address)
    }

    /// Whether it is where this proxy listens.
    fn is_itself(&self, address: SocketAddr) -> bool {
        let (ip, mine) = (canonical(address.ip()), canonical(self.listen.ip()));
        let same = ip == mine || ip.is_unspecified() || (mine.is_unspecified() && ip.is_loopback());
        address.port() == self.listen.port() && same
    }

    /// The addresses of an origin, all of which may be connected to.
    ///
    /// # Errors
    /// [`ReachError`]; one forbidden address forbids the name.
    pub async fn resolve(&self, host: &Host<String>, port: u16) -> Result<Vec<SocketAddr>, ReachError> {
        let unresolved = |why: String| ReachError::Unresolved { host: host.to_string(), why };
        let found: Vec<SocketAddr> = match host {
            Host::Ipv4(address) => vec![(*address, port).into()],
            Host::Ipv6(address) => vec![(*address, port).into()],
            Host::Domain(name) => tokio::net::lookup_host((name.as_str(), port))
                .await
                .map_err(|error| unresolved(error.to_string()))?
                .collect(),
        };
        if found.is_empty() {
            return Err(unresolved("it has no address".to_owned()));
        }
        for address in &found {
            if self.is_itself(*address) {
                return Err(ReachError::Loop { address: *address });
            }
            if !self.admits(address.ip()) {
                return Err(ReachError::Forbidden { host: host.to_string(), address: address.ip() });
            }
        }
        Ok(found)
    }

    /// Connects to an origin.
    ///
    /// # Errors
    /// [`ReachError`].
    pub async fn connect(&self, host: &Host<String>, port: u16) -> Result<TcpStream, ReachError> {
        let addresses = self.resolve(host, port).await?;
        let unreachable = |why: String| ReachError::Unreachable { host: host.to_string(), why };
        let connecting = TcpStream::connect(addresses.as_slice());
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(|error| unreachable(crate::error::plain_io(&error)))?,
            Err(_) => return Err(unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
        };
        // An address of this machine that is not loopback is seen only now.
        if let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) {
            let here = canonical(peer.ip()) == canonical(local.ip());
            if here && self.listen.ip().is_unspecified() && peer.port() == self.listen.port() {
                return Err(ReachError::Loop { address: peer });
            }
        }
        // A tunnel of small messages is not to wait for more of them.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

/// For the HTTP client: a name is judged again when it is resolved again.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(address) = found.iter().find(|address| !guard.admits(address.ip())) {
                let host = name.as_str().to_owned();
                return Err(ReachError::Forbidden { host, address: address.ip() }.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// An IPv4 address, however IPv6 wraps it: mapped, or behind the well-known prefix of NAT64 (RFC 6052).
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => address.to_canonical(),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    METADATA.contains(&address)
        || match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::IpAddr;

    use super::{Guard, LinkLocal};

    #[test]
    fn what_only_this_machine_may_talk_to_is_refused() {
        let local = Guard::new("127.0.0.1:8403".parse().unwrap(), LinkLocal::Refuse);
        let remote = Guard::new("0.0.0.0:8403".parse().unwrap(), LinkLocal::Refuse);
        let allowed = Guard::new("127.0.0.1:8403".parse().unwrap(), LinkLocal::Allow);
        // Address; whether a proxy on loopback, one for other machines, and one that allows link-local reach it.
        let cases = [
            ("93.184.216.34", true, true, true),
            ("10.0.0.1", true, true, true),
            ("127.0.0.1", true, false, true),
            ("0.0.0.0", true, false, true),
            ("::1", true, false, true),
            ("::ffff:127.0.0.1", true, false, true),
            ("169.254.169.254", false, false, true),
            ("::ffff:169.254.169.254", false, false, true),
            ("64:ff9b::169.254.169.254", false, false, true),
            ("fe80::1", false, false, true),
            ("fd00:ec2::254", false, false, true),
            ("100.100.100.200", false, false, true),
            ("168.63.129.16", false, false, true),
            ("2606:2800:220:1:248:1893:25c8:1946", true, true, true),
        ];
        for (text, by_local, by_remote, by_allowed) in cases {
            let address: IpAddr = text.parse().unwrap();
            let found = [local, remote, allowed].map(|guard| guard.admits(address));
            assert_eq!(found, [by_local, by_remote, by_allowed], "{text}");
        }
    }

    #[test]
    fn the_proxy_knows_itself() {
        let cases = [
            ("127.0.0.1:8403", "127.0.0.1:8403", true),
            ("127.0.0.1:8403", "[::ffff:127.0.0.1]:8403", true),
            ("127.0.0.1:8403", "0.0.0.0:8403", true),
            ("127.0.0.1:8403", "127.0.0.1:8404", false),
            ("127.0.0.1:8403", "127.0.0.2:8403", false),
            ("0.0.0.0:8403", "127.0.0.2:8403", true),
            ("0.0.0.0:8403", "10.0.0.1:8403", false),
        ];
        for (listen, address, itself) in cases {
            let guard = Guard::new(listen.parse().unwrap(), LinkLocal::Refuse);
            assert_eq!(guard.is_itself(address.parse().unwrap()), itself, "{listen} {address}");
        }
    }
}
