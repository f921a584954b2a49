//! Repositories in memory, asked in ECR's own JSON.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ::api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
use bytes::Bytes;
use host::SystemClock;
use serde_json::{Value, json};
use store::Store;

use crate::{Ecr, EcrOptions};

struct Platform {
    ecr: Ecr,
    call: Call,
}

impl Platform {
    fn new() -> Self {
        let ecr = Ecr::open(EcrOptions { store: Store::in_memory().unwrap(), clock: Arc::new(SystemClock) });
        let principal = Principal::Account { access_key_id: "AKIA".into() };
        let call = Call {
            identity: Identity { principal, account: AccountId::parse("123456789012").unwrap() },
            region: Region::parse("eu-west-1").unwrap(),
            request_id: RequestId("r".into()),
            endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
            path: "/".into(),
            protocol: Protocol::Json11,
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            trace_header: None,
            user_agent: None,
            referer: None,
        };
        Self { ecr, call }
    }

    async fn ask(&self, operation: &str, input: Value) -> Result<Value, (String, String)> {
        let answer = self.ecr.handle(&self.call, operation, Bytes::from(input.to_string())).await;
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == 200 {
            return Ok(document);
        }
        let code = document["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
        Err((code, document["message"].as_str().unwrap_or_default().to_owned()))
    }

    async fn ok(&self, operation: &str, input: Value) -> Value {
        let asked = format!("{operation} {input}");
        self.ask(operation, input).await.unwrap_or_else(|error| panic!("{asked}: {error:?}"))
    }

    async fn refused(&self, operation: &str, input: Value) -> (String, String) {
        let asked = format!("{operation} {input}");
        match self.ask(operation, input).await {
            Err(refusal) => refusal,
            Ok(answer) => panic!("{asked} was answered {answer}"),
        }
    }
}

fn named(name: &str) -> Value {
    json!({"repositoryName": name})
}

fn with(name: &str, more: Value) -> Value {
    let mut input = named(name);
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

#[tokio::test]
async fn a_repository_is_created_described_and_deleted() {
    let platform = Platform::new();
    let more = json!({"imageTagMutability": "IMMUTABLE", "imageScanningConfiguration": {"scanOnPush": true}});
    let made = platform.ok("CreateRepository", with("team/app", more)).await["repository"].take();
    assert_eq!(made["repositoryArn"], "arn:aws:ecr:eu-west-1:123456789012:repository/team/app");
    assert_eq!(made["repositoryUri"], "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app");
    assert_eq!(made["registryId"], "123456789012");
    assert_eq!(made["imageTagMutability"], "IMMUTABLE");
    assert_eq!(made["encryptionConfiguration"], json!({"encryptionType": "AES256"}));
    assert!(made.get("imageTagMutabilityExclusionFilters").is_none(), "{made}");
    let again = platform.refused("CreateRepository", named("team/app")).await;
    assert_eq!(again.0, "RepositoryAlreadyExistsException");
    assert!(again.1.contains("'team/app' already exists in the registry with id '123456789012'"), "{}", again.1);
    let described = platform.ok("DescribeRepositories", json!({"repositoryNames": ["team/app"]})).await;
    assert_eq!(described["repositories"], json!([made]));
    let deleted = platform.ok("DeleteRepository", with("team/app", json!({"force": true}))).await;
    assert_eq!(deleted["repository"], made);
    for operation in ["DeleteRepository", "GetRepositoryPolicy", "GetLifecyclePolicy"] {
        assert_eq!(
            platform.refused(operation, named("team/app")).await.0,
            "RepositoryNotFoundException",
            "{operation}"
        );
    }
    let missing = platform.refused("DescribeRepositories", json!({"repositoryNames": ["team/app"]})).await;
    assert_eq!(missing.0, "RepositoryNotFoundException");
}

#[tokio::test]
async fn what_can_not_be_made_is_refused_with_a_reason() {
    let platform = Platform::new();
    for (more, code, part) in [
        (named("Bad_Name!"), "InvalidParameterException", "must satisfy regular expression"),
        (named("a"), "InvalidParameterException", "greater than or equal to 2"),
        (json!({}), "InvalidParameterException", "'repositoryName'"),
        (with("ab", json!({"imageTagMutability": "SOMETIMES"})), "InvalidParameterException", "imageTagMutability"),
        (with("ab", json!({"imageTagMutability": "MUTABLE_WITH_EXCLUSION"})), "InvalidParameterException", "Filters"),
        (with("ab", json!({"encryptionConfiguration": {"encryptionType": "KMS"}})), "KmsException", "AES256"),
        (with("ab", json!({"registryId": "210987654321"})), "InvalidParameterException", "registryId"),
        (with("ab", json!({"tags": [{"Key": "aws:x", "Value": "y"}]})), "InvalidTagParameterException", "aws:x"),
    ] {
        let (got, message) = platform.refused("CreateRepository", more.clone()).await;
        assert!(got == code && message.contains(part), "{more}: {got} {message}");
    }
}

#[tokio::test]
async fn repositories_are_listed_in_pages() {
    let platform = Platform::new();
    for name in ["a1", "b2", "c3"] {
        platform.ok("CreateRepository", named(name)).await;
    }
    let names = |page: &Value| -> Vec<Value> {
        page["repositories"].as_array().unwrap().iter().map(|one| one["repositoryName"].clone()).collect()
    };
    let first = platform.ok("DescribeRepositories", json!({"maxResults": 2})).await;
    assert_eq!(names(&first), ["a1", "b2"]);
    let rest = platform.ok("DescribeRepositories", json!({"maxResults": 2, "nextToken": first["nextToken"]})).await;
    assert_eq!(names(&rest), ["c3"]);
    assert!(rest.get("nextToken").is_none());
    let broken = platform.refused("DescribeRepositories", json!({"nextToken": "!"})).await;
    assert_eq!(broken.0, "InvalidParameterException");
    platform.ecr.reset().await.unwrap();
    assert!(names(&platform.ok("DescribeRepositories", json!({})).await).is_empty());
}

#[tokio::test]
async fn what_a_repository_says_of_images_is_changed_and_kept() {
    let platform = Platform::new();
    platform.ok("CreateRepository", named("ab")).await;
    let filters = json!([{"filterType": "WILDCARD", "filter": "dev-*"}]);
    let mutability =
        json!({"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": filters});
    let answer = platform.ok("PutImageTagMutability", with("ab", mutability)).await;
    assert_eq!(answer["imageTagMutabilityExclusionFilters"], filters);
    let scanning = json!({"imageScanningConfiguration": {"scanOnPush": true}});
    platform.ok("PutImageScanningConfiguration", with("ab", scanning.clone())).await;
    let described = platform.ok("DescribeRepositories", json!({})).await["repositories"][0].take();
    assert_eq!(described["imageTagMutability"], "IMMUTABLE_WITH_EXCLUSION");
    assert_eq!(described["imageTagMutabilityExclusionFilters"], filters);
    assert_eq!(described["imageScanningConfiguration"], scanning["imageScanningConfiguration"]);
}

#[tokio::test]
async fn policies_are_set_got_and_deleted() {
    let platform = Platform::new();
    platform.ok("CreateRepository", named("ab")).await;
    assert_eq!(platform.refused("GetRepositoryPolicy", named("ab")).await.0, "RepositoryPolicyNotFoundException");
    assert_eq!(platform.refused("DeleteRepositoryPolicy", named("ab")).await.0, "RepositoryPolicyNotFoundException");
    let policy = r#"{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}]}"#;
    platform.ok("SetRepositoryPolicy", with("ab", json!({"policyText": policy}))).await;
    assert_eq!(platform.ok("GetRepositoryPolicy", named("ab")).await["policyText"], policy);
    let refused = platform.refused("SetRepositoryPolicy", with("ab", json!({"policyText": "{"}))).await;
    assert_eq!(
        refused.1,
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"
    );
    assert_eq!(platform.ok("DeleteRepositoryPolicy", named("ab")).await["policyText"], policy);
}

#[tokio::test]
async fn lifecycle_policies_are_put_got_and_deleted() {
    let platform = Platform::new();
    platform.ok("CreateRepository", named("ab")).await;
    assert_eq!(platform.refused("GetLifecyclePolicy", named("ab")).await.0, "LifecyclePolicyNotFoundException");
    assert_eq!(platform.refused("DeleteLifecyclePolicy", named("ab")).await.0, "LifecyclePolicyNotFoundException");
    let policy = json!({"rules": [{
        "rulePriority": 1,
        "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 365},
        "action": {"type": "expire"},
    }]})
    .to_string();
    platform.ok("PutLifecyclePolicy", with("ab", json!({"lifecyclePolicyText": policy}))).await;
    assert_eq!(platform.ok("GetLifecyclePolicy", named("ab")).await["lifecyclePolicyText"], policy);
    let short = platform.refused("PutLifecyclePolicy", with("ab", json!({"lifecyclePolicyText": "{}"}))).await;
    assert!(short.1.contains("'lifecyclePolicyText'") && short.1.contains("100"), "{short:?}");
    let wrong =
        platform.refused("PutLifecyclePolicy", with("ab", json!({"lifecyclePolicyText": "x".repeat(100)}))).await;
    assert!(wrong.1.contains("Could not map policyString"), "{wrong:?}");
    assert_eq!(platform.ok("DeleteLifecyclePolicy", named("ab")).await["lifecyclePolicyText"], policy);
}

#[tokio::test]
async fn tags_are_put_changed_and_listed() {
    let platform = Platform::new();
    let arn = platform.ok("CreateRepository", named("ab")).await["repository"]["repositoryArn"].take();
    let tags = json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]);
    platform.ok("TagResource", json!({"resourceArn": arn, "tags": tags})).await;
    platform.ok("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a"]})).await;
    let listed = platform.ok("ListTagsForResource", json!({"resourceArn": arn})).await;
    assert_eq!(listed["tags"], json!([{"Key": "b", "Value": "2"}]));
    let many: Vec<_> = (0..50).map(|n| json!({"Key": format!("k{n}"), "Value": "v"})).collect();
    let refused = platform.refused("TagResource", json!({"resourceArn": arn, "tags": many})).await;
    assert_eq!(refused.0, "TooManyTagsException");
    let refused =
        platform.refused("ListTagsForResource", json!({"resourceArn": "arn:aws:ecr:us-east-1:1:repository/x"})).await;
    assert_eq!(refused.0, "InvalidParameterException");
}

#[tokio::test]
async fn images_are_not_here_and_said_not_to_be() {
    let platform = Platform::new();
    for operation in ["GetAuthorizationToken", "PutImage", "InitiateLayerUpload", "BatchGetImage"] {
        assert_eq!(platform.refused(operation, json!({})).await.0, "UnknownOperationException", "{operation}");
    }
}

#[tokio::test]
async fn who_did_not_sign_is_told_nothing() {
    let mut platform = Platform::new();
    platform.call.identity.principal = Principal::Anonymous;
    assert_eq!(platform.refused("DescribeRepositories", json!({})).await.0, "MissingAuthenticationToken");
}
