//! What a request wants of a stack: its template read and checked, its parameters resolved.
//!
//! Invariant: a [`Prepared`] has passed every check that needs no resource to exist; what it asks for may still fail,
//! but not for being misspelt.

use std::collections::BTreeMap;

use ::api::Call;
use ::api::cloudformation::{Parameter, Tag};
use serde_json::{Value, json};
use store::StoreError;
use wire::ApiError;

use crate::errors;
use crate::limits::TAGS_MAX;
use crate::resources::{self, Known};
use crate::rows::{self, ParameterRow, StackRow, TEMPLATES, Target};
use crate::service::Inner;
use crate::template::parameters::{self, Given, Item, Kind};
use crate::template::{self, BODY_BYTES_MAX, Pseudo, Template, URL_BYTES_MAX, conditions, graph, validate};

/// A target that can be gone for, and the text that it is made from.
pub(crate) struct Prepared {
    pub(crate) target: Target,
    pub(crate) text: String,
}

/// Where a request's template comes from.
#[derive(Default)]
pub(crate) struct Source {
    pub(crate) body: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) previous: bool,
}

/// The parameters of a request, by name.
pub(crate) fn given(parameters: Vec<Parameter>) -> Result<BTreeMap<String, Given>, ApiError> {
    let mut given = BTreeMap::new();
    for one in parameters {
        let name = one.parameter_key.unwrap_or_default();
        let value = Given { value: one.parameter_value, use_previous: one.use_previous_value.unwrap_or(false) };
        if given.insert(name.clone(), value).is_some() {
            return Err(errors::parameter_twice(&name));
        }
    }
    Ok(given)
}

/// The tags of a request, by key.
pub(crate) fn tags(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut by_key = BTreeMap::new();
    for Tag { key, value } in tags {
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(errors::tag(format!("aws: prefixed tag key names are not allowed for external use: {key}")));
        }
        if by_key.insert(key.clone(), value).is_some() {
            return Err(errors::tag(format!("Tag key {key} is given twice")));
        }
    }
    if by_key.len() > TAGS_MAX {
        return Err(errors::tag(format!("A stack can have at most {TAGS_MAX} tags")));
    }
    Ok(by_key)
}

/// The capabilities that a template needs, and why.
pub(crate) fn capabilities(template: &Template) -> (Vec<&'static str>, Vec<String>) {
    let (mut needed, mut because) = (Vec::new(), Vec::new());
    for resource in template.resources.values() {
        let table = resources::find(&resource.kind).map(|found| found.table());
        let Some(capability) = table.and_then(|table| table.capability) else { continue };
        // Who names what he makes himself must say so.
        let named =
            table.and_then(|table| table.name_property).is_some_and(|name| resource.properties.contains_key(name));
        let capability = if named && capability == "CAPABILITY_IAM" { "CAPABILITY_NAMED_IAM" } else { capability };
        if !needed.contains(&capability) {
            needed.push(capability);
        }
        if !because.contains(&resource.kind) {
            because.push(resource.kind.clone());
        }
    }
    if needed.contains(&"CAPABILITY_NAMED_IAM") {
        needed.retain(|capability| *capability != "CAPABILITY_IAM");
    }
    if !template.transforms.is_empty() {
        needed.push("CAPABILITY_AUTO_EXPAND");
    }
    (needed, because)
}

fn check_capabilities(template: &Template, given: &[String]) -> Result<(), ApiError> {
    const KNOWN: [&str; 3] = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"];
    if let Some(unknown) = given.iter().find(|capability| !KNOWN.contains(&capability.as_str())) {
        return Err(errors::unknown_capability(unknown));
    }
    let has = |capability: &str| {
        given.iter().any(|one| one == capability)
            || (capability == "CAPABILITY_IAM" && given.iter().any(|one| one == "CAPABILITY_NAMED_IAM"))
    };
    let (needed, _) = capabilities(template);
    let missing: Vec<&str> = needed.into_iter().filter(|capability| !has(capability)).collect();
    if missing.is_empty() { Ok(()) } else { Err(errors::insufficient_capabilities(&missing)) }
}

impl Inner {
    /// The template's text, from wherever it is.
    pub(crate) async fn text(&self, call: &Call, source: Source, stack: Option<&StackRow>) -> Result<String, ApiError> {
        match source {
            Source { body: Some(body), url: None, previous: false } => {
                if body.len() > BODY_BYTES_MAX {
                    return Err(errors::body_too_long(BODY_BYTES_MAX));
                }
                Ok(body)
            }
            Source { body: None, url: Some(url), previous: false } => self.object(call, &url).await,
            Source { body: None, url: None, previous: true } => {
                let stack = stack.ok_or_else(errors::no_template)?;
                self.stored_template(call, &stack.uid, stack.current.template).await
            }
            Source { body: None, url: None, previous: false } => Err(errors::no_template()),
            _ => Err(errors::two_templates()),
        }
    }

    /// A template that a stack was given before.
    pub(crate) async fn stored_template(&self, call: &Call, uid: &str, number: u64) -> Result<String, ApiError> {
        let key = rows::numbered_key(uid, number);
        let read = self.store.read_async(move |view| view.get(&TEMPLATES, &key));
        let row = read.await.map_err(|error: StoreError| errors::from_store(call, &error))?;
        row.map(|row| row.value).ok_or_else(errors::internal)
    }

    /// The object behind a URL of S3's.
    pub(crate) async fn object(&self, call: &Call, url: &str) -> Result<String, ApiError> {
        let (bucket, key) = bucket_and_key(url).ok_or_else(errors::template_url)?;
        let found = self.platform.object(call, &bucket, &key, URL_BYTES_MAX).await;
        let bytes = found.map_err(|error| errors::template_object(&error))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| errors::template_no_text())
    }

    /// A target out of a template's text and what was given to it.
    pub(crate) async fn prepare(
        &self,
        stack: &StackRow,
        text: String,
        given: BTreeMap<String, Given>,
        tags: BTreeMap<String, String>,
        capabilities: Vec<String>,
    ) -> Result<Prepared, ApiError> {
        let previous: BTreeMap<String, String> =
            stack.current.parameters.iter().map(|(name, row)| (name.clone(), row.value.clone())).collect();
        let mut texts = BTreeMap::new();
        for (name, one) in &given {
            let value = if one.use_previous { previous.get(name).cloned() } else { one.value.clone() };
            texts.extend(value.map(|value| (name.clone(), value)));
        }
        let told = |error| errors::template(&error);
        let template = Template::read(&text, &texts).map_err(told)?;
        validate::validate(&template, &Known).map_err(told)?;
        let previous = (stack.current.template > 0).then_some(&previous);
        let values = parameters::resolve(&template.parameters, &given, previous).map_err(told)?;
        check_capabilities(&template, &capabilities)?;
        let parameters = self.parameter_rows(stack, &template, values).await?;
        let target = Target { template: 0, description: template.description.clone(), parameters, tags, capabilities };
        let pseudo = Pseudo {
            account_id: stack.account.clone(),
            region: stack.region.clone(),
            stack_id: stack.id(),
            stack_name: stack.name.clone(),
            notification_arns: Vec::new(),
        };
        let values = crate::engine::run::values(&target);
        let conditions = conditions::all(&template, &values, &pseudo).map_err(told)?;
        validate::wanted_types(&template, &conditions, &Known).map_err(told)?;
        template::check_rules(&template, &values, &conditions, &pseudo).map_err(told)?;
        graph::dependencies(&template, &conditions).map_err(told)?;
        Ok(Prepared { target, text })
    }

    /// The parameters, held against what is in the account.
    async fn parameter_rows(
        &self,
        stack: &StackRow,
        template: &Template,
        values: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, ParameterRow>, ApiError> {
        let mut rows = BTreeMap::new();
        for (name, value) in values {
            let declared = &template.parameters[&name];
            let mut row =
                ParameterRow { value, resolved: None, no_echo: declared.no_echo, kind: declared.kind.clone() };
            match parameters::kind(&declared.kind) {
                Some(Kind::Aws(kind)) => self.must_exist(stack, &name, kind, &[&row.value]).await?,
                Some(Kind::List(Item::Aws(kind))) => {
                    let items: Vec<&str> = parameters::items(&row.value).collect();
                    self.must_exist(stack, &name, kind, &items).await?;
                }
                Some(Kind::SsmName) => drop(self.ssm(stack, &row.value).await?),
                Some(Kind::SsmValue(inner)) => {
                    let resolved = self.ssm(stack, &row.value).await?;
                    declared.hold(&name, &inner, &resolved).map_err(|error| errors::template(&error))?;
                    match *inner {
                        Kind::Aws(kind) => self.must_exist(stack, &name, kind, &[&resolved]).await?,
                        Kind::List(Item::Aws(kind)) => {
                            let items: Vec<&str> = parameters::items(&resolved).collect();
                            self.must_exist(stack, &name, kind, &items).await?;
                        }
                        _ => {}
                    }
                    row.resolved = Some(resolved);
                }
                _ => {}
            }
            rows.insert(name, row);
        }
        Ok(rows)
    }

    /// Refuses names of things that are not in the account.
    async fn must_exist(&self, stack: &StackRow, name: &str, kind: &str, values: &[&str]) -> Result<(), ApiError> {
        let (operation, member, list, id) = match kind {
            "AWS::EC2::AvailabilityZone::Name" => {
                ("DescribeAvailabilityZones", "ZoneNames", "AvailabilityZones", "ZoneName")
            }
            "AWS::EC2::Image::Id" => ("DescribeImages", "ImageIds", "Images", "ImageId"),
            "AWS::EC2::Instance::Id" => ("DescribeInstances", "InstanceIds", "Reservations", "ReservationId"),
            "AWS::EC2::KeyPair::KeyName" => ("DescribeKeyPairs", "KeyNames", "KeyPairs", "KeyName"),
            "AWS::EC2::SecurityGroup::GroupName" => {
                ("DescribeSecurityGroups", "GroupNames", "SecurityGroups", "GroupName")
            }
            "AWS::EC2::SecurityGroup::Id" => ("DescribeSecurityGroups", "GroupIds", "SecurityGroups", "GroupId"),
            "AWS::EC2::Subnet::Id" => ("DescribeSubnets", "SubnetIds", "Subnets", "SubnetId"),
            "AWS::EC2::Volume::Id" => ("DescribeVolumes", "VolumeIds", "Volumes", "VolumeId"),
            _ => ("DescribeVpcs", "VpcIds", "Vpcs", "VpcId"),
        };
        for value in values {
            let found = self.ask(stack, "ec2", operation, json!({member: [value]})).await;
            let exists = match found {
                Ok(found) => found[list].as_array().is_some_and(|all| all.iter().any(|one| one[id].is_string())),
                Err(error) if error.fault == wire::Fault::Sender => false,
                Err(error) => return Err(error),
            };
            if !exists {
                return Err(errors::parameter_missing_in_account(name, value));
            }
        }
        Ok(())
    }

    /// The value of an SSM parameter, or of the version that its name names; never a secret's, which would be shown.
    pub(crate) async fn ssm(&self, stack: &StackRow, name: &str) -> Result<String, ApiError> {
        let missing = || errors::parameter_store(&[name]);
        match self.ask(stack, "ssm", "GetParameter", json!({"Name": name})).await {
            Ok(found) if found["Parameter"]["Type"] == "SecureString" => Err(errors::parameter_store_secret(name)),
            Ok(found) => found["Parameter"]["Value"].as_str().map(str::to_owned).ok_or_else(missing),
            Err(error) if error.fault == wire::Fault::Sender => Err(missing()),
            Err(error) => Err(error),
        }
    }

    /// Puts values in the place of `{{resolve:ssm:name}}`; what stands for none is a reason to fail.
    pub(crate) async fn resolve_references(
        &self,
        stack: &StackRow,
        properties: &mut serde_json::Map<String, Value>,
    ) -> Result<(), String> {
        let mut found = Vec::new();
        properties.values().for_each(|value| references(value, &mut found));
        for reference in found {
            let inside = reference.trim_start_matches("{{resolve:").trim_end_matches("}}");
            // A name may have a version behind its last colon, as it may for Parameter Store.
            let Some(name) = inside.strip_prefix("ssm:") else {
                return Err(template::TemplateError::dynamic_reference(&reference).to_string());
            };
            let value = self.ssm(stack, name).await.map_err(|error| error.message)?;
            properties.values_mut().for_each(|one| replace(one, &reference, &value));
        }
        Ok(())
    }
}

/// Every dynamic reference in a value.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some(start) = rest.find("{{resolve:") {
                let Some(length) = rest[start..].find("}}") else { break };
                found.push(rest[start..start + length + 2].to_owned());
                rest = &rest[start + length + 2..];
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(members) => members.values().for_each(|member| references(member, found)),
        _ => {}
    }
}

fn replace(value: &mut Value, reference: &str, by: &str) {
    match value {
        Value::String(text) => *text = text.replace(reference, by),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, reference, by)),
        Value::Object(members) => members.values_mut().for_each(|member| replace(member, reference, by)),
        _ => {}
    }
}

/// Bucket and key in a URL: `https://bucket.s3.region.amazonaws.com/key`, `https://s3.amazonaws.com/bucket/key`,
/// `http://localhost:4566/bucket/key`.
fn bucket_and_key(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let (authority, path) = rest.split_once('/')?;
    let path = decoded(path.split(['?', '#']).next()?)?;
    let host = authority.split(':').next()?;
    let virtual_host = [".s3.", ".s3-"].iter().find_map(|mark| host.split_once(mark)).map(|(bucket, _)| bucket);
    let (bucket, key) = match virtual_host {
        Some(bucket) => (bucket.to_owned(), path),
        None => {
            let (bucket, key) = path.split_once('/')?;
            (bucket.to_owned(), key.to_owned())
        }
    };
    (!bucket.is_empty() && !key.is_empty()).then_some((bucket, key))
}

/// A path without its percent signs.
pub(crate) fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(rest.next()?)? * 16 + digit(rest.next()?)?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_templates_url_names_bucket_and_key() {
        let both = |url| bucket_and_key(url).map(|(bucket, key)| format!("{bucket} {key}"));
        assert_eq!(both("https://b.s3.amazonaws.com/a/t.json").as_deref(), Some("b a/t.json"));
        assert_eq!(both("https://b.s3.eu-west-1.amazonaws.com/t%20x.json?versionId=1").as_deref(), Some("b t x.json"));
        assert_eq!(both("https://b.s3-eu-west-1.amazonaws.com/t").as_deref(), Some("b t"));
        assert_eq!(both("https://s3.eu-west-1.amazonaws.com/b/a/t").as_deref(), Some("b a/t"));
        assert_eq!(both("http://localhost:4566/b/t").as_deref(), Some("b t"));
        assert_eq!(both("http://b.s3.localhost:4566/t").as_deref(), Some("b t"));
        for wrong in [
            "file:///t",
            "https://host",
            "https://s3.amazonaws.com/b",
            "https://b.s3.amazonaws.com/",
            "x",
            "http://h/b/%zz",
        ] {
            assert_eq!(both(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn dynamic_references_are_found_and_replaced() {
        let mut value = json!({"a": ["x{{resolve:ssm:/p:3}}y{{resolve:ssm:q}}"], "b": "{{resolve:open"});
        let mut found = Vec::new();
        references(&value, &mut found);
        assert_eq!(found, ["{{resolve:ssm:/p:3}}", "{{resolve:ssm:q}}"]);
        replace(&mut value, &found[0], "1");
        assert_eq!(value["a"][0], "x1y{{resolve:ssm:q}}");
    }
}
