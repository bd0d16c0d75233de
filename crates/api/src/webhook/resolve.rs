//! Names into addresses that were checked. The connection goes to the very addresses that come out of here, so that a name that
//! changes its answer between check and connection (DNS rebinding) gains nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Reach, Refusal};

/// Asks for the addresses of a name.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// Every address of `name`.
    ///
    /// # Errors
    /// Whatever kept it from being found.
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// As this machine does it.
#[derive(Debug, Clone, Copy)]
pub(super) struct System;

#[async_trait]
impl Lookup for System {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// A resolver that knows only addresses that may be connected to.
pub(super) struct Checked {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) reach: Reach,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, reach) = (Arc::clone(&self.lookup), self.reach.clone());
        Box::pin(async move {
            let found = lookup.lookup(name.as_str()).await?;
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| reach.allows(*address))
                // Port 0 stands for the port of the URL.
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if allowed.is_empty() {
                return Err(Refusal::NoneOutside.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
