//! What a bucket does with what is in it: versions, the end of their lives, encryption. As properties, and as S3's XML.
//!
//! Invariants:
//! - What a table here has, S3 is told; what S3 does not have, S3 refuses.
//! - A property that is gone is undone: versioning is suspended, for it can never be taken back.

use serde_json::Value;

use super::failure::unless_missing;
use super::property::{Kind, Property, boolean, integer, list, structure, text};
use super::s3::{ask, element, elements, escaped};
use super::step::Step;
use super::{Done, Properties};

const BY_DEFAULT: &[Property] = &[text("KMSMasterKeyID"), text("SSEAlgorithm").required()];
const ENCRYPTION_RULE: &[Property] =
    &[boolean("BucketKeyEnabled"), structure("ServerSideEncryptionByDefault", BY_DEFAULT).required()];
const ENCRYPTION: &[Property] =
    &[list("ServerSideEncryptionConfiguration", &Kind::Structure(ENCRYPTION_RULE)).required()];
const NONCURRENT: &[Property] = &[integer("NewerNoncurrentVersions"), integer("NoncurrentDays").required()];
const ABORT: &[Property] = &[integer("DaysAfterInitiation").required()];
const TAG_FILTER: &[Property] = &[text("Key").required(), text("Value")];
const RULE: &[Property] = &[
    structure("AbortIncompleteMultipartUpload", ABORT),
    text("ExpirationDate"),
    integer("ExpirationInDays"),
    boolean("ExpiredObjectDeleteMarker"),
    text("Id"),
    structure("NoncurrentVersionExpiration", NONCURRENT),
    integer("NoncurrentVersionExpirationInDays"),
    text("ObjectSizeGreaterThan"),
    text("ObjectSizeLessThan"),
    text("Prefix"),
    text("Status").required(),
    list("TagFilters", &Kind::Structure(TAG_FILTER)),
];
const LIFECYCLE: &[Property] = &[list("Rules", &Kind::Structure(RULE)).required()];
const VERSIONING: &[Property] = &[text("Status").required()];

/// `BucketEncryption`.
pub(super) const fn encryption() -> Property {
    structure("BucketEncryption", ENCRYPTION)
}

/// `LifecycleConfiguration`.
pub(super) const fn lifecycle() -> Property {
    structure("LifecycleConfiguration", LIFECYCLE)
}

/// `VersioningConfiguration`.
pub(super) const fn versioning() -> Property {
    structure("VersioningConfiguration", VERSIONING)
}

/// Brings a bucket from one set of these properties to another.
pub(super) async fn bring(step: &Step, bucket: &str, old: &Properties, new: &Properties) -> Done {
    bring_versioning(step, bucket, old, new).await?;
    bring_encryption(step, bucket, old, new).await?;
    match (old.get("LifecycleConfiguration"), new.get("LifecycleConfiguration")) {
        (old, new) if old == new => Ok(()),
        (_, Some(new)) => ask(step, "PUT", bucket, "lifecycle", lifecycle_document(new)).await.map(drop),
        (_, None) => unless_missing(ask(step, "DELETE", bucket, "lifecycle", String::new()).await).map(drop),
    }
}

async fn bring_versioning(step: &Step, bucket: &str, old: &Properties, new: &Properties) -> Done {
    let status = |properties: &Properties| {
        properties
            .get("VersioningConfiguration")
            .and_then(|configuration| configuration["Status"].as_str().map(str::to_owned))
    };
    let status = match (status(old), status(new)) {
        (old, new) if old == new => return Ok(()),
        (_, Some(status)) => status,
        (_, None) => "Suspended".to_owned(),
    };
    let document = element("VersioningConfiguration", element("Status", escaped(&status)));
    ask(step, "PUT", bucket, "versioning", document).await.map(drop)
}

async fn bring_encryption(step: &Step, bucket: &str, old: &Properties, new: &Properties) -> Done {
    let configuration = match (old.get("BucketEncryption"), new.get("BucketEncryption")) {
        (old, new) if old == new => return Ok(()),
        (_, None) => {
            return unless_missing(ask(step, "DELETE", bucket, "encryption", String::new()).await).map(drop);
        }
        (_, Some(configuration)) => configuration,
    };
    if rules_of(configuration).any(is_under_awss_key) {
        step.note("aws:kms under AWS's own key is kept as AES256: there is no KMS here").await?;
    }
    ask(step, "PUT", bucket, "encryption", encryption_document(configuration)).await.map(drop)
}

fn rules_of(configuration: &Value) -> impl Iterator<Item = &Value> {
    configuration["ServerSideEncryptionConfiguration"].as_array().into_iter().flatten()
}

/// Whether a rule wants the key that AWS keeps for S3 itself, which nobody could tell from S3's own.
fn is_under_awss_key(rule: &Value) -> bool {
    let default = &rule["ServerSideEncryptionByDefault"];
    default["SSEAlgorithm"] == "aws:kms" && default["KMSMasterKeyID"].as_str().unwrap_or_default().is_empty()
}

fn encryption_document(configuration: &Value) -> String {
    let rule = |rule: &Value| {
        let default = match is_under_awss_key(rule) {
            true => element("SSEAlgorithm", "AES256"),
            false => elements(&rule["ServerSideEncryptionByDefault"], &["SSEAlgorithm", "KMSMasterKeyID"]),
        };
        element("Rule", element("ApplyServerSideEncryptionByDefault", default) + &elements(rule, &["BucketKeyEnabled"]))
    };
    element("ServerSideEncryptionConfiguration", rules_of(configuration).map(rule).collect::<String>())
}

fn lifecycle_document(configuration: &Value) -> String {
    let rules = configuration["Rules"].as_array().into_iter().flatten();
    element("LifecycleConfiguration", rules.map(lifecycle_rule).collect::<String>())
}

fn lifecycle_rule(rule: &Value) -> String {
    let mut content = renamed(rule, "Id", "ID").unwrap_or_default();
    content += &element("Filter", filter(rule));
    content += &elements(rule, &["Status"]);
    let expiration = [
        ("ExpirationInDays", "Days"),
        ("ExpirationDate", "Date"),
        ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker"),
    ];
    let expiration: String = expiration.iter().filter_map(|(name, as_xml)| renamed(rule, name, as_xml)).collect();
    if !expiration.is_empty() {
        content += &element("Expiration", expiration);
    }
    let noncurrent = &rule["NoncurrentVersionExpiration"];
    if noncurrent.is_object() {
        let members = elements(noncurrent, &["NewerNoncurrentVersions", "NoncurrentDays"]);
        content += &element("NoncurrentVersionExpiration", members);
    } else if let Some(days) = renamed(rule, "NoncurrentVersionExpirationInDays", "NoncurrentDays") {
        content += &element("NoncurrentVersionExpiration", days);
    }
    let abort = &rule["AbortIncompleteMultipartUpload"];
    if abort.is_object() {
        content += &element("AbortIncompleteMultipartUpload", elements(abort, &["DaysAfterInitiation"]));
    }
    element("Rule", content)
}

/// What a rule is about: one thing as such, several within `And`, nothing for everything.
fn filter(rule: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(rule["Prefix"].as_str().map(|prefix| element("Prefix", escaped(prefix))));
    let tags = rule["TagFilters"].as_array().into_iter().flatten();
    parts.extend(tags.map(|tag| element("Tag", elements(tag, &["Key", "Value"]))));
    for name in ["ObjectSizeGreaterThan", "ObjectSizeLessThan"] {
        parts.extend(renamed(rule, name, name));
    }
    if parts.len() > 1 { element("And", parts.concat()) } else { parts.concat() }
}

fn renamed(value: &Value, name: &str, as_xml: &str) -> Option<String> {
    crate::template::text(&value[name]).map(|text| element(as_xml, escaped(&text)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_of_lives_are_s3s() {
        let rules = json!({"Rules": [
            {"Id": "CleanupOldVersions", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 30}},
            {"Status": "Enabled", "Prefix": "a&b/", "TagFilters": [{"Key": "k", "Value": "v"}], "ExpirationInDays": 1,
             "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        ]});
        assert_eq!(
            lifecycle_document(&rules),
            "<LifecycleConfiguration><Rule><ID>CleanupOldVersions</ID><Filter></Filter><Status>Enabled</Status>\
             <NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration></Rule>\
             <Rule><Filter><And><Prefix>a&amp;b/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>\
             <Status>Enabled</Status><Expiration><Days>1</Days></Expiration><AbortIncompleteMultipartUpload>\
             <DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>\
             </LifecycleConfiguration>"
        );
    }

    #[test]
    fn awss_own_key_is_s3s_own_and_anybody_elses_is_said() {
        let rule = |default: Value| {
            encryption_document(
                &json!({"ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": default}]}),
            )
        };
        let document = |default: &str| {
            format!(
                "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>{default}\
                 </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
            )
        };
        let aes256 = document("<SSEAlgorithm>AES256</SSEAlgorithm>");
        assert_eq!(rule(json!({"SSEAlgorithm": "AES256"})), aes256);
        assert_eq!(rule(json!({"SSEAlgorithm": "aws:kms"})), aes256);
        let own = document("<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID>");
        assert_eq!(rule(json!({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"})), own);
    }
}
