//! What a template says, between the shapes of the API that say it: as it is created, described and started from.
//!
//! Invariants:
//! - It is kept in JSON by the members' names, which the three shapes share; where they differ, it is renamed here.
//! - What a call says goes before what its template says, member by member; tags are put together.

use api::ec2::{RequestLaunchTemplateData, ResponseLaunchTemplateData, RunInstancesInput, SERVICE};
use serde_json::{Map, Value as Json};
use wire::json::JsonWriter;
use wire::schema::{Member, Shape, Structure};
use wire::value::Value;

use crate::errors::{self, Refusal};

/// Members that templates and calls call differently.
const RENAMED: [(&str, &str); 2] =
    [("RamDiskId", "RamdiskId"), ("ElasticGpuSpecifications", "ElasticGpuSpecification")];

fn member(structure: &'static Structure, name: &str) -> Result<&'static Member, Refusal> {
    structure.members.iter().find(|member| member.name == name).ok_or(Refusal::Schema)
}

fn structure_in(shape: &Shape) -> Result<&'static Structure, Refusal> {
    match shape {
        Shape::Structure(structure) => Ok(structure),
        Shape::List(list) => structure_in(&list.item),
        _ => Err(Refusal::Schema),
    }
}

fn request_shape() -> Result<&'static Structure, Refusal> {
    let operation = SERVICE.operation("CreateLaunchTemplate").ok_or(Refusal::Schema)?;
    structure_in(&member(operation.input, "LaunchTemplateData")?.shape)
}

fn response_shape() -> Result<&'static Structure, Refusal> {
    let operation = SERVICE.operation("DescribeLaunchTemplateVersions").ok_or(Refusal::Schema)?;
    let output = operation.output.ok_or(Refusal::Schema)?;
    let version = structure_in(&member(output, "LaunchTemplateVersions")?.shape)?;
    structure_in(&member(version, "LaunchTemplateData")?.shape)
}

fn run_shape() -> Result<&'static Structure, Refusal> {
    Ok(SERVICE.operation("RunInstances").ok_or(Refusal::Schema)?.input)
}

fn to_json<T: Value>(value: &T, structure: &'static Structure) -> Result<Json, Refusal> {
    let mut writer = JsonWriter::new();
    value.write(&Shape::Structure(structure), &mut writer);
    serde_json::from_slice(&writer.finish()).map_err(|_| Refusal::Schema)
}

fn from_json<T: Value>(json: &Json, structure: &'static Structure) -> Result<T, Refusal> {
    let text = json.to_string();
    let node = wire::json::parse(structure, text.as_bytes()).map_err(|_| Refusal::Schema)?;
    T::bind(node).map_err(|_| Refusal::Schema)
}

/// A template's data as they are kept.
pub(super) fn encode(data: &RequestLaunchTemplateData) -> Result<Json, Refusal> {
    if data.instance_requirements.is_some() {
        return Err(errors::unsupported_parameter("InstanceRequirements"));
    }
    to_json(data, request_shape()?)
}

/// A call in JSON: the same call has the same text.
pub(crate) fn encoded(input: &RunInstancesInput) -> Result<Json, Refusal> {
    to_json(input, run_shape()?)
}

/// A template's data as they are described.
pub(super) fn described(data: &Json) -> Result<ResponseLaunchTemplateData, Refusal> {
    from_json(data, response_shape()?)
}

/// `over` put on `under`.
pub(super) fn merged(under: Json, over: Json) -> Json {
    let (Json::Object(mut merged), Json::Object(over)) = (under, over) else { return Json::Null };
    for (name, value) in over {
        // A list that the call hasn't is written as an empty one.
        if !value.as_array().is_some_and(Vec::is_empty) && !value.is_null() {
            merged.insert(name, value);
        }
    }
    Json::Object(merged)
}

/// A call with what its template says in the places that it leaves open.
pub(crate) fn apply(template: Json, input: &RunInstancesInput) -> Result<RunInstancesInput, Refusal> {
    let (Json::Object(mut template), call) = (template, encoded(input)?) else { return Err(Refusal::Schema) };
    for (theirs, ours) in RENAMED {
        if let Some(value) = template.remove(theirs) {
            template.insert(ours.to_owned(), value);
        }
    }
    let tags = tags_together(template.get("TagSpecifications"), call.get("TagSpecifications"));
    // The two ways to say an instance's groups exclude each other, also across template and call.
    let names_groups = |name: &str| call.get(name).and_then(Json::as_array).is_some_and(|groups| !groups.is_empty());
    if names_groups("SecurityGroupIds") || names_groups("SecurityGroups") {
        template.remove("SecurityGroupIds");
        template.remove("SecurityGroups");
    }
    let mut merged = merged(Json::Object(template), call);
    if let Some(object) = merged.as_object_mut() {
        object.insert("TagSpecifications".to_owned(), tags);
    }
    from_json(&merged, run_shape()?)
}

/// Tags of both, by kind of resource; of one key that of the call.
fn tags_together(template: Option<&Json>, call: Option<&Json>) -> Json {
    let mut kinds: Vec<(String, Map<String, Json>)> = Vec::new();
    let specifications = template.into_iter().chain(call).filter_map(Json::as_array).flatten();
    for specification in specifications {
        let kind = specification["ResourceType"].as_str().unwrap_or_default().to_owned();
        let at = kinds.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            kinds.push((kind, Map::new()));
            kinds.len() - 1
        });
        for tag in specification["Tags"].as_array().into_iter().flatten() {
            kinds[at].1.insert(tag["Key"].as_str().unwrap_or_default().to_owned(), tag["Value"].clone());
        }
    }
    let tag = |(key, value): (String, Json)| serde_json::json!({"Key": key, "Value": value});
    let specification = |(kind, tags): (String, Map<String, Json>)| serde_json::json!({"ResourceType": kind, "Tags": tags.into_iter().map(tag).collect::<Vec<_>>()});
    Json::Array(kinds.into_iter().map(specification).collect())
}
