//! Queues and their policies.
//!
//! Invariant: a queue that somebody else made is never taken for ours, though SQS would let it be created again.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::ec2_network::object;
use super::failure::{Failure, unless_missing};
use super::property::{Property, boolean, integer, json as document, tags, text, texts};
use super::step::{Step, tags_of};
use super::{Done, Properties, ResourceType, Table, text as text_of, texts as texts_of};

/// `AWS::SQS::Queue`.
pub(super) struct Queue;
/// `AWS::SQS::QueuePolicy`.
pub(super) struct QueuePolicy;

const QUEUE_PROPERTIES: &[Property] = &[
    boolean("ContentBasedDeduplication"),
    text("DeduplicationScope"),
    integer("DelaySeconds"),
    boolean("FifoQueue").replaces(),
    text("FifoThroughputLimit"),
    integer("KmsDataKeyReusePeriodSeconds"),
    text("KmsMasterKeyId"),
    integer("MaximumMessageSize"),
    integer("MessageRetentionPeriod"),
    text("QueueName").replaces(),
    integer("ReceiveMessageWaitTimeSeconds"),
    document("RedriveAllowPolicy"),
    document("RedrivePolicy"),
    boolean("SqsManagedSseEnabled"),
    tags(),
    integer("VisibilityTimeout"),
];
static QUEUE: Table =
    Table::new("AWS::SQS::Queue", QUEUE_PROPERTIES, &["Arn", "QueueName", "QueueUrl"]).named_by("QueueName");

/// What an attribute is where the template does not say, so that taking a property away takes its effect away.
const DEFAULTS: [(&str, &str); 9] = [
    ("ContentBasedDeduplication", "false"),
    ("DelaySeconds", "0"),
    ("KmsMasterKeyId", ""),
    ("MaximumMessageSize", "262144"),
    ("MessageRetentionPeriod", "345600"),
    ("ReceiveMessageWaitTimeSeconds", "0"),
    ("RedriveAllowPolicy", ""),
    ("RedrivePolicy", ""),
    ("VisibilityTimeout", "30"),
];

/// A property as SQS's attribute.
fn attribute(value: &Value) -> Value {
    Value::String(crate::template::text(value).unwrap_or_else(|| value.to_string()))
}

fn attributes(properties: &Properties) -> Map<String, Value> {
    let is_attribute = |name: &str| !matches!(name, "QueueName" | "Tags");
    let pairs = properties.iter().filter(|(name, _)| is_attribute(name));
    // A standard queue may say so in a template, but not to SQS.
    let pairs = pairs.filter(|(name, value)| *name != "FifoQueue" || **value == Value::Bool(true));
    pairs.map(|(name, value)| (name.clone(), attribute(value))).collect()
}

async fn sqs(step: &Step, operation: &str, input: Value) -> Result<Value, Failure> {
    step.call("sqs", operation, input).await
}

fn queue_name(step: &Step, properties: &Properties) -> String {
    if let Some(name) = text_of(properties, "QueueName") {
        return name.to_owned();
    }
    match properties.get("FifoQueue") {
        Some(Value::Bool(true)) => format!("{}.fifo", step.name(75)),
        _ => step.name(80),
    }
}

#[async_trait]
impl ResourceType for Queue {
    fn table(&self) -> &'static Table {
        &QUEUE
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let name = queue_name(step, properties);
        let found = unless_missing(sqs(step, "GetQueueUrl", json!({"QueueName": name})).await)?;
        let Some(url) = found["QueueUrl"].as_str() else { return Ok(None) };
        let wanted = json!({"QueueUrl": url, "AttributeNames": ["CreatedTimestamp"]});
        let known = unless_missing(sqs(step, "GetQueueAttributes", wanted).await)?;
        let created = known["Attributes"]["CreatedTimestamp"].as_str().and_then(|text| text.parse::<u64>().ok());
        // Queues carry no tags of CloudFormation's: ours is one that came after this step was begun.
        let is_ours = created.is_some_and(|seconds| seconds >= step.begun_ms / 1000);
        Ok((is_ours && !step.others.iter().any(|other| other == url)).then(|| url.to_owned()))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        if step.known().is_some() {
            return Ok(());
        }
        let name = queue_name(step, properties);
        let found = unless_missing(sqs(step, "GetQueueUrl", json!({"QueueName": name})).await)?;
        if found["QueueUrl"].is_string() {
            return Err(Failure::refused(format!("{name} already exists")));
        }
        let tags = tags_of(properties);
        let input = json!({"QueueName": name, "Attributes": attributes(properties), "tags": tags});
        let made = sqs(step, "CreateQueue", input).await?;
        step.record(made["QueueUrl"].as_str().unwrap_or_default()).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        let (before, mut after) = (attributes(old), attributes(new));
        for (name, default) in DEFAULTS {
            if before.contains_key(name) && !after.contains_key(name) {
                after.insert(name.to_owned(), json!(default));
            }
        }
        after.retain(|name, value| before.get(name) != Some(value));
        if !after.is_empty() {
            sqs(step, "SetQueueAttributes", json!({"QueueUrl": id, "Attributes": after})).await?;
        }
        let (before, after) = (tags_of(old), tags_of(new));
        let gone: Vec<&String> = before.keys().filter(|key| !after.contains_key(*key)).collect();
        if !gone.is_empty() {
            sqs(step, "UntagQueue", json!({"QueueUrl": id, "TagKeys": gone})).await?;
        }
        if before != after && !after.is_empty() {
            sqs(step, "TagQueue", json!({"QueueUrl": id, "Tags": after})).await?;
        }
        Ok(())
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(sqs(step, "DeleteQueue", json!({"QueueUrl": id})).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let found = sqs(step, "GetQueueAttributes", json!({"QueueUrl": id, "AttributeNames": ["QueueArn"]})).await?;
        let name = id.rsplit('/').next().unwrap_or_default();
        Ok(object(json!({"Arn": found["Attributes"]["QueueArn"], "QueueName": name, "QueueUrl": id})))
    }
}

static QUEUE_POLICY: Table =
    Table::new("AWS::SQS::QueuePolicy", &[document("PolicyDocument").required(), texts("Queues").required()], &["Id"]);

fn queues(properties: &Properties) -> Vec<String> {
    properties.get("Queues").map(texts_of).unwrap_or_default()
}

async fn set_policy(step: &Step, queue: &str, policy: &str) -> Result<Value, Failure> {
    sqs(step, "SetQueueAttributes", json!({"QueueUrl": queue, "Attributes": {"Policy": policy}})).await
}

#[async_trait]
impl ResourceType for QueuePolicy {
    fn table(&self) -> &'static Table {
        &QUEUE_POLICY
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        step.record(&step.name(128)).await?;
        let policy = required_policy(properties)?;
        for queue in queues(properties) {
            set_policy(step, &queue, &policy).await?;
        }
        Ok(())
    }

    async fn update(&self, step: &Step, _: &str, old: &Properties, new: &Properties) -> Done {
        let after = queues(new);
        for queue in queues(old).iter().filter(|queue| !after.contains(queue)) {
            unless_missing(set_policy(step, queue, "").await)?;
        }
        let policy = required_policy(new)?;
        for queue in after {
            set_policy(step, &queue, &policy).await?;
        }
        Ok(())
    }

    async fn delete(&self, step: &Step, _: &str, properties: &Properties) -> Done {
        for queue in queues(properties) {
            unless_missing(set_policy(step, &queue, "").await)?;
        }
        Ok(())
    }

    async fn attributes(&self, _: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        Ok(object(json!({"Id": id})))
    }
}

fn required_policy(properties: &Properties) -> Result<String, Failure> {
    let policy = properties.get("PolicyDocument").map(Value::to_string);
    policy.ok_or_else(|| Failure::refused("Property PolicyDocument cannot be empty."))
}
