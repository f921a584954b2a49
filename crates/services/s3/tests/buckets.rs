//! CreateBucket, HeadBucket, ListBuckets, DeleteBucket, GetBucketLocation, GetBucketVersioning and bucket tagging.

mod common;

use common::{OTHER, Platform};

#[tokio::test]
async fn a_bucket_is_created_seen_listed_and_deleted() {
    let platform = Platform::new();
    let created = platform.put("/pictures", "").await.expect(200);
    assert_eq!(created.header("location"), "/pictures");
    assert_eq!(platform.head("/pictures").await.expect(200).header("x-amz-bucket-region"), "us-east-1");
    let list = platform.get("/").await.expect(200);
    assert_eq!(list.tags("Name"), ["pictures"]);
    assert_eq!(list.tag("CreationDate"), "2015-10-21T07:28:00.000Z");
    platform.put("/pictures/a", "x").await.expect(200);
    platform.delete("/pictures").await.fails(409, "BucketNotEmpty");
    platform.delete("/pictures/a").await.expect(204);
    platform.delete("/pictures").await.expect(204);
    platform.head("/pictures").await.expect(404);
    let gone = platform.delete("/pictures").await.fails(404, "NoSuchBucket");
    assert_eq!(gone.tag("BucketName"), "pictures");
}

#[tokio::test]
async fn a_bucket_name_has_one_owner() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures", "").await.expect(200);
    platform.request("PUT", "/pictures").region("eu-west-1").send().await.fails(409, "BucketAlreadyOwnedByYou");
    platform.request("PUT", "/pictures").by(OTHER).send().await.fails(409, "BucketAlreadyExists");
    platform.request("GET", "/").by(OTHER).send().await.expect(200);
    assert!(platform.request("GET", "/").by(OTHER).send().await.tags("Name").is_empty());
}

#[tokio::test]
async fn a_bucket_lives_in_the_region_that_was_asked_for() {
    let platform = Platform::new();
    let constraint = |region: &str| {
        format!(
            "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        )
    };
    platform.put("/abroad", constraint("eu-west-1")).await.expect(200);
    assert!(platform.get("/abroad?location").await.expect(200).text().contains(">eu-west-1</LocationConstraint>"));
    assert_eq!(platform.head("/abroad").await.header("x-amz-bucket-region"), "eu-west-1");
    platform.put("/home", "").await.expect(200);
    let home = platform.get("/home?location").await.expect(200);
    assert!(home.text().contains("LocationConstraint") && !home.text().contains("us-east-1"), "{}", home.text());
    platform.put("/bad", constraint("us-east-1")).await.fails(400, "InvalidLocationConstraint");
    let other = platform.request("PUT", "/bad").region("eu-west-1").body(constraint("us-west-2"));
    other.send().await.fails(400, "IllegalLocationConstraintException");
    platform.request("PUT", "/there").region("ap-south-1").send().await.expect(200);
    assert_eq!(platform.head("/there").await.header("x-amz-bucket-region"), "ap-south-1");
    platform.put("/europe", constraint("EU")).await.expect(200);
    assert_eq!(platform.head("/europe").await.header("x-amz-bucket-region"), "eu-west-1");
}

#[tokio::test]
async fn names_follow_awss_rules() {
    let platform = Platform::new();
    for name in ["ab", "Upper", "under_score", "-dash", "a..b", "192.168.0.1", "sthree-x", "xn--x"] {
        platform.put(&format!("/{name}"), "").await.fails(400, "InvalidBucketName");
    }
    platform.put("/www.example.com", "").await.expect(200);
}

#[tokio::test]
async fn buckets_are_listed_in_pages() {
    let platform = Platform::new();
    for name in ["a-one", "b-one", "b-two", "c-one"] {
        platform.put(&format!("/{name}"), "").await.expect(200);
    }
    let first = platform.get("/?max-buckets=2").await.expect(200);
    assert_eq!(first.tags("Name"), ["a-one", "b-one"]);
    let second = platform
        .get(&format!("/?max-buckets=2&continuation-token={}", first.tag("ContinuationToken")))
        .await
        .expect(200);
    assert_eq!(second.tags("Name"), ["b-two", "c-one"]);
    assert_eq!(second.tag("ContinuationToken"), "");
    assert_eq!(platform.get("/?prefix=b-").await.tags("Name"), ["b-one", "b-two"]);
    platform.get("/?max-buckets=0").await.fails(400, "InvalidArgument");
}

#[tokio::test]
async fn a_bucket_has_tags() {
    let platform = Platform::with_bucket().await;
    platform.get("/pictures?tagging").await.fails(404, "NoSuchTagSet");
    let xml = "<Tagging><TagSet><Tag><Key>team</Key><Value>web</Value></Tag></TagSet></Tagging>";
    platform.request("PUT", "/pictures?tagging").body(xml).send().await.expect(204);
    assert_eq!(platform.get("/pictures?tagging").await.expect(200).tag("Value"), "web");
    platform.delete("/pictures?tagging").await.expect(204);
    platform.get("/pictures?tagging").await.fails(404, "NoSuchTagSet");
}

#[tokio::test]
async fn deleting_a_bucket_ends_its_uploads() {
    let platform = Platform::with_bucket().await;
    let id = platform.request("POST", "/pictures/a?uploads").send().await.expect(200).tag("UploadId");
    platform.put(&format!("/pictures/a?partNumber=1&uploadId={id}"), common::bytes(100_000)).await.expect(200);
    platform.delete("/pictures").await.expect(204);
    platform.put("/pictures", "").await.expect(200);
    platform.get(&format!("/pictures/a?uploadId={id}")).await.fails(404, "NoSuchUpload");
}

#[tokio::test]
async fn reset_forgets_everything() {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a", common::bytes(100_000)).await.expect(200);
    platform.s3.reset().await.unwrap();
    assert!(platform.get("/").await.expect(200).tags("Name").is_empty());
    platform.put("/pictures", "").await.expect(200);
    platform.get("/pictures/a").await.fails(404, "NoSuchKey");
}

#[tokio::test]
async fn every_answer_carries_its_ids() {
    let platform = Platform::with_bucket().await;
    for answer in [
        platform.get("/").await,
        platform.get("/pictures").await,
        platform.get("/nowhere").await,
        platform.put("/Bad", "").await,
    ] {
        assert_eq!(answer.header("x-amz-request-id"), "4442587f-b7d0-a2f9-0000-000000000001");
        assert!(!answer.header("x-amz-id-2").is_empty());
        assert_eq!(answer.header("server"), "AmazonS3");
    }
    assert_eq!(platform.s3.stats().requests, 5);
}
