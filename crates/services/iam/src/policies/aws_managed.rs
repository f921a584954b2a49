//! The managed policies of AWS's own that are here.
//!
//! Invariants:
//! - A document is AWS's, word for word, but for ReadOnlyAccess: AWS's has the actions of some hundred services, ours
//!   those of the services that are here.
//! - Every one parses; any other of AWS's policies is not there (`NoSuchEntity`).
//!
//! Source: AWS Managed Policy Reference Guide. Version ids and dates are AWS's.

use api::iam::Policy;

use super::Usage;
use crate::service::moment;

/// What the ARNs of all of AWS's policies begin with.
pub(crate) const PREFIX: &str = "arn:aws:iam::aws:policy/";

/// One of AWS's policies.
pub(crate) struct AwsManaged {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// When AWS made this version, in seconds since 1970.
    pub(crate) created_at_s: u64,
    pub(crate) document: &'static str,
}

static ALL: [AwsManaged; 8] = [
    AwsManaged {
        name: "AWSCloudFormationReadOnlyAccess",
        version: "v4",
        created_at_s: 1_573_666_807,
        document: include_str!("aws_managed/AWSCloudFormationReadOnlyAccess.json"),
    },
    AwsManaged {
        name: "AdministratorAccess",
        version: "v1",
        created_at_s: 1_423_247_986,
        document: include_str!("aws_managed/AdministratorAccess.json"),
    },
    AwsManaged {
        name: "AmazonEC2ReadOnlyAccess",
        version: "v2",
        created_at_s: 1_707_923_824,
        document: include_str!("aws_managed/AmazonEC2ReadOnlyAccess.json"),
    },
    AwsManaged {
        name: "AmazonS3FullAccess",
        version: "v2",
        created_at_s: 1_632_773_777,
        document: include_str!("aws_managed/AmazonS3FullAccess.json"),
    },
    AwsManaged {
        name: "AmazonS3ReadOnlyAccess",
        version: "v3",
        created_at_s: 1_691_703_099,
        document: include_str!("aws_managed/AmazonS3ReadOnlyAccess.json"),
    },
    AwsManaged {
        name: "AmazonSQSFullAccess",
        version: "v1",
        created_at_s: 1_423_248_067,
        document: include_str!("aws_managed/AmazonSQSFullAccess.json"),
    },
    AwsManaged {
        name: "PowerUserAccess",
        version: "v12",
        created_at_s: 1_770_919_154,
        document: include_str!("aws_managed/PowerUserAccess.json"),
    },
    AwsManaged {
        name: "ReadOnlyAccess",
        version: "v87",
        created_at_s: 1_653_336_978,
        document: include_str!("aws_managed/ReadOnlyAccess.json"),
    },
];

impl AwsManaged {
    pub(crate) fn arn(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// `ANPA` and the name's own letters: AWS's ids are not known here, and one that changes with each start would be
    /// of no use.
    fn id(&self) -> String {
        let letters = self.name.chars().map(|letter| letter.to_ascii_uppercase()).filter(char::is_ascii_alphanumeric);
        "ANPA".chars().chain(letters.chain(std::iter::repeat('A')).take(17)).collect()
    }

    /// As AWS tells it.
    pub(super) fn told(&self, used: Usage) -> Policy {
        Policy {
            arn: Some(self.arn()),
            policy_name: Some(self.name.to_owned()),
            policy_id: Some(self.id()),
            path: Some("/".to_owned()),
            default_version_id: Some(self.version.to_owned()),
            attachment_count: Some(used.attached),
            permissions_boundary_usage_count: Some(used.boundaries),
            is_attachable: Some(true),
            description: None,
            create_date: Some(moment(self.created_at_s * 1000)),
            update_date: Some(moment(self.created_at_s * 1000)),
            tags: Vec::new(),
        }
    }
}

/// All of them, by name.
pub(crate) fn all() -> &'static [AwsManaged] {
    &ALL
}

/// The one of that ARN.
pub(crate) fn find(arn: &str) -> Option<&'static AwsManaged> {
    let name = arn.strip_prefix(PREFIX)?;
    ALL.iter().find(|policy| policy.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents;

    #[test]
    fn every_policy_of_awss_parses_and_is_found_by_its_arn() {
        for policy in all() {
            assert!(documents::identity(policy.document).is_ok(), "{}", policy.name);
            assert_eq!(find(&policy.arn()).map(|found| found.name), Some(policy.name));
            assert_eq!(policy.id().len(), 21);
        }
        assert!(find("arn:aws:iam::aws:policy/AmazonRDSFullAccess").is_none());
    }
}
