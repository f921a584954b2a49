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
use crate::website::configuration::Website;

/// A bucket's name to its row.
pub(crate) const BUCKETS: Table<BucketRow> = Table::new("s3_buckets");
/// `bucket NUL key` to the object's row.
pub(crate) const OBJECTS: Table<ObjectRow> = Table::new("s3_objects");
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

/// The key of an upload's row.
pub(crate) fn upload_key(bucket: &str, key: &str, upload_id: &str) -> String {
    format!("{bucket}\0{key}\0{upload_id}")
}

/// The key of a part's row.
pub(crate) fn part_key(upload_id: &str, number: u16) -> String {
    format!("{upload_id}\0{number:05}")
}
