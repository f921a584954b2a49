//! A bucket's website configuration: its row and the operations that set it.
//!
//! Invariants:
//! - Either all requests are redirected, or there is an index document; never both, never neither.
//! - A routing rule says where to with at least one word, and replaces a key or a prefix, not both.

use std::sync::Arc;

use s3s::dto::{
    Condition as ConditionXml, DeleteBucketWebsiteInput, DeleteBucketWebsiteOutput, ErrorDocument,
    GetBucketWebsiteInput, GetBucketWebsiteOutput, IndexDocument, Protocol, PutBucketWebsiteInput,
    PutBucketWebsiteOutput, Redirect as RedirectXml, RedirectAllRequestsTo, RoutingRule, WebsiteConfiguration,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};
use serde::{Deserialize, Serialize};

use crate::authorisation::Action;
use crate::door::{self, Caller};
use crate::errors;
use crate::rows::BucketRow;
use crate::service::Service;

/// AWS: at most 50 routing rules.
const RULES_MAX: usize = 50;

/// A website.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Website {
    /// Every request is sent elsewhere.
    RedirectAll {
        host: String,
        /// `http` or `https`; `None`: as the request came.
        protocol: Option<String>,
    },
    /// Objects are served.
    Serve {
        /// What stands for a directory, `index.html`.
        index: String,
        /// The key of what is shown for an error.
        error: Option<String>,
        rules: Vec<Rule>,
    },
}

/// A routing rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// Only keys that begin with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    /// Only when the answer would be this error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<u16>,
    pub(crate) redirect: Redirect,
}

/// Where a rule sends a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Redirect {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<String>,
    /// The status, 3xx; `None`: 301.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replace_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replace_prefix: Option<String>,
}

fn protocol(protocol: Option<Protocol>) -> Result<Option<String>, S3Error> {
    match protocol.as_ref().map(Protocol::as_str) {
        None => Ok(None),
        Some(name @ ("http" | "https")) => Ok(Some(name.to_owned())),
        Some(_) => Err(errors::invalid_request(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically.",
        )),
    }
}

/// A host name that can stand in a Location header.
fn host(name: String) -> Result<String, S3Error> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]/".contains(&b);
    if !name.is_empty() && name.bytes().all(fine) {
        Ok(name)
    } else {
        Err(errors::invalid_argument("Invalid host name"))
    }
}

impl Website {
    /// Reads and checks a configuration.
    pub(crate) fn from_document(document: WebsiteConfiguration) -> Result<Self, S3Error> {
        if let Some(all) = document.redirect_all_requests_to {
            if document.index_document.is_some()
                || document.error_document.is_some()
                || document.routing_rules.is_some()
            {
                return Err(errors::invalid_argument(
                    "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
                ));
            }
            return Ok(Self::RedirectAll { host: host(all.host_name)?, protocol: protocol(all.protocol)? });
        }
        let index = document.index_document.ok_or_else(|| {
            errors::invalid_argument(
                "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
            )
        })?;
        if index.suffix.is_empty() || index.suffix.contains('/') {
            return Err(errors::invalid_argument("The IndexDocument Suffix is not well formed"));
        }
        let rules = document.routing_rules.unwrap_or_default();
        if rules.len() > RULES_MAX {
            return Err(errors::invalid_request(format!(
                "{} routing rules provided, the number of routing rules in a website configuration is limited to {RULES_MAX}.",
                rules.len()
            )));
        }
        Ok(Self::Serve {
            index: index.suffix,
            error: document.error_document.map(|document| document.key).filter(|key| !key.is_empty()),
            rules: rules.into_iter().map(rule).collect::<Result<_, _>>()?,
        })
    }

    fn to_document(&self) -> GetBucketWebsiteOutput {
        match self {
            Self::RedirectAll { host, protocol } => GetBucketWebsiteOutput {
                redirect_all_requests_to: Some(RedirectAllRequestsTo {
                    host_name: host.clone(),
                    protocol: protocol.clone().map(Protocol::from),
                }),
                ..GetBucketWebsiteOutput::default()
            },
            Self::Serve { index, error, rules } => GetBucketWebsiteOutput {
                error_document: error.clone().map(|key| ErrorDocument { key }),
                index_document: Some(IndexDocument { suffix: index.clone() }),
                redirect_all_requests_to: None,
                routing_rules: (!rules.is_empty()).then(|| rules.iter().map(rule_document).collect()),
            },
        }
    }
}

fn status(text: &str, range: std::ops::RangeInclusive<u16>, message: &'static str) -> Result<u16, S3Error> {
    text.parse().ok().filter(|code| range.contains(code)).ok_or_else(|| errors::invalid_argument(message))
}

fn rule(rule: RoutingRule) -> Result<Rule, S3Error> {
    let condition = rule.condition.unwrap_or_default();
    let error = condition.http_error_code_returned_equals.filter(|code| !code.is_empty());
    let redirect = rule.redirect;
    if redirect.replace_key_with.is_some() && redirect.replace_key_prefix_with.is_some() {
        return Err(errors::invalid_request("You can only define ReplaceKeyPrefix or ReplaceKey but not both."));
    }
    let code = redirect.http_redirect_code.filter(|code| !code.is_empty());
    let redirect = Redirect {
        host: redirect.host_name.map(host).transpose()?,
        protocol: protocol(redirect.protocol)?,
        code: code
            .map(|code| {
                status(
                    &code,
                    301..=399,
                    "The provided HTTP redirect code is not valid. Valid codes are 3XX except 300.",
                )
            })
            .transpose()?,
        replace_key: redirect.replace_key_with,
        replace_prefix: redirect.replace_key_prefix_with,
    };
    if redirect == Redirect::default() {
        return Err(errors::malformed_xml());
    }
    Ok(Rule {
        prefix: condition.key_prefix_equals,
        error: error
            .map(|code| {
                status(&code, 400..=599, "The provided HTTP error code is not valid. Valid codes are 4XX or 5XX.")
            })
            .transpose()?,
        redirect,
    })
}

fn rule_document(rule: &Rule) -> RoutingRule {
    let condition = ConditionXml {
        http_error_code_returned_equals: rule.error.map(|code| code.to_string()),
        key_prefix_equals: rule.prefix.clone(),
    };
    RoutingRule {
        condition: (rule.error.is_some() || rule.prefix.is_some()).then_some(condition),
        redirect: RedirectXml {
            host_name: rule.redirect.host.clone(),
            http_redirect_code: rule.redirect.code.map(|code| code.to_string()),
            protocol: rule.redirect.protocol.clone().map(Protocol::from),
            replace_key_prefix_with: rule.redirect.replace_prefix.clone(),
            replace_key_with: rule.redirect.replace_key.clone(),
        },
    }
}

/// GetBucketWebsite.
pub(crate) async fn get(
    service: &Arc<Service>,
    mut request: S3Request<GetBucketWebsiteInput>,
) -> S3Result<S3Response<GetBucketWebsiteOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::GET_BUCKET_WEBSITE).await?;
    let website = row.website.ok_or_else(errors::no_such_website)?;
    Ok(S3Response::new(website.to_document()))
}

/// PutBucketWebsite.
pub(crate) async fn put(
    service: &Arc<Service>,
    mut request: S3Request<PutBucketWebsiteInput>,
) -> S3Result<S3Response<PutBucketWebsiteOutput>> {
    let caller = Caller::of(&mut request)?;
    let website = Website::from_document(request.input.website_configuration)?;
    let change = move |row: &mut BucketRow| {
        row.website = Some(website);
        Ok(())
    };
    service.change_bucket(caller, request.input.bucket, Action::PUT_BUCKET_WEBSITE, change).await?;
    Ok(S3Response::new(PutBucketWebsiteOutput::default()))
}

/// DeleteBucketWebsite.
pub(crate) async fn delete(
    service: &Arc<Service>,
    mut request: S3Request<DeleteBucketWebsiteInput>,
) -> S3Result<S3Response<DeleteBucketWebsiteOutput>> {
    let caller = Caller::of(&mut request)?;
    let change = |row: &mut BucketRow| {
        row.website = None;
        Ok(())
    };
    service.change_bucket(caller, request.input.bucket, Action::DELETE_BUCKET_WEBSITE, change).await?;
    Ok(door::with_status(DeleteBucketWebsiteOutput::default(), http::StatusCode::NO_CONTENT))
}
