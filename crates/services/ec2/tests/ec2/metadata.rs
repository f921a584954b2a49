//! What an instance may learn about itself, and how it proves who it is.

use api::InstanceIdentities as _;

use crate::platform::platform_with_engine;
use crate::run::IMAGE;

#[tokio::test]
async fn an_instance_learns_of_itself_what_the_api_says_of_it() {
    let (platform, engine) = platform_with_engine();
    let form = format!(
        "ImageId={IMAGE}&MinCount=1&MaxCount=1&UserData=ZWNobw%3D%3D&MetadataOptions.InstanceMetadataTags=enabled\
         &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=web"
    );
    let run = platform.ask("RunInstances", &form).await;
    let id = run.text("instanceId");
    let document = engine.metadata(&id).unwrap();
    assert_eq!((document.instance_id.as_str(), document.image_id.as_str()), (id.as_str(), IMAGE));
    assert_eq!(document.private_address, run.text("privateIpAddress").parse().ok());
    assert_eq!(document.public_address, run.text("publicIp").parse().ok());
    assert_eq!((document.zone.as_str(), document.zone_id.as_str()), ("us-east-1a", "use1-az1"));
    assert_eq!((document.subnet_id.clone(), document.vpc_id.clone()), (run.text("subnetId"), run.text("vpcId")));
    assert_eq!((document.subnet_cidr.as_str(), document.vpc_cidrs[0].as_str()), ("172.31.0.0/20", "172.31.0.0/16"));
    assert_eq!(document.user_data.as_deref(), Some(b"echo".as_slice()));
    assert_eq!(
        (document.mac.clone(), document.interface_id.clone()),
        (run.text("macAddress"), run.text("networkInterfaceId"))
    );
    assert_eq!((document.group_names[0].as_str(), document.owner_id.as_str()), ("default", "123456789012"));
    assert_eq!((document.options.tags, document.tags["Name"].as_str()), (true, "web"));
    assert_eq!(document.hostname, "ip-172-31-0-4.ec2.internal");
    platform.ask("ModifyInstanceMetadataOptions", &format!("InstanceId={id}&HttpTokens=required")).await.ok();
    assert!(engine.metadata(&id).unwrap().options.tokens_required, "a change holds at the next question");
    assert!(engine.metadata("i-12345678").is_none());
}

#[tokio::test]
async fn an_identity_proves_one_instance_for_as_long_as_it_is_there() {
    let (platform, engine) = platform_with_engine();
    let run = platform.ask("RunInstances", &format!("ImageId={IMAGE}&MinCount=1&MaxCount=1")).await;
    let id = run.text("instanceId");
    platform.until_state(&id, "running").await;
    let document = engine.metadata(&id).unwrap();
    let (text, signature) = (document.identity_document.clone(), document.identity_signature.clone());
    assert!(text.contains("\"accountId\": \"123456789012\"") && text.contains("\"kernelId\": null"), "{text}");
    let verified = platform.ec2.verify(text.as_bytes(), &signature).await.unwrap().unwrap();
    assert_eq!((verified.instance_id.as_str(), verified.region.as_str()), (id.as_str(), "us-east-1"));
    let forged = text.replace(&id, "i-00000000000000bad");
    assert_eq!(platform.ec2.verify(forged.as_bytes(), &signature).await.unwrap(), None);
    assert_eq!(platform.ec2.verify(text.as_bytes(), "AAAA").await.unwrap(), None);
    platform.ask("TerminateInstances", &format!("InstanceId.1={id}")).await.ok();
    platform.until_state(&id, "terminated").await;
    assert_eq!(platform.ec2.verify(text.as_bytes(), &signature).await.unwrap(), None);
}
