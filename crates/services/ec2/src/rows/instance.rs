//! Rows of instances and of what they are started from.
//!
//! Invariant: what an instance is started from is in its own row, so that it outlives an image or a key that is gone.

use serde::{Deserialize, Serialize};
use store::Table;

/// Instances that the engine runs, by account, region and id.
pub(crate) const INSTANCES: Table<InstanceRow> = Table::new("ec2_instances");
/// Key pairs, by account, region and name.
pub(crate) const KEY_PAIRS: Table<KeyPairRow> = Table::new("ec2_key_pairs");
/// Images that the operator registered, by id.
pub(crate) const IMAGES: Table<ImageRow> = Table::new("ec2_images");
/// Launch templates, by account, region and id.
pub(crate) const TEMPLATES: Table<TemplateRow> = Table::new("ec2_launch_templates");
/// Their versions, by account, region, template's id and number in ten digits.
pub(crate) const TEMPLATE_VERSIONS: Table<TemplateVersionRow> = Table::new("ec2_launch_template_versions");
/// Calls that may come again, by account, region, operation and token.
pub(crate) const TOKENS: Table<TokenRow> = Table::new("ec2_client_tokens");
/// One row: what instances' identities are signed with.
pub(crate) const IDENTITY_KEYS: Table<IdentityKeyRow> = Table::new("ec2_identity_keys");

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceRow {
    pub(crate) reservation_id: String,
    pub(crate) launch_index: u32,
    pub(crate) image_id: String,
    pub(crate) root: RootRow,
    pub(crate) instance_type: String,
    pub(crate) key: Option<KeyRow>,
    pub(crate) client_token: Option<String>,
    /// In base64, as it came.
    pub(crate) user_data: Option<String>,
    pub(crate) zone: String,
    pub(crate) vpc_id: String,
    pub(crate) subnet_id: String,
    pub(crate) interface_id: String,
    /// Whether each start gives it a public address.
    pub(crate) gets_public: bool,
    pub(crate) disable_api_termination: bool,
    pub(crate) disable_api_stop: bool,
    /// What a shutdown from inside does.
    pub(crate) shutdown_terminates: bool,
    pub(crate) metadata: MetadataRow,
    /// The instance profile, and so the role.
    #[serde(default)]
    pub(crate) profile: Option<ProfileRow>,
    pub(crate) monitoring: bool,
    pub(crate) ebs_optimized: bool,
    pub(crate) launched_at_ms: u64,
    /// What it was last seen to be.
    pub(crate) state: State,
    /// Since when.
    pub(crate) since_ms: u64,
    /// What it shall be.
    pub(crate) goal: Goal,
    /// Whether the engine took it over.
    pub(crate) is_launched: bool,
    /// Somebody asked for a start that has not been passed on.
    pub(crate) start: bool,
    /// Somebody asked for a reboot that has not been passed on.
    pub(crate) reboot: bool,
    /// AWS's code and sentence.
    pub(crate) reason: Option<(String, String)>,
    /// AWS's older sentence.
    pub(crate) transition_reason: String,
}

/// An instance's profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProfileRow {
    /// `iip-assoc-…`.
    pub(crate) association_id: String,
    pub(crate) arn: String,
    /// `AIPA…`: a profile that is made anew under the name is another.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) since_ms: u64,
}

/// Where a root file system comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RootRow {
    /// The host's own.
    Host,
    /// A directory on the host.
    Directory(std::path::PathBuf),
}

/// The key pair that an instance was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRow {
    pub(crate) name: String,
    /// A line of authorized_keys.
    pub(crate) public_key: String,
}

/// How the metadata service answers an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MetadataRow {
    pub(crate) enabled: bool,
    pub(crate) tokens_required: bool,
    pub(crate) hop_limit: u8,
    pub(crate) tags: bool,
}

impl Default for MetadataRow {
    fn default() -> Self {
        Self { enabled: true, tokens_required: false, hop_limit: 1, tags: false }
    }
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Pending,
    Running,
    Stopping,
    Stopped,
    ShuttingDown,
    Terminated,
}

impl State {
    /// EC2's number for it.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// EC2's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it is on its way out, or gone.
    pub(crate) fn is_ending(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }
}

/// What an instance shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    Running,
    Stopped,
    Terminated,
}

/// A key pair's public half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyPairRow {
    pub(crate) id: String,
    /// `rsa` or `ed25519`.
    pub(crate) key_type: String,
    pub(crate) fingerprint: String,
    /// A line of authorized_keys.
    pub(crate) public_key: String,
    pub(crate) created_at_ms: u64,
}

/// An image of the operator's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRow {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) root: RootRow,
    pub(crate) created_at_ms: u64,
}

/// A launch template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TemplateRow {
    pub(crate) name: String,
    pub(crate) created_at_ms: u64,
    pub(crate) created_by: String,
    pub(crate) default_version: i64,
    pub(crate) latest_version: i64,
}

/// One version of a launch template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TemplateVersionRow {
    pub(crate) description: Option<String>,
    pub(crate) created_at_ms: u64,
    pub(crate) created_by: String,
    /// `RequestLaunchTemplateData` in JSON, by the members' names.
    pub(crate) data: serde_json::Value,
}

/// A call that had a token, and what it made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRow {
    /// A digest of what was asked.
    pub(crate) asked: String,
    /// Ids of what it made.
    pub(crate) made: Vec<String>,
    pub(crate) at_ms: u64,
}

/// The secret behind instances' identities.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdentityKeyRow {
    /// An Ed25519 seed.
    pub(crate) seed: [u8; 32],
}
