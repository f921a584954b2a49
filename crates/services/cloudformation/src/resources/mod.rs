//! Resource types: one table and one way to make, change, find and delete for each.
//!
//! Invariants:
//! - A type's `create` may be called again after a crash: it goes on from the id that [`Step::known`] has, and
//!   [`ResourceType::find`] says whether an earlier life made something that nobody recorded.
//! - `update` and `delete` may be called again; what is done already is no error.
//! - Types act through the services' public operations, as anybody may.

mod auto_scaling;
mod auto_scaling_rolling;
mod cloudformation;
mod ec2_instances;
mod ec2_network;
mod ec2_network_acls;
mod ec2_routes;
mod ec2_security_groups;
mod ecr;
pub(crate) mod failure;
mod iam;
mod iam_policies;
mod iam_roles;
mod launch_templates;
mod load_balancer;
pub(crate) mod property;
#[cfg(test)]
mod published;
mod s3;
mod s3_configuration;
mod sqs;
mod ssm;
pub(crate) mod step;

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::template::Catalogue;
use crate::template::parameters::Given;
use failure::Failure;
use property::Property;
use step::Step;

/// Properties, checked.
pub(crate) type Properties = Map<String, Value>;
type Done = Result<(), Failure>;

/// What a type is, as data.
pub(crate) struct Table {
    /// `AWS::SQS::Queue`.
    pub(crate) name: &'static str,
    pub(crate) properties: &'static [Property],
    /// What Fn::GetAtt knows; a `*` at the end stands for anything.
    pub(crate) attributes: &'static [&'static str],
    /// The property that is the resource's name, where it can be chosen: two cannot have the same.
    pub(crate) name_property: Option<&'static str>,
    /// The capability that a stack with such a resource needs.
    pub(crate) capability: Option<&'static str>,
}

impl Table {
    const fn new(name: &'static str, properties: &'static [Property], attributes: &'static [&'static str]) -> Self {
        Self { name, properties, attributes, name_property: None, capability: None }
    }

    const fn named_by(self, property: &'static str) -> Self {
        Self { name_property: Some(property), ..self }
    }

    const fn needing(self, capability: &'static str) -> Self {
        Self { capability: Some(capability), ..self }
    }
}

/// A resource type.
#[async_trait]
pub(crate) trait ResourceType: Send + Sync {
    /// What it is.
    fn table(&self) -> &'static Table;

    /// The id of what an earlier life of this step made without recording it.
    async fn find(&self, _: &Step, _: &Properties) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// Makes the resource and waits until it is ready; records its id as soon as there is one.
    async fn create(&self, step: &Step, properties: &Properties) -> Done;

    /// Changes the resource in place.
    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done;

    /// Deletes the resource, if it is there.
    async fn delete(&self, step: &Step, id: &str, properties: &Properties) -> Done;

    /// What Fn::GetAtt gives.
    async fn attributes(&self, _: &Step, _: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(Map::new())
    }

    /// What Ref gives.
    fn reference(&self, id: &str) -> Value {
        Value::from(id)
    }

    /// Whether this very change needs another resource, beyond what the table says.
    fn must_replace(&self, _: &Properties, _: &Properties, _: Option<&Value>) -> bool {
        false
    }
}

/// Nested stacks and signals, which are the engine's own.
#[async_trait]
pub(crate) trait Stacks: Send + Sync {
    /// Begins to make a nested stack, or knows the one that this step began before; its id.
    async fn create(&self, step: &Step, request: Nested) -> Result<String, Failure>;
    /// Begins to change a nested stack; whether there was anything to change.
    async fn update(&self, step: &Step, id: &str, request: Nested) -> Result<bool, Failure>;
    /// Begins to delete a nested stack.
    async fn delete(&self, step: &Step, id: &str) -> Done;
    /// A nested stack's status, reason and outputs; `None` if there is none.
    async fn look(&self, id: &str) -> Result<Option<Look>, Failure>;
    /// The signals that a resource was sent since it was begun.
    async fn signals(&self, step: &Step, logical: &str) -> Result<Vec<crate::rows::SignalRow>, Failure>;
    /// Waits until there may be new signals, at most so long.
    async fn wait_for_signals(&self, step: &Step, at_most: std::time::Duration) -> Done;
    /// The URL to which a wait condition's signals are sent.
    fn signal_url(&self, step: &Step) -> String;
}

/// What a nested stack is made of.
pub(crate) struct Nested {
    pub(crate) template_url: String,
    pub(crate) parameters: std::collections::BTreeMap<String, Given>,
    pub(crate) tags: std::collections::BTreeMap<String, String>,
    pub(crate) timeout_min: Option<u32>,
}

/// A nested stack as it is now.
pub(crate) struct Look {
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) outputs: Vec<(String, String)>,
}

/// Every type.
static TYPES: &[&dyn ResourceType] = &[
    &auto_scaling::AutoScalingGroup,
    &auto_scaling::LaunchConfiguration,
    &auto_scaling::LifecycleHook,
    &auto_scaling::ScalingPolicy,
    &auto_scaling::ScheduledAction,
    &cloudformation::Metadata,
    &cloudformation::NestedStack,
    &cloudformation::WaitCondition,
    &cloudformation::WaitConditionHandle,
    &ec2_instances::Eip,
    &ec2_instances::EipAssociation,
    &ec2_instances::Instance,
    &ec2_instances::KeyPair,
    &ec2_instances::NetworkInterface,
    &ec2_network::InternetGateway,
    &ec2_network::Subnet,
    &ec2_network::Vpc,
    &ec2_network::VpcGatewayAttachment,
    &ec2_network_acls::NetworkAcl,
    &ec2_network_acls::NetworkAclEntry,
    &ec2_network_acls::SubnetNetworkAclAssociation,
    &ec2_routes::Route,
    &ec2_routes::RouteTable,
    &ec2_routes::SubnetRouteTableAssociation,
    &ec2_security_groups::SecurityGroup,
    &ec2_security_groups::SecurityGroupEgress,
    &ec2_security_groups::SecurityGroupIngress,
    &ecr::Repository,
    &iam::ServerCertificate,
    &iam_policies::ManagedPolicy,
    &iam_policies::Policy,
    &iam_policies::RolePolicy,
    &iam_roles::InstanceProfile,
    &iam_roles::Role,
    &launch_templates::LaunchTemplate,
    &load_balancer::LoadBalancer,
    &s3::Bucket,
    &s3::BucketPolicy,
    &sqs::Queue,
    &sqs::QueuePolicy,
    &ssm::Parameter,
];

/// The type of that name.
pub(crate) fn find(name: &str) -> Option<&'static dyn ResourceType> {
    TYPES.iter().find(|one| one.table().name == name).copied()
}

/// The types, for the template's check.
pub(crate) struct Known;

impl Catalogue for Known {
    fn knows(&self, kind: &str) -> bool {
        find(kind).is_some()
    }

    fn has_attribute(&self, kind: &str, attribute: &str) -> bool {
        let Some(found) = find(kind) else { return false };
        found.table().attributes.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => attribute.starts_with(start),
            None => *known == attribute,
        })
    }
}

/// A list of texts in an answer.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A text among properties.
pub(crate) fn text<'a>(properties: &'a Properties, name: &str) -> Option<&'a str> {
    properties.get(name).and_then(Value::as_str)
}

/// A text that the table requires.
pub(crate) fn required<'a>(properties: &'a Properties, name: &str) -> Result<&'a str, Failure> {
    text(properties, name).ok_or_else(|| Failure::refused(format!("Property {name} cannot be empty.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_known_by_its_name_once() {
        let mut all: Vec<_> = TYPES.iter().map(|one| one.table().name).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(all.iter().all(|name| find(name).is_some_and(|found| found.table().name == *name)));
    }

    #[test]
    fn a_name_property_is_one_that_replaces() {
        for one in TYPES {
            let table = one.table();
            let Some(name) = table.name_property else { continue };
            let property = table.properties.iter().find(|property| property.name == name);
            assert!(property.is_some_and(|p| p.update == property::Update::Replacement), "{} {name}", table.name);
        }
    }
}
