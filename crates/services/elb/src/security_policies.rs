//! The predefined security policies, as AWS describes them: every attribute of each, true or false.
//!
//! Invariants:
//! - What a policy allows beyond TLS 1.2's AEAD suites is described and never negotiated.
//! - Suites stand in the order of the server's preference.

use api::elb::{PolicyAttributeDescription, PolicyDescription};

use crate::policy_types::SSL_NEGOTIATION;
use crate::rows::PolicyRow;

/// What a listener with a certificate gets when nothing is said.
pub(crate) const DEFAULT: &str = "ELBSecurityPolicy-2016-08";
/// What the names of all of them begin with.
pub(crate) const PREFIX: &str = "ELBSecurityPolicy-";
/// The attribute that names a predefined policy as the model of one's own.
pub(crate) const REFERENCE: &str = "Reference-Security-Policy";
/// The attribute that lets the server's order decide.
pub(crate) const SERVER_ORDER: &str = "Server-Defined-Cipher-Order";

/// The attributes that are no suites; the last is [`SERVER_ORDER`].
const PROTOCOLS: [&str; 6] =
    ["Protocol-SSLv2", "Protocol-TLSv1", "Protocol-SSLv3", "Protocol-TLSv1.1", "Protocol-TLSv1.2", SERVER_ORDER];

/// All suites by OpenSSL's names, in the order of AWS's descriptions.
const SUITES: [&str; 88] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "DHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES128-SHA256",
    "AES128-SHA",
    "AES256-GCM-SHA384",
    "AES256-SHA256",
    "AES256-SHA",
    "DHE-DSS-AES128-SHA",
    "CAMELLIA128-SHA",
    "EDH-RSA-DES-CBC3-SHA",
    "DES-CBC3-SHA",
    "ECDHE-RSA-RC4-SHA",
    "RC4-SHA",
    "ECDHE-ECDSA-RC4-SHA",
    "DHE-DSS-AES256-GCM-SHA384",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-AES256-SHA256",
    "DHE-DSS-AES256-SHA256",
    "DHE-RSA-AES256-SHA",
    "DHE-DSS-AES256-SHA",
    "DHE-RSA-CAMELLIA256-SHA",
    "DHE-DSS-CAMELLIA256-SHA",
    "CAMELLIA256-SHA",
    "EDH-DSS-DES-CBC3-SHA",
    "DHE-DSS-AES128-GCM-SHA256",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES128-SHA256",
    "DHE-DSS-AES128-SHA256",
    "DHE-RSA-CAMELLIA128-SHA",
    "DHE-DSS-CAMELLIA128-SHA",
    "ADH-AES128-GCM-SHA256",
    "ADH-AES128-SHA",
    "ADH-AES128-SHA256",
    "ADH-AES256-GCM-SHA384",
    "ADH-AES256-SHA",
    "ADH-AES256-SHA256",
    "ADH-CAMELLIA128-SHA",
    "ADH-CAMELLIA256-SHA",
    "ADH-DES-CBC3-SHA",
    "ADH-DES-CBC-SHA",
    "ADH-RC4-MD5",
    "ADH-SEED-SHA",
    "DES-CBC-SHA",
    "DHE-DSS-SEED-SHA",
    "DHE-RSA-SEED-SHA",
    "EDH-DSS-DES-CBC-SHA",
    "EDH-RSA-DES-CBC-SHA",
    "IDEA-CBC-SHA",
    "RC4-MD5",
    "SEED-SHA",
    "DES-CBC3-MD5",
    "DES-CBC-MD5",
    "RC2-CBC-MD5",
    "PSK-AES256-CBC-SHA",
    "PSK-3DES-EDE-CBC-SHA",
    "KRB5-DES-CBC3-SHA",
    "KRB5-DES-CBC3-MD5",
    "PSK-AES128-CBC-SHA",
    "PSK-RC4-SHA",
    "KRB5-RC4-SHA",
    "KRB5-RC4-MD5",
    "KRB5-DES-CBC-SHA",
    "KRB5-DES-CBC-MD5",
    "EXP-EDH-RSA-DES-CBC-SHA",
    "EXP-EDH-DSS-DES-CBC-SHA",
    "EXP-ADH-DES-CBC-SHA",
    "EXP-DES-CBC-SHA",
    "EXP-RC2-CBC-MD5",
    "EXP-KRB5-RC2-CBC-SHA",
    "EXP-KRB5-DES-CBC-SHA",
    "EXP-KRB5-RC2-CBC-MD5",
    "EXP-KRB5-DES-CBC-MD5",
    "EXP-ADH-RC4-MD5",
    "EXP-RC4-MD5",
    "EXP-KRB5-RC4-SHA",
    "EXP-KRB5-RC4-MD5",
];

/// The suites of ELBSecurityPolicy-TLS-1-2-2017-01.
const TLS12: [&str; 12] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
    "AES128-GCM-SHA256",
    "AES128-SHA256",
    "AES256-GCM-SHA384",
    "AES256-SHA256",
];

/// What the others have beyond those.
const WITH_SHA1: [&str; 6] = [
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "AES128-SHA",
    "AES256-SHA",
];

/// ELBSecurityPolicy-2011-08 has nothing in common with the later ones.
const OF_2011: [&str; 16] = [
    "DHE-RSA-AES128-SHA",
    "AES128-SHA",
    "AES256-SHA",
    "DHE-DSS-AES128-SHA",
    "CAMELLIA128-SHA",
    "EDH-RSA-DES-CBC3-SHA",
    "DES-CBC3-SHA",
    "RC4-SHA",
    "DHE-RSA-AES256-SHA",
    "DHE-DSS-AES256-SHA",
    "DHE-RSA-CAMELLIA256-SHA",
    "DHE-DSS-CAMELLIA256-SHA",
    "CAMELLIA256-SHA",
    "EDH-DSS-DES-CBC3-SHA",
    "DHE-RSA-CAMELLIA128-SHA",
    "DHE-DSS-CAMELLIA128-SHA",
];

const DHE: [&str; 2] = ["DHE-RSA-AES128-SHA", "DHE-DSS-AES128-SHA"];
const TRIPLE_DES: [&str; 1] = ["DES-CBC3-SHA"];
const RC4: [&str; 2] = ["ECDHE-RSA-RC4-SHA", "RC4-SHA"];

/// A predefined policy.
struct Predefined {
    /// After [`PREFIX`].
    name: &'static str,
    /// Attributes of [`PROTOCOLS`] that are true.
    protocols: &'static [&'static str],
    suites: &'static [&'static [&'static str]],
}

const SSL3_ON: &[&str] = &["Protocol-TLSv1", "Protocol-SSLv3", "Protocol-TLSv1.1", "Protocol-TLSv1.2", SERVER_ORDER];
const TLS1_ON: &[&str] = &["Protocol-TLSv1", "Protocol-TLSv1.1", "Protocol-TLSv1.2", SERVER_ORDER];
const TLS11_ON: &[&str] = &["Protocol-TLSv1.1", "Protocol-TLSv1.2", SERVER_ORDER];
const TLS12_ON: &[&str] = &["Protocol-TLSv1.2", SERVER_ORDER];

/// In the order of their description.
const ALL: [Predefined; 9] = [
    Predefined { name: "TLS-1-2-2017-01", protocols: TLS12_ON, suites: &[&TLS12] },
    Predefined { name: "TLS-1-1-2017-01", protocols: TLS11_ON, suites: &[&TLS12, &WITH_SHA1] },
    Predefined { name: "2016-08", protocols: TLS1_ON, suites: &[&TLS12, &WITH_SHA1] },
    Predefined { name: "2015-05", protocols: TLS1_ON, suites: &[&TLS12, &WITH_SHA1, &TRIPLE_DES] },
    Predefined { name: "2015-03", protocols: TLS1_ON, suites: &[&TLS12, &WITH_SHA1, &DHE, &TRIPLE_DES] },
    Predefined { name: "2015-02", protocols: TLS1_ON, suites: &[&TLS12, &WITH_SHA1, &DHE] },
    Predefined { name: "2014-10", protocols: TLS1_ON, suites: &[&TLS12, &WITH_SHA1, &DHE, &RC4] },
    Predefined { name: "2014-01", protocols: SSL3_ON, suites: &[&TLS12, &WITH_SHA1, &DHE, &RC4] },
    Predefined { name: "2011-08", protocols: &["Protocol-TLSv1", "Protocol-SSLv3"], suites: &[&OF_2011] },
];

impl Predefined {
    fn row(&self) -> PolicyRow {
        let is_on = |attribute: &&str| {
            self.protocols.contains(attribute) || self.suites.iter().any(|suites| suites.contains(attribute))
        };
        let describe = |attribute: &str| (attribute.to_owned(), is_on(&attribute).to_string());
        PolicyRow {
            name: format!("{PREFIX}{}", self.name),
            type_name: SSL_NEGOTIATION.to_owned(),
            attributes: attributes().map(describe).collect(),
        }
    }
}

/// All attributes of an SSL negotiation policy, but for the reference.
pub(crate) fn attributes() -> impl Iterator<Item = &'static str> {
    PROTOCOLS.into_iter().chain(SUITES)
}

/// Whether an attribute is a suite.
pub(crate) fn is_suite(attribute: &str) -> bool {
    SUITES.contains(&attribute)
}

/// The policy of this name, whole.
pub(crate) fn find(name: &str) -> Option<PolicyRow> {
    let short = name.strip_prefix(PREFIX)?;
    ALL.iter().find(|policy| policy.name == short).map(Predefined::row)
}

/// [`DEFAULT`].
pub(crate) fn default_policy() -> Option<PolicyRow> {
    find(DEFAULT)
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = PolicyRow> {
    ALL.iter().map(Predefined::row)
}

/// A policy as DescribeLoadBalancerPolicies tells it.
pub(crate) fn describe(policy: &PolicyRow) -> PolicyDescription {
    let attribute = |(name, value): &(String, String)| PolicyAttributeDescription {
        attribute_name: Some(name.clone()),
        attribute_value: Some(value.clone()),
    };
    PolicyDescription {
        policy_name: Some(policy.name.clone()),
        policy_type_name: Some(policy.type_name.clone()),
        policy_attribute_descriptions: policy.attributes.iter().map(attribute).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_of_each_predefined_policy_are_as_many_as_aws_documents() {
        let counts = [12, 18, 18, 19, 21, 20, 22, 22, 16];
        for (policy, count) in all().zip(counts) {
            let on = policy.attributes.iter().filter(|(name, value)| is_suite(name) && value == "true").count();
            assert_eq!(on, count, "{}", policy.name);
            assert_eq!(policy.attributes.len(), 94, "{}", policy.name);
        }
    }

    #[test]
    fn all_predefined_policies_but_the_oldest_leave_something_to_negotiate() {
        for policy in all() {
            let negotiable = crate::policy_types::is_negotiable(&policy);
            assert_eq!(negotiable, policy.name != "ELBSecurityPolicy-2011-08", "{}", policy.name);
        }
    }
}
