//! Launch templates.
//!
//! Invariant: an update is a new version of the template, which becomes its default; no version is changed.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::ec2_instances::attached;
use super::ec2_network::object;
use super::failure::{Failure, unless_missing};
use super::property::{Kind, Property, boolean, integer, list, structure, text, texts};
use super::step::Step;
use super::{Done, Properties, ResourceType, Table, text as text_of};

/// `AWS::EC2::LaunchTemplate`.
pub(super) struct LaunchTemplate;

const TAGS: Kind = Kind::List(&Kind::Structure(&[text("Key"), text("Value")]));
const SPECIFICATION: &[Property] = &[text("ResourceType"), Property { kind: TAGS, ..text("Tags") }];
const EBS: &[Property] = &[boolean("DeleteOnTermination"), integer("VolumeSize"), text("VolumeType")];
const MAPPING: &[Property] = &[text("DeviceName"), structure("Ebs", EBS)];
const PROFILE: &[Property] = &[text("Arn"), text("Name")];
const MONITORING: &[Property] = &[boolean("Enabled")];
const METADATA: &[Property] =
    &[text("HttpEndpoint"), integer("HttpPutResponseHopLimit"), text("HttpTokens"), text("InstanceMetadataTags")];
const PLACEMENT: &[Property] = &[text("AvailabilityZone")];
const INTERFACE: &[Property] = &[
    boolean("AssociatePublicIpAddress"),
    boolean("DeleteOnTermination"),
    integer("DeviceIndex"),
    texts("Groups"),
    text("NetworkInterfaceId"),
    text("PrivateIpAddress"),
    text("SubnetId"),
];
const DATA: &[Property] = &[
    list("BlockDeviceMappings", &Kind::Structure(MAPPING)),
    boolean("DisableApiTermination"),
    boolean("EbsOptimized"),
    structure("IamInstanceProfile", PROFILE),
    text("ImageId"),
    text("InstanceInitiatedShutdownBehavior"),
    text("InstanceType"),
    text("KeyName"),
    structure("MetadataOptions", METADATA),
    structure("Monitoring", MONITORING),
    list("NetworkInterfaces", &Kind::Structure(INTERFACE)),
    structure("Placement", PLACEMENT),
    texts("SecurityGroupIds"),
    texts("SecurityGroups"),
    list("TagSpecifications", &Kind::Structure(SPECIFICATION)),
    text("UserData"),
];
static LAUNCH_TEMPLATE: Table = Table::new(
    "AWS::EC2::LaunchTemplate",
    &[
        structure("LaunchTemplateData", DATA).required(),
        text("LaunchTemplateName").replaces(),
        list("TagSpecifications", &Kind::Structure(SPECIFICATION)).replaces(),
        text("VersionDescription"),
    ],
    &["DefaultVersionNumber", "LatestVersionNumber", "LaunchTemplateId"],
)
.named_by("LaunchTemplateName");

/// The template's data as EC2 takes it.
fn data(properties: &Properties) -> Value {
    let mut data = properties.get("LaunchTemplateData").cloned().map(object).unwrap_or_default();
    if let Some(interfaces) = data.get("NetworkInterfaces").and_then(Value::as_array) {
        let interfaces: Vec<Value> = interfaces.iter().filter_map(Value::as_object).map(attached).collect();
        data.insert("NetworkInterfaces".into(), Value::Array(interfaces));
    }
    Value::Object(data)
}

/// The template's own tags.
fn own_tags(properties: &Properties) -> Properties {
    let specifications = properties.get("TagSpecifications").and_then(Value::as_array).into_iter().flatten();
    let own = specifications.into_iter().find(|one| one["ResourceType"] == "launch-template");
    own.map(|one| Map::from_iter([("Tags".to_owned(), one["Tags"].clone())])).unwrap_or_default()
}

#[async_trait]
impl ResourceType for LaunchTemplate {
    fn table(&self) -> &'static Table {
        &LAUNCH_TEMPLATE
    }

    async fn find(&self, step: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        step.find_in_ec2("DescribeLaunchTemplates", "LaunchTemplates", "LaunchTemplateId").await
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let name = text_of(properties, "LaunchTemplateName").map_or_else(|| step.name(128), str::to_owned);
        let mut input = object(json!({
            "LaunchTemplateName": name,
            "LaunchTemplateData": data(properties),
            "TagSpecifications": step.tag_specifications("launch-template", &own_tags(properties)),
        }));
        if let Some(description) = properties.get("VersionDescription") {
            input.insert("VersionDescription".into(), description.clone());
        }
        let made = step.ec2("CreateLaunchTemplate", Value::Object(input)).await?;
        step.record(made["LaunchTemplate"]["LaunchTemplateId"].as_str().unwrap_or_default()).await
    }

    async fn update(&self, step: &Step, id: &str, _: &Properties, new: &Properties) -> Done {
        let description = text_of(new, "VersionDescription").unwrap_or_default();
        // The token keeps a version from being made twice, and the same version from being the answer to another change.
        let token = format!("{}-{}", step.token(), step.begun_ms);
        let input = json!({
            "LaunchTemplateId": id,
            "LaunchTemplateData": data(new),
            "VersionDescription": description,
            "ClientToken": token,
        });
        let made = step.ec2("CreateLaunchTemplateVersion", input).await?;
        let version = made["LaunchTemplateVersion"]["VersionNumber"].to_string();
        step.ec2("ModifyLaunchTemplate", json!({"LaunchTemplateId": id, "DefaultVersion": version})).await.map(drop)
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(step.ec2("DeleteLaunchTemplate", json!({"LaunchTemplateId": id})).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let found = step.ec2("DescribeLaunchTemplates", json!({"LaunchTemplateIds": [id]})).await?;
        let template = &found["LaunchTemplates"][0];
        Ok(object(json!({
            "LaunchTemplateId": id,
            "DefaultVersionNumber": template["DefaultVersionNumber"].to_string(),
            "LatestVersionNumber": template["LatestVersionNumber"].to_string(),
        })))
    }
}
