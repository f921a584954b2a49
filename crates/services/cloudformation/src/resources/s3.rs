//! Buckets and their policies, spoken to in S3's own XML.
//!
//! Invariant: a bucket that was there before is never taken for ours, though S3 would let its owner create it again.

use std::collections::BTreeMap;

use ::api::BucketRequest;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ec2_network::object;
use super::failure::{Failure, unless_missing};
use super::property::{Kind, Property, boolean, json as document, list, structure, tags, text};
use super::step::{Step, tags_of};
use super::{Done, Properties, ResourceType, Table, required, s3_configuration, text as text_of};

/// `AWS::S3::Bucket`.
pub(super) struct Bucket;
/// `AWS::S3::BucketPolicy`.
pub(super) struct BucketPolicy;

const PUBLIC_ACCESS: &[Property] = &[
    boolean("BlockPublicAcls"),
    boolean("BlockPublicPolicy"),
    boolean("IgnorePublicAcls"),
    boolean("RestrictPublicBuckets"),
];
const OWNERSHIP: &[Property] = &[list("Rules", &Kind::Structure(&[text("ObjectOwnership").required()])).required()];
const REDIRECT_ALL: &[Property] = &[text("HostName").required(), text("Protocol")];
const REDIRECT: &[Property] = &[
    text("HostName"),
    text("HttpRedirectCode"),
    text("Protocol"),
    text("ReplaceKeyPrefixWith"),
    text("ReplaceKeyWith"),
];
const ROUTE_IF: &[Property] = &[text("HttpErrorCodeReturnedEquals"), text("KeyPrefixEquals")];
const ROUTE: &[Property] =
    &[structure("RedirectRule", REDIRECT).required(), structure("RoutingRuleCondition", ROUTE_IF)];
const WEBSITE: &[Property] = &[
    text("ErrorDocument"),
    text("IndexDocument"),
    structure("RedirectAllRequestsTo", REDIRECT_ALL),
    list("RoutingRules", &Kind::Structure(ROUTE)),
];
static BUCKET: Table = Table::new(
    "AWS::S3::Bucket",
    &[
        text("AccessControl"),
        s3_configuration::encryption(),
        text("BucketName").replaces(),
        s3_configuration::lifecycle(),
        structure("OwnershipControls", OWNERSHIP),
        structure("PublicAccessBlockConfiguration", PUBLIC_ACCESS),
        tags(),
        s3_configuration::versioning(),
        structure("WebsiteConfiguration", WEBSITE),
    ],
    &["Arn", "DomainName", "DualStackDomainName", "RegionalDomainName", "WebsiteURL"],
)
.named_by("BucketName");

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// `<name>content</name>`.
pub(super) fn element(name: &str, content: impl AsRef<str>) -> String {
    format!("<{name}>{}</{name}>", content.as_ref())
}

/// An element for each of the members that are there.
pub(super) fn elements(value: &Value, names: &[&str]) -> String {
    let one = |name: &&str| crate::template::text(&value[*name]).map(|text| element(name, escaped(&text)));
    names.iter().filter_map(one).collect()
}

fn website(configuration: &Value) -> String {
    let mut content = String::new();
    if let Some(index) = configuration["IndexDocument"].as_str() {
        content += &element("IndexDocument", element("Suffix", escaped(index)));
    }
    if let Some(error) = configuration["ErrorDocument"].as_str() {
        content += &element("ErrorDocument", element("Key", escaped(error)));
    }
    let all = &configuration["RedirectAllRequestsTo"];
    if all.is_object() {
        content += &element("RedirectAllRequestsTo", elements(all, &["HostName", "Protocol"]));
    }
    let rules = configuration["RoutingRules"].as_array().into_iter().flatten();
    let rules: String = rules
        .map(|rule| {
            let (when, redirect) = (&rule["RoutingRuleCondition"], &rule["RedirectRule"]);
            let mut content = String::new();
            if when.is_object() {
                let condition = elements(when, &["HttpErrorCodeReturnedEquals", "KeyPrefixEquals"]);
                content += &element("Condition", condition);
            }
            let names = ["HostName", "HttpRedirectCode", "Protocol", "ReplaceKeyPrefixWith", "ReplaceKeyWith"];
            content += &element("Redirect", elements(redirect, &names));
            element("RoutingRule", content)
        })
        .collect();
    if !rules.is_empty() {
        content += &element("RoutingRules", rules);
    }
    element("WebsiteConfiguration", content)
}

fn tagging(tags: &BTreeMap<String, String>) -> String {
    let one = |(key, value): (&String, &String)| {
        element("Tag", element("Key", escaped(key)) + &element("Value", escaped(value)))
    };
    element("Tagging", element("TagSet", tags.iter().map(one).collect::<String>()))
}

/// `BucketOwnerFullControl` as `bucket-owner-full-control`.
fn canned_acl(name: &str) -> String {
    let mut canned = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            canned.push('-');
        }
        canned.push(letter.to_ascii_lowercase());
    }
    canned
}

pub(super) async fn ask(
    step: &Step,
    method: &'static str,
    bucket: &str,
    subresource: &'static str,
    body: String,
) -> Result<Bytes, Failure> {
    let request =
        BucketRequest { method, bucket: bucket.to_owned(), subresource, headers: Vec::new(), body: body.into() };
    step.bucket(request).await
}

/// Puts what a property says under a subresource, or takes it away where the property is gone.
async fn bring_one(
    step: &Step,
    bucket: &str,
    (old, new): (Option<&Value>, Option<&Value>),
    subresource: &'static str,
    written: fn(&Value) -> String,
) -> Done {
    match (old, new) {
        (old, new) if old == new => Ok(()),
        (_, Some(new)) => ask(step, "PUT", bucket, subresource, written(new)).await.map(drop),
        (_, None) => unless_missing(ask(step, "DELETE", bucket, subresource, String::new()).await).map(drop),
    }
}

fn ownership(controls: &Value) -> String {
    let rules = controls["Rules"].as_array().into_iter().flatten();
    let rules: String = rules.map(|rule| element("Rule", elements(rule, &["ObjectOwnership"]))).collect();
    element("OwnershipControls", rules)
}

fn public_access(block: &Value) -> String {
    let names = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];
    element("PublicAccessBlockConfiguration", elements(block, &names))
}

async fn bring(step: &Step, bucket: &str, old: &Properties, new: &Properties) -> Done {
    let pair = |name: &str| (old.get(name), new.get(name));
    bring_one(step, bucket, pair("OwnershipControls"), "ownershipControls", ownership).await?;
    bring_one(step, bucket, pair("PublicAccessBlockConfiguration"), "publicAccessBlock", public_access).await?;
    bring_one(step, bucket, pair("WebsiteConfiguration"), "website", website).await?;
    s3_configuration::bring(step, bucket, old, new).await?;
    if old.get("AccessControl") != new.get("AccessControl") {
        let acl = canned_acl(text_of(new, "AccessControl").unwrap_or("Private"));
        let request = BucketRequest {
            method: "PUT",
            bucket: bucket.to_owned(),
            subresource: "acl",
            headers: vec![("x-amz-acl", acl)],
            body: Bytes::new(),
        };
        step.bucket(request).await?;
    }
    let (before, after) = (tags_of(old), tags_of(new));
    match (before == after, after.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => unless_missing(ask(step, "DELETE", bucket, "tagging", String::new()).await).map(drop),
        (false, false) => ask(step, "PUT", bucket, "tagging", tagging(&after)).await.map(drop),
    }
}

fn bucket_name(step: &Step, properties: &Properties) -> String {
    text_of(properties, "BucketName").map_or_else(|| step.name(63).to_ascii_lowercase(), str::to_owned)
}

/// When a bucket was made, out of the list of the account's.
fn created_ms(buckets: &str, name: &str) -> Option<u64> {
    let (_, rest) = buckets.split_once(&format!("<Name>{name}</Name>"))?;
    // In whichever order the two stand.
    let bucket = rest.split("</Bucket>").next()?;
    let before = buckets.split(&format!("<Name>{name}</Name>")).next()?.rsplit("<Bucket>").next()?;
    let date = [bucket, before].iter().find_map(|part| part.split("<CreationDate>").nth(1))?;
    let moment = OffsetDateTime::parse(date.split('<').next()?, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()
}

#[async_trait]
impl ResourceType for Bucket {
    fn table(&self) -> &'static Table {
        &BUCKET
    }

    async fn find(&self, step: &Step, properties: &Properties) -> Result<Option<String>, Failure> {
        let name = bucket_name(step, properties);
        let list = ask(step, "GET", "", "", String::new()).await?;
        // A bucket is made without tags: ours is one that came after this step was begun.
        let created = created_ms(&String::from_utf8_lossy(&list), &name);
        let is_ours = created.is_some_and(|created| created / 1000 >= step.begun_ms / 1000);
        Ok((is_ours && !step.others.contains(&name)).then_some(name))
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let name = match step.known() {
            Some(name) => name,
            None => {
                let name = bucket_name(step, properties);
                let list = ask(step, "GET", "", "", String::new()).await?;
                if created_ms(&String::from_utf8_lossy(&list), &name).is_some() {
                    return Err(Failure::refused(format!("{name} already exists")));
                }
                let region = step.origin.region.as_str();
                let body = match region {
                    "us-east-1" => String::new(),
                    region => element("CreateBucketConfiguration", element("LocationConstraint", region)),
                };
                ask(step, "PUT", &name, "", body).await?;
                name
            }
        };
        step.record(&name).await?;
        bring(step, &name, &Properties::new(), properties).await
    }

    async fn update(&self, step: &Step, id: &str, old: &Properties, new: &Properties) -> Done {
        bring(step, id, old, new).await
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(ask(step, "DELETE", id, "", String::new()).await).map(drop)
    }

    async fn attributes(&self, step: &Step, id: &str, _: &Properties) -> Result<Properties, Failure> {
        let (region, authority) = (step.origin.region.as_str(), &step.origin.endpoint.authority);
        let domain = format!("{id}.s3.{authority}");
        Ok(object(json!({
            "Arn": format!("arn:aws:s3:::{id}"),
            "DomainName": domain,
            "DualStackDomainName": domain,
            "RegionalDomainName": format!("{id}.s3.{region}.{authority}"),
            "WebsiteURL": format!("{}://{id}.s3-website-{region}.{authority}", step.origin.endpoint.scheme),
        })))
    }
}

static BUCKET_POLICY: Table = Table::new(
    "AWS::S3::BucketPolicy",
    &[text("Bucket").required().replaces(), document("PolicyDocument").required()],
    &[],
);

#[async_trait]
impl ResourceType for BucketPolicy {
    fn table(&self) -> &'static Table {
        &BUCKET_POLICY
    }

    async fn create(&self, step: &Step, properties: &Properties) -> Done {
        let bucket = required(properties, "Bucket")?;
        if step.known().is_none() {
            // Two policies cannot stand on one bucket: the second would take the first's place.
            match ask(step, "GET", bucket, "policy", String::new()).await {
                Ok(_) => {
                    let sentence = format!("The bucket policy already exists on bucket {bucket}.");
                    return Err(Failure::refused(sentence));
                }
                Err(failure) if failure.is(&["NoSuchBucketPolicy"]) => {}
                Err(failure) => return Err(failure),
            }
            step.record(bucket).await?;
        }
        self.update(step, bucket, properties, properties).await
    }

    async fn update(&self, step: &Step, id: &str, _: &Properties, new: &Properties) -> Done {
        let policy = new.get("PolicyDocument").map(Value::to_string).unwrap_or_default();
        ask(step, "PUT", id, "policy", policy).await.map(drop)
    }

    async fn delete(&self, step: &Step, id: &str, _: &Properties) -> Done {
        unless_missing(ask(step, "DELETE", id, "policy", String::new()).await).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_s3s() {
        let configuration = json!({
            "IndexDocument": "index.html", "ErrorDocument": "a<b.html",
            "RoutingRules": [{"RoutingRuleCondition": {"KeyPrefixEquals": "docs/"}, "RedirectRule": {"HostName": "x", "HttpRedirectCode": "302"}}],
        });
        assert_eq!(
            website(&configuration),
            "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument><ErrorDocument>\
             <Key>a&lt;b.html</Key></ErrorDocument><RoutingRules><RoutingRule><Condition><KeyPrefixEquals>docs/\
             </KeyPrefixEquals></Condition><Redirect><HostName>x</HostName><HttpRedirectCode>302</HttpRedirectCode>\
             </Redirect></RoutingRule></RoutingRules></WebsiteConfiguration>"
        );
        assert_eq!(canned_acl("BucketOwnerFullControl"), "bucket-owner-full-control");
        assert_eq!(canned_acl("PublicRead"), "public-read");
        let tags = BTreeMap::from([("k&".to_owned(), "v".to_owned())]);
        assert_eq!(tagging(&tags), "<Tagging><TagSet><Tag><Key>k&amp;</Key><Value>v</Value></Tag></TagSet></Tagging>");
    }

    #[test]
    fn a_buckets_date_is_found_in_the_list() {
        let list = "<Buckets><Bucket><Name>a</Name><CreationDate>2026-01-02T03:04:05.678Z</CreationDate></Bucket>\
                    <Bucket><CreationDate>2026-01-03T00:00:00Z</CreationDate><Name>b</Name></Bucket></Buckets>";
        assert_eq!(created_ms(list, "a"), Some(1_767_323_045_678));
        assert_eq!(created_ms(list, "b"), Some(1_767_398_400_000));
        assert_eq!(created_ms(list, "c"), None);
    }
}
