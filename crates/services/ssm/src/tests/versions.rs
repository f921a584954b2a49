//! Versions, their selectors and labels: GetParameterHistory, LabelParameterVersion, UnlabelParameterVersion.

use serde_json::{Value, json};

use super::platform::Platform;

fn column(history: &Value, name: &str) -> Vec<Value> {
    history["Parameters"].as_array().unwrap().iter().map(|version| version[name].clone()).collect()
}

#[tokio::test]
async fn an_overwrite_is_a_new_version_and_keeps_what_it_does_not_say() {
    let platform = Platform::new();
    let first =
        json!({"Name": "/p", "Value": "1", "Type": "StringList", "Description": "d", "AllowedPattern": "[0-9]+"});
    platform.ok("PutParameter", first).await;
    assert_eq!(platform.overwrite("/p", "2").await["Version"], 2);
    let refused = platform.refused("PutParameter", json!({"Name": "/p", "Value": "x", "Overwrite": true})).await;
    assert_eq!(refused.0, "ParameterPatternMismatchException");
    let history = platform.ok("GetParameterHistory", json!({"Name": "/p"})).await;
    assert_eq!(column(&history, "Value"), ["1", "2"]);
    assert_eq!(column(&history, "Description"), ["d", "d"]);
    assert_eq!(column(&history, "Type"), ["StringList", "StringList"]);
    assert_eq!(column(&history, "Labels"), [json!([]), json!([])]);
    assert_eq!(column(&history, "LastModifiedUser")[0], "arn:aws:iam::123456789012:root");
    platform.ok("PutParameter", json!({"Name": "/p", "Value": "3", "Overwrite": true, "Description": ""})).await;
    let history = platform.ok("GetParameterHistory", json!({"Name": "/p", "MaxResults": 2})).await;
    assert_eq!(column(&history, "Version"), [1, 2]);
    let rest = json!({"Name": "/p", "NextToken": history["NextToken"]});
    let rest = platform.ok("GetParameterHistory", rest).await;
    assert_eq!(column(&rest, "Version"), [3]);
    assert!(rest["Parameters"][0].get("Description").is_none() && rest.get("NextToken").is_none(), "{rest}");
    let broken = json!({"Name": "/p", "NextToken": "!"});
    assert_eq!(platform.refused("GetParameterHistory", broken).await.0, "InvalidNextToken");
}

#[tokio::test]
async fn a_version_is_selected_by_its_number_or_label() {
    let platform = Platform::new();
    platform.put("p", "1").await;
    platform.overwrite("p", "2").await;
    platform.ok("LabelParameterVersion", json!({"Name": "p", "ParameterVersion": 1, "Labels": ["old"]})).await;
    let got = platform.ok("GetParameter", json!({"Name": "p:1"})).await["Parameter"].take();
    assert_eq!((&got["Name"], &got["Selector"], &got["Value"]), (&json!("p"), &json!(":1"), &json!("1")));
    assert_eq!(platform.value("p:old").await, "1");
    assert_eq!(platform.value("p").await, "2");
    let (code, message) = platform.refused("GetParameter", json!({"Name": "p:7"})).await;
    assert_eq!(code, "ParameterVersionNotFound");
    assert_eq!(message, "Systems Manager could not find version 7 of p. Verify the version and try again.");
    assert_eq!(platform.refused("GetParameter", json!({"Name": "p:new"})).await.0, "ParameterVersionNotFound");
    assert_eq!(platform.refused("GetParameter", json!({"Name": "q:1"})).await.0, "ParameterNotFound");
}

#[tokio::test]
async fn a_label_is_on_one_version_and_moves() {
    let platform = Platform::new();
    platform.put("p", "1").await;
    platform.overwrite("p", "2").await;
    let labels = json!(["live", "aws-x", "1st", "a/b"]);
    let answer =
        platform.ok("LabelParameterVersion", json!({"Name": "p", "ParameterVersion": 1, "Labels": labels})).await;
    assert_eq!(answer, json!({"InvalidLabels": ["aws-x", "1st", "a/b"], "ParameterVersion": 1}));
    let answer = platform.ok("LabelParameterVersion", json!({"Name": "p", "Labels": ["live"]})).await;
    assert_eq!(answer["ParameterVersion"], 2);
    let history = platform.ok("GetParameterHistory", json!({"Name": "p"})).await;
    assert_eq!(column(&history, "Labels"), [json!([]), json!(["live"])]);
    let unlabel = json!({"Name": "p", "ParameterVersion": 2, "Labels": ["live", "gone"]});
    let answer = platform.ok("UnlabelParameterVersion", unlabel).await;
    assert_eq!(answer, json!({"InvalidLabels": ["gone"], "RemovedLabels": ["live"]}));
    let many: Vec<String> = (0..10).map(|n| format!("l{n}")).collect();
    platform.ok("LabelParameterVersion", json!({"Name": "p", "Labels": many})).await;
    let one_more = json!({"Name": "p", "Labels": ["more"]});
    assert_eq!(platform.refused("LabelParameterVersion", one_more).await.0, "ParameterVersionLabelLimitExceeded");
    let wrong = json!({"Name": "p", "ParameterVersion": 9, "Labels": ["x"]});
    assert_eq!(platform.refused("LabelParameterVersion", wrong).await.0, "ParameterVersionNotFound");
}

#[tokio::test]
async fn a_hundred_versions_are_kept_and_the_oldest_only_goes_without_a_label() {
    let platform = Platform::new();
    platform.put("p", "1").await;
    for n in 2..=101 {
        platform.overwrite("p", &n.to_string()).await;
    }
    assert_eq!(platform.refused("GetParameter", json!({"Name": "p:1"})).await.0, "ParameterVersionNotFound");
    assert_eq!(platform.value("p:2").await, "2");
    platform.ok("LabelParameterVersion", json!({"Name": "p", "ParameterVersion": 2, "Labels": ["keep"]})).await;
    let (code, message) = platform.refused("PutParameter", json!({"Name": "p", "Value": "x", "Overwrite": true})).await;
    assert_eq!(code, "ParameterMaxVersionLimitExceeded");
    assert!(message.contains("Version 2, the oldest version"), "{message}");
    assert_eq!(platform.value("p").await, "101");
}

#[tokio::test]
async fn a_parameter_climbs_the_tiers_and_never_comes_down() {
    let platform = Platform::new();
    let put = |tier: &str, bytes: usize| json!({"Name": "p", "Value": "v".repeat(bytes), "Type": "String", "Tier": tier, "Overwrite": true});
    assert_eq!(platform.ok("PutParameter", put("Intelligent-Tiering", 10)).await["Tier"], "Standard");
    assert_eq!(platform.ok("PutParameter", put("Intelligent-Tiering", 5000)).await["Tier"], "Advanced");
    let (code, message) = platform.refused("PutParameter", put("Standard", 10)).await;
    assert!(code == "ValidationException" && message.contains("can't downgrade"), "{code} {message}");
    assert_eq!(platform.overwrite("p", "short").await["Tier"], "Advanced");
}
