//! What requests are refused for, and what templates are told about.

use api::cloudformation::*;
use bytes::Bytes;

use crate::platform::{Platform, call, parameter};

const TEMPLATE: &str = "
Description: a queue
Parameters:
  KeyName: {Type: 'AWS::EC2::KeyPair::KeyName', Default: mykey}
  Secret: {Type: String, NoEcho: true, Default: hunter2}
Resources:
  Q:
    Type: AWS::SQS::Queue
    Metadata: {Config: {Key: !Ref KeyName}}
    Properties: {Tags: [{Key: secret, Value: !Ref Secret}]}
";

fn input(name: &str) -> CreateStackInput {
    CreateStackInput { stack_name: name.into(), template_body: Some(TEMPLATE.into()), ..CreateStackInput::default() }
}

async fn refused(platform: &Platform, input: CreateStackInput) -> String {
    let error = platform.create_as(input).await.unwrap_err();
    format!("{}: {}", error.query_code.as_ref().unwrap_or(&error.code), error.message)
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_is_refused() {
    let platform = Platform::open().await;
    let cases = [
        (
            CreateStackInput { stack_name: "1web".into(), ..input("web") },
            "ValidationError: 1 validation error detected: Value '1web' at 'stackName' failed to satisfy constraint",
        ),
        (
            CreateStackInput { template_body: None, ..input("web") },
            "ValidationError: Either Template URL or Template Body must be specified.",
        ),
        (
            CreateStackInput { template_url: Some("https://b.s3.amazonaws.com/t".into()), ..input("web") },
            "ValidationError: Only one of TemplateBody, TemplateURL",
        ),
        (
            CreateStackInput { template_body: Some("x".repeat(51_201)), ..input("web") },
            "ValidationError: 1 validation error detected: Value at 'templateBody'",
        ),
        (
            CreateStackInput {
                template_body: None,
                template_url: Some("https://b.s3.amazonaws.com/t".into()),
                ..input("web")
            },
            "ValidationError: S3 error: The specified key does not exist.",
        ),
        (
            CreateStackInput { parameters: vec![parameter("Nope", "x")], ..input("web") },
            "ValidationError: Parameters: [Nope] do not exist in the template",
        ),
        (
            CreateStackInput { parameters: vec![parameter("KeyName", "other")], ..input("web") },
            "ValidationError: Parameter validation failed: parameter value other for parameter name KeyName does not exist",
        ),
        (
            CreateStackInput { disable_rollback: Some(true), on_failure: Some("DELETE".into()), ..input("web") },
            "ValidationError: Either DisableRollback or OnFailure can be specified, not both.",
        ),
        (
            CreateStackInput { notification_ar_ns: vec!["arn:aws:sns:x".into()], ..input("web") },
            "ValidationError: NotificationARNs is not supported here: arn:aws:sns:x",
        ),
        (
            CreateStackInput { capabilities: vec!["CAPABILITY_X".into()], ..input("web") },
            "ValidationError: 1 validation error detected: Value '[CAPABILITY_X]' at 'capabilities'",
        ),
        (
            CreateStackInput { stack_policy_body: Some("{}".into()), ..input("web") },
            "ValidationError: Error validating stack policy",
        ),
        (
            CreateStackInput {
                template_body: Some(format!("Transform: AWS::LanguageExtensions\n{TEMPLATE}")),
                ..input("web")
            },
            "InsufficientCapabilitiesException: Requires capabilities : [CAPABILITY_AUTO_EXPAND]",
        ),
        (
            CreateStackInput { tags: vec![Tag { key: "aws:x".into(), value: String::new() }], ..input("web") },
            "ValidationError: aws: prefixed tag key names",
        ),
    ];
    for (input, expected) in cases {
        let told = refused(&platform, input).await;
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
    assert!(platform.stack("web").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_but_the_same_request_again_is_the_same_stack() {
    let platform = Platform::open().await;
    let with_token = CreateStackInput { client_request_token: Some("t1".into()), ..input("web") };
    let id = platform.create_as(with_token.clone()).await.unwrap();
    assert_eq!(platform.create_as(with_token).await.unwrap(), id);
    assert_eq!(refused(&platform, input("web")).await, "AlreadyExistsException: Stack [web] already exists");
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    assert_eq!(platform.cloud.all("queue").len(), 1);
    let events = platform.events("web").await;
    assert!(events.iter().all(|event| event.client_request_token.as_deref() == Some("t1")
        || event.resource_status.as_deref() == Some("CREATE_COMPLETE")));
}

#[tokio::test(start_paused = true)]
async fn a_template_behind_a_url_is_read() {
    let platform = Platform::open().await;
    platform.cloud.put_object("templates", "a/web.yaml", TEMPLATE);
    let url = "http://localhost:4566/templates/a/web.yaml".to_owned();
    platform
        .create_as(CreateStackInput { template_body: None, template_url: Some(url), ..input("web") })
        .await
        .unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_shown_nowhere() {
    let platform = Platform::open().await;
    platform.create("web", TEMPLATE).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    let stack = platform.stack("web").await.unwrap();
    assert_eq!(stack.parameters[1].parameter_value.as_deref(), Some("****"));
    let events = platform.events("web").await;
    assert!(!format!("{events:?}").contains("hunter2"));
    assert!(events.iter().any(|event| event.resource_properties.as_ref().is_some_and(|text| text.contains("****"))));
    let queue = platform.cloud.all("queue").remove(0);
    assert_eq!(platform.cloud.thing("queue", &queue)["tags"]["secret"], "hunter2");
}

#[tokio::test(start_paused = true)]
async fn resources_are_told_of_with_their_metadata() {
    let platform = Platform::open().await;
    platform.create("web", TEMPLATE).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    let input = DescribeStackResourceInput { stack_name: "web".into(), logical_resource_id: "Q".into() };
    let detail = platform.service.describe_stack_resource(&call(), input).await.unwrap().stack_resource_detail.unwrap();
    assert_eq!(detail.metadata.as_deref(), Some(r#"{"Config":{"Key":"mykey"}}"#));
    let input = DescribeStackResourceInput { stack_name: "web".into(), logical_resource_id: "R".into() };
    let missing = platform.service.describe_stack_resource(&call(), input).await.unwrap_err();
    assert_eq!(missing.message, "Resource R does not exist for stack web");
    let input = ListStackResourcesInput { stack_name: "web".into(), next_token: None };
    let listed = platform.service.list_stack_resources(&call(), input).await.unwrap().stack_resource_summaries;
    assert_eq!(listed[0].resource_status, "CREATE_COMPLETE");
    let physical = platform.physical("web", "Q").await;
    let input =
        DescribeStackResourcesInput { physical_resource_id: Some(physical), ..DescribeStackResourcesInput::default() };
    let found = platform.service.describe_stack_resources(&call(), input).await.unwrap().stack_resources;
    assert_eq!(found[0].stack_name.as_deref(), Some("web"));
}

#[tokio::test(start_paused = true)]
async fn templates_are_validated_and_summed_up() {
    let platform = Platform::open().await;
    let validate = |body: &str| ValidateTemplateInput { template_body: Some(body.into()), template_url: None };
    let told = platform.service.validate_template(&call(), validate(TEMPLATE)).await.unwrap();
    assert_eq!(told.description.as_deref(), Some("a queue"));
    let names: Vec<_> = told.parameters.iter().map(|one| one.parameter_key.clone().unwrap()).collect();
    assert_eq!(names, ["KeyName", "Secret"]);
    let wrong =
        platform.service.validate_template(&call(), validate(&TEMPLATE.replace("!Ref KeyName", "!Ref Nobody"))).await;
    assert_eq!(
        wrong.unwrap_err().message,
        "Template format error: Unresolved resource dependencies [Nobody] in the Resources block of the template"
    );
    let input = GetTemplateSummaryInput { template_body: Some(TEMPLATE.into()), ..GetTemplateSummaryInput::default() };
    let summary = platform.service.get_template_summary(&call(), input).await.unwrap();
    assert_eq!(summary.resource_types, ["AWS::SQS::Queue"]);
    assert_eq!(summary.parameters[0].parameter_type.as_deref(), Some("AWS::EC2::KeyPair::KeyName"));
    let limits =
        platform.service.describe_account_limits(&call(), DescribeAccountLimitsInput::default()).await.unwrap();
    assert!(limits.account_limits.iter().any(|limit| limit.name.as_deref() == Some("StackLimit")));
}

#[tokio::test(start_paused = true)]
async fn stacks_are_listed_page_by_page() {
    let platform = Platform::open().await;
    for n in 0..105 {
        platform
            .create(&format!("s{n}"), "Resources: {H: {Type: 'AWS::CloudFormation::WaitConditionHandle'}}")
            .await
            .unwrap();
    }
    let first = platform.service.describe_stacks(&call(), DescribeStacksInput::default()).await.unwrap();
    assert_eq!(first.stacks.len(), 100);
    let input = DescribeStacksInput { next_token: first.next_token, stack_name: None };
    let second = platform.service.describe_stacks(&call(), input).await.unwrap();
    assert_eq!((second.stacks.len(), second.next_token), (5, None));
}

#[tokio::test(start_paused = true)]
async fn a_missing_stack_is_a_validation_error_in_either_protocol() {
    let platform = Platform::open().await;
    let body = Bytes::from_static(b"Action=DescribeStacks&Version=2010-05-15&StackName=none");
    let answer = platform.service.handle(&call(), "DescribeStacks", body).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(answer.status, 400);
    assert!(
        text.contains("<Code>ValidationError</Code>")
            && text.contains("<Message>Stack with id none does not exist</Message>"),
        "{text}"
    );
    let mut json = call();
    json.protocol = api::Protocol::Json11;
    let answer =
        platform.service.handle(&json, "DescribeStacks", Bytes::from_static(b"{\"StackName\":\"none\"}")).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains("Stack with id none does not exist"), "{text}");
    let mut anonymous = call();
    anonymous.identity.principal = api::Principal::Anonymous;
    assert_eq!(platform.service.handle(&anonymous, "DescribeStacks", Bytes::new()).await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn the_published_tools_of_instances_are_answered_in_their_json() {
    let platform = Platform::open().await;
    platform.create("web", TEMPLATE).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    let ask = |form: &'static [u8]| {
        let operation = if form.starts_with(b"Action=S") { "SignalResource" } else { "DescribeStackResource" };
        let (service, call) = (platform.service.clone(), call());
        async move {
            let answer = service.handle(&call, operation, Bytes::from_static(form)).await;
            assert_eq!(answer.content_type, "application/json");
            (answer.status, serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap())
        }
    };
    let (status, answer) =
        ask(b"Action=DescribeStackResource&ContentType=JSON&LogicalResourceId=Q&StackName=web&Version=2010-05-15")
            .await;
    let detail = &answer["DescribeStackResourceResponse"]["DescribeStackResourceResult"]["StackResourceDetail"];
    assert_eq!(status, 200);
    assert_eq!(detail["LogicalResourceId"], "Q");
    assert_eq!(detail["Metadata"], r#"{"Config":{"Key":"mykey"}}"#);
    assert!(detail["LastUpdatedTimestamp"].is_number(), "{detail}");
    assert_eq!(answer["DescribeStackResourceResponse"]["ResponseMetadata"]["RequestId"], "test");
    let (status, answer) = ask(
        b"Action=SignalResource&ContentType=JSON&LogicalResourceId=Q&StackName=web&Status=SUCCESS&UniqueId=i+1&Version=2010-05-15",
    )
    .await;
    assert_eq!((status, answer["Error"]["Code"].as_str()), (400, Some("ValidationError")));
    assert_eq!(answer["Error"]["Type"], "Sender");
    assert_eq!(answer["Error"]["Message"], "Resource Q is in CREATE_COMPLETE state and can not be signaled.");
}

#[tokio::test(start_paused = true)]
async fn nested_stacks_come_and_go_with_their_parent() {
    let platform = Platform::open().await;
    let child = "
Parameters: {Name: {Type: String}}
Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {QueueName: !Ref Name}}}
Outputs: {Url: {Value: !Ref Q}}
";
    platform.cloud.put_object("templates", "child.yaml", child);
    let parent = "
Resources:
  Child:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: 'http://localhost:4566/templates/child.yaml', Parameters: {Name: orders}}
Outputs: {Url: {Value: !GetAtt Child.Outputs.Url}}
";
    let id = platform.create("web", parent).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    assert_eq!(platform.cloud.all("queue"), ["orders"]);
    assert_eq!(platform.output("web", "Url").await.as_deref(), Some("http://localhost/123456789012/orders"));
    let child_id = platform.physical("web", "Child").await;
    assert_eq!(platform.stack(&child_id).await.unwrap().parent_id.as_deref(), Some(id.as_str()));
    platform.update("web", &parent.replace("Name: orders", "Name: others")).await.unwrap();
    assert_eq!(platform.settled("web").await, "UPDATE_COMPLETE");
    assert_eq!(platform.cloud.all("queue"), ["others"]);
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert_eq!(platform.cloud.count(), 0);
    assert_eq!(platform.stack(&child_id).await.unwrap().stack_status, "DELETE_COMPLETE");
}

#[tokio::test(start_paused = true)]
async fn a_nested_stack_that_fails_fails_its_parent() {
    let platform = Platform::open().await;
    platform.cloud.put_object(
        "templates",
        "child.yaml",
        "Resources: {V: {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: 10.0.0.0/16}}}",
    );
    platform.cloud.fail("CreateVpc", 0, 1, "too many");
    let parent = "
Resources:
  Child: {Type: 'AWS::CloudFormation::Stack', Properties: {TemplateURL: 'http://localhost:4566/templates/child.yaml'}}
";
    platform.create("web", parent).await.unwrap();
    assert_eq!(platform.settled("web").await, "ROLLBACK_COMPLETE");
    let reasons = platform.reasons("web", "Child").await;
    assert!(
        reasons
            .iter()
            .any(|reason| reason
                .contains("was not successfully created: The following resource(s) failed to create: [V]")),
        "{reasons:?}"
    );
    assert_eq!(platform.cloud.count(), 0);
}
