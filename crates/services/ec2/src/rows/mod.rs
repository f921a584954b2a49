//! What stands in the store.
//!
//! Invariant: whoever changes a row of EC2's changes [`CHANGES`] in the same transaction, so that one watch tells of all.

mod instance;
mod network;

pub(crate) use instance::*;
pub(crate) use network::*;
use serde::{Deserialize, Serialize};
use store::{StoreError, Table, Transaction};

/// Registered machines, by account, region and instance id.
pub(crate) const MACHINES: Table<MachineRow> = Table::new("ec2_machines");
/// Security groups, by account, region and group id.
pub(crate) const GROUPS: Table<GroupRow> = Table::new("ec2_security_groups");
/// Tags, by account, region, resource id and key.
pub(crate) const TAGS: Table<TagRow> = Table::new("ec2_tags");
/// One row, written with each change.
pub(crate) const CHANGES: Table<()> = Table::new("ec2_changes");

/// Notes that something changes.
pub(crate) fn touch(tx: &mut Transaction<'_>) -> Result<(), StoreError> {
    tx.put(&CHANGES, "", &()).map(drop)
}

/// A machine that the operator registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineRow {
    pub(crate) address: std::net::IpAddr,
    pub(crate) zone: String,
    pub(crate) added_at_ms: u64,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupRow {
    pub(crate) name: String,
    pub(crate) description: String,
    /// Its VPC. Empty in rows from before there was more than the default one.
    #[serde(default)]
    pub(crate) vpc_id: String,
    /// What may come in.
    pub(crate) rules: Vec<RuleRow>,
    /// What may go out.
    #[serde(default)]
    pub(crate) egress: Vec<RuleRow>,
}

/// One rule of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RuleRow {
    /// `sgr-…`.
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) rule: Rule,
    pub(crate) description: Option<String>,
}

/// What a rule lets in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// `tcp`, `udp`, `icmp`, `icmpv6`, another protocol's number, or `-1` for all.
    pub(crate) protocol: String,
    /// Ports, or ICMP's type and code; `None` where the protocol has none.
    pub(crate) ports: Option<(i32, i32)>,
    pub(crate) source: Source,
}

/// Who may come in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// A network in IPv4, in its canonical form.
    Ipv4(String),
    /// A network in IPv6, in its canonical form.
    Ipv6(String),
    /// Members of a group, by its id.
    Group(String),
}

/// A tag's value and what it hangs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TagRow {
    pub(crate) value: String,
    /// `instance`, `security-group`, …
    pub(crate) resource_type: String,
}
