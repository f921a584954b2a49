//! PutParameter, GetParameter, GetParameters, DeleteParameter, DeleteParameters, and tags.

use serde_json::json;

use super::platform::Platform;

#[tokio::test]
async fn a_parameter_is_put_once_and_got_as_it_was_put() {
    let platform = Platform::new();
    assert_eq!(platform.put("/app/url", "http://x").await, json!({"Tier": "Standard", "Version": 1}));
    let got = platform.ok("GetParameter", json!({"Name": "/app/url"})).await["Parameter"].take();
    assert_eq!(got["ARN"], "arn:aws:ssm:eu-west-1:123456789012:parameter/app/url");
    assert_eq!((&got["Name"], &got["Type"], &got["Value"]), (&json!("/app/url"), &json!("String"), &json!("http://x")));
    assert_eq!((&got["Version"], &got["DataType"]), (&json!(1), &json!("text")));
    assert!(got["LastModifiedDate"].is_number());
    let by_arn = platform.ok("GetParameter", json!({"Name": got["ARN"]})).await["Parameter"].take();
    assert_eq!(by_arn, got);
    let (code, message) =
        platform.refused("PutParameter", json!({"Name": "/app/url", "Value": "y", "Type": "String"})).await;
    assert_eq!(code, "ParameterAlreadyExists");
    assert!(message.contains("set the overwrite option"), "{message}");
    assert_eq!(platform.value("/app/url").await, "http://x");
}

#[tokio::test]
async fn a_name_at_the_root_is_the_same_with_and_without_its_slash() {
    let platform = Platform::new();
    platform.put("one", "1").await;
    let got = platform.ok("GetParameter", json!({"Name": "/one"})).await["Parameter"].take();
    assert_eq!((&got["Name"], &got["Value"]), (&json!("/one"), &json!("1")));
    assert_eq!(got["ARN"], "arn:aws:ssm:eu-west-1:123456789012:parameter/one");
    let (code, _) = platform.refused("PutParameter", json!({"Name": "/one", "Value": "2", "Type": "String"})).await;
    assert_eq!(code, "ParameterAlreadyExists");
}

#[tokio::test]
async fn what_is_not_there_is_said_by_its_name() {
    let platform = Platform::new();
    let (code, message) = platform.refused("GetParameter", json!({"Name": "/cdk-bootstrap/x/version"})).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("ParameterNotFound", "Parameter /cdk-bootstrap/x/version not found.")
    );
    assert_eq!(platform.refused("DeleteParameter", json!({"Name": "x"})).await.0, "ParameterNotFound");
    assert_eq!(platform.refused("GetParameterHistory", json!({"Name": "x"})).await.0, "ParameterNotFound");
    platform.put("a", "1").await;
    let got = platform.ok("GetParameters", json!({"Names": ["a", "b", "a", "a:7", "b c"]})).await;
    assert_eq!(got["Parameters"].as_array().unwrap().len(), 1);
    assert_eq!(got["InvalidParameters"], json!(["b", "a:7", "b c"]));
}

#[tokio::test]
async fn a_value_that_can_not_be_is_refused_with_a_reason() {
    let platform = Platform::new();
    let refused = async |more: serde_json::Value| {
        let mut input = json!({"Name": "x", "Value": "v", "Type": "String"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        platform.refused("PutParameter", input).await
    };
    for (more, code, part) in [
        (json!({"Value": ""}), "ValidationException", "greater than or equal to 1"),
        (json!({"Value": "a{{b}}"}), "ValidationException", "can't nest another parameter"),
        (json!({"Value": "v".repeat(4097)}), "ValidationException", "maximum parameter value of 4096"),
        (json!({"Value": "v".repeat(8193), "Tier": "Advanced"}), "ValidationException", "8192"),
        (json!({"Type": "Other"}), "ValidationException", "enum value set"),
        (json!({"Type": null}), "ValidationException", "type is required"),
        (json!({"KeyId": "alias/aws/ssm"}), "ValidationException", "SecureString type parameter only"),
        (json!({"Type": "SecureString", "KeyId": "alias/mine"}), "InvalidKeyId", "alias/mine"),
        (json!({"DataType": "Text"}), "ValidationException", "all lowercase"),
        (json!({"DataType": "aws:ec2:image", "Value": "ami-0bad"}), "ValidationException", "ami-0bad"),
        (json!({"Policies": "[{\"Type\": \"Expiration\"}]"}), "InvalidPolicyTypeException", "policies"),
        (json!({"AllowedPattern": "("}), "InvalidAllowedPatternException", "("),
        (json!({"AllowedPattern": "[0-9]+", "Value": "1x"}), "ParameterPatternMismatchException", "[0-9]+"),
        (
            json!({"Overwrite": true, "Tags": [{"Key": "a", "Value": "b"}]}),
            "ValidationException",
            "can't be used together",
        ),
        (json!({"Tags": [{"Key": "aws:x", "Value": "b"}]}), "ValidationException", "reserved"),
        (json!({"Name": "a".repeat(2049)}), "ValidationException", "at 'name'"),
    ] {
        let (got, message) = refused(more.clone()).await;
        assert!(got == code && message.contains(part), "{more}: {got} {message}");
    }
    platform
        .ok("PutParameter", json!({"Name": "i", "Value": "ami-0new", "Type": "String", "DataType": "aws:ec2:image"}))
        .await;
    platform.ok("PutParameter", json!({"Name": "l", "Value": "a,b", "Type": "StringList", "Policies": "[]"})).await;
}

#[tokio::test]
async fn nobody_writes_what_is_awss_own() {
    let platform = Platform::new();
    let (code, message) =
        platform.refused("PutParameter", json!({"Name": "/aws/x", "Value": "v", "Type": "String"})).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("AccessDeniedException", "No access to reserved parameter name: /aws/x.")
    );
}

#[tokio::test]
async fn parameters_are_deleted_with_all_that_is_theirs() {
    let platform = Platform::new();
    platform.put("/a", "1").await;
    platform.overwrite("/a", "2").await;
    platform.put("/a/b", "3").await;
    platform.ok("DeleteParameter", json!({"Name": "a"})).await;
    assert_eq!(platform.refused("GetParameter", json!({"Name": "/a:1"})).await.0, "ParameterNotFound");
    assert_eq!(platform.value("/a/b").await, "3");
    assert_eq!(platform.put("/a", "4").await["Version"], 1);
    let deleted = platform.ok("DeleteParameters", json!({"Names": ["/a", "/a/b", "/c", "/a:1"]})).await;
    assert_eq!(deleted, json!({"DeletedParameters": ["/a", "/a/b"], "InvalidParameters": ["/c", "/a:1"]}));
    platform.put("z", "1").await;
    platform.ssm.reset().await.unwrap();
    assert_eq!(platform.refused("GetParameter", json!({"Name": "z"})).await.0, "ParameterNotFound");
}

#[tokio::test]
async fn tags_are_put_changed_and_listed() {
    let platform = Platform::new();
    let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
    platform.ok("PutParameter", json!({"Name": "x", "Value": "v", "Type": "String", "Tags": [tag("a", "1")]})).await;
    let resource = json!({"ResourceType": "Parameter", "ResourceId": "x"});
    let with = |more: serde_json::Value| {
        let mut input = resource.clone();
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    platform.ok("AddTagsToResource", with(json!({"Tags": [tag("b", "2"), tag("c", "3")]}))).await;
    platform.ok("RemoveTagsFromResource", with(json!({"TagKeys": ["a"]}))).await;
    let listed = platform.ok("ListTagsForResource", resource.clone()).await;
    assert_eq!(listed["TagList"], json!([tag("b", "2"), tag("c", "3")]));
    let many: Vec<_> = (0..49).map(|n| tag(&format!("k{n}"), "v")).collect();
    assert_eq!(platform.refused("AddTagsToResource", with(json!({"Tags": many}))).await.0, "TooManyTagsError");
    for (kind, id, code) in [
        ("Parameter", "y", "InvalidResourceId"),
        ("Parameter", "/aws/service/x", "InvalidResourceId"),
        ("Document", "x", "InvalidResourceType"),
    ] {
        let input = json!({"ResourceType": kind, "ResourceId": id});
        assert_eq!(platform.refused("ListTagsForResource", input).await.0, code, "{kind} {id}");
    }
}
