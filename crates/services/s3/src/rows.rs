//! What S3 keeps in the store: row types, tables and keys.
//!
//! Invariants:
//! - A bucket's name is unique over all accounts; its row holds all of its configuration.
//! - Every blob that an object or a part refers to has a row in `s3_blobs` that counts the references. Rows and
//!   references change in one transaction; a blob's file goes after the transaction that dropped the last reference.
//! - A field added later has a serde default, so that rows written by an older version still read.
//! - A key's parts are separated by NUL, which sorts below every character of a key that follows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::Table;

use crate::acl::Acl;
use crate::checksums::StoredChecksum;
use crate::lifecycle::Lifecycle;
use crate::website::configuration::Website;

/// A bucket's name to its row.
pub(crate) const BUCKETS: Table<BucketRow> = Table::new("s3_buckets");
/// `bucket NUL key` to the row of the key's current version, unless that is a delete marker.
pub(crate) const OBJECTS: Table<ObjectRow> = Table::new("s3_objects");
/// `bucket NUL key NUL order` to the row of every other version, the newest first.
pub(crate) const VERSIONS: Table<VersionRow> = Table::new("s3_versions");
/// `bucket NUL key` to the sequence of the null version that stands among [`VERSIONS`], where one does.
pub(crate) const NULL_VERSIONS: Table<u64> = Table::new("s3_null_versions");
/// `bucket NUL key NUL upload id` to the multipart upload's row.
pub(crate) const UPLOADS: Table<UploadRow> = Table::new("s3_uploads");
/// `upload id NUL part number (5 digits)` to the part's row.
pub(crate) const PARTS: Table<PartRow> = Table::new("s3_parts");
/// A manifest's id to the parts of the completed multipart object that it describes.
pub(crate) const MANIFESTS: Table<Manifest> = Table::new("s3_manifests");
/// A blob's id to its row.
pub(crate) const BLOBS: Table<BlobRow> = Table::new("s3_blobs");

/// A bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BucketRow {
    /// The owning account.
    pub(crate) owner: String,
    pub(crate) region: String,
    pub(crate) created_ms: u64,
    pub(crate) acl: Acl,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ownership: Option<Ownership>,
    /// The bucket policy, as it was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) public_access_block: Option<PublicAccessBlock>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<Vec<Tag>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) website: Option<Website>,
    /// `None`: never switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) versioning: Option<Versioning>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lifecycle: Option<Lifecycle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<Encryption>,
}

/// The bucket's default encryption as it was put: AES256, the only one there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// `BucketKeyEnabled`, which says something of KMS keys only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bucket_key: Option<bool>,
}

/// What becomes of the version that a write takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Versioning {
    /// It stays.
    Enabled,
    /// It stays unless it is the null version.
    Suspended,
}

/// Who owns what is uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ownership {
    /// The uploader; AWS's rule of 2015, and ours for a bucket without ownership controls.
    ObjectWriter,
    /// The bucket's owner where the upload grants `bucket-owner-full-control`.
    BucketOwnerPreferred,
    /// The bucket's owner; ACLs have no effect.
    BucketOwnerEnforced,
}

/// The four switches that close what ACLs and policies open to the public.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublicAccessBlock {
    pub(crate) block_public_acls: bool,
    pub(crate) ignore_public_acls: bool,
    pub(crate) block_public_policy: bool,
    pub(crate) restrict_public_buckets: bool,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tag {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// What describes an object beside its bytes: given when it is put, kept until it is replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Description {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    /// Seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_s: Option<i64>,
    /// User metadata, names in lower case without `x-amz-meta-`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) website_redirect_location: Option<String>,
    /// `None`: STANDARD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storage_class: Option<String>,
}

/// Where an object's or part's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    /// No bytes.
    Empty,
    /// In the blob's row.
    Small {
        /// The blob's id.
        blob: String,
    },
    /// In the blob's file.
    File {
        /// The blob's id.
        blob: String,
    },
    /// In the blobs of the parts that a manifest lists.
    Parts {
        /// The manifest's id.
        manifest: String,
        /// How many parts.
        count: u32,
    },
}

/// An object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ObjectRow {
    /// The owning account.
    pub(crate) owner: String,
    pub(crate) size: u64,
    /// Without its quotes.
    pub(crate) etag: String,
    pub(crate) modified_ms: u64,
    pub(crate) content: Content,
    #[serde(default)]
    pub(crate) description: Description,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<StoredChecksum>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<Tag>,
    pub(crate) acl: Acl,
    /// A row from before there were versions is a null version, the first of its key.
    #[serde(default, skip_serializing_if = "Version::is_first_null")]
    pub(crate) version: Version,
}

/// Which version of its key something is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// `None`: the null version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Above that of every older version of the key.
    #[serde(default)]
    pub(crate) sequence: u64,
}

impl Version {
    /// What a bucket that was never versioned has.
    fn is_first_null(&self) -> bool {
        *self == Self::default()
    }

    /// The id as clients read it.
    pub(crate) fn name(&self) -> &str {
        self.id.as_deref().unwrap_or("null")
    }
}

/// A version beside the current object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VersionRow {
    /// When a newer version came; `None`: there is none, and this is a delete marker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) noncurrent_since_ms: Option<u64>,
    pub(crate) standing: Standing,
}

/// What a version is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Standing {
    Object(Box<ObjectRow>),
    DeleteMarker(DeleteMarkerRow),
}

/// A delete marker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeleteMarkerRow {
    /// The account that deleted the key.
    pub(crate) owner: String,
    pub(crate) modified_ms: u64,
    pub(crate) version: Version,
}

impl Standing {
    pub(crate) fn version(&self) -> &Version {
        match self {
            Self::Object(row) => &row.version,
            Self::DeleteMarker(row) => &row.version,
        }
    }
}

/// A multipart upload under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UploadRow {
    /// The account that will own the object.
    pub(crate) owner: String,
    /// The account that created the upload.
    pub(crate) initiator: String,
    pub(crate) created_ms: u64,
    #[serde(default)]
    pub(crate) description: Description,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<Tag>,
    pub(crate) acl: Acl,
    /// The checksum algorithm agreed at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<crate::checksums::Algorithm>,
    /// Whether the checksum is over the whole object rather than over the parts' checksums.
    #[serde(default)]
    pub(crate) full_object: bool,
}

/// A part of an upload, or of a completed multipart object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PartRow {
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) modified_ms: u64,
    pub(crate) content: Content,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<StoredChecksum>,
}

/// The parts of a completed multipart object, in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Part number and part.
    pub(crate) parts: Vec<(u16, PartRow)>,
}

/// A blob.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BlobRow {
    pub(crate) references: u32,
    pub(crate) size: u64,
    /// The bytes themselves, base64, of a blob that has no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<String>,
}

/// The key of an object's row.
pub(crate) fn object_key(bucket: &str, key: &str) -> String {
    format!("{bucket}\0{key}")
}

/// The key of a version's row: the newest, of the highest sequence, comes first.
pub(crate) fn version_key(bucket: &str, key: &str, sequence: u64) -> String {
    format!("{bucket}\0{key}\0{:016x}", u64::MAX - sequence)
}

/// The key of an upload's row.
pub(crate) fn upload_key(bucket: &str, key: &str, upload_id: &str) -> String {
    format!("{bucket}\0{key}\0{upload_id}")
}

/// The key of a part's row.
pub(crate) fn part_key(upload_id: &str, number: u16) -> String {
    format!("{upload_id}\0{number:05}")
}
