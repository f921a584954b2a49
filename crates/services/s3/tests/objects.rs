//! PutObject, GetObject, HeadObject, DeleteObject, DeleteObjects, CopyObject, GetObjectAttributes and tagging.

mod common;

use common::{OTHER, OWNER, Platform, bytes};
use http_body_util::BodyExt as _;

#[tokio::test]
async fn an_object_comes_back_as_it_was_put() {
    let platform = Platform::with_bucket().await;
    for length in [0, 1, 4096, 4097, 700_000, 3_000_000] {
        let body = bytes(length);
        let put = platform.put("/pictures/a/b.png", body.clone()).await.expect(200);
        let got = platform.get("/pictures/a/b.png").await.expect(200);
        assert_eq!(got.body, body, "{length}");
        assert_eq!(got.header("etag"), put.header("etag"));
        assert_eq!(got.header("content-length"), length.to_string());
        assert_eq!(got.header("content-type"), "binary/octet-stream");
        assert_eq!(got.header("last-modified"), "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(got.header("accept-ranges"), "bytes");
    }
}

#[tokio::test]
async fn the_etag_is_the_md5_in_quotes() {
    let platform = Platform::with_bucket().await;
    let put = platform.put("/pictures/hello", "hello").await.expect(200);
    assert_eq!(put.header("etag"), "\"5d41402abc4b2a76b9719d911017c592\"");
}

#[tokio::test]
async fn what_describes_an_object_is_kept() {
    let platform = Platform::with_bucket().await;
    let pairs = [
        ("content-type", "image/png"),
        ("cache-control", "max-age=60"),
        ("content-disposition", "attachment; filename=\"a.png\""),
        ("content-encoding", "gzip"),
        ("content-language", "de"),
        ("expires", "Thu, 22 Oct 2015 07:28:00 GMT"),
        ("x-amz-meta-author", "jane"),
        ("x-amz-website-redirect-location", "/elsewhere"),
        ("x-amz-storage-class", "STANDARD_IA"),
    ];
    let mut put = platform.request("PUT", "/pictures/a");
    for (name, value) in pairs {
        put = put.header(name, value);
    }
    put.body("x").send().await.expect(200);
    for answer in [platform.get("/pictures/a").await.expect(200), platform.head("/pictures/a").await.expect(200)] {
        for (name, value) in pairs {
            assert_eq!(answer.header(name), value, "{name}");
        }
    }
    let head = platform.head("/pictures/a").await;
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), "1");
}

#[tokio::test]
async fn ranges_are_cut_out_of_the_bytes() {
    let platform = Platform::with_bucket().await;
    let body = bytes(1_500_000);
    platform.put("/pictures/a", body.clone()).await.expect(200);
    for (range, from, to) in [
        ("bytes=0-9", 0, 10),
        ("bytes=1000000-", 1_000_000, 1_500_000),
        ("bytes=-5", 1_499_995, 1_500_000),
        ("bytes=600000-9999999", 600_000, 1_500_000),
    ] {
        let got = platform.request("GET", "/pictures/a").header("range", range).send().await.expect(206);
        assert_eq!(got.body, body.slice(from..to), "{range}");
        assert_eq!(got.header("content-range"), format!("bytes {from}-{}/1500000", to - 1));
    }
    platform.request("GET", "/pictures/a").header("range", "bytes=1500000-").send().await.fails(416, "InvalidRange");
    let several = platform.request("GET", "/pictures/a").header("range", "bytes=0-1,5-6").send().await.expect(200);
    assert_eq!(several.body.len(), 1_500_000, "several ranges are ignored, as on AWS");
    let head = platform.request("HEAD", "/pictures/a").header("range", "bytes=0-9").send().await.expect(206);
    assert_eq!(head.header("content-length"), "10");
}

#[tokio::test]
async fn conditions_of_a_read() {
    let platform = Platform::with_bucket().await;
    let etag = platform.put("/pictures/a", "x").await.expect(200).header("etag");
    let get = |name, value: &str| platform.request("GET", "/pictures/a").header(name, value).send();
    let unchanged = get("if-none-match", &etag).await.expect(304);
    assert!(unchanged.body.is_empty());
    assert_eq!(unchanged.header("etag"), etag);
    get("if-match", "\"other\"").await.fails(412, "PreconditionFailed");
    get("if-match", &etag).await.expect(200);
    get("if-modified-since", "Wed, 21 Oct 2015 07:28:00 GMT").await.expect(304);
    get("if-unmodified-since", "Wed, 21 Oct 2015 07:27:59 GMT").await.expect(412);
}

#[tokio::test]
async fn conditions_of_a_write() {
    let platform = Platform::with_bucket().await;
    let put = |name, value: &str| platform.request("PUT", "/pictures/a").header(name, value).body("x").send();
    put("if-match", "\"abc\"").await.fails(404, "NoSuchKey");
    let etag = put("if-none-match", "*").await.expect(200).header("etag");
    put("if-none-match", "*").await.fails(412, "PreconditionFailed");
    put("if-match", "\"abc\"").await.fails(412, "PreconditionFailed");
    put("if-match", &etag).await.expect(200);
    put("if-none-match", &etag).await.fails(501, "NotImplemented");
}

#[tokio::test]
async fn digests_are_verified_before_anything_is_kept() {
    let platform = Platform::with_bucket().await;
    let put = |name, value: &str| platform.request("PUT", "/pictures/a").header(name, value).body("hello").send();
    put("content-md5", "XUFAKrxLKna5cZ2REBfFkg==").await.expect(200);
    platform.delete("/pictures/a").await.expect(204);
    put("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==").await.fails(400, "BadDigest");
    put("content-md5", "nonsense").await.fails(400, "InvalidDigest");
    put("x-amz-checksum-crc32", "AAAAAA==").await.fails(400, "BadDigest");
    put("content-length", "6").await.fails(400, "IncompleteBody");
    platform.get("/pictures/a").await.fails(404, "NoSuchKey");
}

#[tokio::test]
async fn a_checksum_comes_back_when_asked_for() {
    let platform = Platform::with_bucket().await;
    let put = platform
        .request("PUT", "/pictures/a")
        .header("x-amz-checksum-crc32", "NhCmhg==")
        .body("hello")
        .send()
        .await
        .expect(200);
    assert_eq!(put.header("x-amz-checksum-crc32"), "NhCmhg==");
    assert_eq!(platform.get("/pictures/a").await.header("x-amz-checksum-crc32"), "");
    let got = platform.request("GET", "/pictures/a").header("x-amz-checksum-mode", "ENABLED").send().await.expect(200);
    assert_eq!(got.header("x-amz-checksum-crc32"), "NhCmhg==");
    assert_eq!(got.header("x-amz-checksum-type"), "FULL_OBJECT");
    let computed = platform
        .request("PUT", "/pictures/b")
        .header("x-amz-sdk-checksum-algorithm", "SHA256")
        .body("hello")
        .send()
        .await
        .expect(200);
    assert_eq!(computed.header("x-amz-checksum-sha256"), "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
}

#[tokio::test]
async fn an_overwritten_object_is_read_to_its_end() {
    let platform = Platform::with_bucket().await;
    let body = bytes(3_000_000);
    platform.put("/pictures/a", body.clone()).await.expect(200);
    let call = common::call(&common::Who::Account(OWNER), "us-east-1", "/pictures/a");
    let request = http::Request::get("/pictures/a").body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let reading = platform.s3.handle(call, request).await;
    platform.put("/pictures/a", "new").await.expect(200);
    platform.delete("/pictures/a").await.expect(204);
    assert_eq!(reading.into_body().collect().await.unwrap().to_bytes(), body);
}

#[tokio::test]
async fn deleting_what_is_not_there_succeeds() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a", "x").await.expect(200);
    platform.delete("/pictures/a").await.expect(204);
    platform.delete("/pictures/a").await.expect(204);
    let missing = platform.get("/pictures/a").await.fails(404, "NoSuchKey");
    assert_eq!(missing.tag("Key"), "a");
    assert_eq!(missing.tag("Message"), "The specified key does not exist.");
    assert_eq!(missing.tag("RequestId"), missing.header("x-amz-request-id"));
    assert!(!missing.tag("HostId").is_empty());
    let head = platform.head("/pictures/a").await.expect(404);
    assert!(head.body.is_empty());
    platform.get("/nowhere/a").await.fails(404, "NoSuchBucket");
}

#[tokio::test]
async fn delete_objects_answers_for_each_key() {
    let platform = Platform::with_bucket().await;
    for key in ["a", "b", "c d"] {
        platform.put(&format!("/pictures/{}", key.replace(' ', "%20")), "x").await.expect(200);
    }
    let body =
        "<Delete><Object><Key>a</Key></Object><Object><Key>c d</Key></Object><Object><Key>gone</Key></Object></Delete>";
    let answer = platform.request("POST", "/pictures?delete").body(body).send().await.expect(200);
    assert_eq!(answer.tags("Key"), ["a", "c d", "gone"]);
    assert_eq!(platform.get("/pictures?list-type=2").await.tags("Key"), ["b"]);
    let quiet = "<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object></Delete>";
    let answer = platform.request("POST", "/pictures?delete").body(quiet).send().await.expect(200);
    assert!(answer.tags("Key").is_empty());
    let wrong =
        platform.request("POST", "/pictures?delete").header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==").body(quiet);
    wrong.send().await.fails(400, "BadDigest");
    let many = format!("<Delete>{}</Delete>", "<Object><Key>x</Key></Object>".repeat(1001));
    platform.request("POST", "/pictures?delete").body(many).send().await.fails(400, "MalformedXML");
}

#[tokio::test]
async fn a_copy_keeps_or_replaces_its_description() {
    let platform = Platform::with_bucket().await;
    let put = platform
        .request("PUT", "/pictures/a")
        .header("content-type", "image/png")
        .header("x-amz-meta-x", "1")
        .header("x-amz-tagging", "k=v");
    let etag = put.body(bytes(100_000)).send().await.expect(200).header("etag");
    let copy = |to: &str| platform.request("PUT", to).header("x-amz-copy-source", "/pictures/a");
    let answer = copy("/pictures/b").send().await.expect(200);
    assert_eq!(answer.tag("ETag").replace("&quot;", "\""), etag);
    let copied = platform.get("/pictures/b").await.expect(200);
    assert_eq!((copied.header("content-type").as_str(), copied.header("x-amz-meta-x").as_str()), ("image/png", "1"));
    assert_eq!(copied.header("x-amz-tagging-count"), "1");
    copy("/pictures/c")
        .header("x-amz-metadata-directive", "REPLACE")
        .header("content-type", "text/plain")
        .send()
        .await
        .expect(200);
    let replaced = platform.get("/pictures/c").await.expect(200);
    assert_eq!(
        (replaced.header("content-type").as_str(), replaced.header("x-amz-meta-x").as_str()),
        ("text/plain", "")
    );
    // The bytes are shared; deleting the source leaves the copies.
    platform.delete("/pictures/a").await.expect(204);
    platform.delete("/pictures/b").await.expect(204);
    assert_eq!(platform.get("/pictures/c").await.expect(200).body, bytes(100_000));
}

#[tokio::test]
async fn a_copy_onto_itself_must_change_something() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a", bytes(10_000)).await.expect(200);
    let copy = || platform.request("PUT", "/pictures/a").header("x-amz-copy-source", "pictures/a");
    copy().send().await.fails(400, "InvalidRequest");
    copy().header("x-amz-metadata-directive", "REPLACE").header("x-amz-meta-new", "1").send().await.expect(200);
    let got = platform.get("/pictures/a").await.expect(200);
    assert_eq!((got.header("x-amz-meta-new").as_str(), got.body), ("1", bytes(10_000)));
}

#[tokio::test]
async fn a_copy_asks_conditions_of_its_source() {
    let platform = Platform::with_bucket().await;
    let etag = platform.put("/pictures/a", "x").await.header("etag");
    let copy = |name, value: &str| {
        platform.request("PUT", "/pictures/b").header("x-amz-copy-source", "pictures/a").header(name, value).send()
    };
    copy("x-amz-copy-source-if-match", "\"other\"").await.fails(412, "PreconditionFailed");
    copy("x-amz-copy-source-if-none-match", &etag).await.fails(412, "PreconditionFailed");
    copy("x-amz-copy-source-if-match", &etag).await.expect(200);
    platform
        .request("PUT", "/pictures/b")
        .header("x-amz-copy-source", "pictures/none")
        .send()
        .await
        .fails(404, "NoSuchKey");
}

#[tokio::test]
async fn tags_are_put_read_and_deleted() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a", "x").await.expect(200);
    let tagging = |tags: &str| format!("<Tagging><TagSet>{tags}</TagSet></Tagging>");
    let one = tagging("<Tag><Key>colour</Key><Value>red</Value></Tag>");
    platform.request("PUT", "/pictures/a?tagging").body(one).send().await.expect(200);
    let got = platform.get("/pictures/a?tagging").await.expect(200);
    assert_eq!((got.tag("Key").as_str(), got.tag("Value").as_str()), ("colour", "red"));
    platform.delete("/pictures/a?tagging").await.expect(204);
    assert!(platform.get("/pictures/a?tagging").await.expect(200).tags("Key").is_empty());
    let eleven: String = (0..11).map(|n| format!("<Tag><Key>{n}</Key><Value/></Tag>")).collect();
    platform.request("PUT", "/pictures/a?tagging").body(tagging(&eleven)).send().await.fails(400, "BadRequest");
}

#[tokio::test]
async fn attributes_of_an_object() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a", "hello").await.expect(200);
    let asked = platform
        .request("GET", "/pictures/a?attributes")
        .header("x-amz-object-attributes", "ETag,ObjectSize,StorageClass");
    let got = asked.send().await.expect(200);
    assert_eq!(got.tag("ObjectSize"), "5");
    assert_eq!(got.tag("StorageClass"), "STANDARD");
    assert!(got.tag("ETag").contains("5d41402abc4b2a76b9719d911017c592"));
}

#[tokio::test]
async fn limits_of_keys_metadata_and_size() {
    let platform = Platform::with_bucket().await;
    platform.put(&format!("/pictures/{}", "k".repeat(1024)), "x").await.expect(200);
    platform.put(&format!("/pictures/{}", "k".repeat(1025)), "x").await.fails(400, "KeyTooLongError");
    let put = platform.request("PUT", "/pictures/a").header("x-amz-meta-big", "v".repeat(2046));
    put.body("x").send().await.fails(400, "MetadataTooLarge");
    let huge = platform.request("PUT", "/pictures/a").header("content-length", "5368709121");
    huge.send().await.fails(400, "EntityTooLarge");
}

#[tokio::test]
async fn encryption_under_s3s_own_keys_may_be_asked_for_and_is_not_claimed() {
    let platform = Platform::with_bucket().await;
    let put = platform.request("PUT", "/pictures/a").header("x-amz-server-side-encryption", "AES256").body("x");
    let answer = put.send().await;
    assert_eq!(answer.status, 200);
    assert!(!answer.headers.contains_key("x-amz-server-side-encryption"));
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let platform = Platform::with_bucket().await;
    for (name, value) in [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-storage-class", "GLACIER"),
    ] {
        platform.request("PUT", "/pictures/a").header(name, value).body("x").send().await.fails(501, "NotImplemented");
    }
    platform
        .request("PUT", "/pictures/a")
        .header("x-amz-storage-class", "CHEAP")
        .body("x")
        .send()
        .await
        .fails(400, "InvalidStorageClass");
    platform.get("/pictures?cors").await.fails(501, "NotImplemented");
    platform.get("/pictures/a?versionId=abc").await.fails(400, "InvalidArgument");
    let form = platform.request("POST", "/pictures").header("content-type", "multipart/form-data; boundary=x");
    form.body("--x--").send().await.fails(501, "NotImplemented");
}

#[tokio::test]
async fn overrides_of_the_answer_are_for_those_who_sign() {
    let platform = Platform::with_bucket().await;
    platform.request("PUT", "/pictures/a").header("x-amz-acl", "public-read").body("x").send().await.expect(200);
    let target = "/pictures/a?response-content-type=text%2Fplain&response-content-disposition=attachment";
    let got = platform.get(target).await.expect(200);
    assert_eq!(
        (got.header("content-type").as_str(), got.header("content-disposition").as_str()),
        ("text/plain", "attachment")
    );
    assert_eq!(platform.head(target).await.header("content-type"), "text/plain");
    platform.request("GET", target).by_nobody().send().await.fails(400, "InvalidRequest");
}

#[tokio::test]
async fn an_escaped_override_or_version_is_seen_all_the_same() {
    let platform = Platform::with_bucket().await;
    platform.request("PUT", "/pictures/a").header("x-amz-acl", "public-read").body("x").send().await.expect(200);
    let target = "/pictures/a?response%2Dcontent-type=text%2Fhtml";
    platform.request("GET", target).by_nobody().send().await.fails(400, "InvalidRequest");
    platform.get("/pictures/a?version%49d=abc").await.fails(400, "InvalidArgument");
    platform.get("/pictures/a?versionId=nul%6c").await.expect(200);
}

#[tokio::test]
async fn the_expected_owner_is_held_against_the_real_one() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a", "x").await.expect(200);
    let get = |account| platform.request("GET", "/pictures/a").header("x-amz-expected-bucket-owner", account).send();
    get(OWNER).await.expect(200);
    get(OTHER).await.fails(403, "AccessDenied");
}

#[tokio::test]
async fn a_body_that_was_refused_on_its_way_is_told_as_such() {
    let platform = Platform::with_bucket().await;
    let refused =
        wire::ApiError::sender("SignatureDoesNotMatch", "a chunk's signature does not match").with_status(403);
    let chunks =
        futures_util::stream::iter([Ok(http_body::Frame::data(bytes(10_000))), Err(Box::new(refused) as s3::BoxError)]);
    let body = http_body_util::StreamBody::new(chunks);
    let call = common::call(&common::Who::Account(OWNER), "us-east-1", "/pictures/a");
    let request = http::Request::put("/pictures/a").body(body).unwrap();
    common::Answer::read(platform.s3.handle(call, request).await).await.fails(403, "SignatureDoesNotMatch");
    platform.get("/pictures/a").await.fails(404, "NoSuchKey");
}

#[tokio::test]
async fn the_host_may_name_the_bucket() {
    let platform = Platform::with_bucket().await;
    for host in ["pictures.s3.us-east-1.amazonaws.com", "pictures.localhost:4566", "pictures.s3.cloud.test"] {
        platform.request("PUT", "/dir/a%20b").header("host", host).body("x").send().await.expect(200);
        platform.request("GET", "/dir/a%20b").header("host", host).send().await.expect(200);
        platform.get("/pictures/dir/a%20b").await.expect(200);
        platform.delete("/pictures/dir/a%20b").await.expect(204);
    }
    let list = platform.request("GET", "/").header("host", "pictures.s3.localhost").send().await.expect(200);
    assert_eq!(list.tag("Name"), "pictures");
}
