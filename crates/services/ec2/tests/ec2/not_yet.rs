//! Operations that are listed and still to come: they say so.

use bytes::Bytes;

use crate::platform::platform;

const TO_COME: &[&str] = &[
    "AllocateAddress",
    "AssociateAddress",
    "AssociateRouteTable",
    "AttachInternetGateway",
    "AuthorizeSecurityGroupEgress",
    "CreateInternetGateway",
    "CreateKeyPair",
    "CreateLaunchTemplate",
    "CreateLaunchTemplateVersion",
    "CreateNetworkAcl",
    "CreateNetworkAclEntry",
    "CreateNetworkInterface",
    "CreateRoute",
    "CreateRouteTable",
    "CreateSubnet",
    "CreateVpc",
    "DeleteInternetGateway",
    "DeleteKeyPair",
    "DeleteLaunchTemplate",
    "DeleteLaunchTemplateVersions",
    "DeleteNetworkAcl",
    "DeleteNetworkAclEntry",
    "DeleteNetworkInterface",
    "DeleteRoute",
    "DeleteRouteTable",
    "DeleteSubnet",
    "DeleteVpc",
    "DescribeAddresses",
    "DescribeDhcpOptions",
    "DescribeImages",
    "DescribeInstanceAttribute",
    "DescribeInstanceTypes",
    "DescribeInternetGateways",
    "DescribeKeyPairs",
    "DescribeLaunchTemplateVersions",
    "DescribeLaunchTemplates",
    "DescribeNetworkAcls",
    "DescribeNetworkInterfaces",
    "DescribeRouteTables",
    "DescribeSecurityGroupRules",
    "DescribeVolumes",
    "DescribeVpcAttribute",
    "DetachInternetGateway",
    "DisassociateAddress",
    "DisassociateRouteTable",
    "GetConsoleOutput",
    "ImportKeyPair",
    "ModifyInstanceAttribute",
    "ModifyInstanceMetadataOptions",
    "ModifyLaunchTemplate",
    "ModifyNetworkInterfaceAttribute",
    "ModifySubnetAttribute",
    "ModifyVpcAttribute",
    "RebootInstances",
    "ReleaseAddress",
    "ReplaceNetworkAclAssociation",
    "ReplaceNetworkAclEntry",
    "ReplaceRoute",
    "ReplaceRouteTableAssociation",
    "RevokeSecurityGroupEgress",
    "RunInstances",
    "StartInstances",
    "StopInstances",
    "TerminateInstances",
    "UpdateSecurityGroupRuleDescriptionsEgress",
    "UpdateSecurityGroupRuleDescriptionsIngress",
];

#[tokio::test]
async fn an_operation_to_come_says_that_it_is_not_here() {
    let platform = platform();
    for operation in TO_COME {
        let answer = platform.ec2.handle(&platform.call, operation, Bytes::new()).await;
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        let expected = ["UnsupportedOperation", "MissingParameter"];
        assert!(expected.iter().any(|code| body.contains(&format!("<Code>{code}</Code>"))), "{operation}: {body}");
    }
}
