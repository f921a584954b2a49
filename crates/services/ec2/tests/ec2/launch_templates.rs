//! Launch templates and their versions.

use crate::platform::{Platform, platform, platform_with_engine, service_call};
use crate::run::IMAGE;

async fn template(platform: &Platform) -> String {
    let form = format!(
        "LaunchTemplateName=web&VersionDescription=first&LaunchTemplateData.ImageId={IMAGE}\
         &LaunchTemplateData.InstanceType=t2.micro&LaunchTemplateData.UserData=IyEvYmluL3No\
         &LaunchTemplateData.TagSpecification.1.ResourceType=instance\
         &LaunchTemplateData.TagSpecification.1.Tag.1.Key=team&LaunchTemplateData.TagSpecification.1.Tag.1.Value=shop"
    );
    platform.ask("CreateLaunchTemplate", &form).await.text("launchTemplateId")
}

#[tokio::test]
async fn versions_follow_each_other_and_one_of_them_is_the_default() {
    let platform = platform();
    let id = template(&platform).await;
    let form = format!(
        "LaunchTemplateId={id}&SourceVersion=1&LaunchTemplateData.InstanceType=t3.small&VersionDescription=second"
    );
    let second = platform.ask("CreateLaunchTemplateVersion", &form).await;
    assert_eq!((second.text("versionNumber"), second.text("imageId")), ("2".into(), IMAGE.into()));
    assert_eq!((second.text("instanceType"), second.text("userData")), ("t3.small".into(), "IyEvYmluL3No".into()));
    let versions = |rest: &str| {
        let (platform, form) = (&platform, format!("LaunchTemplateName=web&{rest}"));
        async move { platform.ask("DescribeLaunchTemplateVersions", &form).await }
    };
    assert_eq!(versions("").await.texts("versionNumber"), ["2", "1"]);
    assert_eq!(versions("LaunchTemplateVersion.1=$Default").await.texts("instanceType"), ["t2.micro"]);
    assert_eq!(versions("LaunchTemplateVersion.1=$Latest").await.texts("instanceType"), ["t3.small"]);
    assert_eq!(versions("MinVersion=2").await.texts("versionNumber"), ["2"]);
    assert_eq!(versions("LaunchTemplateVersion.1=7").await.code(), "InvalidLaunchTemplateId.VersionNotFound");
    let modify = format!("LaunchTemplateId={id}&SetDefaultVersion=2");
    assert_eq!(platform.ask("ModifyLaunchTemplate", &modify).await.text("defaultVersionNumber"), "2");
    let delete = "LaunchTemplateName=web&LaunchTemplateVersion.1=1&LaunchTemplateVersion.2=2&LaunchTemplateVersion.3=9";
    let deleted = platform.ask("DeleteLaunchTemplateVersions", delete).await;
    assert_eq!(deleted.texts("versionNumber"), ["1", "2", "9"]);
    assert_eq!(deleted.texts("code"), ["unexpectedError", "launchTemplateVersionDoesNotExist"]);
    assert_eq!(platform.ask("DescribeLaunchTemplates", "").await.text("latestVersionNumber"), "2");
    platform.ask("DeleteLaunchTemplate", "LaunchTemplateName=web").await.ok();
    assert_eq!(
        platform.ask("DescribeLaunchTemplates", &format!("LaunchTemplateId.1={id}")).await.refusal(),
        format!(
            "InvalidLaunchTemplateId.NotFound: The specified launch template, with template ID {id}, does not exist."
        )
    );
    assert_eq!(
        platform.ask("DeleteLaunchTemplate", "LaunchTemplateName=web").await.code(),
        "InvalidLaunchTemplateName.NotFoundException"
    );
}

#[tokio::test]
async fn a_template_that_can_not_be_is_refused() {
    let platform = platform();
    template(&platform).await;
    for (form, code) in [
        ("LaunchTemplateName=web&LaunchTemplateData.ImageId=x", "InvalidLaunchTemplateName.AlreadyExistsException"),
        ("LaunchTemplateName=w&LaunchTemplateData.ImageId=x", "InvalidLaunchTemplateName.MalformedException"),
        (
            "LaunchTemplateName=cheap&LaunchTemplateData.InstanceRequirements.VCpuCount.Min=1\
             &LaunchTemplateData.InstanceRequirements.MemoryMiB.Min=1",
            "UnsupportedOperation",
        ),
    ] {
        assert_eq!(platform.ask("CreateLaunchTemplate", form).await.code(), code, "{form}");
    }
    let both = "LaunchTemplateName=web&LaunchTemplateId=lt-12345678";
    assert_eq!(platform.ask("DeleteLaunchTemplate", both).await.code(), "InvalidParameterCombination");
}

#[tokio::test]
async fn an_instance_is_what_the_call_says_and_else_what_the_template_says() {
    let (platform, _engine) = platform_with_engine();
    let id = template(&platform).await;
    let form = format!(
        "LaunchTemplate.LaunchTemplateId={id}&LaunchTemplate.Version=$Latest&MinCount=1&MaxCount=1&InstanceType=t3.nano\
         &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=one"
    );
    let run = platform.ask("RunInstances", &form).await;
    assert_eq!((run.text("imageId"), run.text("instanceType")), (IMAGE.into(), "t3.nano".into()));
    assert_eq!(run.texts("key"), ["Name", "team"]);
    let instance = run.text("instanceId");
    let data = platform.ask("DescribeInstanceAttribute", &format!("InstanceId={instance}&Attribute=userData")).await;
    assert_eq!(data.text("value"), "IyEvYmluL3No");
    let missing = "LaunchTemplate.LaunchTemplateName=none&MinCount=1&MaxCount=1";
    assert_eq!(platform.ask("RunInstances", missing).await.code(), "InvalidLaunchTemplateName.NotFoundException");
}

#[tokio::test]
async fn auto_scaling_puts_a_templates_interface_into_the_subnet_that_it_chose() {
    let (mut platform, _engine) = platform_with_engine();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let group = platform.group(&vpc, "web").await;
    let form = format!(
        "LaunchTemplateName=web&LaunchTemplateData.ImageId={IMAGE}&LaunchTemplateData.InstanceType=t2.micro\
         &LaunchTemplateData.NetworkInterface.1.DeviceIndex=0\
         &LaunchTemplateData.NetworkInterface.1.SecurityGroupId.1={group}\
         &LaunchTemplateData.NetworkInterface.1.AssociatePublicIpAddress=true"
    );
    platform.ask("CreateLaunchTemplate", &form).await.ok();
    let run = format!("LaunchTemplate.LaunchTemplateName=web&MinCount=1&MaxCount=1&SubnetId={subnet}");
    // To a user EC2 says that the two ways exclude each other.
    assert_eq!(platform.ask("RunInstances", &run).await.code(), "InvalidParameterCombination");
    platform.call = service_call("autoscaling.amazonaws.com");
    let answer = platform.ask("RunInstances", &run).await;
    assert_eq!((answer.text("subnetId"), answer.text("groupId")), (subnet, group));
}
