//! Instances, their addresses, their key pairs and their network interfaces.
//!
//! Invariant: RunInstances carries a token that follows from the step, so that a crash never leaves two instances.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::ec2_network::{ignore, object};
use super::failure::{Failure, unless_missing};
use super::property::{Kind, Property, boolean, integer, list, structure, tags, text, texts};
use super::step::{Step, only};
use super::{Done, Properties, ResourceType, Table, required, text as text_of};

/// `AWS::EC2::Instance`.
pub(super) struct Instance;
/// `AWS::EC2::EIP`.
pub(super) struct Eip;
/// `AWS::EC2::EIPAssociation`.
pub(super) struct EipAssociation;
/// `AWS::EC2::KeyPair`.
pub(super) struct KeyPair;
/// `AWS::EC2::NetworkInterface`.
pub(super) struct NetworkInterface;

const EBS: &[Property] = &[boolean("DeleteOnTermination"), integer("VolumeSize"), text("VolumeType")];
const MAPPING: &[Property] = &[text("DeviceName").required(), structure("Ebs", EBS)];
const ATTACHED: &[Property] = &[
    boolean("AssociatePublicIpAddress"),
    boolean("DeleteOnTermination"),
    text("DeviceIndex").required(),
    texts("GroupSet"),
    text("NetworkInterfaceId"),
    text("PrivateIpAddress"),
    text("SubnetId"),
];
const FROM_TEMPLATE: &[Property] = &[text("LaunchTemplateId"), text("LaunchTemplateName"), text("Version").required()];
static INSTANCE: Table = Table::new(
    "AWS::EC2::Instance",
    &[
        text("AvailabilityZone").replaces(),
        list("BlockDeviceMappings", &Kind::Structure(MAPPING)).replaces(),
        boolean("DisableApiTermination"),
        boolean("EbsOptimized").interrupts(),
        text("IamInstanceProfile").replaces(),
        text("ImageId").replaces(),
        text("InstanceInitiatedShutdownBehavior"),
        text("InstanceType").interrupts(),
        text("KeyName").replaces(),
        structure("LaunchTemplate", FROM_TEMPLATE).replaces(),
        boolean("Monitoring"),
        list("NetworkInterfaces", &Kind::Structure(ATTACHED)).replaces(),
        text("PrivateIpAddress").replaces(),
        texts("SecurityGroupIds"),
        texts("SecurityGroups").replaces(),
        boolean("SourceDestCheck"),
        text("SubnetId").replaces(),
        tags(),
        text("UserData").interrupts(),
    ],
    &["AvailabilityZone", "InstanceId", "PrivateDnsName", "PrivateIp", "PublicDnsName", "PublicIp", "VpcId"],
);

const RUN_MEMBERS: [&str; 13] = [
    "BlockDeviceMappings",
    "DisableApiTermination",
    "EbsOptimized",
    "ImageId",
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "KeyName",
    "LaunchTemplate",
    "PrivateIpAddress",
    "SecurityGroupIds",
    "SecurityGroups",
    "SubnetId",
    "UserData",
];

fn run(step: &Step, properties: &Properties) -> Value {
    let mut input = only(properties, &RUN_MEMBERS);
    input.insert("MinCount".into(), json!(1));
    input.insert("MaxCount".into(), json!(1));
    input.insert("ClientToken".into(), json!(step.token()));
    input.insert("TagSpecifications".into(), step.tag_specifications("instance", properties));
    if let Some(zone) = properties.get("AvailabilityZone") {
        input.insert("Placement".into(), json!({"AvailabilityZone": zone}));
    }
    if let Some(profile) = text_of(properties, "IamInstanceProfile") {
        let member = if profile.starts_with("arn:") { "Arn" } else { "Name" };
        input.insert("IamInstanceProfile".into(), json!({member: profile}));
    }
    if let Some(monitoring) = properties.get("Monitoring") {
        input.insert("Monitoring".into(), json!({"Enabled": monitoring}));
    }
    let interfaces = properties.get("NetworkInterfaces").and_then(Value::as_array).into_iter().flatten();
    let interfaces: Vec<Value> = interfaces.filter_map(Value::as_object).map(attached).collect();
    if !interfaces.is_empty() {
        input.insert("NetworkInterfaces".into(), Value::Array(interfaces));
    }
    Value::Object(input)
}

/// A network interface as RunInstances and launch templates take it.
pub(super) fn attached(interface: &Properties) -> Value {
    let mut input = interface.clone();
    if let Some(groups) = input.remove("GroupSet") {
        input.insert("Groups".into(), groups);
    }
    let index = input.get("DeviceIndex").and_then(Value::as_str).and_then(|text| text.parse::<i64>().ok());
    if let Some(index) = index {
        input.insert("DeviceIndex".into(), json!(index));
    }
    Value::Object(input)
}

/// An instance as EC2 describes it.
async fn look(step: &Step, id: &str) -> Result<Value, Failure> {
    let found = unless_missing(step.ec2("DescribeInstances", json!({"InstanceIds": [id]})).await)?;
    Ok(found["Reservations"][0]["Instances"][0].clone())
}

/// Waits until an instance has a state.
async fn until(step: &Step, id: &str, wanted: &str) -> Done {
    let mut looks = 0;
    loop {
        let instance = look(step, id).await?;
        let state = instance["State"]["Name"].as_str().unwrap_or("terminated");
        if state == wanted {
            return Ok(());
        }
        if state == "terminated" || state == "shutting-down" && wanted != "terminated" {
            let why = instance["StateReason"]["Message"].as_str().unwrap_or("the instance was terminated");
            return Err(Failure::refused(format!(
                "Instance {id} failed to stabilize. Current state: {state}. Reason: {why}"
            )));
        }
        step.pause(looks).await?;
        looks += 1;
    }
}

/// Changes attributes that can be changed in place.
async fn set_attributes(step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
    let differs = |name: &str| old.get(name) != new.get(name);
    for name in ["DisableApiTermination", "SourceDestCheck"] {
        if differs(name) {
            let value = new.get(name).cloned().unwrap_or(json!(name == "SourceDestCheck"));
            step.ec2("ModifyInstanceAttribute", json!({"InstanceId": id, name: {"Value": value}})).await?;
        }
    }
    if differs("InstanceInitiatedShutdownBehavior") {
        let value = new.get("InstanceInitiatedShutdownBehavior").cloned().unwrap_or(json!("stop"));
        let input = json!({"InstanceId": id, "InstanceInitiatedShutdownBehavior": {"Value": value}});
        step.ec2("ModifyInstanceAttribute", input).await?;
    }
    if differs("SecurityGroupIds")
        && let Some(groups) = new.get("SecurityGroupIds")
    {
        step.ec2("ModifyInstanceAttribute", json!({"InstanceId": id, "Groups": groups})).await?;
    }
    if differs("Monitoring") {
        return Err(Failure::refused("Monitoring of a running instance cannot be changed here."));
    }
    Ok(())
}

/// Changes what needs the instance to stand still.
async fn set_stopped(step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
    let changed: Vec<&str> = ["EbsOptimized", "InstanceType", "UserData"]
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    step.ec2("StopInstances", json!({"InstanceIds": [id]})).await?;
    until(step, id, "stopped").await?;
    for name in changed {
        let value = new.get(name).cloned().unwrap_or(match name {
            "InstanceType" => json!("m1.small"),
            "UserData" => json!(""),
            _ => json!(false),
        });
        step.ec2("ModifyInstanceAttribute", json!({"InstanceId": id, name: {"Value": value}})).await?;
    }
    step.ec2("StartInstances", json!({"InstanceIds": [id]})).await?;
    until(step, id, "running").await
}

#[async_trait]
impl ResourceType for Instance {
    fn table(&self) -> &'static Table {
        &INSTANCE
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let id = match step.known() {
            Some(id) => id,
            None => {
                let made = step.ec2("RunInstances", run(step, properties)).await?;
                made["Instances"][0]["InstanceId"].as_str().unwrap_or_default().to_owned()
            }
        };
        step.record(&id).await?;
        until(step, &id, "running").await?;
        let source_check = only(properties, &["SourceDestCheck"]);
        set_attributes(step, &id, &Map::new(), &source_check).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        set_attributes(step, id, old, new).await?;
        set_stopped(step, id, old, new).await?;
        step.retag_in_ec2(id, old, new).await
    }

    async fn find(&self, step: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        let filters = json!({"Filters": [{"Name": "client-token", "Values": [step.token()]}]});
        let found = step.ec2("DescribeInstances", filters).await?;
        Ok(found["Reservations"][0]["Instances"][0]["InstanceId"].as_str().map(str::to_owned))
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        if look(step, id).await?.is_null() {
            return Ok(());
        }
        unless_missing(step.ec2("TerminateInstances", json!({"InstanceIds": [id]})).await)?;
        until(step, id, "terminated").await.or_else(|failure| match failure {
            Failure::Refused(_) => Ok(()),
            other => Err(other),
        })
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let instance = look(step, id).await?;
        let text = |name: &str| instance[name].as_str().unwrap_or_default().to_owned();
        Ok(object(json!({
            "InstanceId": id,
            "AvailabilityZone": instance["Placement"]["AvailabilityZone"],
            "PrivateDnsName": text("PrivateDnsName"),
            "PrivateIp": text("PrivateIpAddress"),
            "PublicDnsName": text("PublicDnsName"),
            "PublicIp": text("PublicIpAddress"),
            "VpcId": text("VpcId"),
        })))
    }
}

static EIP: Table =
    Table::new("AWS::EC2::EIP", &[text("Domain"), text("InstanceId"), tags()], &["AllocationId", "PublicIp"]);

/// An address by what it is known by.
async fn address(step: &Step, public_ip: &str) -> Result<Value, Failure> {
    let found = unless_missing(step.ec2("DescribeAddresses", json!({"PublicIps": [public_ip]})).await)?;
    Ok(found["Addresses"][0].clone())
}

async fn tie(step: &Step, public_ip: &str, instance: Option<&Value>) -> Done {
    let found = address(step, public_ip).await?;
    match instance {
        Some(instance) => {
            let input = json!({"AllocationId": found["AllocationId"], "InstanceId": instance});
            step.ec2("AssociateAddress", input).await.map(drop)
        }
        None => match found["AssociationId"].as_str() {
            Some(id) => unless_missing(step.ec2("DisassociateAddress", json!({"AssociationId": id})).await).map(drop),
            None => Ok(()),
        },
    }
}

#[async_trait]
impl ResourceType for Eip {
    fn table(&self) -> &'static Table {
        &EIP
    }

    async fn find(&self, step: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        step.find_in_ec2("DescribeAddresses", "Addresses", "PublicIp").await
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let public_ip = match step.known() {
            Some(id) => id,
            None => {
                let input =
                    json!({"Domain": "vpc", "TagSpecifications": step.tag_specifications("elastic-ip", properties)});
                let made = step.ec2("AllocateAddress", input).await?;
                made["PublicIp"].as_str().unwrap_or_default().to_owned()
            }
        };
        step.record(&public_ip).await?;
        match properties.get("InstanceId") {
            Some(instance) => tie(step, &public_ip, Some(instance)).await,
            None => Ok(()),
        }
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        if old.get("InstanceId") != new.get("InstanceId") {
            tie(step, id, new.get("InstanceId")).await?;
        }
        let allocation = address(step, id).await?["AllocationId"].as_str().unwrap_or_default().to_owned();
        step.retag_in_ec2(&allocation, old, new).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        let found = address(step, id).await?;
        if let Some(association) = found["AssociationId"].as_str() {
            unless_missing(step.ec2("DisassociateAddress", json!({"AssociationId": association})).await)?;
        }
        match found["AllocationId"].as_str() {
            Some(allocation) => {
                unless_missing(step.ec2("ReleaseAddress", json!({"AllocationId": allocation})).await).map(drop)
            }
            None => Ok(()),
        }
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let found = address(step, id).await?;
        Ok(object(json!({"AllocationId": found["AllocationId"], "PublicIp": id})))
    }
}

static EIP_ASSOCIATION: Table = Table::new(
    "AWS::EC2::EIPAssociation",
    &[
        text("AllocationId").replaces(),
        text("EIP").replaces(),
        text("InstanceId").replaces(),
        text("NetworkInterfaceId").replaces(),
        text("PrivateIpAddress").replaces(),
    ],
    &["Id"],
);

fn association(properties: &Properties) -> Value {
    let mut input = only(properties, &["AllocationId", "InstanceId", "NetworkInterfaceId", "PrivateIpAddress"]);
    if let Some(public_ip) = properties.get("EIP") {
        input.insert("PublicIp".into(), public_ip.clone());
    }
    Value::Object(input)
}

#[async_trait]
impl ResourceType for EipAssociation {
    fn table(&self) -> &'static Table {
        &EIP_ASSOCIATION
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        // The same association again gives the same id.
        let made = step.ec2("AssociateAddress", association(properties)).await?;
        step.record(made["AssociationId"].as_str().unwrap_or_default()).await
    }

    async fn update(&self, _: &Step, _: &str, _: &Properties, _: &Properties) -> Done {
        Ok(())
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        let gone = unless_missing(step.ec2("DisassociateAddress", json!({"AssociationId": id})).await);
        ignore(gone, &["InvalidAssociationID.NotFound"])
    }

    async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"Id": id})))
    }
}

static KEY_PAIR: Table = Table::new(
    "AWS::EC2::KeyPair",
    &[
        text("KeyFormat").replaces(),
        text("KeyName").required().replaces(),
        text("KeyType").replaces(),
        text("PublicKeyMaterial").replaces(),
        list("Tags", &Kind::Structure(&[text("Key"), text("Value")])).replaces(),
    ],
    &["KeyFingerprint", "KeyPairId"],
)
.named_by("KeyName");

#[async_trait]
impl ResourceType for KeyPair {
    fn table(&self) -> &'static Table {
        &KEY_PAIR
    }

    async fn find(&self, step: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        step.find_in_ec2("DescribeKeyPairs", "KeyPairs", "KeyName").await
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let name = required(properties, "KeyName")?;
        let tags = step.tag_specifications("key-pair", properties);
        match text_of(properties, "PublicKeyMaterial") {
            Some(material) => {
                use base64::Engine as _;
                let material = base64::engine::general_purpose::STANDARD.encode(material);
                let input = json!({"KeyName": name, "PublicKeyMaterial": material, "TagSpecifications": tags});
                step.ec2("ImportKeyPair", input).await?;
            }
            // On AWS the private key goes to Parameter Store, which is not here; nobody could ever read it.
            None => {
                return Err(Failure::refused(
                    "PublicKeyMaterial must be set: there is no Parameter Store for a private key.",
                ));
            }
        }
        step.record(name).await
    }

    async fn update(&self, _: &Step, _: &str, _: &Properties, _: &Properties) -> Done {
        Ok(())
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(step.ec2("DeleteKeyPair", json!({"KeyName": id})).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let found = step.ec2("DescribeKeyPairs", json!({"KeyNames": [id]})).await?;
        let key = &found["KeyPairs"][0];
        Ok(object(json!({"KeyFingerprint": key["KeyFingerprint"], "KeyPairId": key["KeyPairId"]})))
    }
}

static NETWORK_INTERFACE: Table = Table::new(
    "AWS::EC2::NetworkInterface",
    &[
        text("Description"),
        texts("GroupSet"),
        text("PrivateIpAddress").replaces(),
        boolean("SourceDestCheck"),
        text("SubnetId").required().replaces(),
        tags(),
    ],
    &["Id", "PrimaryPrivateIpAddress", "VpcId"],
);

async fn set_interface(step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
    let mut changes = Vec::new();
    if old.get("Description") != new.get("Description") {
        changes.push(("Description", json!({"Value": text_of(new, "Description").unwrap_or_default()})));
    }
    if old.get("SourceDestCheck") != new.get("SourceDestCheck") {
        let value = new.get("SourceDestCheck").and_then(Value::as_bool).unwrap_or(true);
        changes.push(("SourceDestCheck", json!({"Value": value})));
    }
    if old.get("GroupSet") != new.get("GroupSet")
        && let Some(groups) = new.get("GroupSet")
    {
        changes.push(("Groups", groups.clone()));
    }
    for (member, value) in changes {
        let input = json!({"NetworkInterfaceId": id, member: value});
        step.ec2("ModifyNetworkInterfaceAttribute", input).await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for NetworkInterface {
    fn table(&self) -> &'static Table {
        &NETWORK_INTERFACE
    }

    async fn find(&self, step: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        step.find_in_ec2("DescribeNetworkInterfaces", "NetworkInterfaces", "NetworkInterfaceId").await
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let id = match step.known() {
            Some(id) => id,
            None => {
                let mut input = only(properties, &["Description", "PrivateIpAddress", "SubnetId"]);
                if let Some(groups) = properties.get("GroupSet") {
                    input.insert("Groups".into(), groups.clone());
                }
                input.insert("TagSpecifications".into(), step.tag_specifications("network-interface", properties));
                let made = step.ec2("CreateNetworkInterface", Value::Object(input)).await?;
                made["NetworkInterface"]["NetworkInterfaceId"].as_str().unwrap_or_default().to_owned()
            }
        };
        step.record(&id).await?;
        set_interface(step, &id, &Map::new(), &only(properties, &["SourceDestCheck"])).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        set_interface(step, id, old, new).await?;
        step.retag_in_ec2(id, old, new).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(step.ec2("DeleteNetworkInterface", json!({"NetworkInterfaceId": id})).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let found = step.ec2("DescribeNetworkInterfaces", json!({"NetworkInterfaceIds": [id]})).await?;
        let interface = &found["NetworkInterfaces"][0];
        let (address, vpc) = (&interface["PrivateIpAddress"], &interface["VpcId"]);
        Ok(object(json!({"Id": id, "PrimaryPrivateIpAddress": address, "VpcId": vpc})))
    }
}
