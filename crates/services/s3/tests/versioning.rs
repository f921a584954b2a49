//! Versions over HTTP, as AWS answers.

mod common;

use common::{Answer, OTHER, OWNER, Platform};
use host::sim::{Seed, SimDisk};
use store::{Store, StoreError, Table};

const ENABLED: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
const SUSPENDED: &str = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";

async fn versioned() -> Platform {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures?versioning", ENABLED).await.expect(200);
    platform
}

fn id(answer: &Answer) -> String {
    answer.header("x-amz-version-id")
}

/// Puts `/pictures/cat` and answers its version id.
async fn put(platform: &Platform, body: &'static str) -> String {
    id(&platform.put("/pictures/cat", body).await.expect(200))
}

#[tokio::test]
async fn put_bucket_versioning_takes_what_aws_takes() {
    let platform = Platform::with_bucket().await;
    let get = || async { platform.get("/pictures?versioning").await.expect(200).tag("Status") };
    assert_eq!(get().await, "");
    platform.put("/pictures?versioning", SUSPENDED).await.expect(200);
    assert_eq!(get().await, "Suspended");
    let put = |body: &'static str| platform.put("/pictures?versioning", body);
    put("<VersioningConfiguration><Status>enabled</Status></VersioningConfiguration>").await.fails(400, "MalformedXML");
    put("<VersioningConfiguration/>").await.fails(400, "IllegalVersioningConfigurationException");
    let mfa =
        "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>";
    put(mfa).await.fails(501, "NotImplemented");
    assert_eq!(get().await, "Suspended", "what was refused changed nothing");
    put("<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Disabled</MfaDelete></VersioningConfiguration>")
        .await
        .expect(200);
    assert_eq!(get().await, "Enabled");
    platform.put("/nowhere?versioning", ENABLED).await.fails(404, "NoSuchBucket");
    let foreign = platform.request("PUT", "/pictures?versioning").by(OTHER).body(ENABLED).send().await;
    foreign.fails(403, "AccessDenied");
}

#[tokio::test]
async fn an_overwritten_or_deleted_object_is_still_there_by_its_version() {
    let platform = versioned().await;
    let (first, second) = (put(&platform, "first").await, put(&platform, "second").await);
    assert!(first.len() == 32 && first != second, "{first} {second}");
    let get = |version: String| {
        let platform = &platform;
        async move { platform.get(&format!("/pictures/cat?versionId={version}")).await.expect(200) }
    };
    let current = platform.get("/pictures/cat").await.expect(200);
    assert_eq!((current.text().as_str(), id(&current)), ("second", second.clone()));
    assert_eq!(get(first.clone()).await.text(), "first");

    let deleted = platform.delete("/pictures/cat").await.expect(204);
    let marker = id(&deleted);
    assert_eq!(deleted.header("x-amz-delete-marker"), "true");
    let missing = platform.get("/pictures/cat").await.fails(404, "NoSuchKey");
    assert_eq!((missing.header("x-amz-delete-marker").as_str(), id(&missing)), ("true", marker.clone()));
    let head = platform.head("/pictures/cat").await.expect(404);
    assert_eq!(head.header("x-amz-delete-marker"), "true");
    assert_eq!(get(second.clone()).await.text(), "second");

    let on_marker = platform.get(&format!("/pictures/cat?versionId={marker}")).await.fails(405, "MethodNotAllowed");
    assert_eq!(on_marker.header("x-amz-delete-marker"), "true");
    assert_eq!(
        (on_marker.header("allow").as_str(), on_marker.tag("ResourceType").as_str()),
        ("DELETE", "DeleteMarker")
    );
    assert!(!on_marker.header("last-modified").is_empty());
    let head = platform.head(&format!("/pictures/cat?versionId={marker}")).await.expect(405);
    assert_eq!(head.header("x-amz-delete-marker"), "true");

    // Without its marker the object is back.
    let undone = platform.delete(&format!("/pictures/cat?versionId={marker}")).await.expect(204);
    assert_eq!((undone.header("x-amz-delete-marker").as_str(), id(&undone)), ("true", marker));
    assert_eq!(platform.get("/pictures/cat").await.expect(200).text(), "second");
    let gone = platform.delete(&format!("/pictures/cat?versionId={second}")).await.expect(204);
    assert_eq!((gone.header("x-amz-delete-marker").as_str(), id(&gone)), ("", second.clone()));
    assert_eq!(platform.get("/pictures/cat").await.expect(200).text(), "first");
    let missing = platform.get(&format!("/pictures/cat?versionId={second}")).await.fails(404, "NoSuchVersion");
    assert_eq!((missing.tag("Key").as_str(), missing.tag("VersionId")), ("cat", second.clone()));
    platform.delete(&format!("/pictures/cat?versionId={second}")).await.expect(204);
}

#[tokio::test]
async fn a_version_id_that_was_never_given_out_is_an_invalid_argument() {
    let platform = versioned().await;
    let version = put(&platform, "first").await;
    for bad in ["HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD", "Null", ""] {
        for method in ["GET", "DELETE"] {
            let target = format!("/pictures/cat?versionId={bad}");
            platform.request(method, &target).send().await.fails(400, "InvalidArgument");
        }
    }
    let put = platform.put(&format!("/pictures/cat?versionId={version}"), "x").await;
    put.fails(400, "InvalidArgument");
    let other_key = platform.get(&format!("/pictures/dog?versionId={version}")).await;
    other_key.fails(404, "NoSuchVersion");
}

#[tokio::test]
async fn the_null_version_is_the_only_one_that_writes_replace_while_versioning_is_suspended() {
    let platform = Platform::with_bucket().await;
    assert_eq!(put(&platform, "before").await, "", "an unversioned bucket tells no version");
    assert_eq!(id(&platform.get("/pictures/cat?versionId=null").await.expect(200)), "");
    platform.put("/pictures?versioning", ENABLED).await.expect(200);
    assert_eq!(id(&platform.get("/pictures/cat").await.expect(200)), "null");
    let kept = put(&platform, "kept").await;
    assert_eq!(platform.get("/pictures/cat?versionId=null").await.expect(200).text(), "before");

    platform.put("/pictures?versioning", SUSPENDED).await.expect(200);
    assert_eq!(put(&platform, "null one").await, "", "as recorded on AWS");
    assert_eq!(put(&platform, "null two").await, "");
    let current = platform.get("/pictures/cat").await.expect(200);
    assert_eq!((current.text().as_str(), id(&current).as_str()), ("null two", "null"));
    let list = platform.get("/pictures?versions").await.expect(200);
    assert_eq!(list.tags("VersionId"), ["null", &kept]);

    let deleted = platform.delete("/pictures/cat").await.expect(204);
    assert_eq!((deleted.header("x-amz-delete-marker").as_str(), id(&deleted).as_str()), ("true", "null"));
    platform.get("/pictures/cat?versionId=null").await.fails(405, "MethodNotAllowed");
    let list = platform.get("/pictures?versions").await.expect(200);
    assert_eq!((list.tags("DeleteMarker").len(), list.tags("Version").len()), (1, 1));
    assert_eq!(platform.get(&format!("/pictures/cat?versionId={kept}")).await.expect(200).text(), "kept");
    platform.delete("/pictures/cat?versionId=null").await.expect(204);
    assert_eq!(platform.get("/pictures/cat").await.expect(200).text(), "kept");
}

#[tokio::test]
async fn a_copy_names_its_source_by_version_and_restores_it() {
    let platform = versioned().await;
    let first = put(&platform, "first").await;
    put(&platform, "second").await;
    let copy =
        |source: String, to: &'static str| platform.request("PUT", to).header("x-amz-copy-source", source).send();
    let restored = copy(format!("/pictures/cat?versionId={first}"), "/pictures/cat").await.expect(200);
    assert_eq!(restored.header("x-amz-copy-source-version-id"), first);
    assert_ne!(id(&restored), first);
    assert_eq!(platform.get("/pictures/cat").await.expect(200).text(), "first");
    let marker = id(&platform.delete("/pictures/cat").await.expect(204));
    copy(format!("/pictures/cat?versionId={marker}"), "/pictures/dog").await.fails(400, "InvalidRequest");
    copy("/pictures/cat".to_owned(), "/pictures/dog").await.fails(404, "NoSuchKey");
    copy(format!("/pictures/cat?versionId={first}"), "/pictures/dog").await.expect(200);
    // The copy shares its bytes with a version: deleting that leaves them.
    platform.delete(&format!("/pictures/cat?versionId={first}")).await.expect(204);
    assert_eq!(platform.get("/pictures/dog").await.expect(200).text(), "first");
}

#[tokio::test]
async fn tags_and_acls_belong_to_a_version() {
    let platform = versioned().await;
    let first = put(&platform, "first").await;
    let second = put(&platform, "second").await;
    let tags = "<Tagging><TagSet><Tag><Key>age</Key><Value>old</Value></Tag></TagSet></Tagging>";
    let tagged = platform.put(&format!("/pictures/cat?tagging&versionId={first}"), tags).await.expect(200);
    assert_eq!(id(&tagged), first);
    let of = |version: &str| format!("/pictures/cat?tagging&versionId={version}");
    assert_eq!(platform.get(&of(&first)).await.expect(200).tag("Value"), "old");
    assert_eq!(platform.get("/pictures/cat?tagging").await.expect(200).tag("Value"), "");
    assert_eq!(id(&platform.delete(&of(&first)).await.expect(204)), first);
    assert_eq!(platform.get(&of(&first)).await.expect(200).tag("Value"), "");

    let acl = format!("/pictures/cat?acl&versionId={first}");
    platform.request("PUT", &acl).header("x-amz-acl", "public-read").send().await.expect(200);
    assert!(platform.get(&acl).await.expect(200).text().contains("AllUsers"));
    let nobody = |version: String| {
        let platform = &platform;
        async move { platform.request("GET", &format!("/pictures/cat?versionId={version}")).by_nobody().send().await }
    };
    nobody(first).await.expect(200);
    nobody(second).await.fails(403, "AccessDenied");
    let marker = id(&platform.delete("/pictures/cat").await.expect(204));
    platform.get(&of(&marker)).await.fails(405, "MethodNotAllowed");
    platform.get("/pictures/cat?tagging").await.fails(404, "NoSuchKey");
}

#[tokio::test]
async fn delete_objects_tells_of_markers_and_versions() {
    let platform = versioned().await;
    let first = put(&platform, "first").await;
    let delete = |objects: String| {
        platform.request("POST", "/pictures?delete").body(format!("<Delete>{objects}</Delete>")).send()
    };
    let answer =
        delete("<Object><Key>cat</Key></Object><Object><Key>never</Key></Object>".to_owned()).await.expect(200);
    assert_eq!(answer.tags("DeleteMarker"), ["true", "true"]);
    let marker = answer.tags("DeleteMarkerVersionId")[0].clone();
    let named = |key: &str, version: &str| format!("<Object><Key>{key}</Key><VersionId>{version}</VersionId></Object>");
    let bad = "HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD";
    let answer = delete(named("cat", &marker) + &named("cat", &first) + &named("cat", bad)).await.expect(200);
    assert_eq!(answer.tags("Code"), ["NoSuchVersion"]);
    assert_eq!(answer.tag("DeleteMarkerVersionId"), marker);
    let mut versions = answer.tags("VersionId");
    versions.sort();
    let mut expected = vec![marker, first, bad.to_owned()];
    expected.sort();
    assert_eq!(versions, expected);
    let left = platform.get("/pictures?versions").await.expect(200);
    assert_eq!((left.tags("DeleteMarker").len(), left.tags("Version").len()), (1, 0), "the marker of what never was");
}

#[tokio::test]
async fn a_bucket_with_versions_or_markers_is_not_empty() {
    let platform = versioned().await;
    let first = put(&platform, "first").await;
    let marker = id(&platform.delete("/pictures/cat").await.expect(204));
    let refused = platform.delete("/pictures").await.fails(409, "BucketNotEmpty");
    assert!(refused.tag("Message").ends_with("You must delete all versions in the bucket."), "{}", refused.text());
    platform.delete(&format!("/pictures/cat?versionId={first}")).await.expect(204);
    platform.delete("/pictures").await.fails(409, "BucketNotEmpty");
    platform.delete(&format!("/pictures/cat?versionId={marker}")).await.expect(204);
    platform.delete("/pictures").await.expect(204);
}

#[tokio::test]
async fn a_completed_upload_is_a_version_like_any_other() {
    let platform = versioned().await;
    let first = put(&platform, "first").await;
    let upload = platform.request("POST", "/pictures/cat?uploads").send().await.expect(200).tag("UploadId");
    let part = platform.put(&format!("/pictures/cat?partNumber=1&uploadId={upload}"), "parts").await.expect(200);
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        part.header("etag")
    );
    let complete = platform.request("POST", &format!("/pictures/cat?uploadId={upload}")).body(list).send().await;
    let second = id(&complete.expect(200));
    assert_eq!(platform.get(&format!("/pictures/cat?versionId={second}")).await.expect(200).text(), "parts");
    put(&platform, "third").await;
    assert_eq!(platform.get(&format!("/pictures/cat?versionId={second}")).await.expect(200).text(), "parts");
    assert_eq!(platform.get(&format!("/pictures/cat?versionId={first}")).await.expect(200).text(), "first");
    let attributes = platform
        .request("GET", &format!("/pictures/cat?attributes&versionId={second}"))
        .header("x-amz-object-attributes", "ObjectSize,ObjectParts")
        .send()
        .await
        .expect(200);
    assert_eq!((attributes.tag("ObjectSize").as_str(), id(&attributes)), ("5", second));
}

#[tokio::test]
async fn policies_tell_versions_from_what_is_current() {
    let platform = versioned().await;
    let first = put(&platform, "first").await;
    let second = put(&platform, "second").await;
    let policy = |action: &str, condition: &str| {
        format!(
            "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Principal\":{{\"AWS\":\"{OTHER}\"}},\
             \"Action\":[{action}],\"Resource\":[\"arn:aws:s3:::pictures\",\"arn:aws:s3:::pictures/*\"]{condition}}}]}}"
        )
    };
    let set = |policy: String| async { platform.put("/pictures?policy", policy).await.expect(204) };
    let asks = |method: &'static str, target: String| {
        let platform = &platform;
        async move { platform.request(method, &target).by(OTHER).send().await }
    };
    let of = |version: &str| format!("/pictures/cat?versionId={version}");
    set(policy("\"s3:GetObject\",\"s3:ListBucket\"", "")).await;
    asks("GET", "/pictures/cat".to_owned()).await.expect(200);
    asks("GET", of(&first)).await.fails(403, "AccessDenied");
    asks("GET", "/pictures?versions".to_owned()).await.fails(403, "AccessDenied");
    set(policy("\"s3:GetObjectVersion\",\"s3:ListBucketVersions\",\"s3:DeleteObject\"", "")).await;
    asks("GET", "/pictures/cat".to_owned()).await.fails(403, "AccessDenied");
    asks("GET", of(&second)).await.expect(200);
    asks("GET", "/pictures?versions".to_owned()).await.expect(200);
    asks("DELETE", of(&second)).await.fails(403, "AccessDenied");
    asks("DELETE", "/pictures/cat".to_owned()).await.expect(204);
    let only = format!(",\"Condition\":{{\"StringEquals\":{{\"s3:VersionId\":\"{first}\"}}}}");
    set(policy("\"s3:GetObjectVersion\"", &only)).await;
    asks("GET", of(&first)).await.expect(200);
    asks("GET", of(&second)).await.fails(403, "AccessDenied");
    assert_eq!(platform.request("GET", &of(&second)).by(OWNER).send().await.expect(200).text(), "second");
}

#[tokio::test]
async fn a_website_serves_what_is_current() {
    let platform = versioned().await;
    let website =
        "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>";
    platform.put("/pictures?website", website).await.expect(200);
    for body in ["old", "new"] {
        let page = platform.request("PUT", "/pictures/index.html").header("x-amz-acl", "public-read").body(body);
        page.send().await.expect(200);
    }
    assert_eq!(platform.visit("pictures", "/").await.expect(200).text(), "new");
    platform.delete("/pictures/index.html").await.expect(204);
    // Visitors may not list, so they are not told what is not there.
    platform.visit("pictures", "/").await.expect(403);
}

#[tokio::test]
async fn list_object_versions_pages_through_keys_versions_and_prefixes() {
    let platform = versioned().await;
    let mut written = Vec::new();
    for key in ["a", "b/1", "b/2", "c"] {
        for body in ["1", "2", "3"] {
            written.push((key, id(&platform.put(&format!("/pictures/{key}"), body).await.expect(200))));
        }
    }
    let marker = id(&platform.delete("/pictures/c").await.expect(204));
    written.push(("c", marker));
    let mut expected: Vec<(String, String)> = Vec::new();
    for key in ["a", "b/1", "b/2", "c"] {
        let of_key = written.iter().rev().filter(|(at, _)| *at == key);
        expected.extend(of_key.map(|(key, version)| ((*key).to_owned(), version.clone())));
    }
    for max in [1, 2, 5, 13] {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let page = platform.get(&format!("/pictures?versions&max-keys={max}{after}")).await.expect(200);
            let mut entries: Vec<_> = page.tags("Key").into_iter().zip(page.tags("VersionId")).collect();
            // Versions and markers are two lists in the answer; a page is sorted as the whole is.
            entries.sort_by_key(|entry| expected.iter().position(|known| known == entry));
            assert!(entries.len() <= max);
            found.extend(entries);
            if page.tag("IsTruncated") == "false" {
                break;
            }
            after = format!(
                "&key-marker={}&version-id-marker={}",
                page.tag("NextKeyMarker"),
                page.tag("NextVersionIdMarker")
            );
        }
        assert_eq!(found, expected, "pages of {max}");
    }
    let latest = platform.get("/pictures?versions&prefix=a").await.expect(200).tags("IsLatest");
    assert_eq!(latest, ["true", "false", "false"]);
    let of_c = platform.get("/pictures?versions&prefix=c").await.expect(200);
    assert_eq!(of_c.tags("IsLatest").iter().filter(|latest| *latest == "true").count(), 1);

    let page = platform.get("/pictures?versions&delimiter=/&max-keys=4").await.expect(200);
    assert_eq!((page.tags("CommonPrefixes").len(), page.tag("NextKeyMarker").as_str()), (1, "b/"));
    let rest = platform.get("/pictures?versions&delimiter=/&key-marker=b/").await.expect(200);
    assert_eq!((rest.tags("Key"), rest.tag("IsTruncated").as_str()), (vec!["c".to_owned(); 4], "false"));
    let after_b1 = platform.get("/pictures?versions&key-marker=b/1&prefix=b").await.expect(200).tags("Key");
    assert_eq!(after_b1.first().map(String::as_str), Some("b/2"));

    // The marker's version may go between two pages, and an older one come in its place.
    let newest = &expected[0].1;
    platform.delete(&format!("/pictures/a?versionId={newest}")).await.expect(204);
    let rest = platform.get(&format!("/pictures?versions&key-marker=a&version-id-marker={newest}&prefix=a")).await;
    assert_eq!(rest.expect(200).tags("VersionId"), [expected[1].1.clone(), expected[2].1.clone()]);
    for bad in ["version-id-marker=null", "key-marker=a&version-id-marker=nonsense", "key-marker=a&version-id-marker="]
    {
        platform.get(&format!("/pictures?versions&{bad}")).await.fails(400, "InvalidArgument");
    }
}

#[tokio::test]
async fn list_object_versions_writes_names_as_the_client_wants_them() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a%20b%2Bc", "x").await.expect(200);
    let list = platform.get("/pictures?versions&encoding-type=url").await.expect(200);
    assert_eq!((list.tag("Key").as_str(), list.tag("VersionId").as_str()), ("a+b%2Bc", "null"));
    assert_eq!(list.tags("IsLatest"), ["true"]);
    platform.get("/pictures?versions&encoding-type=rot13").await.fails(400, "InvalidArgument");
}

/// Rows as version 0.2 wrote them before there were versions.
mod before_versions {
    pub(super) const BUCKET: &str = r#"{"owner":"111111111111","region":"us-east-1","created_ms":1795845430120,"acl":{"grants":[{"grantee":{"Account":"0ee0685cb1456b000e066cdf65dbc90e6b5cc572cae3f7305134c2d5a0265bff"},"permission":"FULL_CONTROL"}]}}"#;
    pub(super) const OBJECT: &str = r#"{"owner":"111111111111","size":4,"etag":"4a4be40c96ac6314e91d93f38043a634","modified_ms":1795845430154,"content":{"Small":{"blob":"1505173c413140e98505fadf35c6d1e6"}},"description":{"metadata":{"a":"b"}},"checksum":{"algorithm":"Sha256","value":"QEzde8EJxDL4zCRDtFvP6VmA9RByFcZFI25XeSmsPlI="},"acl":{"grants":[{"grantee":{"Account":"0ee0685cb1456b000e066cdf65dbc90e6b5cc572cae3f7305134c2d5a0265bff"},"permission":"FULL_CONTROL"}]}}"#;
    pub(super) const BLOB: &str = r#"{"references":1,"size":4,"bytes":"bWVvdw=="}"#;
}

#[tokio::test]
async fn objects_from_before_there_were_versions_are_null_versions() {
    const TABLES: [Table<serde_json::Value>; 3] =
        [Table::new("s3_buckets"), Table::new("s3_objects"), Table::new("s3_blobs")];
    let store = Store::in_memory().unwrap();
    let value = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
    store
        .write(|transaction| {
            transaction.put(&TABLES[0], "pictures", &value(before_versions::BUCKET))?;
            transaction.put(&TABLES[1], "pictures\0cat", &value(before_versions::OBJECT))?;
            transaction.put(&TABLES[2], "1505173c413140e98505fadf35c6d1e6", &value(before_versions::BLOB))?;
            Ok::<_, StoreError>(())
        })
        .unwrap();
    let platform = Platform::on(store, SimDisk::new(Seed(7)), 7);
    let old = platform.get("/pictures/cat").await.expect(200);
    assert_eq!((old.text().as_str(), id(&old).as_str(), old.header("x-amz-meta-a").as_str()), ("meow", "", "b"));
    platform.put("/pictures?versioning", ENABLED).await.expect(200);
    let new = put(&platform, "new").await;
    assert_eq!(platform.get("/pictures/cat?versionId=null").await.expect(200).text(), "meow");
    assert_eq!(platform.get("/pictures?versions").await.expect(200).tags("VersionId"), [new.as_str(), "null"]);
    platform.delete(&format!("/pictures/cat?versionId={new}")).await.expect(204);
    assert_eq!(platform.get("/pictures/cat").await.expect(200).text(), "meow");
    platform.delete("/pictures/cat?versionId=null").await.expect(204);
    platform.delete("/pictures").await.expect(204);
}
