//! Parameter Store in templates: types of parameters, dynamic references, and parameters as resources.

use crate::platform::Platform;

const BY_NAME: &str = "
Parameters:
  Version: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /cdk/version}
  Names: {Type: 'AWS::SSM::Parameter::Value<List<String>>', Default: /names}
Rules:
  NewEnough:
    Assertions:
      - Assert: !Not [!Contains [['1', '2'], !Ref Version]]
        AssertDescription: Bootstrap again.
Resources:
  Q: {Type: 'AWS::SQS::Queue', Properties: {QueueName: !Join ['-', !Ref Names]}}
Outputs:
  Version: {Value: !Ref Version}
";

#[tokio::test(start_paused = true)]
async fn a_parameter_of_an_ssm_type_is_the_value_behind_its_name() {
    let platform = Platform::open().await;
    let missing = platform.create("web", BY_NAME).await.unwrap_err();
    assert_eq!(missing.code, "ValidationError");
    assert!(missing.message.contains("Unable to fetch parameters [/names]"), "{}", missing.message);
    let put = |name: &str, kind: &str, value: &str| platform.cloud.state.lock().put_parameter(name, kind, value);
    put("/names", "StringList", "a,b");
    put("/cdk/version", "String", "2");
    let old = platform.create("web", BY_NAME).await.unwrap_err();
    assert!(old.message.contains("Bootstrap again."), "{}", old.message);
    put("/cdk/version", "String", "6");
    platform.create("web", BY_NAME).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    assert_eq!(platform.cloud.all("queue"), ["a-b"]);
    assert_eq!(platform.output("web", "Version").await.as_deref(), Some("6"));
    let parameters = platform.stack("web").await.unwrap().parameters;
    let shown = |one: &api::cloudformation::Parameter| (one.parameter_value.clone(), one.resolved_value.clone());
    assert_eq!(shown(&parameters[1]), (Some("/cdk/version".to_owned()), Some("6".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_taken_into_no_template() {
    let platform = Platform::open().await;
    let put = |name: &str, kind: &str, value: &str| platform.cloud.state.lock().put_parameter(name, kind, value);
    put("/names", "StringList", "a,b");
    put("/cdk/version", "SecureString", "AQICAH");
    let refused = platform.create("web", BY_NAME).await.unwrap_err();
    assert!(refused.message.contains("types not supported by CloudFormation"), "{}", refused.message);
    let template = "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {QueueName: '{{resolve:ssm:/cdk/version}}'}}}";
    platform.create("two", template).await.unwrap();
    assert_eq!(platform.settled("two").await, "ROLLBACK_COMPLETE");
    assert!(platform.reasons("two", "Q").await[0].contains("types not supported"));
}

#[tokio::test(start_paused = true)]
async fn a_dynamic_reference_is_the_newest_value_or_that_of_its_version() {
    let platform = Platform::open().await;
    for value in ["one", "two"] {
        platform.cloud.state.lock().put_parameter("/name", "String", value);
    }
    let template = "
Resources:
  Newest: {Type: 'AWS::SQS::Queue', Properties: {QueueName: 'q-{{resolve:ssm:/name}}'}}
  First: {Type: 'AWS::SQS::Queue', Properties: {QueueName: 'q-{{resolve:ssm:/name:1}}'}}
";
    platform.create("web", template).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    assert_eq!(platform.cloud.all("queue"), ["q-one", "q-two"]);
    let template = "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {QueueName: '{{resolve:ssm:/name:3}}'}}}";
    platform.create("two", template).await.unwrap();
    assert_eq!(platform.settled("two").await, "ROLLBACK_COMPLETE");
    assert!(platform.reasons("two", "Q").await[0].contains("/name:3"));
}

#[tokio::test(start_paused = true)]
async fn a_parameter_is_made_changed_and_deleted_as_a_resource() {
    let platform = Platform::open().await;
    let template = |value: &str| {
        format!(
            "
Resources:
  P: {{Type: 'AWS::SSM::Parameter', Properties: {{Name: /p, Type: String, Value: {value}, Tags: {{team: blue}}}}}}
Outputs:
  Name: {{Value: !Ref P}}
  Value: {{Value: !GetAtt P.Value}}
"
        )
    };
    let id = platform.create("web", &template("one")).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    let tags = platform.cloud.thing("parameter", "/p")["Tags"].to_string();
    assert!(tags.contains("blue") && tags.contains("aws:cloudformation:stack-id"), "{tags}");
    platform.update("web", &template("two")).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    assert_eq!(platform.cloud.thing("parameter", "/p")["values"], serde_json::json!(["one", "two"]));
    assert_eq!(platform.output("web", "Name").await.as_deref(), Some("/p"));
    assert_eq!(platform.output("web", "Value").await.as_deref(), Some("two"));
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert!(platform.cloud.all("parameter").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_type_that_is_not_here_may_stand_under_a_condition_that_does_not_hold() {
    let platform = Platform::open().await;
    let template = |key: &str| {
        format!(
            "
Conditions: {{OwnKey: !Equals [own, {key}]}}
Resources:
  Key: {{Type: 'AWS::KMS::Key', Condition: OwnKey}}
  Q: {{Type: 'AWS::SQS::Queue', Properties: {{QueueName: !If [OwnKey, !GetAtt Key.Arn, q]}}}}
"
        )
    };
    platform.create("web", &template("aws")).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    let refused = platform.create("two", &template("own")).await.unwrap_err();
    assert_eq!(refused.message, "Template format error: Unrecognized resource types: [AWS::KMS::Key]");
}
