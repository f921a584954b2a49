//! Classic load balancers.
//!
//! Invariant: whatever the template says of a load balancer is brought about by difference, each part by its own
//! operation, so that doing it again changes nothing.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::ec2_network::{ignore, object};
use super::failure::{Failure, unless_missing};
use super::property::{Kind, Property, boolean, integer, list, structure, tags, text, texts};
use super::step::{Step, list_of, only};
use super::{Done, Properties, ResourceType, Table, text as text_of, texts as texts_of};

/// `AWS::ElasticLoadBalancing::LoadBalancer`.
pub(super) struct LoadBalancer;

const ACCESS_LOG: &[Property] =
    &[integer("EmitInterval"), boolean("Enabled").required(), text("S3BucketName").required(), text("S3BucketPrefix")];
const APP_COOKIE: &[Property] = &[text("CookieName").required(), text("PolicyName").required()];
const LB_COOKIE: &[Property] = &[text("CookieExpirationPeriod"), text("PolicyName").required()];
const DRAINING: &[Property] = &[boolean("Enabled").required(), integer("Timeout")];
const CONNECTION: &[Property] = &[integer("IdleTimeout").required()];
const HEALTH_CHECK: &[Property] = &[
    integer("HealthyThreshold").required(),
    integer("Interval").required(),
    text("Target").required(),
    integer("Timeout").required(),
    integer("UnhealthyThreshold").required(),
];
const LISTENER: &[Property] = &[
    integer("InstancePort").required(),
    text("InstanceProtocol"),
    integer("LoadBalancerPort").required(),
    texts("PolicyNames"),
    text("Protocol").required(),
    text("SSLCertificateId"),
];
const ATTRIBUTE: &[Property] = &[text("Name").required(), text("Value").required()];
const POLICY: &[Property] = &[
    list("Attributes", &Kind::Structure(ATTRIBUTE)).required(),
    texts("InstancePorts"),
    texts("LoadBalancerPorts"),
    text("PolicyName").required(),
    text("PolicyType").required(),
];
static LOAD_BALANCER: Table = Table::new(
    "AWS::ElasticLoadBalancing::LoadBalancer",
    &[
        structure("AccessLoggingPolicy", ACCESS_LOG),
        list("AppCookieStickinessPolicy", &Kind::Structure(APP_COOKIE)),
        texts("AvailabilityZones"),
        structure("ConnectionDrainingPolicy", DRAINING),
        structure("ConnectionSettings", CONNECTION),
        boolean("CrossZone"),
        structure("HealthCheck", HEALTH_CHECK),
        texts("Instances"),
        list("LBCookieStickinessPolicy", &Kind::Structure(LB_COOKIE)),
        list("Listeners", &Kind::Structure(LISTENER)).required(),
        text("LoadBalancerName").replaces(),
        list("Policies", &Kind::Structure(POLICY)),
        text("Scheme").replaces(),
        texts("SecurityGroups"),
        texts("Subnets"),
        tags(),
    ],
    &[
        "CanonicalHostedZoneName",
        "CanonicalHostedZoneNameID",
        "DNSName",
        "SourceSecurityGroup.GroupName",
        "SourceSecurityGroup.OwnerAlias",
    ],
)
.named_by("LoadBalancerName");

async fn elb(step: &Step, operation: &str, input: Value) -> Result<Value, Failure> {
    step.call("elb", operation, input).await
}

fn items<'a>(properties: &'a Properties, name: &str) -> impl Iterator<Item = &'a Properties> + use<'a> {
    properties.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// Listeners as ELB takes them; their policies are set afterwards.
fn listener(one: &Properties) -> Value {
    Value::Object(only(one, &["InstancePort", "InstanceProtocol", "LoadBalancerPort", "Protocol", "SSLCertificateId"]))
}

fn create_input(step: &Step, name: &str, properties: &Properties) -> Value {
    let mut input = only(properties, &["AvailabilityZones", "Scheme", "SecurityGroups", "Subnets"]);
    // On AWS the words of the template differ from the API's in this one.
    if text_of(properties, "Scheme") == Some("internet-facing") {
        input.remove("Scheme");
    }
    input.insert("LoadBalancerName".into(), json!(name));
    input.insert("Listeners".into(), items(properties, "Listeners").map(listener).collect());
    input.insert("Tags".into(), step.tag_list(properties));
    Value::Object(input)
}

/// Removes and adds what two lists do not share, each by its operation.
async fn bring_list(
    step: &Step,
    name: &str,
    property: &str,
    (old, new): (&Properties, &Properties),
    (add, remove): (&str, &str),
    as_instances: bool,
) -> Done {
    let texts = |properties: &Properties| properties.get(property).map(texts_of).unwrap_or_default();
    let (before, after) = (texts(old), texts(new));
    for (operation, these, others) in [(add, &after, &before), (remove, &before, &after)] {
        let part: Vec<&String> = these.iter().filter(|one| !others.contains(one)).collect();
        if part.is_empty() {
            continue;
        }
        let part: Value = match as_instances {
            true => part.iter().map(|id| json!({"InstanceId": id})).collect(),
            false => json!(part),
        };
        let member = if property == "Subnets" { "Subnets" } else { property };
        let done = elb(step, operation, json!({"LoadBalancerName": name, member: part})).await;
        ignore(done, &["InvalidInstance", "InvalidEndPoint"].map(|code| if operation == remove { code } else { "" }))?;
    }
    Ok(())
}

/// Whether two listeners are the same but for the policies that they go by.
fn is_same_listener(a: &Properties, b: &Properties) -> bool {
    listener(a) == listener(b)
}

async fn bring_listeners(step: &Step, name: &str, old: &Properties, new: &Properties) -> Done {
    let gone: Vec<Value> = items(old, "Listeners")
        .filter(|one| !items(new, "Listeners").any(|other| is_same_listener(one, other)))
        .map(|one| one["LoadBalancerPort"].clone())
        .collect();
    if !gone.is_empty() {
        elb(step, "DeleteLoadBalancerListeners", json!({"LoadBalancerName": name, "LoadBalancerPorts": gone})).await?;
    }
    let come: Vec<Value> = items(new, "Listeners")
        .filter(|one| !items(old, "Listeners").any(|other| is_same_listener(one, other)))
        .map(listener)
        .collect();
    if !come.is_empty() {
        let input = json!({"LoadBalancerName": name, "Listeners": come});
        elb(step, "CreateLoadBalancerListeners", input).await?;
    }
    Ok(())
}

/// One policy: its name, the operation that makes it, and that operation's input.
fn policies(name: &str, properties: &Properties) -> Vec<(String, &'static str, Value)> {
    let mut made = Vec::new();
    for one in items(properties, "AppCookieStickinessPolicy") {
        let mut input = one.clone();
        input.insert("LoadBalancerName".into(), json!(name));
        made.push(("CreateAppCookieStickinessPolicy", input));
    }
    for one in items(properties, "LBCookieStickinessPolicy") {
        let mut input = only(one, &["PolicyName"]);
        input.insert("LoadBalancerName".into(), json!(name));
        let period = text_of(one, "CookieExpirationPeriod").and_then(|text| text.parse::<i64>().ok());
        if let Some(period) = period {
            input.insert("CookieExpirationPeriod".into(), json!(period));
        }
        made.push(("CreateLBCookieStickinessPolicy", input));
    }
    for one in items(properties, "Policies") {
        let attributes: Value = items(one, "Attributes")
            .map(|pair| json!({"AttributeName": pair["Name"], "AttributeValue": pair["Value"]}))
            .collect();
        let input = json!({
            "LoadBalancerName": name,
            "PolicyName": one["PolicyName"],
            "PolicyTypeName": one["PolicyType"],
            "PolicyAttributes": attributes,
        });
        made.push(("CreateLoadBalancerPolicy", object(input)));
    }
    let named = |(operation, input): (&'static str, Map<String, Value>)| {
        (text_of(&input, "PolicyName").unwrap_or_default().to_owned(), operation, Value::Object(input))
    };
    made.into_iter().map(named).collect()
}

/// The policies of each listener: those that it names, and those that name it.
fn policies_of_listeners(properties: &Properties) -> Vec<(i64, Vec<String>)> {
    let of = |one: &Properties| {
        let port = one["LoadBalancerPort"].as_i64().unwrap_or_default();
        let mut names = one.get("PolicyNames").map(texts_of).unwrap_or_default();
        for policy in items(properties, "Policies") {
            let ports = policy.get("LoadBalancerPorts").map(texts_of).unwrap_or_default();
            let name = text_of(policy, "PolicyName").unwrap_or_default();
            if ports.contains(&port.to_string()) && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        (port, names)
    };
    items(properties, "Listeners").map(of).collect()
}

/// The policies of each instance port.
fn policies_of_servers(properties: &Properties) -> Vec<(i64, Vec<String>)> {
    let mut ports = std::collections::BTreeMap::<i64, Vec<String>>::new();
    for policy in items(properties, "Policies") {
        for port in policy.get("InstancePorts").map(texts_of).unwrap_or_default() {
            let name = text_of(policy, "PolicyName").unwrap_or_default().to_owned();
            ports.entry(port.parse().unwrap_or_default()).or_default().push(name);
        }
    }
    ports.into_iter().collect()
}

async fn set_policies(step: &Step, name: &str, properties: &Properties, is_new: bool) -> Done {
    for (port, names) in policies_of_listeners(properties) {
        if is_new && names.is_empty() {
            continue;
        }
        let input = json!({"LoadBalancerName": name, "LoadBalancerPort": port, "PolicyNames": names});
        elb(step, "SetLoadBalancerPoliciesOfListener", input).await?;
    }
    for (port, names) in policies_of_servers(properties) {
        let input = json!({"LoadBalancerName": name, "InstancePort": port, "PolicyNames": names});
        elb(step, "SetLoadBalancerPoliciesForBackendServer", input).await?;
    }
    Ok(())
}

async fn bring_policies(step: &Step, name: &str, old: &Properties, new: &Properties) -> Done {
    const PROPERTIES: [&str; 4] = ["AppCookieStickinessPolicy", "LBCookieStickinessPolicy", "Listeners", "Policies"];
    if only(old, &PROPERTIES) == only(new, &PROPERTIES) {
        return Ok(());
    }
    let (before, after) = (policies(name, old), policies(name, new));
    // A policy cannot be changed, nor deleted while it is in use: taken off, deleted, made, put on.
    let gone: Vec<_> = before.iter().filter(|policy| !after.contains(policy)).collect();
    if !gone.is_empty() {
        for (port, _) in policies_of_listeners(new) {
            let input = json!({"LoadBalancerName": name, "LoadBalancerPort": port, "PolicyNames": []});
            elb(step, "SetLoadBalancerPoliciesOfListener", input).await?;
        }
        for (port, _) in policies_of_servers(old) {
            let input = json!({"LoadBalancerName": name, "InstancePort": port, "PolicyNames": []});
            elb(step, "SetLoadBalancerPoliciesForBackendServer", input).await?;
        }
        for (policy, ..) in gone {
            let input = json!({"LoadBalancerName": name, "PolicyName": policy});
            ignore(elb(step, "DeleteLoadBalancerPolicy", input).await, &["PolicyNotFound"])?;
        }
    }
    for (_, operation, input) in after.iter().filter(|policy| !before.contains(policy)) {
        ignore(elb(step, operation, input.clone()).await, &["DuplicatePolicyName"])?;
    }
    set_policies(step, name, new, old.is_empty()).await
}

async fn bring_attributes(step: &Step, name: &str, old: &Properties, new: &Properties) -> Done {
    const PROPERTIES: [&str; 4] =
        ["AccessLoggingPolicy", "ConnectionDrainingPolicy", "ConnectionSettings", "CrossZone"];
    let mut attributes = Map::new();
    for property in PROPERTIES.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
        let (attribute, value) = match (property, new.get(property)) {
            ("AccessLoggingPolicy", Some(log)) => {
                let mut log = object(log.clone());
                if let Some(prefix) = log.remove("S3BucketPrefix") {
                    log.insert("S3BucketPrefix".into(), prefix);
                }
                ("AccessLog", Value::Object(log))
            }
            ("AccessLoggingPolicy", None) => ("AccessLog", json!({"Enabled": false})),
            ("ConnectionDrainingPolicy", value) => {
                ("ConnectionDraining", value.cloned().unwrap_or(json!({"Enabled": false})))
            }
            ("ConnectionSettings", value) => {
                ("ConnectionSettings", value.cloned().unwrap_or(json!({"IdleTimeout": 60})))
            }
            (_, value) => ("CrossZoneLoadBalancing", json!({"Enabled": value.cloned().unwrap_or(json!(false))})),
        };
        attributes.insert(attribute.into(), value);
    }
    if attributes.is_empty() {
        return Ok(());
    }
    let input = json!({"LoadBalancerName": name, "LoadBalancerAttributes": attributes});
    elb(step, "ModifyLoadBalancerAttributes", input).await.map(drop)
}

async fn bring_health_check(step: &Step, name: &str, old: &Properties, new: &Properties) -> Done {
    if old.get("HealthCheck") == new.get("HealthCheck") {
        return Ok(());
    }
    let default = || {
        let port = items(new, "Listeners").next().map(|one| one["InstancePort"].clone()).unwrap_or_default();
        let target = format!("TCP:{port}");
        json!({"HealthyThreshold": 10, "Interval": 30, "Target": target, "Timeout": 5, "UnhealthyThreshold": 2})
    };
    let check = new.get("HealthCheck").cloned().unwrap_or_else(default);
    elb(step, "ConfigureHealthCheck", json!({"LoadBalancerName": name, "HealthCheck": check})).await.map(drop)
}

async fn bring_tags(step: &Step, name: &str, old: &Properties, new: &Properties) -> Done {
    let (before, after) = (step.tags(old), step.tags(new));
    let gone: Vec<Value> =
        before.keys().filter(|key| !after.contains_key(*key)).map(|key| json!({"Key": key})).collect();
    if !gone.is_empty() {
        elb(step, "RemoveTags", json!({"LoadBalancerNames": [name], "Tags": gone})).await?;
    }
    let set = after.into_iter().filter(|(key, value)| before.get(key) != Some(value)).collect();
    let tags = list_of(&set);
    if set.is_empty() {
        return Ok(());
    }
    elb(step, "AddTags", json!({"LoadBalancerNames": [name], "Tags": tags})).await.map(drop)
}

/// Everything that is not said when a load balancer is made.
async fn bring(step: &Step, name: &str, old: &Properties, new: &Properties) -> Done {
    bring_policies(step, name, old, new).await?;
    bring_attributes(step, name, old, new).await?;
    bring_health_check(step, name, old, new).await?;
    let instances = ("RegisterInstancesWithLoadBalancer", "DeregisterInstancesFromLoadBalancer");
    bring_list(step, name, "Instances", (old, new), instances, true).await
}

/// Whether the load balancer of that name was made by this step.
async fn is_ours(step: &Step, name: &str) -> Result<bool, Failure> {
    let found = match elb(step, "DescribeTags", json!({"LoadBalancerNames": [name]})).await {
        Err(failure) if failure.is_missing() => return Ok(false),
        other => other?,
    };
    let tags = found["TagDescriptions"][0]["Tags"].as_array().into_iter().flatten();
    let has = |key: &str, value: &str| tags.clone().into_iter().any(|tag| tag["Key"] == key && tag["Value"] == value);
    Ok(step.own_tags().into_iter().all(|(key, value)| has(key, value)))
}

fn name_of(step: &Step, properties: &Properties) -> String {
    text_of(properties, "LoadBalancerName").map_or_else(|| step.name(32), str::to_owned)
}

#[async_trait]
impl ResourceType for LoadBalancer {
    fn table(&self) -> &'static Table {
        &LOAD_BALANCER
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let name = name_of(step, properties);
        Ok(is_ours(step, &name).await?.then_some(name).filter(|name| !step.others.contains(name)))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let name = match step.known() {
            Some(name) => name,
            None => {
                let name = name_of(step, properties);
                // The same load balancer again would be a success, and this one somebody else's.
                let exists = elb(step, "DescribeLoadBalancers", json!({"LoadBalancerNames": [name]})).await;
                if unless_missing(exists)?["LoadBalancerDescriptions"][0].is_object() {
                    return Err(Failure::refused(format!("{name} already exists")));
                }
                elb(step, "CreateLoadBalancer", create_input(step, &name, properties)).await?;
                name
            }
        };
        step.record(&name).await?;
        bring(step, &name, &Map::new(), properties).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        bring_listeners(step, id, old, new).await?;
        let subnets = ("AttachLoadBalancerToSubnets", "DetachLoadBalancerFromSubnets");
        bring_list(step, id, "Subnets", (old, new), subnets, false).await?;
        let zones = ("EnableAvailabilityZonesForLoadBalancer", "DisableAvailabilityZonesForLoadBalancer");
        bring_list(step, id, "AvailabilityZones", (old, new), zones, false).await?;
        if old.get("SecurityGroups") != new.get("SecurityGroups")
            && let Some(groups) = new.get("SecurityGroups")
        {
            let input = json!({"LoadBalancerName": id, "SecurityGroups": groups});
            elb(step, "ApplySecurityGroupsToLoadBalancer", input).await?;
        }
        bring(step, id, old, new).await?;
        bring_tags(step, id, old, new).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(elb(step, "DeleteLoadBalancer", json!({"LoadBalancerName": id})).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let found = elb(step, "DescribeLoadBalancers", json!({"LoadBalancerNames": [id]})).await?;
        let one = &found["LoadBalancerDescriptions"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(object(json!({
            "DNSName": text(&one["DNSName"]),
            "CanonicalHostedZoneName": text(&one["CanonicalHostedZoneName"]),
            "CanonicalHostedZoneNameID": text(&one["CanonicalHostedZoneNameID"]),
            "SourceSecurityGroup.GroupName": text(&one["SourceSecurityGroup"]["GroupName"]),
            "SourceSecurityGroup.OwnerAlias": text(&one["SourceSecurityGroup"]["OwnerAlias"]),
        })))
    }

    /// Zones and subnets are two ways to stand somewhere, and one cannot become the other.
    fn must_replace(&self, old: &Properties, new: &Properties, _: Option<&Value>) -> bool {
        old.contains_key("Subnets") != new.contains_key("Subnets")
    }
}
