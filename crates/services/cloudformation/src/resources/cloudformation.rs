//! CloudFormation's own types: nested stacks, wait conditions, and CDK's mark.
//!
//! Invariant: a nested stack is found again by the token that follows from its parent's step.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::ec2_network::object;
use super::failure::Failure;
use super::property::{Kind, Property, integer, tags, text};
use super::step::Step;
use super::{Done, Nested, Properties, ResourceType, Table, required, text as text_of};
use crate::template::parameters::Given;

/// `AWS::CloudFormation::Stack`.
pub(super) struct NestedStack;
/// `AWS::CloudFormation::WaitConditionHandle`.
pub(super) struct WaitConditionHandle;
/// `AWS::CloudFormation::WaitCondition`.
pub(super) struct WaitCondition;
/// `AWS::CDK::Metadata`: a record of what made the template, without effect.
pub(super) struct Metadata;

/// The longest that a wait condition waits, as on AWS.
const WAIT_MAX_S: u64 = 43_200;

const PARAMETERS: Property = Property { kind: Kind::Map(&PARAMETER), ..text("Parameters") };
const PARAMETER: Kind = Kind::Text;
static STACK: Table = Table::new(
    "AWS::CloudFormation::Stack",
    &[PARAMETERS, tags(), text("TemplateURL").required(), integer("TimeoutInMinutes")],
    &["Outputs.*"],
);

fn nested(properties: &Properties) -> Result<Nested, Failure> {
    let parameters = properties.get("Parameters").and_then(Value::as_object).into_iter().flatten();
    let given = |(name, value): (&String, &Value)| {
        (name.clone(), Given { value: value.as_str().map(str::to_owned), use_previous: false })
    };
    Ok(Nested {
        template_url: required(properties, "TemplateURL")?.to_owned(),
        parameters: parameters.map(given).collect(),
        tags: super::step::tags_of(properties),
        timeout_min: properties.get("TimeoutInMinutes").and_then(Value::as_u64).and_then(|m| u32::try_from(m).ok()),
    })
}

/// Waits until a nested stack rests in one of the states that are wanted.
async fn until(step: &Step, id: &str, wanted: &[&str], doing: &str) -> Done {
    let mut looks = 0;
    loop {
        let look = step.tools.stacks.look(id).await?;
        let (status, reason) = look.map_or(("DELETE_COMPLETE".to_owned(), None), |look| (look.status, look.reason));
        if wanted.contains(&status.as_str()) {
            return Ok(());
        }
        if !status.ends_with("_IN_PROGRESS") {
            return Err(Failure::refused(format!(
                "Embedded stack {id} was not successfully {doing}: {}",
                reason.unwrap_or_default()
            )));
        }
        step.pause(looks).await?;
        looks += 1;
    }
}

#[async_trait]
impl ResourceType for NestedStack {
    fn table(&self) -> &'static Table {
        &STACK
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let id = match step.known() {
            Some(id) => id,
            None => step.tools.stacks.create(step, nested(properties)?).await?,
        };
        step.record(&id).await?;
        until(step, &id, &["CREATE_COMPLETE"], "created").await
    }

    async fn update(&self, step: &Step, id: &str, _: &Properties, new: &Properties) -> Done {
        if step.tools.stacks.update(step, id, nested(new)?).await? {
            until(step, id, &["UPDATE_COMPLETE", "CREATE_COMPLETE"], "updated").await?;
        }
        Ok(())
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        step.tools.stacks.delete(step, id).await?;
        until(step, id, &["DELETE_COMPLETE"], "deleted").await
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let outputs = step.tools.stacks.look(id).await?.map(|look| look.outputs).unwrap_or_default();
        Ok(outputs.into_iter().map(|(name, value)| (format!("Outputs.{name}"), json!(value))).collect())
    }
}

static WAIT_CONDITION_HANDLE: Table = Table::new("AWS::CloudFormation::WaitConditionHandle", &[], &[]);

#[async_trait]
impl ResourceType for WaitConditionHandle {
    fn table(&self) -> &'static Table {
        &WAIT_CONDITION_HANDLE
    }

    async fn create(&self, step: &Step, _: &Properties) -> Done {
        step.record(&step.tools.stacks.signal_url(step)).await
    }

    async fn update(&self, _: &Step, _: &str, _: &Properties, _: &Properties) -> Done {
        Ok(())
    }

    async fn delete(&self, _: &Step, _: &str, _: &Properties) -> Done {
        Ok(())
    }
}

static WAIT_CONDITION: Table =
    Table::new("AWS::CloudFormation::WaitCondition", &[integer("Count"), text("Handle"), text("Timeout")], &["Data"]);

/// The logical id of the handle that a URL belongs to: its last part but the secret.
fn handle(url: &str) -> Option<&str> {
    url.rsplit('/').nth(1).filter(|logical| !logical.is_empty())
}

#[async_trait]
impl ResourceType for WaitCondition {
    fn table(&self) -> &'static Table {
        &WAIT_CONDITION
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        step.record(&step.name(128)).await?;
        let Some(url) = text_of(properties, "Handle") else {
            // With a creation policy, signals come to the condition itself, and the engine waits for them.
            let waits = step.creation_policy.is_some();
            return if waits { Ok(()) } else { Err(Failure::refused("Property Handle cannot be empty.")) };
        };
        let handle = handle(url).ok_or_else(|| Failure::refused(format!("Invalid WaitConditionHandle: {url}")))?;
        let timeout = text_of(properties, "Timeout").and_then(|text| text.parse::<u64>().ok());
        let timeout = timeout.filter(|seconds| *seconds <= WAIT_MAX_S).ok_or_else(|| {
            Failure::refused(format!("Property Timeout must be a number of seconds up to {WAIT_MAX_S}."))
        })?;
        let count = properties.get("Count").and_then(Value::as_u64).unwrap_or(1);
        let deadline_ms = step.begun_ms.saturating_add(timeout * 1000);
        loop {
            let signals = step.tools.stacks.signals(step, handle).await?;
            if let Some(failed) = signals.iter().find(|signal| !signal.is_success) {
                let reason = failed.reason.clone().unwrap_or_default();
                return Err(Failure::refused(format!(
                    "WaitCondition received failed message: '{reason}' for uniqueId: {}",
                    failed.unique_id
                )));
            }
            if signals.len() as u64 >= count {
                return Ok(());
            }
            let left = deadline_ms.saturating_sub(step.tools.clock.now().0);
            if left == 0 {
                return Err(Failure::refused(format!(
                    "WaitCondition timed out. Received {} conditions when expecting {count}",
                    signals.len()
                )));
            }
            step.tools.stacks.wait_for_signals(step, Duration::from_millis(left)).await?;
        }
    }

    async fn update(&self, _: &Step, _: &str, _: &Properties, _: &Properties) -> Done {
        Ok(())
    }

    async fn delete(&self, _: &Step, _: &str, _: &Properties) -> Done {
        Ok(())
    }

    async fn attributes(&self, step: &Step, _: &str, properties: &Properties) -> Result<Properties, Failure> {
        let logical = text_of(properties, "Handle").and_then(handle).unwrap_or(&step.logical);
        let signals = step.tools.stacks.signals(step, logical).await?;
        let data: BTreeMap<String, String> =
            signals.into_iter().map(|signal| (signal.unique_id, signal.data.unwrap_or_default())).collect();
        let data = serde_json::to_string(&data).unwrap_or_default();
        Ok(object(json!({"Data": data})))
    }
}

static METADATA: Table = Table::new("AWS::CDK::Metadata", &[text("Analytics")], &[]);

#[async_trait]
impl ResourceType for Metadata {
    fn table(&self) -> &'static Table {
        &METADATA
    }

    async fn create(&self, step: &Step, _: &Properties) -> Done {
        step.record(&step.token()).await
    }

    async fn update(&self, _: &Step, _: &str, _: &Properties, _: &Properties) -> Done {
        Ok(())
    }

    async fn delete(&self, _: &Step, _: &str, _: &Properties) -> Done {
        Ok(())
    }

    async fn attributes(&self, _: &Step, _: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(Map::new())
    }
}
