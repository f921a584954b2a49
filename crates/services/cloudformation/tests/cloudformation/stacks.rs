//! Stacks are made, and taken back when that fails.

use api::cloudformation::{CreateStackInput, Tag};

use crate::platform::{Platform, parameter};

pub(crate) const NETWORK: &str = "
Parameters:
  Delay: {Type: Number, Default: 5}
Resources:
  Vpc:
    Type: AWS::EC2::VPC
    Properties: {CidrBlock: 10.0.0.0/16, EnableDnsHostnames: 'true'}
  Gateway: {Type: 'AWS::EC2::InternetGateway'}
  Attachment:
    Type: AWS::EC2::VPCGatewayAttachment
    Properties: {VpcId: !Ref Vpc, InternetGatewayId: !Ref Gateway}
  Subnet:
    Type: AWS::EC2::Subnet
    Properties:
      VpcId: !Ref Vpc
      CidrBlock: 10.0.1.0/24
      AvailabilityZone: !Select ['0', !GetAZs '']
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: web
      VpcId: !Ref Vpc
      SecurityGroupIngress: [{IpProtocol: tcp, FromPort: '80', ToPort: 80, CidrIp: 0.0.0.0/0}]
  Queue:
    Type: AWS::SQS::Queue
    DependsOn: Attachment
    Properties: {DelaySeconds: !Ref Delay}
Outputs:
  Url: {Value: !Ref Queue, Description: where to send}
  Arn: {Value: !GetAtt Queue.Arn}
  Zone: {Value: !Select [1, !GetAZs '']}
";

#[tokio::test(start_paused = true)]
async fn a_stack_is_made_with_its_outputs_and_events() {
    let platform = Platform::open().await;
    let id = platform.create("web", NETWORK).await.unwrap();
    assert!(id.starts_with("arn:aws:cloudformation:eu-west-1:123456789012:stack/web/"));
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    assert_eq!(platform.cloud.count(), 5, "{:?}", platform.cloud.state.lock().things.keys());
    let queue = platform.physical("web", "Queue").await;
    assert!(queue.starts_with("http://localhost/123456789012/web-Queue-"));
    assert_eq!(platform.output("web", "Url").await, Some(queue.clone()));
    let name = queue.rsplit('/').next().unwrap();
    assert_eq!(platform.output("web", "Arn").await, Some(format!("arn:aws:sqs:eu-west-1:123456789012:{name}")));
    assert_eq!(platform.output("web", "Zone").await.as_deref(), Some("eu-west-1b"));
    assert_eq!(platform.cloud.thing("queue", name)["attributes"]["DelaySeconds"], "5");
    let vpc = platform.physical("web", "Vpc").await;
    let tags = platform.cloud.thing("Vpc", &vpc)["Tags"].to_string();
    assert!(tags.contains("aws:cloudformation:stack-name") && tags.contains(&id), "{tags}");
    assert_eq!(platform.cloud.thing("Vpc", &vpc)["EnableDnsHostnames"], true);
    let subnet = platform.physical("web", "Subnet").await;
    assert_eq!(platform.cloud.thing("Subnet", &subnet)["AvailabilityZone"], "eu-west-1a");
    let statuses: Vec<String> = platform
        .events("web")
        .await
        .into_iter()
        .filter(|event| event.logical_resource_id.as_deref() == Some("Queue"))
        .map(|event| format!("{} {}", event.resource_status.unwrap(), event.resource_status_reason.unwrap_or_default()))
        .collect();
    assert_eq!(statuses, ["CREATE_IN_PROGRESS ", "CREATE_IN_PROGRESS Resource creation Initiated", "CREATE_COMPLETE "]);
    let events = platform.events("web").await;
    assert_eq!(events.first().unwrap().resource_status.as_deref(), Some("CREATE_IN_PROGRESS"));
    assert_eq!(events.first().unwrap().resource_type.as_deref(), Some("AWS::CloudFormation::Stack"));
    assert_eq!(events.last().unwrap().resource_status.as_deref(), Some("CREATE_COMPLETE"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_takes_back_what_was_made_and_says_why() {
    let platform = Platform::open().await;
    platform.cloud.fail("CreateSubnet", 0, 9, "The CIDR '10.0.1.0/24' conflicts with another subnet");
    platform.create("web", NETWORK).await.unwrap();
    assert_eq!(platform.settled("web").await, "ROLLBACK_COMPLETE");
    assert_eq!(platform.cloud.count(), 0);
    let reasons = platform.reasons("web", "Subnet").await;
    assert!(
        reasons[0].starts_with("The CIDR '10.0.1.0/24' conflicts with another subnet (Service: AmazonEC2; Status Code: 400; Error Code: InvalidParameterValue; Request ID: "),
        "{reasons:?}"
    );
    let reasons = platform.reasons("web", "web").await;
    assert!(
        reasons.iter().any(|reason| reason.contains("The following resource(s) failed to create: [")
            && reason.contains("Subnet")
            && reason.ends_with("Rollback requested by user.")),
        "{reasons:?}"
    );
    // Nothing but deletion is possible now.
    let refused = platform.update("web", NETWORK).await.unwrap_err();
    assert!(refused.message.contains("is in ROLLBACK_COMPLETE state and can not be updated."));
    let id = platform.stack("web").await.unwrap().stack_id.unwrap();
    platform.delete("web").await.unwrap();
    assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
    assert_eq!(platform.stack("web").await.unwrap_err().message, "Stack with id web does not exist");
}

#[tokio::test(start_paused = true)]
async fn on_failure_decides_what_becomes_of_what_was_made() {
    let platform = Platform::open().await;
    for (name, on_failure, status, left) in
        [("keep", "DO_NOTHING", "CREATE_FAILED", true), ("gone", "DELETE", "DELETE_COMPLETE", false)]
    {
        platform.cloud.fail("CreateSubnet", 0, 1, "no");
        let input = CreateStackInput {
            stack_name: name.into(),
            template_body: Some(NETWORK.into()),
            on_failure: Some(on_failure.into()),
            ..CreateStackInput::default()
        };
        let id = platform.create_as(input).await.unwrap();
        assert_eq!(platform.settled(&id).await, status);
        assert_eq!(platform.cloud.count() > 0, left, "{name}");
        platform.delete(&id).await.unwrap();
        assert_eq!(platform.settled(&id).await, "DELETE_COMPLETE");
        assert_eq!(platform.cloud.count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_property_that_nobody_honours_fails_its_resource() {
    let platform = Platform::open().await;
    platform.create("web", "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {DelaySecond: 1}}}").await.unwrap();
    assert_eq!(platform.settled("web").await, "ROLLBACK_COMPLETE");
    assert_eq!(platform.reasons("web", "Q").await[0], "Encountered unsupported property DelaySecond");
    assert_eq!(platform.cloud.called("CreateQueue"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_type_is_refused_before_anything_is_made() {
    let platform = Platform::open().await;
    let template = "Resources: {Q: {Type: 'AWS::SQS::Queue'}, L: {Type: 'AWS::Lambda::Function'}}";
    let refused = platform.create("web", template).await.unwrap_err();
    assert_eq!(refused.code, "ValidationError");
    assert_eq!(refused.message, "Template format error: Unrecognized resource types: [AWS::Lambda::Function]");
    assert!(platform.stack("web").await.is_err());
    assert_eq!(platform.cloud.called("CreateQueue"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_there_before_is_not_taken() {
    let platform = Platform::open().await;
    let template = "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {QueueName: orders}}}";
    platform.create("one", template).await.unwrap();
    assert_eq!(platform.settled("one").await, "CREATE_COMPLETE");
    platform.create("two", template).await.unwrap();
    assert_eq!(platform.settled("two").await, "ROLLBACK_COMPLETE");
    assert_eq!(platform.reasons("two", "Q").await[0], "orders already exists");
    assert_eq!(platform.cloud.all("queue"), ["orders"]);
}

#[tokio::test(start_paused = true)]
async fn a_stacks_tags_and_parameters_reach_its_resources() {
    let platform = Platform::open().await;
    let input = CreateStackInput {
        stack_name: "web".into(),
        template_body: Some(NETWORK.into()),
        parameters: vec![parameter("Delay", "9")],
        tags: vec![Tag { key: "team".into(), value: "blue".into() }],
        ..CreateStackInput::default()
    };
    platform.create_as(input).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    let queue = platform.cloud.all("queue").remove(0);
    let queue = platform.cloud.thing("queue", &queue);
    assert_eq!(queue["attributes"]["DelaySeconds"], "9");
    assert_eq!(queue["tags"]["team"], "blue");
    let vpc = platform.physical("web", "Vpc").await;
    assert!(platform.cloud.thing("Vpc", &vpc)["Tags"].to_string().contains("blue"));
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_takes_too_long_is_taken_back() {
    let platform = Platform::open().await;
    platform.cloud.state.lock().launches_nothing = true;
    let template = "
Resources:
  Configuration: {Type: 'AWS::AutoScaling::LaunchConfiguration', Properties: {ImageId: ami-1, InstanceType: t2.micro}}
  Group:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties: {LaunchConfigurationName: !Ref Configuration, MinSize: '2', MaxSize: 2, AvailabilityZones: !GetAZs ''}
";
    let input = CreateStackInput {
        stack_name: "web".into(),
        template_body: Some(template.into()),
        timeout_in_minutes: Some(3),
        ..CreateStackInput::default()
    };
    let begun = platform.now_ms();
    platform.create_as(input).await.unwrap();
    assert_eq!(platform.settled("web").await, "ROLLBACK_COMPLETE");
    let took = (platform.now_ms() - begun) / 1000;
    assert!((180..190).contains(&took), "{took} s");
    assert_eq!(platform.cloud.count(), 0);
    assert_eq!(platform.reasons("web", "Group").await.last().unwrap(), "Resource creation cancelled");
}

#[tokio::test(start_paused = true)]
async fn conditions_decide_which_resources_are_made() {
    let platform = Platform::open().await;
    let template = "
Parameters: {Stage: {Type: String, Default: dev}}
Conditions: {IsProd: !Equals [!Ref Stage, prod]}
Resources:
  Always: {Type: AWS::SQS::Queue}
  Sometimes: {Type: AWS::SQS::Queue, Condition: IsProd}
Outputs:
  Other: {Value: !If [IsProd, !Ref Sometimes, none]}
  Hidden: {Condition: IsProd, Value: x}
";
    platform.create("web", template).await.unwrap();
    assert_eq!(platform.settled("web").await, "CREATE_COMPLETE");
    assert_eq!(platform.cloud.all("queue").len(), 1);
    assert_eq!(platform.output("web", "Other").await.as_deref(), Some("none"));
    assert_eq!(platform.output("web", "Hidden").await, None);
}
