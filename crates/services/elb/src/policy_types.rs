//! Policy types: which there are, which attributes each has, and what a new policy must say.
//!
//! Invariants:
//! - A policy that is kept is complete: each attribute of its type has a value, and a valid one.
//! - An SSL negotiation policy that is kept leaves something that rustls can negotiate.

use api::elb::{PolicyAttribute, PolicyAttributeTypeDescription, PolicyTypeDescription};
use wire::ApiError;

use crate::errors;
use crate::public_key;
use crate::rows::{LoadBalancerRow, PolicyRow};
use crate::security_policies::{self, REFERENCE};

pub(crate) const SSL_NEGOTIATION: &str = "SSLNegotiationPolicyType";
pub(crate) const PROXY_PROTOCOL: &str = "ProxyProtocolPolicyType";
pub(crate) const PUBLIC_KEY: &str = "PublicKeyPolicyType";
pub(crate) const BACKEND_AUTHENTICATION: &str = "BackendServerAuthenticationPolicyType";
pub(crate) const LB_COOKIE: &str = "LBCookieStickinessPolicyType";
pub(crate) const APP_COOKIE: &str = "AppCookieStickinessPolicyType";

/// The longest name of a cookie.
const COOKIE_NAME_BYTES_MAX: usize = 1024;
/// Keys that one backend authentication policy refers to.
const KEYS_MAX: usize = 50;

/// A policy type.
struct PolicyType {
    name: &'static str,
    description: &'static str,
    /// Name, type, cardinality, default.
    attributes: &'static [(&'static str, &'static str, &'static str, Option<&'static str>)],
}

const TYPES: [PolicyType; 6] = [
    PolicyType {
        name: SSL_NEGOTIATION,
        description: "Listener policy that defines the ciphers and protocols that will be accepted by the load balancer. \
                      This policy can be associated only with HTTPS/SSL listeners.",
        // The suites follow; they are too many to write twice.
        attributes: &[(REFERENCE, "PolicyName", "ZERO_OR_ONE", None)],
    },
    PolicyType {
        name: PROXY_PROTOCOL,
        description: "Policy that controls whether to include the IP address and port of the originating request for \
                      TCP messages. This policy operates on TCP/SSL listeners only.",
        attributes: &[("ProxyProtocol", "Boolean", "ONE", None)],
    },
    PolicyType {
        name: PUBLIC_KEY,
        description: "Policy containing a list of public keys to accept when authenticating the back-end server(s). \
                      This policy cannot be applied directly to back-end servers or listeners but must be part of a \
                      BackendServerAuthenticationPolicyType.",
        attributes: &[("PublicKey", "String", "ONE", None)],
    },
    PolicyType {
        name: BACKEND_AUTHENTICATION,
        description: "Policy that controls authentication to back-end server(s) and contains one or more policies, such \
                      as an instance of a PublicKeyPolicyType. This policy can be associated only with back-end \
                      servers that are using HTTPS/SSL.",
        attributes: &[("PublicKeyPolicyName", "PolicyName", "ONE_OR_MORE", None)],
    },
    PolicyType {
        name: APP_COOKIE,
        description: "Stickiness policy with session lifetimes controlled by the lifetime of the application-generated \
                      cookie. This policy can be associated only with HTTP/HTTPS listeners.",
        attributes: &[("CookieName", "String", "ONE", None)],
    },
    PolicyType {
        name: LB_COOKIE,
        description: "Stickiness policy with session lifetimes controlled by the browser (user-agent) or a specified \
                      expiration period. This policy can be associated only with HTTP/HTTPS listeners.",
        attributes: &[("CookieExpirationPeriod", "Long", "ZERO_OR_ONE", None)],
    },
];

/// DescribeLoadBalancerPolicyTypes: those named, or all.
pub(crate) fn describe(names: &[String]) -> Result<Vec<PolicyTypeDescription>, ApiError> {
    if names.is_empty() {
        return Ok(TYPES.iter().map(describe_one).collect());
    }
    let one = |name: &String| {
        let found = TYPES.iter().find(|known| known.name == name);
        found.map(describe_one).ok_or_else(|| errors::policy_type_not_found(name))
    };
    names.iter().map(one).collect()
}

fn describe_one(policy_type: &PolicyType) -> PolicyTypeDescription {
    let attribute = |name: &str, of: &str, cardinality: &str, default: Option<&str>| PolicyAttributeTypeDescription {
        attribute_name: Some(name.to_owned()),
        attribute_type: Some(of.to_owned()),
        cardinality: Some(cardinality.to_owned()),
        default_value: default.map(str::to_owned),
        description: None,
    };
    let mut attributes: Vec<_> = policy_type.attributes.iter().map(|(n, t, c, d)| attribute(n, t, c, *d)).collect();
    if policy_type.name == SSL_NEGOTIATION {
        let default = security_policies::default_policy();
        let value = |name: &str| default.as_ref().and_then(|policy| policy.value(name));
        attributes
            .extend(security_policies::attributes().map(|name| attribute(name, "Boolean", "ZERO_OR_ONE", value(name))));
    }
    PolicyTypeDescription {
        policy_type_name: Some(policy_type.name.to_owned()),
        description: Some(policy_type.description.to_owned()),
        policy_attribute_type_descriptions: attributes,
    }
}

/// A new policy for `row`, checked and completed.
pub(crate) fn build(
    row: &LoadBalancerRow,
    name: &str,
    type_name: &str,
    given: Vec<PolicyAttribute>,
) -> Result<PolicyRow, ApiError> {
    let known = TYPES.iter().find(|known| known.name == type_name);
    let known = known.ok_or_else(|| errors::policy_type_not_found(type_name))?;
    let given = given.into_iter();
    let mut given: Vec<(String, String)> =
        given.map(|one| (one.attribute_name.unwrap_or_default(), one.attribute_value.unwrap_or_default())).collect();
    let is_ssl = type_name == SSL_NEGOTIATION;
    for (attribute, _) in &given {
        let is_known = known.attributes.iter().any(|(name, ..)| name == attribute)
            || (is_ssl && security_policies::attributes().any(|name| name == attribute));
        if !is_known {
            return Err(errors::policy_attribute_unknown(attribute, type_name));
        }
        let times = given.iter().filter(|(name, _)| name == attribute).count();
        if times > 1 && type_name != BACKEND_AUTHENTICATION {
            return Err(errors::policy_attribute_repeated(attribute));
        }
    }
    // AWS takes an empty value for an attribute that may be missing as if it were not there.
    if type_name == LB_COOKIE {
        given.retain(|(_, value)| !value.is_empty());
    }
    for (attribute, _, cardinality, _) in known.attributes {
        if cardinality.starts_with("ONE") && !given.iter().any(|(name, _)| name == attribute) {
            return Err(errors::policy_attribute_missing(attribute, type_name));
        }
    }
    if is_ssl {
        return ssl_negotiation(name, &given);
    }
    for (attribute, value) in &mut given {
        check(row, attribute, value)?;
    }
    if given.len() > KEYS_MAX {
        return Err(errors::too_many_policies());
    }
    Ok(PolicyRow { name: name.to_owned(), type_name: type_name.to_owned(), attributes: given })
}

fn check(row: &LoadBalancerRow, attribute: &str, value: &mut String) -> Result<(), ApiError> {
    let invalid = |expected: &str| Err(errors::policy_attribute_invalid(attribute, value, expected));
    match attribute {
        "ProxyProtocol" => {
            let lower = value.to_ascii_lowercase();
            if lower != "true" && lower != "false" {
                return invalid("true or false");
            }
            *value = lower;
        }
        "PublicKey" if public_key::decode(value).is_none() => {
            return invalid("a public key (SubjectPublicKeyInfo, DER) in base64, without PEM's lines");
        }
        "PublicKeyPolicyName" => {
            let found = row.policy(value).ok_or_else(|| errors::policy_not_found(value, &row.name))?;
            if found.type_name != PUBLIC_KEY {
                return invalid("the name of a policy of type PublicKeyPolicyType");
            }
        }
        "CookieName" if !is_cookie_name(value) => {
            return invalid("the name of a cookie: visible ASCII characters without separators, at most 1024");
        }
        "CookieExpirationPeriod" if !value.parse::<u64>().is_ok_and(|seconds| i64::try_from(seconds).is_ok()) => {
            return invalid("a number of seconds");
        }
        _ => {}
    }
    Ok(())
}

/// A token of RFC 6265.
fn is_cookie_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b);
    (1..=COOKIE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// With a reference: all of that policy's attributes, and those given over them. Without one: what is not given is off.
fn ssl_negotiation(name: &str, given: &[(String, String)]) -> Result<PolicyRow, ApiError> {
    let given_value =
        |attribute: &str| given.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str());
    let mut attributes = Vec::new();
    let mut reference = None;
    if let Some(referred) = given_value(REFERENCE) {
        let policy = security_policies::find(referred).ok_or_else(|| errors::sample_policy_not_found(referred))?;
        attributes.push((REFERENCE.to_owned(), referred.to_owned()));
        reference = Some(policy);
    }
    for attribute in security_policies::attributes() {
        let referred = reference.as_ref().is_some_and(|policy| policy.is_true(attribute));
        let value = match given_value(attribute) {
            None => referred,
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if value.eq_ignore_ascii_case("false") => false,
            Some(value) => return Err(errors::policy_attribute_invalid(attribute, value, "true or false")),
        };
        attributes.push((attribute.to_owned(), value.to_string()));
    }
    let policy = PolicyRow { name: name.to_owned(), type_name: SSL_NEGOTIATION.to_owned(), attributes };
    if is_negotiable(&policy) { Ok(policy) } else { Err(errors::policy_leaves_nothing(name)) }
}

/// Whether rustls can serve any of it.
pub(crate) fn is_negotiable(policy: &PolicyRow) -> bool {
    let suites = policy.attributes.iter().filter(|(_, value)| value == "true").map(|(name, _)| name);
    policy.is_true("Protocol-TLSv1.2") && suites.into_iter().any(|name| balancer::suite_is_supported(name))
}
