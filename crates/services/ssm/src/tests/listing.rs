//! DescribeParameters and its filters.

use ::api::Principal;
use serde_json::{Value, json};

use super::platform::{Platform, names};

async fn platform() -> Platform {
    let platform = Platform::new();
    platform.put("param", "1").await;
    platform.put("/param-2", "2").await;
    platform.put("/tangent/3", "3").await;
    let tagged =
        json!({"Name": "tangram-4", "Value": "4", "Type": "SecureString", "Tags": [{"Key": "team", "Value": "x"}]});
    platform.ok("PutParameter", tagged).await;
    platform
}

#[tokio::test]
async fn parameters_are_described_without_their_values_in_pages() {
    let platform = platform().await;
    let first = platform.ok("DescribeParameters", json!({"MaxResults": 3})).await;
    assert_eq!(names(&first), ["param", "/param-2", "/tangent/3"]);
    assert!(first["Parameters"][0].get("Value").is_none());
    assert_eq!(first["Parameters"][0]["Policies"], json!([]));
    let rest = platform.ok("DescribeParameters", json!({"NextToken": first["NextToken"]})).await;
    assert_eq!(names(&rest), ["tangram-4"]);
    assert!(names(&platform.ok("DescribeParameters", json!({"Shared": true})).await).is_empty());
}

#[tokio::test]
async fn a_filter_passes_what_it_says() {
    let platform = platform().await;
    let found = async |key: &str, option: Option<&str>, values: Value| {
        let filter = json!({"Key": key, "Option": option, "Values": values});
        names(&platform.ok("DescribeParameters", json!({"ParameterFilters": [filter]})).await)
    };
    assert_eq!(found("Name", None, json!(["/param"])).await, ["param"]);
    assert_eq!(found("Name", None, json!(["param-2"])).await, ["/param-2"]);
    assert_eq!(found("Name", Some("BeginsWith"), json!(["param"])).await, ["param", "/param-2"]);
    assert_eq!(found("Name", Some("Contains"), json!(["/tan"])).await, ["/tangent/3", "tangram-4"]);
    assert_eq!(found("Type", None, json!(["SecureString"])).await, ["tangram-4"]);
    assert_eq!(found("KeyId", Some("BeginsWith"), json!(["alias/"])).await, ["tangram-4"]);
    assert_eq!(found("Path", None, json!(["/"])).await, ["param", "/param-2", "tangram-4"]);
    assert_eq!(found("Path", Some("Recursive"), json!(["/"])).await.len(), 4);
    assert_eq!(found("Path", None, json!(["/tangent/"])).await, ["/tangent/3"]);
    assert_eq!(found("tag:team", None, json!(["x", "y"])).await, ["tangram-4"]);
    assert_eq!(found("Tier", None, json!(["Standard"])).await.len(), 4);
    let old = json!({"Filters": [{"Key": "Name", "Values": ["param"]}]});
    assert_eq!(names(&platform.ok("DescribeParameters", old).await), ["param"]);
}

#[tokio::test]
async fn a_filter_that_can_not_be_is_refused() {
    let platform = platform().await;
    let filter =
        |key: &str, option: Option<&str>, values: Value| json!({"Key": key, "Option": option, "Values": values});
    for (filters, code) in [
        (json!([filter("key", None, json!(["x"]))]), "ValidationException"),
        (json!([filter("Label", None, json!(["x"]))]), "InvalidFilterKey"),
        (json!([filter("Name", None, json!(null))]), "InvalidFilterValue"),
        (json!([filter("Name", Some("Like"), json!(["x"]))]), "InvalidFilterOption"),
        (json!([filter("Path", Some("Equals"), json!(["/x"]))]), "InvalidFilterOption"),
        (json!([filter("Path", None, json!(["x"]))]), "ValidationException"),
        (json!([filter("Type", None, json!(["x"]))]), "InvalidFilterValue"),
        (json!([filter("Tier", None, json!(["x"]))]), "InvalidFilterValue"),
        (json!([filter("Name", None, json!(["x"])), filter("Name", None, json!(["y"]))]), "InvalidFilterKey"),
    ] {
        let (got, message) = platform.refused("DescribeParameters", json!({"ParameterFilters": filters.clone()})).await;
        assert_eq!(got, code, "{filters} {message}");
    }
    let both = json!({"Filters": [{"Key": "Name", "Values": ["x"]}], "ParameterFilters": [filter("Name", None, json!(["x"]))]});
    assert_eq!(platform.refused("DescribeParameters", both).await.0, "ValidationException");
}

#[tokio::test]
async fn who_did_not_sign_is_told_nothing() {
    let mut platform = platform().await;
    platform.call.identity.principal = Principal::Anonymous;
    assert_eq!(platform.refused("DescribeParameters", json!({})).await.0, "MissingAuthenticationToken");
    assert_eq!(platform.refused("GetParameter", json!({"Name": "param"})).await.0, "MissingAuthenticationToken");
}
