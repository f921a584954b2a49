//! What a request is about, as ARNs.
//!
//! Invariant: what a request names and this table does not know leaves the resource unknown; it never stands for another.
//!
//! Source: AWS's Service Authorization Reference. Operations that list or describe without a name have no resource there,
//! and policies must say `*` for them.

use api::Call;

use super::Parameters;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) resource: String,
    /// Whether it is known to be this.
    pub(super) is_exact: bool,
}

/// A service's parameter, or its names in several operations, and the ARN that its value stands in at `{}`.
struct Rule {
    service: &'static str,
    parameters: &'static [&'static str],
    arn: &'static str,
}

const fn rule(service: &'static str, parameters: &'static [&'static str], arn: &'static str) -> Rule {
    Rule { service, parameters, arn }
}

/// Where requests name instance profiles.
pub(super) const PROFILES: [&str; 5] = [
    "IamInstanceProfile",
    "IamInstanceProfile.Arn",
    "IamInstanceProfile.Name",
    "LaunchTemplateData.IamInstanceProfile.Arn",
    "LaunchTemplateData.IamInstanceProfile.Name",
];

/// `{here}` is `region:account`. Of IAM's rules the first that is named counts, of others all.
const RULES: &[Rule] = &[
    rule(
        "autoscaling",
        &["AutoScalingGroupName", "AutoScalingGroupNames"],
        "autoscaling:{here}:autoScalingGroup:*:autoScalingGroupName/{}",
    ),
    rule(
        "autoscaling",
        &["LaunchConfigurationName"],
        "autoscaling:{here}:launchConfiguration:*:launchConfigurationName/{}",
    ),
    rule("cloudformation", &["StackName"], "cloudformation:{here}:stack/{}/*"),
    rule("ec2", &["InstanceId", "InstanceIds"], "ec2:{here}:instance/{}"),
    rule("ec2", &["VpcId"], "ec2:{here}:vpc/{}"),
    rule("ec2", &["SubnetId"], "ec2:{here}:subnet/{}"),
    rule("ec2", &["GroupId"], "ec2:{here}:security-group/{}"),
    rule("ec2", &["InternetGatewayId"], "ec2:{here}:internet-gateway/{}"),
    rule("ec2", &["RouteTableId"], "ec2:{here}:route-table/{}"),
    rule("ec2", &["NetworkAclId"], "ec2:{here}:network-acl/{}"),
    rule("ec2", &["NetworkInterfaceId"], "ec2:{here}:network-interface/{}"),
    rule("ec2", &["LaunchTemplateId"], "ec2:{here}:launch-template/{}"),
    rule("ec2", &["KeyName"], "ec2:{here}:key-pair/{}"),
    rule("ec2", &["AllocationId"], "ec2:{here}:elastic-ip/{}"),
    rule("ecr", &["repositoryName", "repositoryNames"], "ecr:{here}:repository/{}"),
    rule(
        "elasticloadbalancing",
        &["LoadBalancerName", "LoadBalancerNames"],
        "elasticloadbalancing:{here}:loadbalancer/{}",
    ),
    rule("iam", &["InstanceProfileName"], "iam::{account}:instance-profile/{}"),
    rule("iam", &["RoleName"], "iam::{account}:role/{}"),
    rule("iam", &["PolicyArn"], "{}"),
    rule("iam", &["PolicyName"], "iam::{account}:policy/{}"),
    rule("iam", &["ServerCertificateName"], "iam::{account}:server-certificate/{}"),
    rule("ssm", &["Name", "Names", "Path"], "ssm:{here}:parameter/{}"),
];

/// Operations of EC2 that act on more than they name: whoever starts an instance makes an interface and a volume too.
const UNKNOWN: [&str; 2] = ["RunInstances", "CreateTags"];

/// What the request is about; at least one.
pub(super) fn targets(call: &Call, service: &str, operation: &str, parameters: &Parameters) -> Vec<Target> {
    let (region, account) = (call.region.as_str(), call.account().as_str());
    let is_look = ["Describe", "List"].iter().any(|start| operation.starts_with(start));
    let all = Target { resource: "*".to_owned(), is_exact: true };
    if is_look && ["ec2", "autoscaling", "elasticloadbalancing"].contains(&service) {
        return vec![all];
    }
    let mut targets = Vec::new();
    let of_service = RULES.iter().filter(|rule| rule.service == service && !UNKNOWN.contains(&operation));
    for rule in of_service {
        for name in parameters.all(rule.parameters) {
            let resource = if name.starts_with("arn:") {
                name.to_owned()
            } else {
                // A path may begin with a slash, which its ARN does not double.
                let name = if service == "ssm" { name.trim_start_matches('/') } else { name };
                let path = parameters.all(&["Path"]).next().filter(|_| service == "iam").unwrap_or("/");
                let name = format!("{}{name}", path.trim_start_matches('/'));
                let here = format!("{region}:{account}");
                let arn = rule.arn.replace("{here}", &here).replace("{account}", account).replace("{}", &name);
                format!("arn:aws:{arn}")
            };
            targets.push(Target { resource, is_exact: true });
        }
        if service == "iam" && !targets.is_empty() {
            break;
        }
    }
    if !targets.is_empty() {
        return targets;
    }
    if is_look || operation.starts_with("Get") {
        return vec![all];
    }
    let region = if service == "iam" { "" } else { region };
    vec![Target { resource: format!("arn:aws:{service}:{region}:{account}:*"), is_exact: false }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(service: &str, operation: &str, form: &str) -> Vec<(String, bool)> {
        let call = crate::testing::call(api::Principal::Anonymous);
        let targets = targets(&call, service, operation, &Parameters::of_form(form.as_bytes()));
        targets.into_iter().map(|target| (target.resource, target.is_exact)).collect()
    }

    fn exact(arn: &str) -> Vec<(String, bool)> {
        vec![(arn.to_owned(), true)]
    }

    #[test]
    fn what_is_named_is_what_a_request_is_about() {
        for (service, operation, form, arn) in [
            (
                "cloudformation",
                "DeleteStack",
                "StackName=web",
                "arn:aws:cloudformation:us-east-1:123456789012:stack/web/*",
            ),
            ("cloudformation", "DeleteStack", "StackName=arn:aws:x", "arn:aws:x"),
            ("iam", "CreateRole", "RoleName=a&Path=/t/", "arn:aws:iam::123456789012:role/t/a"),
            ("iam", "PutRolePolicy", "RoleName=a&PolicyName=p", "arn:aws:iam::123456789012:role/a"),
            (
                "iam",
                "AttachRolePolicy",
                "PolicyArn=arn:aws:iam::aws:policy/X&RoleName=a",
                "arn:aws:iam::123456789012:role/a",
            ),
            ("iam", "GetPolicy", "PolicyArn=arn:aws:iam::aws:policy/X", "arn:aws:iam::aws:policy/X"),
            ("ec2", "StopInstances", "InstanceId.1=i-1", "arn:aws:ec2:us-east-1:123456789012:instance/i-1"),
            ("ssm", "GetParameter", "Name=/cdk/version", "arn:aws:ssm:us-east-1:123456789012:parameter/cdk/version"),
            ("ec2", "DescribeInstances", "InstanceId.1=i-1", "*"),
            ("ecr", "GetAuthorizationToken", "", "*"),
        ] {
            assert_eq!(found(service, operation, form), exact(arn), "{operation}");
        }
        assert_eq!(found("ec2", "TerminateInstances", "InstanceId.1=i-1&InstanceId.2=i-2").len(), 2);
    }

    #[test]
    fn what_is_not_named_may_be_anything_of_the_service() {
        let anything = |arn: &str| vec![(arn.to_owned(), false)];
        assert_eq!(
            found("ec2", "CreateVpc", "CidrBlock=10.0.0.0/16"),
            anything("arn:aws:ec2:us-east-1:123456789012:*")
        );
        assert_eq!(
            found("ec2", "RunInstances", "SubnetId=subnet-1&KeyName=k"),
            anything("arn:aws:ec2:us-east-1:123456789012:*")
        );
    }
}
