//! The metadata service: what an instance may learn about itself.
//!
//! Invariants:
//! - Who asks is known by the source address, which the router's filters make trustworthy.
//! - An instance whose options ask for tokens gets nothing without one.

mod paths;
mod service;
mod token;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::instance::InstanceId;

pub(crate) use service::{Asker, Service};
pub(crate) use token::TokenKey;

/// Where documents come from; asked anew at each request, so it may hold credentials that expire.
pub trait Metadata: Send + Sync + 'static {
    /// What this instance may learn. `None`: not found.
    fn document(&self, instance: &InstanceId) -> Option<Arc<MetadataDocument>>;
}

/// What an instance may learn about itself. An empty string or list leaves its path out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataDocument {
    /// How it is served.
    pub options: MetadataOptions,
    /// `ami-id`.
    pub image_id: String,
    /// `instance-id`.
    pub instance_id: String,
    /// `instance-type`.
    pub instance_type: String,
    /// `ami-launch-index`.
    pub launch_index: u32,
    /// `reservation-id`.
    pub reservation_id: String,
    /// `local-hostname` and `hostname`.
    pub hostname: String,
    /// `local-ipv4`.
    pub private_address: Option<Ipv4Addr>,
    /// `public-hostname`.
    pub public_hostname: String,
    /// `public-ipv4`.
    pub public_address: Option<Ipv4Addr>,
    /// `mac`, lowercase with colons.
    pub mac: String,
    /// `placement/availability-zone`.
    pub zone: String,
    /// `placement/availability-zone-id`.
    pub zone_id: String,
    /// `placement/region`.
    pub region: String,
    /// `services/domain`, `amazonaws.com`.
    pub domain: String,
    /// `services/partition`, `aws`.
    pub partition: String,
    /// Names of the groups, `security-groups`.
    pub group_names: Vec<String>,
    /// Their ids.
    pub group_ids: Vec<String>,
    /// `network/interfaces/macs/…/interface-id`.
    pub interface_id: String,
    /// `…/owner-id`.
    pub owner_id: String,
    /// `…/subnet-id`.
    pub subnet_id: String,
    /// `…/subnet-ipv4-cidr-block`.
    pub subnet_cidr: String,
    /// `…/vpc-id`.
    pub vpc_id: String,
    /// `…/vpc-ipv4-cidr-block` (the first) and `…-blocks`.
    pub vpc_cidrs: Vec<String>,
    /// Names and OpenSSH lines, for `public-keys/`.
    pub public_keys: Vec<(String, String)>,
    /// `user-data`, as it was given, decoded from base64.
    pub user_data: Option<Vec<u8>>,
    /// `tags/instance/…`, where the options let them out.
    pub tags: BTreeMap<String, String>,
    /// `iam/info`, JSON.
    pub iam_info: Option<String>,
    /// `iam/security-credentials/NAME`, JSON each.
    pub credentials: BTreeMap<String, String>,
    /// `instance-life-cycle`: `on-demand` or `spot`.
    pub life_cycle: String,
    /// `autoscaling/target-lifecycle-state`.
    pub lifecycle_state: String,
    /// `dynamic/instance-identity/document`, JSON.
    pub identity_document: String,
    /// `dynamic/instance-identity/signature`, base64.
    pub identity_signature: String,
    /// `dynamic/instance-identity/pkcs7`, base64.
    pub identity_pkcs7: String,
    /// More paths below `latest/meta-data/`, `spot/instance-action` for instance; they win over those above.
    pub more: BTreeMap<String, String>,
}

/// How the service answers an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataOptions {
    /// Whether it answers at all.
    pub enabled: bool,
    /// Whether a token is required (IMDSv2 only).
    pub tokens_required: bool,
    /// How many network hops the answer with a token may travel, 1 to 64.
    pub hop_limit: u8,
    /// Whether tags are told.
    pub tags: bool,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self { enabled: true, tokens_required: false, hop_limit: 1, tags: false }
    }
}
