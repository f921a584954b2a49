//! CreateMultipartUpload, UploadPart, UploadPartCopy, CompleteMultipartUpload, AbortMultipartUpload, ListParts,
//! ListMultipartUploads.

mod common;

use common::{Answer, OTHER, Platform, bytes};

const MIB: usize = 1024 * 1024;

async fn create(platform: &Platform, key: &str) -> String {
    let created = platform.request("POST", &format!("/pictures/{key}?uploads")).send().await.expect(200);
    assert_eq!((created.tag("Bucket").as_str(), created.tag("Key").as_str()), ("pictures", key));
    created.tag("UploadId")
}

async fn upload(platform: &Platform, key: &str, id: &str, number: u32, body: bytes::Bytes) -> String {
    let part = platform.put(&format!("/pictures/{key}?partNumber={number}&uploadId={id}"), body).await.expect(200);
    part.header("etag")
}

async fn complete(platform: &Platform, key: &str, id: &str, parts: &[(u32, &str)]) -> Answer {
    let parts: String =
        parts.iter().map(|(n, etag)| format!("<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>")).collect();
    let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    platform.request("POST", &format!("/pictures/{key}?uploadId={id}")).body(body).send().await
}

#[tokio::test]
async fn parts_become_one_object() {
    let platform = Platform::with_bucket().await;
    let created = platform
        .request("POST", "/pictures/big?uploads")
        .header("content-type", "video/mp4")
        .header("x-amz-meta-a", "1");
    let id = created.header("x-amz-acl", "public-read").send().await.expect(200).tag("UploadId");
    let first = upload(&platform, "big", &id, 2, bytes(5 * MIB)).await;
    let last = upload(&platform, "big", &id, 7, bytes(100)).await;
    platform.get("/pictures/big").await.fails(404, "NoSuchKey");
    let done = complete(&platform, "big", &id, &[(2, &first), (7, &last)]).await.expect(200);
    assert!(done.tag("ETag").contains("-2"), "{}", done.text());
    assert_eq!(done.tag("Location"), "http://localhost:4566/pictures/big");

    let whole = [bytes(5 * MIB), bytes(100)].concat();
    let got = platform.request("GET", "/pictures/big").by_nobody().send().await.expect(200);
    assert_eq!(got.body, whole);
    assert_eq!((got.header("content-type").as_str(), got.header("x-amz-meta-a").as_str()), ("video/mp4", "1"));
    let across = format!("bytes={}-{}", 5 * MIB - 3, 5 * MIB + 2);
    let range = platform.request("GET", "/pictures/big").header("range", across).send().await.expect(206);
    assert_eq!(range.body, whole[5 * MIB - 3..5 * MIB + 3]);
    let part = platform.get("/pictures/big?partNumber=2").await.expect(206);
    assert_eq!((part.body, part.headers["x-amz-mp-parts-count"].to_str().unwrap()), (bytes(100), "2"));
    platform.get("/pictures/big?partNumber=3").await.fails(416, "InvalidPartNumber");
    platform.get(&format!("/pictures/big?uploadId={id}")).await.fails(404, "NoSuchUpload");

    // A copy of it is one object again, with an ETag of its own.
    platform.request("PUT", "/pictures/copy").header("x-amz-copy-source", "pictures/big").send().await.expect(200);
    let copy = platform.get("/pictures/copy").await.expect(200);
    assert_eq!(copy.body, whole);
    assert!(!copy.header("etag").contains('-'));
    platform.delete("/pictures/big").await.expect(204);
    assert_eq!(platform.get("/pictures/copy").await.expect(200).body.len(), whole.len());
}

#[tokio::test]
async fn a_list_of_parts_that_does_not_fit_is_refused() {
    let platform = Platform::with_bucket().await;
    let id = create(&platform, "a").await;
    let (one, two) =
        (upload(&platform, "a", &id, 1, bytes(99)).await, upload(&platform, "a", &id, 2, bytes(100)).await);
    complete(&platform, "a", &id, &[(1, &one), (2, &two)]).await.fails(400, "EntityTooSmall");
    complete(&platform, "a", &id, &[(2, &two), (1, &one)]).await.fails(400, "InvalidPartOrder");
    complete(&platform, "a", &id, &[(1, &two)]).await.fails(400, "InvalidPart");
    complete(&platform, "a", &id, &[(3, &one)]).await.fails(400, "InvalidPart");
    complete(&platform, "a", &id, &[]).await.fails(400, "MalformedXML");
    complete(&platform, "a", "ff", &[(1, &one)]).await.fails(404, "NoSuchUpload");
    complete(&platform, "a", &id, &[(2, &two)]).await.expect(200);
    assert_eq!(platform.get("/pictures/a").await.expect(200).body, bytes(100));
}

#[tokio::test]
async fn a_part_uploaded_again_replaces_the_first() {
    let platform = Platform::with_bucket().await;
    let id = create(&platform, "a").await;
    let first = upload(&platform, "a", &id, 1, bytes(10_000)).await;
    let second = upload(&platform, "a", &id, 1, bytes(20_000)).await;
    complete(&platform, "a", &id, &[(1, &first)]).await.fails(400, "InvalidPart");
    complete(&platform, "a", &id, &[(1, &second)]).await.expect(200);
    assert_eq!(platform.get("/pictures/a").await.expect(200).body.len(), 20_000);
}

#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let platform = Platform::with_bucket().await;
    let id = create(&platform, "a").await;
    upload(&platform, "a", &id, 1, bytes(10_000)).await;
    platform.delete(&format!("/pictures/a?uploadId={id}")).await.expect(204);
    platform.delete(&format!("/pictures/a?uploadId={id}")).await.fails(404, "NoSuchUpload");
    platform.put(&format!("/pictures/a?partNumber=1&uploadId={id}"), "x").await.fails(404, "NoSuchUpload");
    assert!(platform.get("/pictures?uploads").await.expect(200).tags("UploadId").is_empty());
}

#[tokio::test]
async fn parts_are_listed_in_pages() {
    let platform = Platform::with_bucket().await;
    let id = create(&platform, "a").await;
    for number in [1, 2, 10] {
        upload(&platform, "a", &id, number, bytes(10)).await;
    }
    let first = platform.get(&format!("/pictures/a?uploadId={id}&max-parts=2")).await.expect(200);
    assert_eq!(first.tags("PartNumber"), ["1", "2"]);
    assert_eq!((first.tag("IsTruncated").as_str(), first.tag("NextPartNumberMarker").as_str()), ("true", "2"));
    let rest = platform.get(&format!("/pictures/a?uploadId={id}&part-number-marker=2")).await.expect(200);
    assert_eq!((rest.tags("PartNumber"), rest.tag("Size").as_str()), (vec!["10".to_owned()], "10"));
    for number in ["0", "10001"] {
        let answer = platform.put(&format!("/pictures/a?partNumber={number}&uploadId={id}"), "x").await;
        answer.fails(400, "InvalidArgument");
    }
}

#[tokio::test]
async fn uploads_are_listed_by_key_and_age() {
    let platform = Platform::with_bucket().await;
    let b = create(&platform, "b").await;
    let first = create(&platform, "a").await;
    platform.advance_s(1);
    let second = create(&platform, "a").await;
    create(&platform, "dir/x").await;
    let all = platform.get("/pictures?uploads&delimiter=/").await.expect(200);
    assert_eq!(all.tags("UploadId"), [first.clone(), second.clone(), b.clone()]);
    assert_eq!(all.tags("CommonPrefixes"), ["<Prefix>dir/</Prefix>"]);
    let page = platform.get("/pictures?uploads&max-uploads=1").await.expect(200);
    assert_eq!((page.tag("NextKeyMarker").as_str(), page.tag("NextUploadIdMarker")), ("a", first.clone()));
    let next = platform.get(&format!("/pictures?uploads&max-uploads=1&key-marker=a&upload-id-marker={first}")).await;
    assert_eq!(next.tags("UploadId"), [second]);
    assert_eq!(platform.get("/pictures?uploads&key-marker=a&max-uploads=1").await.tags("UploadId"), [b]);
}

#[tokio::test]
async fn a_part_is_copied_from_a_range() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/source", bytes(100_000)).await.expect(200);
    let id = create(&platform, "a").await;
    let copy = |range: &str| {
        let request = platform.request("PUT", &format!("/pictures/a?partNumber=1&uploadId={id}"));
        request.header("x-amz-copy-source", "/pictures/source").header("x-amz-copy-source-range", range).send()
    };
    copy("bytes=0-100000").await.fails(400, "InvalidArgument");
    let etag = copy("bytes=10-50009").await.expect(200).tag("ETag");
    complete(&platform, "a", &id, &[(1, &etag)]).await.expect(200);
    assert_eq!(platform.get("/pictures/a").await.expect(200).body, bytes(100_000).slice(10..50_010));
}

#[tokio::test]
async fn checksums_of_parts_make_the_checksum_of_the_object() {
    let platform = Platform::with_bucket().await;
    for (kind, full) in [("FULL_OBJECT", true), ("COMPOSITE", false)] {
        let created = platform.request("POST", "/pictures/a?uploads").header("x-amz-checksum-algorithm", "CRC32");
        let created = created.header("x-amz-checksum-type", kind).send().await.expect(200);
        assert_eq!(created.header("x-amz-checksum-type"), kind);
        let id = created.tag("UploadId");
        let wrong = platform
            .request("PUT", &format!("/pictures/a?partNumber=1&uploadId={id}"))
            .header("x-amz-checksum-sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00=");
        wrong.body("hello").send().await.fails(400, "InvalidRequest");
        let part = platform
            .request("PUT", &format!("/pictures/a?partNumber=1&uploadId={id}"))
            .header("x-amz-checksum-crc32", "NhCmhg==");
        let etag = part.body("hello").send().await.expect(200).header("etag");
        let done = complete(&platform, "a", &id, &[(1, &etag)]).await.expect(200);
        assert_eq!(done.tag("ChecksumCRC32") == "NhCmhg==", full, "{}", done.text());
        assert_eq!(done.tag("ChecksumCRC32").ends_with("-1"), !full);
    }
    let sha = platform.request("POST", "/pictures/a?uploads").header("x-amz-checksum-algorithm", "SHA256");
    sha.header("x-amz-checksum-type", "FULL_OBJECT").send().await.fails(400, "InvalidRequest");
    let crc64 = platform
        .request("POST", "/pictures/a?uploads")
        .header("x-amz-checksum-algorithm", "CRC64NVME")
        .send()
        .await
        .expect(200);
    assert_eq!(crc64.header("x-amz-checksum-type"), "FULL_OBJECT");
}

#[tokio::test]
async fn only_who_may_put_may_upload_parts() {
    let platform = Platform::with_bucket().await;
    let id = create(&platform, "a").await;
    for request in [
        platform.request("POST", "/pictures/a?uploads"),
        platform.request("PUT", &format!("/pictures/a?partNumber=1&uploadId={id}")),
        platform.request("GET", &format!("/pictures/a?uploadId={id}")),
        platform.request("DELETE", &format!("/pictures/a?uploadId={id}")),
        platform.request("GET", "/pictures?uploads"),
    ] {
        request.by(OTHER).send().await.fails(403, "AccessDenied");
    }
}

#[tokio::test]
async fn attributes_tell_of_the_parts() {
    let platform = Platform::with_bucket().await;
    let id = create(&platform, "a").await;
    let one = upload(&platform, "a", &id, 1, bytes(5 * MIB)).await;
    let two = upload(&platform, "a", &id, 2, bytes(1)).await;
    complete(&platform, "a", &id, &[(1, &one), (2, &two)]).await.expect(200);
    let asked =
        platform.request("GET", "/pictures/a?attributes").header("x-amz-object-attributes", "ObjectParts,ObjectSize");
    let got = asked.send().await.expect(200);
    assert_eq!(got.tag("ObjectSize"), (5 * MIB + 1).to_string());
    assert!(got.text().contains("<PartsCount>2</PartsCount>"), "{}", got.text());
}

#[tokio::test]
async fn a_conditional_completion_keeps_what_stands_there() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a", "first").await.expect(200);
    let id = create(&platform, "a").await;
    let one = upload(&platform, "a", &id, 1, bytes(10)).await;
    let body = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{one}</ETag></Part></CompleteMultipartUpload>"
    );
    let request =
        platform.request("POST", &format!("/pictures/a?uploadId={id}")).header("if-none-match", "*").body(body);
    request.send().await.fails(412, "PreconditionFailed");
    assert_eq!(platform.get("/pictures/a").await.text(), "first");
    complete(&platform, "a", &id, &[(1, &one)]).await.expect(200);
}

#[tokio::test]
async fn a_multipart_object_is_read_to_its_end_though_it_is_deleted() {
    use http_body_util::BodyExt as _;
    let platform = Platform::with_bucket().await;
    let id = create(&platform, "a").await;
    let one = upload(&platform, "a", &id, 1, bytes(5 * MIB)).await;
    let two = upload(&platform, "a", &id, 2, bytes(2 * MIB)).await;
    complete(&platform, "a", &id, &[(1, &one), (2, &two)]).await.expect(200);
    let call = common::call(&common::Who::Account(common::OWNER), "us-east-1", "/pictures/a");
    let request = http::Request::get("/pictures/a").body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let reading = platform.s3.handle(call, request).await;
    platform.delete("/pictures/a").await.expect(204);
    // The second part is opened only after the first was sent.
    let got = reading.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(got.len(), 7 * MIB);
    assert_eq!(got.slice(5 * MIB..), bytes(2 * MIB));
}
