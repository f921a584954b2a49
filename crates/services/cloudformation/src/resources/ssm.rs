//! Parameters of Parameter Store.
//!
//! Invariant: a parameter that somebody else made is never taken for ours.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::ec2_network::object;
use super::failure::{Failure, unless_missing};
use super::property::{Kind, map, text};
use super::step::{Step, only};
use super::{Done, Properties, ResourceType, Table, required, text as text_of};

/// `AWS::SSM::Parameter`.
pub(super) struct Parameter;

const TEXT: Kind = Kind::Text;
static PARAMETER: Table = Table::new(
    "AWS::SSM::Parameter",
    &[
        text("AllowedPattern"),
        text("DataType"),
        text("Description"),
        text("Name").replaces(),
        text("Policies"),
        map("Tags", &TEXT),
        text("Tier"),
        text("Type").required(),
        text("Value").required(),
    ],
    &["Type", "Value"],
)
.named_by("Name");

async fn ssm(step: &Step, operation: &str, input: Value) -> Result<Value, Failure> {
    step.call("ssm", operation, input).await
}

fn name_of(step: &Step, properties: &Properties) -> String {
    text_of(properties, "Name").map_or_else(|| format!("CFN-{}", step.name(100)), str::to_owned)
}

/// What PutParameter takes of the properties. AWS's type makes no secrets: their text would stand in the template.
fn input(name: &str, properties: &Properties) -> Result<Map<String, Value>, Failure> {
    if text_of(properties, "Type") == Some("SecureString") {
        return Err(Failure::refused("Value of property Type must be one of String, StringList".to_owned()));
    }
    let mut input =
        only(properties, &["AllowedPattern", "DataType", "Description", "Policies", "Tier", "Type", "Value"]);
    input.insert("Name".into(), json!(name));
    Ok(input)
}

/// The property `Tags`, a map here, and those that everything made by a stack carries.
fn tags(step: &Step, properties: &Properties) -> Map<String, Value> {
    let mut tags = properties.get("Tags").and_then(Value::as_object).cloned().unwrap_or_default();
    tags.extend(step.own_tags().map(|(key, value)| (key.to_owned(), json!(value))));
    tags
}

fn tag_list(tags: &Map<String, Value>) -> Vec<Value> {
    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

fn resource(name: &str) -> Map<String, Value> {
    object(json!({"ResourceType": "Parameter", "ResourceId": name}))
}

async fn change_tags(step: &Step, name: &str, operation: &str, member: &str, value: Value) -> Done {
    let mut input = resource(name);
    input.insert(member.to_owned(), value);
    ssm(step, operation, Value::Object(input)).await.map(drop)
}

#[async_trait]
impl ResourceType for Parameter {
    fn table(&self) -> &'static Table {
        &PARAMETER
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let name = name_of(step, properties);
        let found = unless_missing(ssm(step, "ListTagsForResource", Value::Object(resource(&name))).await)?;
        let tags = found["TagList"].as_array().cloned().unwrap_or_default();
        let has = |key: &str, value: &str| tags.iter().any(|tag| tag["Key"] == key && tag["Value"] == value);
        let is_ours = step.own_tags().into_iter().all(|(key, value)| has(key, value));
        Ok((is_ours && !step.others.contains(&name)).then_some(name))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let name = name_of(step, properties);
        let mut input = input(&name, properties)?;
        input.insert("Tags".into(), Value::Array(tag_list(&tags(step, properties))));
        ssm(step, "PutParameter", Value::Object(input)).await?;
        step.record(&name).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        let values = |properties: &Properties| -> Result<Map<String, Value>, Failure> {
            let mut input = input(id, properties)?;
            // An overwrite keeps what it does not say; a property that is gone is said to be empty.
            for name in ["AllowedPattern", "Description"] {
                input.entry(name).or_insert_with(|| json!(""));
            }
            Ok(input)
        };
        let mut after = values(new)?;
        if values(old)? != after {
            after.insert("Overwrite".into(), json!(true));
            ssm(step, "PutParameter", Value::Object(after)).await?;
        }
        let (before, after) = (tags(step, old), tags(step, new));
        let gone: Vec<&String> = before.keys().filter(|key| !after.contains_key(*key)).collect();
        if !gone.is_empty() {
            change_tags(step, id, "RemoveTagsFromResource", "TagKeys", json!(gone)).await?;
        }
        if before != after {
            change_tags(step, id, "AddTagsToResource", "Tags", Value::Array(tag_list(&after))).await?;
        }
        Ok(())
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(ssm(step, "DeleteParameter", json!({"Name": id})).await).map(drop)
    }

    async fn attributes(&self, _: &Step, _: &str, properties: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"Type": required(properties, "Type")?, "Value": required(properties, "Value")?})))
    }
}
