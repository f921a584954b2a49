//! What roles' sessions may call.

use api::iam::Iam as _;
use api::iam::{AddRoleToInstanceProfileInput, CreateInstanceProfileInput};

use super::*;
use crate::sessions::tests::{House, house};

impl House {
    async fn told(&self, role: &str, service: &str, operation: &str, form: &str) -> Result<(), String> {
        let call = self.as_role(role).await;
        let answer = self.sessions.authorise(&call, service, operation, &Parameters::of_form(form.as_bytes()));
        answer.map_err(|error| format!("{}: {}", error.query_code.as_deref().unwrap_or(&error.code), error.message))
    }
}

#[tokio::test]
async fn what_no_policy_allows_is_refused_in_the_services_words() {
    let house = house();
    house.role("worker", "\"*\"").await;
    assert_eq!(
        house.told("worker", "cloudformation", "DeleteStack", "StackName=web").await.unwrap_err(),
        "AccessDenied: User: arn:aws:sts::123456789012:assumed-role/worker/one is not authorized to perform: \
         cloudformation:DeleteStack on resource: arn:aws:cloudformation:us-east-1:123456789012:stack/web/* because no \
         identity-based policy allows the cloudformation:DeleteStack action"
    );
    assert!(
        house.told("worker", "ec2", "DescribeVpcs", "").await.unwrap_err().starts_with("UnauthorizedOperation: You")
    );
    // Whoever holds an account's own key, and who asks by himself.
    let parameters = Parameters::default();
    assert!(house.sessions.authorise(&house.call, "ec2", "DescribeVpcs", &parameters).is_ok());
    assert!(house.told("worker", "sts", "GetCallerIdentity", "").await.is_ok());
}

#[tokio::test]
async fn a_policy_for_one_resource_opens_no_other_and_nothing_unknown() {
    let house = house();
    house.role("worker", "\"*\"").await;
    house.may("worker", "Allow", "ec2:*", "arn:aws:ec2:*:*:instance/i-1").await;
    assert!(house.told("worker", "ec2", "StopInstances", "InstanceId.1=i-1").await.is_ok());
    assert!(house.told("worker", "ec2", "StopInstances", "InstanceId.1=i-1&InstanceId.2=i-2").await.is_err());
    assert!(house.told("worker", "ec2", "CreateVpc", "CidrBlock=10.0.0.0/16").await.is_err());
    assert!(house.told("worker", "ec2", "DescribeInstances", "").await.is_err());
}

#[tokio::test]
async fn of_what_is_not_known_any_deny_counts() {
    let house = house();
    house.role("worker", "\"*\"").await;
    house.may("worker", "Allow", "ec2:*", "*").await;
    assert!(house.told("worker", "ec2", "CreateVpc", "").await.is_ok());
    house.may("worker", "Deny", "ec2:Create*", "arn:aws:ec2:*:*:vpc/vpc-1").await;
    let refused = house.told("worker", "ec2", "CreateVpc", "").await.unwrap_err();
    assert!(refused.contains("with an explicit deny in an identity-based policy"), "{refused}");
    assert!(house.told("worker", "ec2", "DescribeVpcs", "").await.is_ok());
}

#[tokio::test]
async fn who_hands_on_a_role_must_be_allowed_to() {
    let house = house();
    for role in ["deployer", "exec"] {
        house.role(role, r#"{"Service":["ec2.amazonaws.com","cloudformation.amazonaws.com"]}"#).await;
    }
    for service in ["cloudformation:*", "ec2:*", "iam:Add*", "autoscaling:*"] {
        house.may("deployer", "Allow", service, "*").await;
    }
    let name = || "web".to_owned();
    let input = CreateInstanceProfileInput { instance_profile_name: name(), ..CreateInstanceProfileInput::default() };
    house.iam.create_instance_profile(&house.call, input).await.unwrap();
    let input = AddRoleToInstanceProfileInput { instance_profile_name: name(), role_name: "exec".into() };
    house.iam.add_role_to_instance_profile(&house.call, input).await.unwrap();
    let exec = "arn:aws:iam::123456789012:role/exec";
    let requests = [
        ("cloudformation", "CreateStack", format!("StackName=a&RoleARN={exec}")),
        ("ec2", "AssociateIamInstanceProfile", "InstanceId=i-1&IamInstanceProfile.Name=web".to_owned()),
        ("autoscaling", "CreateLaunchConfiguration", "LaunchConfigurationName=a&IamInstanceProfile=web".to_owned()),
        ("iam", "AddRoleToInstanceProfile", "InstanceProfileName=web&RoleName=exec".to_owned()),
    ];
    for (service, operation, form) in &requests {
        let refused = house.told("deployer", service, operation, form).await.unwrap_err();
        assert!(refused.contains(&format!("iam:PassRole on resource: {exec}")), "{refused}");
    }
    house.may("deployer", "Allow", "iam:PassRole", exec).await;
    for (service, operation, form) in &requests {
        assert_eq!(house.told("deployer", service, operation, form).await, Ok(()), "{operation}");
    }
}
