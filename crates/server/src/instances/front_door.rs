//! The front door inside VPCs: there AWS's own names lead to this server, so that what instances run needs no endpoint.
//!
//! Invariants:
//! - It is listened on for as long as a VPC's network is there; a socket would keep the network alive.
//! - Only AWS's names are answered for; public names of instances are not AWS's services.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use machines::{NameAnswer, Names, VpcId};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::warn;

use super::Instances;
use crate::front_door::stream::Serves;
use crate::front_door::{FrontDoor, listener};

/// Where instances find it: beside the metadata service and the resolver.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 252);
/// HTTP and HTTPS; each takes both, as every port of the front door does.
const PORTS: [u16; 2] = [80, 443];
/// Connections of all instances together; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1000;
const TTL_S: u32 = 60;

/// AWS's names, all at the front door's address.
pub(super) struct AwsNames;

impl Names for AwsNames {
    fn resolve(&self, _: &VpcId, name: &str) -> NameAnswer {
        let Some(service) = name.strip_suffix(".amazonaws.com") else { return NameAnswer::Elsewhere };
        // ec2-198-18-0-5.compute-1.amazonaws.com is an instance.
        if service.split('.').any(|label| label.starts_with("compute")) {
            return NameAnswer::Elsewhere;
        }
        NameAnswer::Addresses { addresses: vec![ADDRESS], ttl_s: TTL_S }
    }
}

impl Instances {
    /// Serves the front door in each VPC for as long as it is polled.
    pub async fn serve_front_door(self: Arc<Self>, front_door: Arc<FrontDoor>) {
        self.tools.trust(front_door.authority_pem());
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut vpcs = self.vpcs.subscribe();
        let mut serving: BTreeMap<VpcId, JoinSet<()>> = BTreeMap::new();
        if !self.report.privileged {
            return;
        }
        loop {
            let wanted = vpcs.borrow_and_update().clone();
            serving.retain(|vpc, _| wanted.contains(vpc));
            for vpc in wanted {
                if serving.contains_key(&vpc) {
                    continue;
                }
                match self.listen_in(&vpc, &front_door, &slots).await {
                    Ok(accepting) => drop(serving.insert(vpc, accepting)),
                    Err(error) => warn!(%vpc, %error, "AWS's names lead nowhere in a VPC"),
                }
            }
            if vpcs.changed().await.is_err() {
                return;
            }
        }
    }

    async fn listen_in(
        &self,
        vpc: &VpcId,
        front_door: &Arc<FrontDoor>,
        slots: &Arc<Semaphore>,
    ) -> anyhow::Result<JoinSet<()>> {
        let engine = self.engine()?;
        let mut accepting = JoinSet::new();
        for port in PORTS {
            let bound = engine.bind_tcp(vpc, SocketAddrV4::new(ADDRESS, port)).await?;
            let listener = TcpListener::from_std(bound)?;
            accepting.spawn(listener::accept(listener, Serves::Both, front_door.clone(), slots.clone()));
        }
        Ok(accepting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_lead_here_and_names_of_instances_elsewhere() {
        let resolve = |name: &str| AwsNames.resolve(&VpcId("vpc-1".into()), name);
        for name in ["cloudformation.us-east-1.amazonaws.com", "sqs.eu-west-1.amazonaws.com", "b.s3.amazonaws.com"] {
            assert_eq!(resolve(name), NameAnswer::Addresses { addresses: vec![ADDRESS], ttl_s: TTL_S }, "{name}");
        }
        for name in ["ec2-198-18-0-5.compute-1.amazonaws.com", "example.com", "notamazonaws.com"] {
            assert_eq!(resolve(name), NameAnswer::Elsewhere, "{name}");
        }
    }
}
