//! Lifecycle rules and default encryption over HTTP, carried out as time passes.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{OTHER, Platform};
use host::Disk as _;

const ENABLED: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";

fn rules(rules: &str) -> String {
    format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>")
}

fn rule(filter: &str, actions: &str) -> String {
    rules(&format!("<Rule><ID>r</ID><Filter>{filter}</Filter><Status>Enabled</Status>{actions}</Rule>"))
}

/// A platform whose clock goes with tokio's, with one bucket and these rules.
async fn with_rules(document: String) -> Platform {
    let platform = Platform::riding();
    platform.put("/pictures", "").await.expect(200);
    platform.put("/pictures?lifecycle", document).await.expect(200);
    platform
}

/// Waits for so many midnights, and a little more.
async fn midnights(count: u64) {
    tokio::time::sleep(Duration::from_secs(count * 24 * 60 * 60)).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
}

/// Files of blobs.
fn files(platform: &Platform) -> usize {
    let root = Path::new("s3/blobs");
    let shards = platform.disk.list(root).unwrap_or_default();
    shards.iter().map(|(shard, _)| platform.disk.list(&root.join(shard)).unwrap_or_default().len()).sum()
}

#[tokio::test]
async fn lifecycle_rules_read_back_as_they_were_put() {
    let platform = Platform::with_bucket().await;
    platform.get("/pictures?lifecycle").await.fails(404, "NoSuchLifecycleConfiguration");
    let document = rules(
        "<Rule><ID>everything</ID><Filter><And><Prefix>logs/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag>\
         <ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>9</ObjectSizeLessThan></And></Filter>\
         <Status>Enabled</Status><Expiration><Days>7</Days></Expiration><NoncurrentVersionExpiration>\
         <NoncurrentDays>3</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions>\
         </NoncurrentVersionExpiration></Rule>\
         <Rule><ID>old</ID><Prefix>tmp/</Prefix><Status>Disabled</Status>\
         <Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration></Rule>\
         <Rule><Filter/><Status>Enabled</Status><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>\
         </Expiration><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>\
         </AbortIncompleteMultipartUpload></Rule>",
    );
    let put = platform.put("/pictures?lifecycle", document).await.expect(200);
    assert_eq!(put.header("x-amz-transition-default-minimum-object-size"), "all_storage_classes_128K");
    let read = platform.get("/pictures?lifecycle").await.expect(200);
    for (tag, values) in [
        ("Days", vec!["7"]),
        ("NoncurrentDays", vec!["3"]),
        ("NewerNoncurrentVersions", vec!["2"]),
        ("ObjectSizeGreaterThan", vec!["5"]),
        ("ObjectSizeLessThan", vec!["9"]),
        ("Prefix", vec!["logs/", "tmp/"]),
        ("Status", vec!["Enabled", "Disabled", "Enabled"]),
        ("ExpiredObjectDeleteMarker", vec!["true"]),
        ("DaysAfterInitiation", vec!["1"]),
    ] {
        assert_eq!(read.tags(tag), values, "{tag}: {}", read.text());
    }
    assert!(read.tag("Date").starts_with("2030-01-01T00:00:00"), "{}", read.text());
    let ids = read.tags("ID");
    assert!(ids.len() == 3 && !ids[2].is_empty(), "a rule without an id gets one: {ids:?}");
    platform.delete("/pictures?lifecycle").await.expect(204);
    platform.get("/pictures?lifecycle").await.fails(404, "NoSuchLifecycleConfiguration");
    platform.delete("/pictures?lifecycle").await.expect(204);
}

#[tokio::test]
async fn rules_that_cannot_be_carried_out_are_refused() {
    let platform = Platform::with_bucket().await;
    let days = "<Expiration><Days>1</Days></Expiration>";
    let transition = "<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>";
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    let abort =
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
    let noncurrent = |inside: &str| format!("<NoncurrentVersionExpiration>{inside}</NoncurrentVersionExpiration>");
    for (document, status, code) in [
        (rule("", &format!("{days}{transition}")), 501, "NotImplemented"),
        (rule("", ""), 400, "InvalidRequest"),
        (rule("", "<Expiration><Days>0</Days></Expiration>"), 400, "InvalidArgument"),
        (rule("", "<Expiration><Date>2030-01-01T12:00:00Z</Date></Expiration>"), 400, "InvalidArgument"),
        (rule("", "<Expiration/>"), 400, "MalformedXML"),
        (rule("", &noncurrent("<NewerNoncurrentVersions>1</NewerNoncurrentVersions>")), 400, "MalformedXML"),
        (rule("", &noncurrent("<NoncurrentDays>-1</NoncurrentDays>")), 400, "InvalidArgument"),
        (
            rule(
                "",
                &noncurrent("<NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>101</NewerNoncurrentVersions>"),
            ),
            400,
            "InvalidArgument",
        ),
        (rule(&format!("<Prefix>a</Prefix>{tag}"), days), 400, "MalformedXML"),
        (rule(&format!("<And>{tag}{tag}</And>"), days), 400, "InvalidRequest"),
        (rule(tag, abort), 400, "InvalidRequest"),
        (
            rule(tag, "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"),
            400,
            "InvalidRequest",
        ),
        (rules(&format!("<Rule><Status>Enabled</Status>{days}</Rule>")), 400, "MalformedXML"),
        (rules(&format!("<Rule><Filter/><Status>On</Status>{days}</Rule>")), 400, "MalformedXML"),
        (
            rules(&format!("<Rule><ID>a</ID><Filter/><Status>Enabled</Status>{days}</Rule>").repeat(2)),
            400,
            "InvalidArgument",
        ),
        (rules(""), 400, "MalformedXML"),
    ] {
        platform.put("/pictures?lifecycle", document).await.fails(status, code);
    }
    platform.get("/pictures?lifecycle").await.fails(404, "NoSuchLifecycleConfiguration");
    let foreign = platform.request("PUT", "/pictures?lifecycle").by(OTHER).body(rule("", days)).send().await;
    foreign.fails(403, "AccessDenied");
}

#[tokio::test(start_paused = true)]
async fn an_object_expires_at_the_midnight_that_its_header_named() {
    let platform = with_rules(rule("<Prefix>tmp/</Prefix>", "<Expiration><Days>1</Days></Expiration>")).await;
    // It is 7:28 on the 21st.
    let put = platform.put("/pictures/tmp/a", "x").await.expect(200);
    let header = "expiry-date=\"Fri, 23 Oct 2015 00:00:00 GMT\", rule-id=\"r\"";
    assert_eq!(put.header("x-amz-expiration"), header);
    platform.put("/pictures/kept", "x").await.expect(200);
    assert_eq!(platform.head("/pictures/tmp/a").await.expect(200).header("x-amz-expiration"), header);
    assert_eq!(platform.get("/pictures/kept").await.expect(200).header("x-amz-expiration"), "");
    midnights(1).await;
    platform.get("/pictures/tmp/a").await.expect(200);
    midnights(1).await;
    platform.get("/pictures/tmp/a").await.fails(404, "NoSuchKey");
    platform.get("/pictures/kept").await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn in_a_versioned_bucket_objects_expire_into_markers_and_versions_go_by_their_own_rule() {
    let actions = "<Expiration><Days>1</Days></Expiration><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>\
                   <NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>";
    let platform = with_rules(rule("", actions)).await;
    platform.put("/pictures?versioning", ENABLED).await.expect(200);
    for body in ["1", "2", "3"] {
        platform.put("/pictures/a", body).await.expect(200);
    }
    let list = || async { platform.get("/pictures?versions").await.expect(200) };
    midnights(1).await;
    assert_eq!(list().await.tags("Version").len(), 3);
    midnights(1).await;
    platform.get("/pictures/a").await.fails(404, "NoSuchKey");
    // The marker that expiry made came first; of the three noncurrent versions the newest is kept by number.
    let left = list().await;
    assert_eq!((left.tags("DeleteMarker").len(), left.tags("Version").len(), left.tag("Size").as_str()), (1, 1, "1"));
    midnights(10).await;
    assert_eq!(list().await.tags("VersionId").len(), 2, "the newest noncurrent version is kept for good");
}

#[tokio::test(start_paused = true)]
async fn a_marker_that_stands_alone_is_cleaned_up() {
    let actions = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>\
                   <NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>";
    let platform = with_rules(rule("", actions)).await;
    platform.put("/pictures?versioning", ENABLED).await.expect(200);
    platform.put("/pictures/a", "x").await.expect(200);
    platform.delete("/pictures/a").await.expect(204);
    platform.put("/pictures/b", "x").await.expect(200);
    midnights(1).await;
    assert_eq!(platform.get("/pictures?versions").await.expect(200).tags("VersionId").len(), 3, "not yet due");
    midnights(1).await;
    let left = platform.get("/pictures?versions").await.expect(200);
    assert_eq!(left.tags("Key"), ["b"], "{}", left.text());
    platform.get("/pictures/b").await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_nobody_completes_is_aborted() {
    let abort =
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
    let platform = with_rules(rule("<Prefix>big</Prefix>", abort)).await;
    let create = |key: &'static str| {
        let platform = &platform;
        async move { platform.request("POST", &format!("/pictures/{key}?uploads")).send().await.expect(200) }
    };
    let upload = create("big").await;
    assert_eq!(upload.header("x-amz-abort-date"), "Fri, 23 Oct 2015 00:00:00 GMT");
    assert_eq!(upload.header("x-amz-abort-rule-id"), "r");
    let id = upload.tag("UploadId");
    platform.put(&format!("/pictures/big?partNumber=1&uploadId={id}"), common::bytes(10_000)).await.expect(200);
    assert_eq!(files(&platform), 1);
    create("small").await;
    midnights(1).await;
    assert_eq!(platform.get("/pictures?uploads").await.expect(200).tags("Key"), ["big", "small"]);
    midnights(1).await;
    assert_eq!(platform.get("/pictures?uploads").await.expect(200).tags("Key"), ["small"]);
    platform.put(&format!("/pictures/big?partNumber=2&uploadId={id}"), "x").await.fails(404, "NoSuchUpload");
    assert_eq!(files(&platform), 0, "its parts' bytes are gone");
}

#[tokio::test(start_paused = true)]
async fn many_objects_and_many_versions_of_one_key_all_go() {
    let actions = "<Expiration><Days>1</Days></Expiration>\
                   <NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>";
    let platform = with_rules(rule("", actions)).await;
    for n in 0..1100 {
        platform.put(&format!("/pictures/k{n:04}"), "x").await.expect(200);
    }
    platform.put("/pictures?versioning", ENABLED).await.expect(200);
    for _ in 0..1100 {
        platform.put("/pictures/much", "x").await.expect(200);
    }
    midnights(6).await;
    let left = platform.get("/pictures?versions").await.expect(200);
    assert!(left.tags("Version").is_empty() && left.tags("DeleteMarker").is_empty(), "{}", left.text());
}

#[tokio::test]
async fn what_was_due_while_nobody_served_is_done_at_start() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a", "x").await.expect(200);
    let document = rule("", "<Expiration><Days>1</Days></Expiration>");
    platform.put("/pictures?lifecycle", document).await.expect(200);
    platform.s3.close().await;
    let later_s = Platform::START_S + 3 * 24 * 60 * 60;
    let again = Platform::at(platform.store.clone(), platform.disk.clone(), 8, later_s);
    for _ in 0..500 {
        if again.get("/pictures/a").await.status == 404 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the object is still there");
}

#[tokio::test]
async fn default_encryption_takes_aes256_and_nothing_that_needs_keys() {
    let platform = Platform::with_bucket().await;
    platform.get("/pictures?encryption").await.fails(404, "ServerSideEncryptionConfigurationNotFoundError");
    let document = |default: &str| {
        format!(
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>{default}\
             </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
        )
    };
    let put = |default: &str| platform.put("/pictures?encryption", document(default));
    put("<SSEAlgorithm>AES256</SSEAlgorithm>").await.expect(200);
    let read = platform.get("/pictures?encryption").await.expect(200);
    assert_eq!((read.tag("SSEAlgorithm").as_str(), read.tag("BucketKeyEnabled").as_str()), ("AES256", "false"));
    let object = platform.put("/pictures/a", "x").await.expect(200);
    assert_eq!(object.header("x-amz-server-side-encryption"), "", "no answer claims what is the disk's business");
    put("<SSEAlgorithm>aws:kms</SSEAlgorithm>").await.fails(501, "NotImplemented");
    put("<SSEAlgorithm>AES256</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID>").await.fails(400, "InvalidArgument");
    put("<SSEAlgorithm>ROT13</SSEAlgorithm>").await.fails(400, "MalformedXML");
    platform.put("/pictures?encryption", "<ServerSideEncryptionConfiguration/>").await.fails(400, "MalformedXML");
    platform.delete("/pictures?encryption").await.expect(204);
    platform.get("/pictures?encryption").await.fails(404, "ServerSideEncryptionConfigurationNotFoundError");
}
