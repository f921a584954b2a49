//! Network ACLs, their entries and their associations.

use crate::asked::Answer;
use crate::platform::{Platform, platform};

async fn acl(platform: &Platform, vpc: &str) -> String {
    platform.ask("CreateNetworkAcl", &format!("VpcId={vpc}")).await.text("networkAclId")
}

async fn entry(platform: &Platform, operation: &str, acl: &str, rest: &str) -> Answer {
    platform.ask(operation, &format!("NetworkAclId={acl}&{rest}")).await
}

const HTTP: &str = "RuleNumber=100&Protocol=tcp&RuleAction=allow&Egress=false&CidrBlock=10.0.0.0/8&PortRange.From=80\
                    &PortRange.To=80";

#[tokio::test]
async fn a_new_acl_denies_all_until_it_has_entries() {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let acl = acl(&platform, &vpc).await;
    let describe = || async { platform.ask("DescribeNetworkAcls", &format!("NetworkAclId.1={acl}")).await };
    assert_eq!(describe().await.texts("ruleNumber"), ["32767", "32767"]);
    entry(&platform, "CreateNetworkAclEntry", &acl, HTTP).await.ok();
    let described = describe().await;
    assert_eq!(described.texts("ruleNumber"), ["32767", "100", "32767"]);
    assert_eq!((described.texts("protocol")[1].as_str(), described.text("from")), ("6", "80".to_owned()));
    assert_eq!(
        entry(&platform, "CreateNetworkAclEntry", &acl, HTTP).await.refusal(),
        "NetworkAclEntryAlreadyExists: The network acl entry identified by 100 already exists."
    );
    let deny = HTTP.replace("allow", "deny");
    entry(&platform, "ReplaceNetworkAclEntry", &acl, &deny).await.ok();
    assert_eq!(describe().await.texts("ruleAction"), ["deny", "deny", "deny"]);
    entry(&platform, "DeleteNetworkAclEntry", &acl, "RuleNumber=100&Egress=false").await.ok();
    assert_eq!(
        entry(&platform, "DeleteNetworkAclEntry", &acl, "RuleNumber=100&Egress=false").await.refusal(),
        "InvalidNetworkAclEntry.NotFound: The network acl entry identified by 100 does not exist."
    );
    assert_eq!(entry(&platform, "ReplaceNetworkAclEntry", &acl, HTTP).await.code(), "InvalidNetworkAclEntry.NotFound");
}

#[tokio::test]
async fn an_entry_that_can_not_be_is_refused() {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let acl = acl(&platform, &vpc).await;
    for (from, to, code) in [
        ("RuleNumber=100", "RuleNumber=0", "InvalidParameterValue"),
        ("RuleNumber=100", "RuleNumber=32767", "InvalidParameterValue"),
        ("RuleAction=allow", "RuleAction=perhaps", "InvalidParameterValue"),
        ("Protocol=tcp", "Protocol=ipx", "InvalidParameterValue"),
        ("Protocol=tcp", "Protocol=1", "MissingParameter"),
        ("PortRange.To=80", "PortRange.To=79", "InvalidParameterValue"),
        ("CidrBlock=10.0.0.0/8", "CidrBlock=10.0.0.0", "InvalidParameterValue"),
        ("CidrBlock=10.0.0.0/8&", "", "MissingParameter"),
    ] {
        let form = HTTP.replace(from, to);
        assert_eq!(entry(&platform, "CreateNetworkAclEntry", &acl, &form).await.code(), code, "{form}");
    }
    let ping = "RuleNumber=5&Protocol=1&RuleAction=allow&Egress=true&CidrBlock=0.0.0.0/0&Icmp.Type=8&Icmp.Code=-1";
    entry(&platform, "CreateNetworkAclEntry", &acl, ping).await.ok();
}

#[tokio::test]
async fn a_subnet_moves_from_acl_to_acl() {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let own = acl(&platform, &vpc).await;
    let of = format!("Filter.1.Name=association.subnet-id&Filter.1.Value.1={subnet}");
    let described = platform.ask("DescribeNetworkAcls", &of).await;
    let (default, association) = (described.text("networkAclId"), described.text("networkAclAssociationId"));
    let replace = |association: &str, acl: &str| format!("AssociationId={association}&NetworkAclId={acl}");
    let moved = platform.ask("ReplaceNetworkAclAssociation", &replace(&association, &own)).await;
    let moved = moved.text("newAssociationId");
    assert_eq!(platform.ask("DescribeNetworkAcls", &of).await.text("networkAclId"), own);
    assert_eq!(
        platform.ask("ReplaceNetworkAclAssociation", &replace(&association, &own)).await.code(),
        "InvalidAssociationID.NotFound"
    );
    let elsewhere = acl(&platform, &platform.vpc("10.1.0.0/16").await).await;
    assert_eq!(
        platform.ask("ReplaceNetworkAclAssociation", &replace(&moved, &elsewhere)).await.refusal(),
        format!("InvalidParameterValue: Network ACL {elsewhere} and subnet {subnet} belong to different networks")
    );
    let delete = |acl: &str| format!("NetworkAclId={acl}");
    assert_eq!(platform.ask("DeleteNetworkAcl", &delete(&own)).await.code(), "DependencyViolation");
    assert_eq!(
        platform.ask("DeleteNetworkAcl", &delete(&default)).await.refusal(),
        format!("InvalidParameterValue: cannot delete default network ACL {default}")
    );
    platform.ask("ReplaceNetworkAclAssociation", &replace(&moved, &default)).await.ok();
    platform.ask("DeleteNetworkAcl", &delete(&own)).await.ok();
    assert_eq!(
        platform.ask("DeleteNetworkAcl", &delete(&own)).await.refusal(),
        format!("InvalidNetworkAclID.NotFound: The networkAcl ID '{own}' does not exist")
    );
}
