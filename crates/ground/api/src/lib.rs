//! The AWS operations that Millpond implements, as traits and types, and the ports between services.
//!
//! Invariants:
//! - The generated files hold exactly the operations of `models/`; a trait has no default methods, so that a listed
//!   operation is an implemented one.
//! - A service reaches another only through what stands here.
//!
//! Knows no implementation.

mod call;
mod codec;
mod instance_identities;
mod instance_networks;
mod instance_roles;
mod object_store;
mod platform;
mod secrets;
mod security_group_users;
mod server_certificates;
mod session;

pub mod autoscaling;
pub mod cloudformation;
pub mod ec2;
pub mod ecr;
pub mod elb;
pub mod iam;
pub mod sqs;
pub mod ssm;
pub mod sts;

pub use call::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
pub use instance_identities::{InstanceIdentities, InstanceIdentity};
pub use instance_networks::{InstanceNetworks, Way};
pub use instance_roles::{InstanceCredentials, InstanceProfile, InstanceRoles, TemporaryCredentials};
pub use object_store::{ObjectStore, PortFuture, PutObject};
pub use platform::{BucketRequest, Platform, unknown_member};
pub use secrets::Secrets;
pub use security_group_users::SecurityGroupUsers;
pub use server_certificates::{CertificateUsers, ServerCertificate, ServerCertificates};
pub use session::{Permissions, Question, Session, Verdict};
