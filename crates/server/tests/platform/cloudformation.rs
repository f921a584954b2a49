//! CloudFormation through the built binary: templates over HTTP and from the command line, on real services.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Key, Place, Server, eventually};

const VERSION: &str = "2010-05-15";

const TEMPLATE: &str = "
Parameters:
  Delay: {Type: Number, Default: 5}
Resources:
  Dead: {Type: AWS::SQS::Queue}
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      DelaySeconds: !Ref Delay
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 5}
  QueuePolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Queue]
      PolicyDocument:
        Version: '2012-10-17'
        Statement: [{Effect: Allow, Principal: '*', Action: 'sqs:SendMessage', Resource: !GetAtt Queue.Arn}]
  Bucket:
    Type: AWS::S3::Bucket
    Properties: {WebsiteConfiguration: {IndexDocument: index.html}}
  BucketPolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Bucket
      PolicyDocument:
        Version: '2012-10-17'
        Statement: [{Effect: Allow, Principal: '*', Action: 's3:GetObject', Resource: !Sub '${Bucket.Arn}/*'}]
  Vpc: {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: 172.20.0.0/16}}
  Gateway: {Type: 'AWS::EC2::InternetGateway'}
  Attachment:
    Type: AWS::EC2::VPCGatewayAttachment
    Properties: {VpcId: !Ref Vpc, InternetGatewayId: !Ref Gateway}
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: web
      VpcId: !Ref Vpc
      SecurityGroupIngress: [{IpProtocol: tcp, FromPort: '80', ToPort: '80', CidrIp: 0.0.0.0/0}]
  Balancer:
    Type: AWS::ElasticLoadBalancing::LoadBalancer
    Properties:
      LoadBalancerName: elb
      AvailabilityZones: !GetAZs ''
      Listeners: [{LoadBalancerPort: 'PORT', InstancePort: '80', InstanceProtocol: HTTP, Protocol: HTTP}]
      HealthCheck: {HealthyThreshold: '3', Interval: '10', Target: 'HTTP:80/', Timeout: '5', UnhealthyThreshold: '2'}
Outputs:
  Url: {Value: !Join ['', ['http://', !GetAtt Balancer.DNSName]]}
  Queue: {Value: !Ref Queue}
";

fn template() -> String {
    TEMPLATE.replace("PORT", &crate::load_balancer::free_port().to_string())
}

impl Server {
    fn stack(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.query_ok("cloudformation", VERSION, action, parameters)
    }

    fn status(&self, name: &str) -> String {
        let answer =
            self.query_as(&Key::any(), "cloudformation", VERSION, "DescribeStacks", &[("StackName", name)]).text();
        match answer.split_once("<StackStatus>") {
            Some((_, rest)) => rest.split('<').next().unwrap_or_default().to_owned(),
            None => answer,
        }
    }

    fn settled(&self, name: &str) -> String {
        eventually("the stack comes to rest", || !self.status(name).ends_with("_IN_PROGRESS"));
        self.status(name)
    }

    /// How many of everything that the template makes are there.
    fn things(&self) -> [usize; 6] {
        let count = |text: String, what: &str| text.matches(what).count();
        let ec2 = |action: &str| self.query_ok("ec2", "2016-11-15", action, &[]);
        [
            count(self.sqs_ok("ListQueues", serde_json::json!({})).to_string(), "http://"),
            count(self.buckets(), "<Bucket>"),
            count(ec2("DescribeVpcs"), "<cidrBlock>172.20.0.0/16</cidrBlock>") / 2,
            count(ec2("DescribeSecurityGroups"), "<groupDescription>web</groupDescription>"),
            count(ec2("DescribeInternetGateways"), "<internetGatewayId>"),
            count(self.elb_names(), "<LoadBalancerName>"),
        ]
    }

    fn buckets(&self) -> String {
        let headers = [("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
        let signed = Key::any().sign(&self.address.to_string(), "GET", "/", "s3", &headers, "");
        let signed: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.send("GET", "/", &signed, "").text()
    }

    fn elb_names(&self) -> String {
        self.query_ok("elasticloadbalancing", "2012-06-01", "DescribeLoadBalancers", &[])
    }
}

#[test]
fn a_template_is_deployed_through_every_service_changed_and_deleted_without_a_trace() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let before = server.things();
    let text = template();
    server.stack("CreateStack", &[("StackName", "web"), ("TemplateBody", &text)]);
    assert_eq!(
        server.settled("web"),
        "CREATE_COMPLETE",
        "{}",
        server.stack("DescribeStackEvents", &[("StackName", "web")])
    );
    let made = server.things();
    let more: Vec<usize> = made.iter().zip(before).map(|(made, before)| made - before).collect();
    assert_eq!(more[0], 2, "queues");
    assert!(more[1..].iter().all(|more| *more == 1), "{before:?} {made:?}");
    let described = server.stack("DescribeStacks", &[("StackName", "web")]);
    assert!(described.contains("<OutputValue>http://elb-"), "{described}");
    let update = [
        ("StackName", "web"),
        ("UsePreviousTemplate", "true"),
        ("Parameters.member.1.ParameterKey", "Delay"),
        ("Parameters.member.1.ParameterValue", "7"),
    ];
    server.stack("UpdateStack", &update);
    assert_eq!(server.settled("web"), "UPDATE_COMPLETE");
    let url = described.split("<OutputValue>").nth(1).unwrap().split('<').next().unwrap();
    let queue = server.sqs_ok("GetQueueAttributes", serde_json::json!({"QueueUrl": url, "AttributeNames": ["All"]}));
    assert_eq!(queue["Attributes"]["DelaySeconds"], "7", "{queue}");
    // A second one of the same name for its load balancer fails, and takes back what it had made.
    server.stack("CreateStack", &[("StackName", "two"), ("TemplateBody", &text)]);
    assert_eq!(server.settled("two"), "ROLLBACK_COMPLETE");
    assert!(server.stack("DescribeStackEvents", &[("StackName", "two")]).contains("elb already exists"));
    assert_eq!(server.things(), made);
    server.stack("DeleteStack", &[("StackName", "two")]);
    server.stack("DeleteStack", &[("StackName", "web")]);
    eventually("the stacks are gone", || server.things() == before);
}

#[test]
fn a_stack_goes_on_after_the_server_was_killed_and_leaves_nothing_twice_or_behind() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let before = server.things();
    let text = template();
    let mut made = None;
    for round in 0..6u64 {
        let id = server.stack("CreateStack", &[("StackName", "web"), ("TemplateBody", &text)]);
        let id = id.split("<StackId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
        for kill in 0..3 {
            std::thread::sleep(Duration::from_millis(11 * round + 17 * kill));
            server.signal(Signal::KILL);
            server.wait();
            server = place.serve(&[]);
        }
        assert_eq!(server.settled("web"), "CREATE_COMPLETE", "round {round}");
        let now = server.things();
        assert_eq!(*made.get_or_insert(now), now, "round {round}");
        server.stack("DeleteStack", &[("StackName", "web")]);
        std::thread::sleep(Duration::from_millis(13 * round));
        server.signal(Signal::KILL);
        server.wait();
        server = place.serve(&[]);
        assert_eq!(server.settled(&id), "DELETE_COMPLETE", "round {round}");
        assert_eq!(server.things(), before, "round {round}");
    }
}

#[test]
fn the_command_line_deploys_shows_and_deletes() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    place.write("web.yaml", &template());
    let run = |arguments: &[&str]| {
        let output = place.run(&[&["stack", "--endpoint", &server.endpoint], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["deploy", "web.yaml", "--parameter", "Delay=3"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("CREATE_COMPLETE              Queue (AWS::SQS::Queue)"), "{said}");
    assert!(said.contains("\nweb is CREATE_COMPLETE\n") && said.contains("  Url = http://elb-"), "{said}");
    assert_eq!(
        run(&["deploy", "web.yaml", "--parameter", "Delay=3"]),
        (Some(0), "web is as the template says already.\n".into())
    );
    place.write("bad.yaml", "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {DelaySeconds: 901}}}");
    let (code, said) = run(&["deploy", "bad.yaml"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("bad is ROLLBACK_COMPLETE\n  Q (AWS::SQS::Queue): Invalid value for the parameter DelaySeconds."),
        "{said}"
    );
    place.write("wrong.yaml", "Resources: {Q: {Type: 'AWS::Nope'}}");
    let (code, said) = run(&["deploy", "wrong.yaml"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("Template format error: Unrecognized resource types: [AWS::Nope]"), "{said}");
    assert_eq!(run(&["ls"]).1, "ROLLBACK_COMPLETE            bad\nCREATE_COMPLETE              web\n");
    assert!(run(&["events", "web"]).1.contains("CREATE_COMPLETE              Bucket (AWS::S3::Bucket)"));
    let (code, said) = run(&["delete", "web"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("web is DELETE_COMPLETE"), "{said}");
}

#[test]
fn fifty_stacks_at_once_are_made_in_less_than_twenty_seconds() {
    let place = Place::new();
    let server = place.serve(&[]);
    let resources: String = (0..10).map(|n| format!("  Q{n}: {{Type: 'AWS::SQS::Queue'}}\n")).collect();
    let text = format!("Resources:\n{resources}");
    let begun = Instant::now();
    for n in 0..50 {
        server.stack("CreateStack", &[("StackName", &format!("s{n}")), ("TemplateBody", &text)]);
    }
    for n in 0..50 {
        assert_eq!(server.settled(&format!("s{n}")), "CREATE_COMPLETE");
    }
    let took = begun.elapsed();
    println!("50 stacks of 10 queues, durable: {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}
