//! [`DataPlane`]: what ELB asks of the balancer, so that tests can put something else in its place.
//!
//! Invariant: nothing is decided here; each method is the balancer's own.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use balancer::{Balancer, BindError, Config, LoadBalancerId, Sealed, TargetHealth};

/// Bound addresses, given back when dropped unless a configuration has claimed them.
pub(crate) type Reserved = Box<dyn Send>;

/// The balancer as ELB sees it.
#[async_trait]
pub(crate) trait DataPlane: Send + Sync + 'static {
    fn reserve(&self, addresses: &[SocketAddr]) -> Result<Reserved, BindError>;
    async fn publish(&self, config: Config) -> Result<(), Vec<BindError>>;
    fn target_health(&self, load_balancer: LoadBalancerId) -> Vec<TargetHealth>;
    async fn seal(&self, load_balancer: LoadBalancerId) -> io::Result<Vec<Sealed>>;
    async fn sealed(&self) -> io::Result<Vec<Sealed>>;
    async fn read(&self, sealed: &Sealed) -> io::Result<Vec<u8>>;
    async fn remove(&self, sealed: &Sealed) -> io::Result<()>;
}

#[async_trait]
impl DataPlane for Balancer {
    fn reserve(&self, addresses: &[SocketAddr]) -> Result<Reserved, BindError> {
        Ok(Box::new(Balancer::reserve(self, addresses)?))
    }

    async fn publish(&self, config: Config) -> Result<(), Vec<BindError>> {
        Balancer::publish(self, config).await
    }

    fn target_health(&self, load_balancer: LoadBalancerId) -> Vec<TargetHealth> {
        Balancer::target_health(self, load_balancer)
    }

    async fn seal(&self, load_balancer: LoadBalancerId) -> io::Result<Vec<Sealed>> {
        self.records().seal(load_balancer).await
    }

    async fn sealed(&self) -> io::Result<Vec<Sealed>> {
        self.records().sealed().await
    }

    async fn read(&self, sealed: &Sealed) -> io::Result<Vec<u8>> {
        self.records().read(sealed).await
    }

    async fn remove(&self, sealed: &Sealed) -> io::Result<()> {
        self.records().remove(sealed).await
    }
}
