//! GetParametersByPath, and AWS's own parameters.

use serde_json::{Value, json};

use super::platform::{Platform, names};

async fn forest() -> Platform {
    let platform = Platform::new();
    for name in ["/a/1", "/a/2", "/a/b/3", "/ab/4", "root"] {
        platform.put(name, "v").await;
    }
    platform
}

#[tokio::test]
async fn a_hierarchy_is_listed_one_level_or_all_the_way_down() {
    let platform = forest().await;
    let by_path = async |input: Value| names(&platform.ok("GetParametersByPath", input).await);
    assert_eq!(by_path(json!({"Path": "/a"})).await, ["/a/1", "/a/2"]);
    assert_eq!(by_path(json!({"Path": "/a/", "Recursive": true})).await, ["/a/1", "/a/2", "/a/b/3"]);
    assert_eq!(by_path(json!({"Path": "/"})).await, ["root"]);
    assert_eq!(by_path(json!({"Path": "/", "Recursive": true})).await.len(), 5);
    assert!(by_path(json!({"Path": "/none"})).await.is_empty());
    for wrong in ["a", "//", "/ssm"] {
        assert_eq!(platform.refused("GetParametersByPath", json!({"Path": wrong})).await.0, "ValidationException");
    }
}

#[tokio::test]
async fn a_hierarchy_is_listed_in_pages_and_filtered() {
    let platform = forest().await;
    let first = platform.ok("GetParametersByPath", json!({"Path": "/", "Recursive": true, "MaxResults": 3})).await;
    assert_eq!(names(&first), ["/a/1", "/a/2", "/a/b/3"]);
    let rest = json!({"Path": "/", "Recursive": true, "MaxResults": 3, "NextToken": first["NextToken"]});
    let rest = platform.ok("GetParametersByPath", rest).await;
    assert_eq!(names(&rest), ["/ab/4", "root"]);
    assert!(rest.get("NextToken").is_none());
    platform.overwrite("/a/1", "new").await;
    platform.ok("LabelParameterVersion", json!({"Name": "/a/1", "ParameterVersion": 1, "Labels": ["old"]})).await;
    let filter = json!({"Path": "/a", "ParameterFilters": [{"Key": "Label", "Values": ["old"]}]});
    let found = platform.ok("GetParametersByPath", filter).await;
    assert_eq!(names(&found), ["/a/1"]);
    assert_eq!((&found["Parameters"][0]["Value"], &found["Parameters"][0]["Selector"]), (&json!("v"), &json!(":old")));
    let filter = json!({"Path": "/a", "ParameterFilters": [{"Key": "Name", "Values": ["x"]}]});
    let (code, message) = platform.refused("GetParametersByPath", filter).await;
    assert_eq!(code, "InvalidFilterKey");
    assert!(message.contains("Valid filter keys include: [Type, KeyId]"), "{message}");
    let eleven = json!({"Path": "/", "MaxResults": 11});
    assert_eq!(platform.refused("GetParametersByPath", eleven).await.0, "ValidationException");
}

#[tokio::test]
async fn awss_own_parameters_name_the_newest_image_that_there_is() {
    let platform = Platform::new();
    let name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64";
    let got = platform.ok("GetParameter", json!({"Name": name})).await["Parameter"].take();
    assert_eq!((&got["Name"], &got["Value"]), (&json!(name), &json!("ami-0new")));
    assert_eq!(got["ARN"], format!("arn:aws:ssm:eu-west-1::parameter{name}"));
    assert_eq!(platform.value(&format!("{name}:1")).await, "ami-0new");
    let arm = json!({"Name": name.replace("x86_64", "arm64")});
    assert_eq!(platform.refused("GetParameter", arm).await.0, "ParameterNotFound");
    assert_eq!(platform.refused("GetParameter", json!({"Name": "/aws/service/other"})).await.0, "ParameterNotFound");
    let below = json!({"Path": "/aws/service/ami-amazon-linux-latest"});
    let below = platform.ok("GetParametersByPath", below).await;
    assert!(names(&below).contains(&name.to_owned()), "{below}");
    assert_eq!(platform.refused("DeleteParameter", json!({"Name": name})).await.0, "ParameterNotFound");
}
