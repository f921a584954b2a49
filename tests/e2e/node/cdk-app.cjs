// What a user of the CDK writes: a queue, a bucket, a parameter, and two web servers behind a load balancer.
const { App, CfnOutput, Duration, Fn, RemovalPolicy, Stack } = require("aws-cdk-lib");
const { CfnAutoScalingGroup, CfnLaunchConfiguration } = require("aws-cdk-lib/aws-autoscaling");
const { MachineImage } = require("aws-cdk-lib/aws-ec2");
const { CfnLoadBalancer } = require("aws-cdk-lib/aws-elasticloadbalancing");
const { Bucket, BlockPublicAccess, BucketEncryption } = require("aws-cdk-lib/aws-s3");
const { Queue } = require("aws-cdk-lib/aws-sqs");
const { StringParameter } = require("aws-cdk-lib/aws-ssm");

const app = new App();
const stack = new Stack(app, "Shop", { env: { account: process.env.CDK_DEFAULT_ACCOUNT, region: process.env.CDK_DEFAULT_REGION } });
const port = app.node.tryGetContext("port");
const serverPort = "8000";

const dead = new Queue(stack, "Dead");
const jobs = new Queue(stack, "Jobs", {
  visibilityTimeout: Duration.seconds(Number(app.node.tryGetContext("visibility") ?? 30)),
  deadLetterQueue: { queue: dead, maxReceiveCount: 3 },
});
const files = new Bucket(stack, "Files", {
  versioned: true,
  encryption: BucketEncryption.S3_MANAGED,
  blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
  lifecycleRules: [{ noncurrentVersionExpiration: Duration.days(7), abortIncompleteMultipartUploadAfter: Duration.days(1) }],
  removalPolicy: RemovalPolicy.DESTROY,
});
new StringParameter(stack, "Name", { parameterName: "/shop/queue", stringValue: jobs.queueName });

const balancer = new CfnLoadBalancer(stack, "LoadBalancer", {
  availabilityZones: Fn.getAzs(),
  crossZone: true,
  listeners: [{ loadBalancerPort: port, instancePort: serverPort, protocol: "HTTP" }],
  healthCheck: { target: `HTTP:${serverPort}/index.html`, interval: "5", timeout: "2", healthyThreshold: "2", unhealthyThreshold: "2" },
});
const program = `#!/bin/sh -e
metadata=\${!AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $metadata/latest/api/token)
ask() { curl -s -H "X-aws-ec2-metadata-token: $token" "$metadata/latest/meta-data/$1"; }
ip=$(ask local-ipv4)
mkdir -p "\${!HOME:-/root}/www"
cd "\${!HOME:-/root}/www"
echo "$ip" > index.html
bind=$ip
[ -z "$AWS_EC2_METADATA_SERVICE_ENDPOINT" ] || bind=127.\${!ip#*.}
nohup python3 -m http.server ${serverPort} --bind "$bind" > server.log 2>&1 &
`;
const configuration = new CfnLaunchConfiguration(stack, "Configuration", {
  // A parameter of the type AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>.
  imageId: MachineImage.latestAmazonLinux2023().getImage(stack).imageId,
  instanceType: "t3.micro",
  userData: Fn.base64(Fn.sub(program)),
});
new CfnAutoScalingGroup(stack, "Servers", {
  availabilityZones: Fn.getAzs(),
  launchConfigurationName: configuration.ref,
  loadBalancerNames: [balancer.ref],
  minSize: "2",
  maxSize: "2",
});

new CfnOutput(stack, "Queue", { value: jobs.queueUrl });
new CfnOutput(stack, "Bucket", { value: files.bucketName });
new CfnOutput(stack, "Host", { value: balancer.attrDnsName });
