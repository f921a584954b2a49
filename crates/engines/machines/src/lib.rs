//! Processes that are servers: namespaces, overlays, packet filters, metadata. Knows no AWS API: services/ec2 translates.
//!
//! Invariants:
//! - What is on disk under [`Options::dir`] is the truth. An instance's record is durable before its launch is
//!   acknowledged; a start after `kill -9` adopts what still runs and cleans what is half made.
//! - Nothing outlives its instance: process, mount, namespace, veth, packet filter, cgroup, file.
//! - The host stays as it is: its network namespace, packet filters, sysctls and mounts (but for one namespace handle a
//!   VPC, under `dir`) are never changed, and an instance never reaches the host's metadata service.
//! - Networks are one immutable published value; the engine works out the difference itself.
//!
//! LIFECYCLE.md beside this crate tells an instance's story, and a packet's.

mod bake;
mod boot;
mod engine;
mod files;
mod image;
pub mod init;
mod instance;
mod isolation;
mod launch;
mod limits;
mod network;
mod process;
mod reaper;
mod record;
mod user_data;
mod worker;

pub use engine::{Engine, EngineError, Options};
pub use image::{Image, ImageRoot};
pub use instance::{Instance, InstanceId, InstanceSpec, InstanceState, OnExit, Reason, ResourceLimits, UserDataResult};
pub use isolation::{Isolation, IsolationReport};
pub use network::config::{
    AclAction, AclEntry, AclId, BalancerNode, GroupId, Interface, InterfaceId, Ipv4Network, NetworkAcl, Networks, Peer,
    Protocol, Rule, SecurityGroup, Subnet, SubnetId, Vpc, VpcId,
};
pub use network::dns::{NameAnswer, Names};
pub use network::metadata::{Metadata, MetadataDocument, MetadataOptions};
pub use network::namespace::Namespace;
