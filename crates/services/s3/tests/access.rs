//! Who may do what: owners, ACLs, bucket policies, public access block, ownership controls.

mod common;

use common::{Answer, OTHER, OWNER, Platform};

const READ: &str = "s3:GetObject";

fn statement(effect: &str, principal: &str, action: &str, resource: &str) -> String {
    format!(
        r#"{{"Sid":"{effect}{}","Effect":"{effect}","Principal":{principal},"Action":"{action}","Resource":"{resource}"}}"#,
        action.replace([':', '*'], "")
    )
}

fn document(statements: &[String]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

async fn put_policy(platform: &Platform, policy: &str) -> Answer {
    platform.request("PUT", "/pictures?policy").body(policy.to_owned()).send().await
}

async fn platform_with_object() -> Platform {
    let platform = Platform::with_bucket().await;
    platform.put("/pictures/a", "x").await.expect(200);
    platform
}

#[tokio::test]
async fn strangers_get_nothing_from_a_private_bucket() {
    let platform = platform_with_object().await;
    for target in
        ["/pictures/a", "/pictures/missing", "/pictures", "/pictures?acl", "/pictures/a?acl", "/pictures?policy"]
    {
        platform.request("GET", target).by_nobody().send().await.fails(403, "AccessDenied");
        platform.request("GET", target).by(OTHER).send().await.fails(403, "AccessDenied");
    }
    for (method, target) in
        [("PUT", "/pictures/b"), ("DELETE", "/pictures/a"), ("DELETE", "/pictures"), ("PUT", "/other-bucket")]
    {
        platform.request(method, target).by_nobody().send().await.fails(403, "AccessDenied");
    }
    platform.request("GET", "/").by_nobody().send().await.fails(403, "AccessDenied");
    platform.get("/pictures/a").await.expect(200);
}

#[tokio::test]
async fn a_public_read_object_is_open_to_all_and_its_neighbours_are_not() {
    let platform = platform_with_object().await;
    platform.request("PUT", "/pictures/open").header("x-amz-acl", "public-read").body("x").send().await.expect(200);
    platform.request("GET", "/pictures/open").by_nobody().send().await.expect(200);
    platform.request("HEAD", "/pictures/open").by_nobody().send().await.expect(200);
    platform.request("GET", "/pictures/a").by_nobody().send().await.fails(403, "AccessDenied");
    platform.request("GET", "/pictures/open?acl").by_nobody().send().await.fails(403, "AccessDenied");
    let acl = platform.get("/pictures/open?acl").await.expect(200);
    assert_eq!(acl.tags("Permission"), ["FULL_CONTROL", "READ"]);
    assert_eq!(acl.tags("URI"), ["http://acs.amazonaws.com/groups/global/AllUsers"]);
    platform.request("PUT", "/pictures/open?acl").header("x-amz-acl", "private").send().await.expect(200);
    platform.request("GET", "/pictures/open").by_nobody().send().await.fails(403, "AccessDenied");
}

#[tokio::test]
async fn canned_acls_of_a_bucket_open_listing_and_writing() {
    let platform = platform_with_object().await;
    let set = |acl: &str| platform.request("PUT", "/pictures?acl").header("x-amz-acl", acl).send();
    let list = || platform.request("GET", "/pictures").by_nobody().send();
    let write = || platform.request("PUT", "/pictures/new").by_nobody().body("x").send();
    list().await.fails(403, "AccessDenied");
    set("public-read").await.expect(200);
    list().await.expect(200);
    write().await.fails(403, "AccessDenied");
    platform.request("GET", "/pictures/missing").by_nobody().send().await.fails(404, "NoSuchKey");
    set("public-read-write").await.expect(200);
    write().await.expect(200);
    platform.request("DELETE", "/pictures/new").by_nobody().send().await.expect(204);
    set("authenticated-read").await.expect(200);
    list().await.fails(403, "AccessDenied");
    platform.request("GET", "/pictures").by(OTHER).send().await.expect(200);
    set("private").await.expect(200);
    platform.request("GET", "/pictures").by(OTHER).send().await.fails(403, "AccessDenied");
}

#[tokio::test]
async fn an_acl_is_put_as_xml_and_as_headers() {
    let platform = platform_with_object().await;
    let owner = platform.get("/pictures?acl").await.expect(200).tag("ID");
    let xml = format!(
        "<AccessControlPolicy xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>{owner}</ID></Owner><AccessControlList><Grant>\
         <Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\">\
         <URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>\
         </AccessControlList></AccessControlPolicy>"
    );
    platform.request("PUT", "/pictures?acl").body(xml).send().await.expect(200);
    platform.request("GET", "/pictures").by_nobody().send().await.expect(200);
    let grant = format!("id=\"{owner}\"");
    platform.request("PUT", "/pictures?acl").header("x-amz-grant-full-control", grant).send().await.expect(200);
    platform.request("GET", "/pictures").by_nobody().send().await.fails(403, "AccessDenied");
    platform.request("PUT", "/pictures?acl").header("x-amz-acl", "nonsense").send().await.fails(400, "InvalidArgument");
}

#[tokio::test]
async fn another_accounts_object_belongs_to_that_account() {
    let platform = platform_with_object().await;
    platform.request("PUT", "/pictures?acl").header("x-amz-acl", "public-read-write").send().await.expect(200);
    platform.request("PUT", "/pictures/theirs").by(OTHER).body("x").send().await.expect(200);
    platform.request("GET", "/pictures/theirs").by(OTHER).send().await.expect(200);
    platform.get("/pictures/theirs").await.fails(403, "AccessDenied");
    platform.delete("/pictures/theirs").await.expect(204);
    let shared = platform.request("PUT", "/pictures/shared").by(OTHER).header("x-amz-acl", "bucket-owner-full-control");
    shared.body("x").send().await.expect(200);
    platform.get("/pictures/shared").await.expect(200);
}

#[tokio::test]
async fn a_policy_opens_and_a_deny_closes_even_for_the_owner() {
    let platform = platform_with_object().await;
    let allow = statement("Allow", "\"*\"", READ, "arn:aws:s3:::pictures/*");
    put_policy(&platform, &document(std::slice::from_ref(&allow))).await.expect(204);
    platform.request("GET", "/pictures/a").by_nobody().send().await.expect(200);
    platform.request("GET", "/pictures/missing").by_nobody().send().await.fails(403, "AccessDenied");
    platform.request("PUT", "/pictures/b").by_nobody().body("x").send().await.fails(403, "AccessDenied");
    let deny = statement("Deny", "\"*\"", "s3:*", "arn:aws:s3:::pictures/*");
    put_policy(&platform, &document(&[allow, deny])).await.expect(204);
    platform.request("GET", "/pictures/a").by_nobody().send().await.fails(403, "AccessDenied");
    platform.get("/pictures/a").await.fails(403, "AccessDenied");
    platform.delete("/pictures?policy").await.expect(204);
    platform.get("/pictures/a").await.expect(200);
    platform.get("/pictures?policy").await.fails(404, "NoSuchBucketPolicy");
}

#[tokio::test]
async fn nobody_locks_himself_out_of_the_policy() {
    let platform = platform_with_object().await;
    let deny = document(&[
        statement("Deny", "\"*\"", "s3:*", "arn:aws:s3:::pictures"),
        statement("Deny", "\"*\"", "s3:GetObject", "arn:aws:s3:::pictures/*"),
    ]);
    put_policy(&platform, &deny).await.expect(204);
    platform.get("/pictures").await.fails(403, "AccessDenied");
    assert_eq!(platform.get("/pictures?policy").await.expect(200).text(), deny);
    platform.delete("/pictures?policy").await.expect(204);
    platform.get("/pictures").await.expect(200);
}

#[tokio::test]
async fn a_policy_names_another_account() {
    let platform = platform_with_object().await;
    let principal = format!(r#"{{"AWS":"arn:aws:iam::{OTHER}:root"}}"#);
    let statements = [
        statement("Allow", &principal, READ, "arn:aws:s3:::pictures/*"),
        statement("Allow", &principal, "s3:ListBucket", "arn:aws:s3:::pictures"),
    ];
    put_policy(&platform, &document(&statements)).await.expect(204);
    platform.request("GET", "/pictures/a").by(OTHER).send().await.expect(200);
    platform.request("GET", "/pictures/missing").by(OTHER).send().await.fails(404, "NoSuchKey");
    platform.request("GET", "/pictures/a").by("333333333333").send().await.fails(403, "AccessDenied");
    platform.request("GET", "/pictures?policyStatus").send().await.expect(200);
    assert_eq!(platform.get("/pictures?policyStatus").await.tag("IsPublic").to_lowercase(), "false");
}

#[tokio::test]
async fn conditions_see_the_prefix_and_the_address() {
    let platform = platform_with_object().await;
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::pictures","Condition":{"StringEquals":{"s3:prefix":"public/"}}},
        {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::pictures/a","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}},
        {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::pictures/b","Condition":{"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}}}]}"#;
    put_policy(&platform, policy).await.expect(204);
    platform.put("/pictures/b", "x").await.expect(200);
    platform.request("GET", "/pictures?prefix=public/").by_nobody().send().await.expect(200);
    platform.request("GET", "/pictures?prefix=secret/").by_nobody().send().await.fails(403, "AccessDenied");
    platform.request("GET", "/pictures/a").by_nobody().send().await.expect(200);
    platform.request("GET", "/pictures/b").by_nobody().send().await.fails(403, "AccessDenied");
}

#[tokio::test]
async fn malformed_policies_are_refused() {
    let platform = platform_with_object().await;
    let elsewhere = document(&[statement("Allow", "\"*\"", READ, "arn:aws:s3:::others/*")]);
    let strange = document(&[statement("Allow", "\"*\"", "sqs:SendMessage", "arn:aws:s3:::pictures/*")]);
    let neighbour = document(&[statement("Allow", "\"*\"", READ, "arn:aws:s3:::pictures-2/*")]);
    for policy in ["", "{}", "not json", &elsewhere, &strange, &neighbour] {
        let answer = put_policy(&platform, policy).await;
        assert_eq!((answer.status.as_u16(), answer.tag("Code").as_str()), (400, "MalformedPolicy"), "{policy}");
    }
    let long = document(&[statement("Allow", "\"*\"", READ, &format!("arn:aws:s3:::pictures/{}", "x".repeat(20_480)))]);
    put_policy(&platform, &long).await.fails(400, "MalformedPolicy");
}

#[tokio::test]
async fn the_public_access_block_closes_what_acls_and_policies_open() {
    let platform = platform_with_object().await;
    platform.request("PUT", "/pictures/open").header("x-amz-acl", "public-read").body("x").send().await.expect(200);
    let allow = document(&[statement("Allow", "\"*\"", READ, "arn:aws:s3:::pictures/a")]);
    put_policy(&platform, &allow).await.expect(204);
    assert_eq!(platform.get("/pictures?policyStatus").await.tag("IsPublic").to_lowercase(), "true");
    platform.get("/pictures?publicAccessBlock").await.fails(404, "NoSuchPublicAccessBlockConfiguration");
    let block = |switch: &str| {
        let xml = format!("<PublicAccessBlockConfiguration><{switch}>true</{switch}></PublicAccessBlockConfiguration>");
        platform.request("PUT", "/pictures?publicAccessBlock").body(xml).send()
    };
    let anonymous = |key: &str| platform.request("GET", &format!("/pictures/{key}")).by_nobody().send();

    block("IgnorePublicAcls").await.expect(200);
    anonymous("open").await.fails(403, "AccessDenied");
    anonymous("a").await.expect(200);
    block("RestrictPublicBuckets").await.expect(200);
    anonymous("open").await.expect(200);
    anonymous("a").await.fails(403, "AccessDenied");
    block("BlockPublicAcls").await.expect(200);
    let put = platform.request("PUT", "/pictures/new").header("x-amz-acl", "public-read").body("x");
    put.send().await.fails(403, "AccessDenied");
    platform.request("PUT", "/pictures?acl").header("x-amz-acl", "public-read").send().await.fails(403, "AccessDenied");
    block("BlockPublicPolicy").await.expect(200);
    put_policy(&platform, &allow).await.fails(403, "AccessDenied");
    assert_eq!(platform.get("/pictures?publicAccessBlock").await.tag("BlockPublicPolicy"), "true");
    platform.delete("/pictures?publicAccessBlock").await.expect(204);
    put_policy(&platform, &allow).await.expect(204);
}

#[tokio::test]
async fn enforced_ownership_switches_acls_off() {
    let platform = platform_with_object().await;
    platform.get("/pictures?ownershipControls").await.fails(404, "OwnershipControlsNotFoundError");
    platform.request("PUT", "/pictures/open").header("x-amz-acl", "public-read").body("x").send().await.expect(200);
    let set = |rule: &str| {
        let xml =
            format!("<OwnershipControls><Rule><ObjectOwnership>{rule}</ObjectOwnership></Rule></OwnershipControls>");
        platform.request("PUT", "/pictures?ownershipControls").body(xml).send()
    };
    set("BucketOwnerEnforced").await.expect(200);
    assert_eq!(platform.get("/pictures?ownershipControls").await.tag("ObjectOwnership"), "BucketOwnerEnforced");
    platform.request("GET", "/pictures/open").by_nobody().send().await.fails(403, "AccessDenied");
    let put = |acl: &str| platform.request("PUT", "/pictures/new").header("x-amz-acl", acl).body("x").send();
    put("public-read").await.fails(400, "AccessControlListNotSupported");
    put("bucket-owner-full-control").await.expect(200);
    set("Nonsense").await.fails(400, "MalformedXML");
    platform.delete("/pictures?ownershipControls").await.expect(204);
    platform.request("GET", "/pictures/open").by_nobody().send().await.expect(200);
}

#[tokio::test]
async fn a_copy_needs_both_ends() {
    let platform = platform_with_object().await;
    platform.request("PUT", "/theirs").by(OTHER).send().await.expect(200);
    let copy = || platform.request("PUT", "/theirs/a").by(OTHER).header("x-amz-copy-source", "pictures/a").send();
    copy().await.fails(403, "AccessDenied");
    platform.request("PUT", "/pictures/a?acl").header("x-amz-acl", "public-read").send().await.expect(200);
    copy().await.expect(200);
    let back = platform.request("PUT", "/theirs/b").header("x-amz-copy-source", "pictures/a").send().await;
    back.fails(403, "AccessDenied");
}

#[tokio::test]
async fn a_service_gets_what_the_policy_gives_it() {
    use api::{ObjectStore as _, PutObject};
    let platform = platform_with_object().await;
    let service = "elasticloadbalancing.amazonaws.com";
    let call = common::call(&common::Who::Service(service), "us-east-1", "/");
    let object = || PutObject {
        bucket: "pictures".to_owned(),
        key: "logs/1".to_owned(),
        body: "line".into(),
        canned_acl: Some("bucket-owner-full-control".to_owned()),
        ..PutObject::default()
    };
    assert_eq!(platform.s3.put(&call, object()).await.unwrap_err().code, "AccessDenied");
    let principal = format!(r#"{{"Service":"{service}"}}"#);
    let statements = [
        statement("Allow", &principal, "s3:PutObject", "arn:aws:s3:::pictures/logs/*"),
        statement("Allow", &principal, "s3:PutObjectAcl", "arn:aws:s3:::pictures/logs/*"),
    ];
    put_policy(&platform, &document(&statements)).await.expect(204);
    platform.s3.put(&call, object()).await.unwrap();
    assert_eq!(platform.get("/pictures/logs/1").await.expect(200).text(), "line");
    assert_eq!(platform.s3.get(&call, "pictures", "logs/1", 10).await.unwrap_err().code, "AccessDenied");
    let owner = common::call(&common::Who::Account(OWNER), "us-east-1", "/");
    assert_eq!(platform.s3.get(&owner, "pictures", "logs/1", 10).await.unwrap(), "line");
    assert_eq!(platform.s3.get(&owner, "pictures", "logs/1", 3).await.unwrap_err().code, "EntityTooLarge");
}
