//! A small cloud in memory: as much of SQS, EC2, Auto Scaling and Parameter Store as the engine's tests need, with failures and crashes on
//! demand.
//!
//! Invariants:
//! - It refuses what the real services refuse: names that are taken, ids that do not exist, things that are in use.
//! - It counts every call, and can let the caller vanish before or after any of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{BucketRequest, Call, Platform};
use async_trait::async_trait;
use bytes::Bytes;
use host::Clock;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use wire::ApiError;

/// When the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the call has any effect.
    Before(usize),
    /// After its effect, before its answer arrives.
    After(usize),
}

/// A call that fails.
pub(crate) struct Fault {
    pub(crate) operation: &'static str,
    /// How many of its calls still succeed.
    pub(crate) after: usize,
    /// How many fail.
    pub(crate) times: usize,
    pub(crate) error: ApiError,
}

#[derive(Default)]
pub(crate) struct State {
    next_id: u64,
    /// By kind and id.
    pub(crate) things: BTreeMap<(String, String), Map<String, Value>>,
    /// By bucket and key.
    pub(crate) objects: BTreeMap<(String, String), String>,
    pub(crate) calls: Vec<String>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) crash: Option<Moment>,
    /// Operations whose next calls panic, and how many of them.
    pub(crate) panics: BTreeMap<&'static str, usize>,
    /// Auto Scaling launches nothing while this holds.
    pub(crate) launches_nothing: bool,
}

pub(crate) struct Cloud {
    pub(crate) state: Mutex<State>,
    pub(crate) crashed: Notify,
    clock: Arc<dyn Clock>,
}

type Answer = Result<Value, ApiError>;

fn refused(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::sender(code, message)
}

impl Cloud {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), crashed: Notify::new(), clock })
    }

    /// Names of all things of a kind, in order.
    pub(crate) fn all(&self, kind: &str) -> Vec<String> {
        let state = self.state.lock();
        state.things.keys().filter(|(known, _)| known == kind).map(|(_, id)| id.clone()).collect()
    }

    /// How many things there are, of all kinds.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().things.len()
    }

    pub(crate) fn thing(&self, kind: &str, id: &str) -> Map<String, Value> {
        self.state.lock().things.get(&(kind.to_owned(), id.to_owned())).cloned().unwrap_or_default()
    }

    pub(crate) fn fail(&self, operation: &'static str, after: usize, times: usize, message: &str) {
        let error = refused("InvalidParameterValue", message);
        self.state.lock().faults.push(Fault { operation, after, times, error });
    }

    pub(crate) fn put_object(&self, bucket: &str, key: &str, text: &str) {
        self.state.lock().objects.insert((bucket.into(), key.into()), text.into());
    }

    pub(crate) fn called(&self, operation: &str) -> usize {
        self.state.lock().calls.iter().filter(|call| *call == operation).count()
    }

    async fn vanish(&self) {
        self.crashed.notify_one();
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Platform for Cloud {
    async fn invoke(&self, call: &Call, service: &str, operation: &str, input: Value) -> Answer {
        let (number, fault) = {
            let mut state = self.state.lock();
            state.calls.push(operation.to_owned());
            (state.calls.len(), state.fault(operation))
        };
        if self
            .state
            .lock()
            .panics
            .get_mut(operation)
            .is_some_and(|left| left.checked_sub(1).map(|less| *left = less).is_some())
        {
            panic!("a bug in {operation}");
        }
        let crash = self.state.lock().crash;
        if crash == Some(Moment::Before(number)) {
            self.vanish().await;
        }
        // A call is never answered at once.
        tokio::task::yield_now().await;
        let answer = match fault {
            Some(error) => Err(error),
            None => self.state.lock().answer(call, service, operation, &input, self.clock.now().0),
        };
        if crash == Some(Moment::After(number)) {
            self.vanish().await;
        }
        answer
    }

    async fn bucket(&self, _: &Call, _: BucketRequest) -> Result<Bytes, ApiError> {
        Err(refused("NoSuchBucket", "The specified bucket does not exist"))
    }

    async fn acting(&self, _: &str, _: bool) -> Result<Option<api::Session>, ApiError> {
        Ok(None)
    }

    async fn object(&self, _: &Call, bucket: &str, key: &str, _: usize) -> Result<Bytes, ApiError> {
        let found = self.state.lock().objects.get(&(bucket.to_owned(), key.to_owned())).cloned();
        found.map(Bytes::from).ok_or_else(|| refused("NoSuchKey", "The specified key does not exist."))
    }
}

impl State {
    fn fault(&mut self, operation: &str) -> Option<ApiError> {
        let fault = self.faults.iter_mut().find(|fault| fault.operation == operation && fault.times > 0)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.error.clone())
    }

    fn id(&mut self, prefix: &str) -> String {
        self.next_id += 1;
        format!("{prefix}-{:08}", self.next_id)
    }

    fn answer(&mut self, call: &Call, service: &str, operation: &str, input: &Value, now_ms: u64) -> Answer {
        match service {
            "sqs" => self.sqs(call, operation, input, now_ms),
            "ec2" => self.ec2(operation, input),
            "autoscaling" => self.autoscaling(operation, input, now_ms),
            "ssm" => self.ssm(operation, input),
            other => Err(refused("UnknownOperationException", format!("no service {other}"))),
        }
    }

    fn sqs(&mut self, call: &Call, operation: &str, input: &Value, now_ms: u64) -> Answer {
        let missing = || {
            refused("QueueDoesNotExist", "The specified queue does not exist.")
                .with_query_code("AWS.SimpleQueueService.NonExistentQueue")
        };
        let name = match input["QueueName"].as_str() {
            Some(name) => name.to_owned(),
            None => input["QueueUrl"].as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default().to_owned(),
        };
        let url = format!("http://localhost/{}/{name}", call.account());
        let key = ("queue".to_owned(), name.clone());
        if operation == "CreateQueue" {
            let queue = json!({"attributes": input["Attributes"], "tags": input["tags"], "created_ms": now_ms});
            self.things.entry(key).or_insert_with(|| queue.as_object().unwrap().clone());
            return Ok(json!({"QueueUrl": url}));
        }
        let queue = self.things.get_mut(&key).ok_or_else(missing)?;
        match operation {
            "GetQueueUrl" => Ok(json!({"QueueUrl": url})),
            "GetQueueAttributes" => {
                let created = queue["created_ms"].as_u64().unwrap() / 1000;
                let arn = format!("arn:aws:sqs:{}:{}:{name}", call.region, call.account());
                Ok(json!({"Attributes": {"QueueArn": arn, "CreatedTimestamp": created.to_string()}}))
            }
            "SetQueueAttributes" => {
                for (name, value) in input["Attributes"].as_object().unwrap() {
                    queue["attributes"][name] = value.clone();
                }
                Ok(json!({}))
            }
            "TagQueue" | "UntagQueue" => Ok(json!({})),
            "DeleteQueue" => {
                self.things.remove(&key);
                Ok(json!({}))
            }
            other => Err(refused("UnknownOperationException", other)),
        }
    }
}

impl State {
    /// Parameters: each a thing with its type, its tags and the values of its versions.
    fn ssm(&mut self, operation: &str, input: &Value) -> Answer {
        let asked = input["Name"].as_str().or(input["ResourceId"].as_str()).unwrap_or_default();
        let (name, version) =
            asked.split_once(':').map_or((asked, None), |(name, version)| (name, version.parse().ok()));
        let key = ("parameter".to_owned(), name.to_owned());
        let missing = || refused("ParameterNotFound", format!("Parameter {asked} not found."));
        if operation == "PutParameter" {
            if input["Overwrite"] != true && self.things.contains_key(&key) {
                return Err(refused("ParameterAlreadyExists", "The parameter already exists."));
            }
            let new = json!({"Type": input["Type"], "Tags": input["Tags"], "values": []});
            let thing = self.things.entry(key).or_insert_with(|| new.as_object().unwrap().clone());
            thing["values"].as_array_mut().unwrap().push(input["Value"].clone());
            return Ok(json!({}));
        }
        let thing = self.things.get(&key).ok_or_else(missing)?;
        match operation {
            "GetParameter" => {
                let values = thing["values"].as_array().unwrap();
                let value = values.get(version.unwrap_or(values.len()) - 1).ok_or_else(missing)?;
                Ok(json!({"Parameter": {"Name": name, "Type": thing["Type"], "Value": value}}))
            }
            "ListTagsForResource" => Ok(json!({"TagList": thing["Tags"]})),
            "AddTagsToResource" | "RemoveTagsFromResource" => Ok(json!({})),
            "DeleteParameter" => {
                self.things.remove(&key);
                Ok(json!({}))
            }
            other => Err(refused("UnknownOperationException", other)),
        }
    }

    /// Puts a parameter, or another version of one.
    pub(crate) fn put_parameter(&mut self, name: &str, kind: &str, value: &str) {
        let input = json!({"Name": name, "Type": kind, "Value": value, "Overwrite": true});
        self.ssm("PutParameter", &input).unwrap();
    }
}

/// What EC2 makes: the noun of its operations, its id's prefix, member and list.
const EC2: [(&str, &str, &str, &str); 5] = [
    ("InternetGateway", "igw", "InternetGatewayId", "InternetGateways"),
    ("RouteTable", "rtb", "RouteTableId", "RouteTables"),
    ("SecurityGroup", "sg", "GroupId", "SecurityGroups"),
    ("Subnet", "subnet", "SubnetId", "Subnets"),
    ("Vpc", "vpc", "VpcId", "Vpcs"),
];

impl State {
    fn ec2(&mut self, operation: &str, input: &Value) -> Answer {
        match operation {
            "DescribeAvailabilityZones" => {
                Ok(json!({"AvailabilityZones": [{"ZoneName": "eu-west-1a"}, {"ZoneName": "eu-west-1b"}]}))
            }
            "DescribeNetworkAcls" => Ok(json!({"NetworkAcls": [{"NetworkAclId": "acl-default", "Associations": []}]})),
            "DescribeKeyPairs" if input["KeyNames"][0] == "mykey" => Ok(json!({"KeyPairs": [{"KeyName": "mykey"}]})),
            "DescribeKeyPairs" => Err(refused("InvalidKeyPair.NotFound", "The key pair does not exist")),
            "ModifyVpcAttribute" | "ModifySubnetAttribute" | "CreateTags" | "DeleteTags" => {
                self.modify(operation, input)
            }
            "AttachInternetGateway" | "DetachInternetGateway" => self.attach(operation, input),
            "AuthorizeSecurityGroupIngress" | "RevokeSecurityGroupIngress" => self.rule(operation, input),
            "AuthorizeSecurityGroupEgress" | "RevokeSecurityGroupEgress" => Ok(json!({})),
            _ => {
                for (noun, prefix, id, list) in EC2 {
                    if operation == format!("Create{noun}") {
                        return self.make(noun, prefix, id, input);
                    }
                    if operation == format!("Describe{list}") {
                        return Ok(json!({list: self.describe(noun, id, input)}));
                    }
                    if operation == format!("Delete{noun}") {
                        return self.unmake(noun, id, input);
                    }
                }
                Err(refused("InvalidAction", operation))
            }
        }
    }

    fn must_be(&self, noun: &str, id: &str) -> Result<(), ApiError> {
        let there = self.things.contains_key(&(noun.to_owned(), id.to_owned()));
        if there { Ok(()) } else { Err(refused("InvalidID.NotFound", format!("The {noun} '{id}' does not exist"))) }
    }

    fn make(&mut self, noun: &str, prefix: &str, member: &str, input: &Value) -> Answer {
        if let Some(vpc) = input["VpcId"].as_str() {
            self.must_be("Vpc", vpc)?;
        }
        let mut thing = input.as_object().unwrap().clone();
        let tags = thing.remove("TagSpecifications").map(|specifications| specifications[0]["Tags"].clone());
        thing.insert("Tags".into(), tags.unwrap_or_default());
        let id = self.id(prefix);
        thing.insert(member.into(), json!(id));
        self.things.insert((noun.into(), id.clone()), thing);
        Ok(if noun == "SecurityGroup" { json!({"GroupId": id}) } else { json!({noun: {member: id}}) })
    }

    fn describe(&self, noun: &str, member: &str, input: &Value) -> Vec<Value> {
        let ids: Vec<&str> =
            input[format!("{member}s")].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let filters: Vec<(&str, &Value)> = input["Filters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|filter| Some((filter["Name"].as_str()?.strip_prefix("tag:")?, &filter["Values"][0])))
            .collect();
        let fits = |thing: &Map<String, Value>| {
            let tags = thing["Tags"].as_array().cloned().unwrap_or_default();
            filters.iter().all(|(key, value)| tags.iter().any(|tag| tag["Key"] == *key && tag["Value"] == **value))
                && (ids.is_empty() || ids.iter().any(|id| thing[member] == *id))
        };
        let of_noun = self.things.iter().filter(|((known, _), _)| known == noun);
        of_noun.filter(|(_, thing)| fits(thing)).map(|(_, thing)| Value::Object(thing.clone())).collect()
    }

    fn unmake(&mut self, noun: &str, member: &str, input: &Value) -> Answer {
        let id = input[member].as_str().unwrap_or_default().to_owned();
        self.must_be(noun, &id)?;
        let uses = |(key, thing): (&(String, String), &Map<String, Value>)| {
            key.1 != id && Value::Object(thing.clone()).to_string().contains(&format!("\"{id}\""))
        };
        if let Some((user, _)) = self.things.iter().find(|(key, thing)| uses((key, thing))) {
            return Err(refused("DependencyViolation", format!("{id} has dependencies: {}", user.1)));
        }
        self.things.remove(&(noun.into(), id));
        Ok(json!({}))
    }

    fn modify(&mut self, operation: &str, input: &Value) -> Answer {
        let id = input["VpcId"]
            .as_str()
            .or(input["SubnetId"].as_str())
            .or(input["Resources"][0].as_str())
            .unwrap_or_default();
        let thing = self.things.iter_mut().find(|((_, known), _)| known == id).map(|(_, thing)| thing);
        let thing = thing.ok_or_else(|| refused("InvalidID.NotFound", format!("'{id}' does not exist")))?;
        if operation.starts_with("Modify") {
            for (name, value) in input.as_object().unwrap().iter().filter(|(name, _)| !name.ends_with("Id")) {
                thing.insert(name.clone(), value["Value"].clone());
            }
        }
        if operation == "CreateTags" {
            let mut tags = thing["Tags"].as_array().cloned().unwrap_or_default();
            for tag in input["Tags"].as_array().unwrap() {
                tags.retain(|known| known["Key"] != tag["Key"]);
                tags.push(tag.clone());
            }
            thing.insert("Tags".into(), json!(tags));
        }
        Ok(json!({}))
    }

    fn attach(&mut self, operation: &str, input: &Value) -> Answer {
        let (gateway, vpc) = (input["InternetGatewayId"].as_str().unwrap(), input["VpcId"].as_str().unwrap());
        self.must_be("Vpc", vpc)?;
        self.must_be("InternetGateway", gateway)?;
        let thing = self.things.get_mut(&("InternetGateway".into(), gateway.into())).unwrap();
        let is_attached = thing.get("Attachments").is_some_and(|attachments| attachments[0].is_object());
        match (operation, is_attached) {
            ("AttachInternetGateway", true) => Err(refused("Resource.AlreadyAssociated", "already attached")),
            ("AttachInternetGateway", false) => {
                thing.insert("Attachments".into(), json!([{"VpcId": vpc}]));
                Ok(json!({}))
            }
            (_, false) => Err(refused("Gateway.NotAttached", "not attached")),
            (_, true) => {
                thing.remove("Attachments");
                Ok(json!({}))
            }
        }
    }

    fn rule(&mut self, operation: &str, input: &Value) -> Answer {
        let id = input["GroupId"].as_str().unwrap_or_default();
        self.must_be("SecurityGroup", id)?;
        let thing = self.things.get_mut(&("SecurityGroup".into(), id.into())).unwrap();
        let mut rules = thing.get("Rules").and_then(Value::as_array).cloned().unwrap_or_default();
        let rule = &input["IpPermissions"][0];
        match (operation.starts_with("Authorize"), rules.contains(rule)) {
            (true, true) => return Err(refused("InvalidPermission.Duplicate", "already exists")),
            (true, false) => rules.push(rule.clone()),
            (false, true) => rules.retain(|known| known != rule),
            (false, false) => return Err(refused("InvalidPermission.NotFound", "does not exist")),
        }
        thing.insert("Rules".into(), json!(rules));
        Ok(json!({}))
    }
}

impl State {
    fn autoscaling(&mut self, operation: &str, input: &Value, now_ms: u64) -> Answer {
        let text = |name: &str| input[name].as_str().unwrap_or_default().to_owned();
        let (group, configuration) = (text("AutoScalingGroupName"), text("LaunchConfigurationName"));
        match operation {
            "CreateLaunchConfiguration" => {
                let key = ("LaunchConfiguration".to_owned(), configuration);
                if self.things.contains_key(&key) {
                    return Err(refused("AlreadyExists", "Launch Configuration by this name already exists"));
                }
                let mut thing = input.as_object().unwrap().clone();
                thing.insert("CreatedTime".into(), json!(now_ms / 1000));
                self.things.insert(key, thing);
                Ok(json!({}))
            }
            "DescribeLaunchConfigurations" => {
                let name = input["LaunchConfigurationNames"][0].as_str().unwrap_or_default();
                let found = self.things.get(&("LaunchConfiguration".to_owned(), name.to_owned()));
                Ok(json!({"LaunchConfigurations": found.into_iter().collect::<Vec<_>>()}))
            }
            "DeleteLaunchConfiguration" => {
                let used = self.things.iter().any(|((kind, _), thing)| {
                    kind == "Group" && thing["LaunchConfigurationName"] == configuration.as_str()
                });
                if used {
                    return Err(refused("ResourceInUse", "Cannot delete launch configuration: it is in use"));
                }
                self.things.remove(&("LaunchConfiguration".to_owned(), configuration));
                Ok(json!({}))
            }
            "DescribeAutoScalingGroups" => Ok(self.groups(input)),
            "DescribeScalingActivities" => Ok(json!({"Activities": []})),
            "CreateAutoScalingGroup" => self.make_group(input),
            "UpdateAutoScalingGroup" => {
                let thing = self.things.get_mut(&("Group".to_owned(), group)).ok_or_else(no_group)?;
                thing.extend(input.as_object().unwrap().clone());
                Ok(json!({}))
            }
            "SetDesiredCapacity" => {
                let thing = self.things.get_mut(&("Group".to_owned(), group)).ok_or_else(no_group)?;
                thing.insert("DesiredCapacity".into(), input["DesiredCapacity"].clone());
                Ok(json!({}))
            }
            "TerminateInstanceInAutoScalingGroup" => self.terminate(input),
            "DeleteAutoScalingGroup" => {
                self.things.remove(&("Group".to_owned(), group)).map(|_| json!({})).ok_or_else(no_group)
            }
            "CreateOrUpdateTags"
            | "DeleteTags"
            | "AttachLoadBalancers"
            | "DetachLoadBalancers"
            | "SuspendProcesses"
            | "ResumeProcesses" => Ok(json!({})),
            other => Err(refused("InvalidAction", other)),
        }
    }

    fn make_group(&mut self, input: &Value) -> Answer {
        let key = ("Group".to_owned(), input["AutoScalingGroupName"].as_str().unwrap_or_default().to_owned());
        if self.things.contains_key(&key) {
            return Err(refused("AlreadyExists", "AutoScalingGroup by this name already exists"));
        }
        let mut thing = input.as_object().unwrap().clone();
        thing.entry("DesiredCapacity").or_insert(input["MinSize"].clone());
        thing.insert("Instances".into(), json!([]));
        self.things.insert(key, thing);
        Ok(json!({}))
    }

    /// Groups as they are now: an instance that is wanted is in service at the next look.
    fn groups(&mut self, input: &Value) -> Value {
        let name = input["AutoScalingGroupNames"][0].as_str().unwrap_or_default();
        let (launches_nothing, mut next) = (self.launches_nothing, self.next_id);
        let mut found = Vec::new();
        if let Some(thing) = self.things.get_mut(&("Group".to_owned(), name.to_owned())) {
            let wanted = thing["DesiredCapacity"].as_u64().unwrap_or(0);
            let configuration = thing.get("LaunchConfigurationName").cloned().unwrap_or_default();
            let instances = thing["Instances"].as_array_mut().unwrap();
            while (instances.len() as u64) < wanted && !launches_nothing {
                next += 1;
                instances.push(json!({
                    "InstanceId": format!("i-{next:08}"), "LifecycleState": "InService",
                    "LaunchConfigurationName": configuration,
                }));
            }
            found.push(Value::Object(thing.clone()));
        }
        self.next_id = next;
        json!({"AutoScalingGroups": found})
    }

    fn terminate(&mut self, input: &Value) -> Answer {
        for ((kind, _), thing) in &mut self.things {
            if kind != "Group" {
                continue;
            }
            let instances = thing["Instances"].as_array_mut().unwrap();
            let before = instances.len();
            instances.retain(|one| one["InstanceId"] != input["InstanceId"]);
            if instances.len() < before {
                if input["ShouldDecrementDesiredCapacity"] == true {
                    let wanted = thing["DesiredCapacity"].as_u64().unwrap() - 1;
                    thing.insert("DesiredCapacity".into(), json!(wanted));
                }
                return Ok(json!({}));
            }
        }
        Err(refused("ValidationError", "Instance Id not found"))
    }
}

fn no_group() -> ApiError {
    refused("ValidationError", "AutoScalingGroup name not found")
}
