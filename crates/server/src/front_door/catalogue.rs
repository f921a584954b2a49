//! The services that there are, and what the front door must know of each to find it and to speak for it.
//!
//! Invariants:
//! - A service is added by a variant of [`Service`], a row in [`DOCUMENTS`] and an arm where `wiring` lets it answer.
//! - A service that is not here still has a name, to be refused by.

use api::Call;
use wire::schema;
use wire::{ApiError, EncodedResponse};

/// A service by its name in signature scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// Simple Queue Service.
    Sqs,
    /// Simple Storage Service.
    S3,
    /// Security Token Service.
    Sts,
    /// Identity and Access Management.
    Iam,
    /// Elastic Compute Cloud.
    Ec2,
    /// Classic Elastic Load Balancing.
    Elb,
    /// Auto Scaling.
    Autoscaling,
    /// CloudFormation.
    Cloudformation,
    /// Systems Manager, as far as it is Parameter Store.
    Ssm,
    /// Elastic Container Registry.
    Ecr,
    /// One that Millpond does not have.
    Other(Box<str>),
}

/// A service whose requests are one document each, JSON or a form.
pub struct Document {
    /// Which.
    pub service: Service,
    /// Its name in signature scopes, host names, health and metrics.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Its operations and its version.
    pub schema: &'static schema::Service,
    /// Versions that clients of old still say.
    older_versions: &'static [&'static str],
    /// Writes an error in its words.
    pub encode_error: fn(&Call, &ApiError) -> EncodedResponse,
}

/// S3's name; its requests are no documents.
pub const S3: &str = "s3";
/// The newer API of load balancers, which signs with the name of the older.
const ELB_V2: &str = "elasticloadbalancing-v2";

/// All services whose requests are documents.
pub static DOCUMENTS: [Document; 9] = [
    Document {
        service: Service::Sqs,
        name: "sqs",
        title: "SQS",
        schema: &api::sqs::SERVICE,
        older_versions: &["2011-10-01", "2009-02-01", "2008-01-01"],
        encode_error: api::sqs::encode_error,
    },
    Document {
        service: Service::Elb,
        name: "elasticloadbalancing",
        title: "ELB",
        schema: &api::elb::SERVICE,
        older_versions: &["2011-11-15", "2011-08-15", "2011-04-05", "2010-07-01", "2009-11-25", "2009-05-15"],
        encode_error: api::elb::encode_error,
    },
    Document {
        service: Service::Autoscaling,
        name: "autoscaling",
        title: "Auto Scaling",
        schema: &api::autoscaling::SERVICE,
        older_versions: &[],
        encode_error: api::autoscaling::encode_error,
    },
    Document {
        service: Service::Cloudformation,
        name: "cloudformation",
        title: "CloudFormation",
        schema: &api::cloudformation::SERVICE,
        older_versions: &[],
        encode_error: api::cloudformation::encode_error,
    },
    Document {
        service: Service::Ec2,
        name: "ec2",
        title: "EC2",
        schema: &api::ec2::SERVICE,
        older_versions: &[],
        encode_error: api::ec2::encode_error,
    },
    Document {
        service: Service::Iam,
        name: "iam",
        title: "IAM",
        schema: &api::iam::SERVICE,
        older_versions: &[],
        encode_error: api::iam::encode_error,
    },
    Document {
        service: Service::Sts,
        name: "sts",
        title: "STS",
        schema: &api::sts::SERVICE,
        older_versions: &[],
        encode_error: api::sts::encode_error,
    },
    Document {
        service: Service::Ssm,
        name: "ssm",
        title: "SSM's Parameter Store",
        schema: &api::ssm::SERVICE,
        older_versions: &[],
        encode_error: api::ssm::encode_error,
    },
    Document {
        service: Service::Ecr,
        name: "ecr",
        title: "ECR's repositories",
        schema: &api::ecr::SERVICE,
        older_versions: &[],
        encode_error: api::ecr::encode_error,
    },
];

impl Service {
    /// The service of this name in a signature's scope.
    pub fn named(name: &str) -> Self {
        match DOCUMENTS.iter().find(|document| document.name == name) {
            Some(document) => document.service.clone(),
            None if name == S3 => Self::S3,
            None => Self::Other(name.into()),
        }
    }

    /// What there is to know of it; nothing for S3 and for services that are not here.
    pub fn document(&self) -> Option<&'static Document> {
        match self {
            Self::S3 | Self::Other(_) => None,
            known => DOCUMENTS.iter().find(|document| document.service == *known),
        }
    }

    /// The name in signature scopes, health and metrics.
    pub fn name(&self) -> &str {
        match self {
            Self::S3 => S3,
            Self::Other(name) => name,
            known => known.document().map_or("", |document| document.name),
        }
    }

    /// The service that has this `X-Amz-Target` before the dot.
    pub fn of_target(prefix: &str) -> Option<Self> {
        let is_named = |document: &&Document| document.schema.target_prefix == Some(prefix);
        DOCUMENTS.iter().find(is_named).map(|document| document.service.clone())
    }

    /// The service whose host's first label this is.
    pub fn of_host_label(label: &str) -> Option<Self> {
        let label = if label == "queue" { "sqs" } else { label };
        DOCUMENTS.iter().find(|document| document.name == label).map(|document| document.service.clone())
    }

    /// The service that has published `Version`, among those that speak Query.
    pub fn of_version(version: &str) -> Option<Self> {
        let has_it =
            |document: &&Document| document.schema.version == version || document.older_versions.contains(&version);
        if let Some(document) = DOCUMENTS.iter().find(has_it) {
            return Some(document.service.clone());
        }
        let name = match version {
            "2010-03-31" => "sns",
            "2010-08-01" => "monitoring",
            "2015-12-01" => ELB_V2,
            "2011-01-01" => "autoscaling",
            "2014-10-31" => "rds",
            "2015-02-02" => "elasticache",
            "2010-12-01" => "ses",
            _ => return None,
        };
        Some(Self::Other(name.into()))
    }

    /// The same service, unless the version says that another is meant that signs by the same name.
    pub fn in_version(self, version: &str) -> Self {
        match (self, Self::of_version(version)) {
            (Self::Elb, Some(Self::Other(name))) if *name == *ELB_V2 => Self::Other(name),
            (same, _) => same,
        }
    }
}

/// The titles of all services, for people: `SQS, S3, … and STS`.
pub fn titles() -> String {
    let mut titles: Vec<&str> = DOCUMENTS.iter().map(|document| document.title).collect();
    titles.insert(1, "S3");
    join(&titles)
}

/// The names of all services, for people.
pub fn names() -> String {
    let mut names: Vec<&str> = DOCUMENTS.iter().map(|document| document.name).collect();
    names.push(S3);
    names.sort_unstable();
    join(&names)
}

fn join(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_a_row_and_is_found_by_its_name() {
        for Document { service, .. } in &DOCUMENTS {
            let service = service.clone();
            assert!(service.document().is_some(), "{service:?}");
            assert_eq!(Service::named(service.name()), service);
            assert_eq!(Service::of_host_label(service.name()), Some(service));
        }
        assert_eq!(Service::named("s3"), Service::S3);
        assert_eq!(Service::named("sns"), Service::Other("sns".into()));
    }

    #[test]
    fn no_version_means_two_services() {
        let versions =
            |document: &'static Document| document.older_versions.iter().copied().chain([document.schema.version]);
        let mut all: Vec<&str> = DOCUMENTS.iter().flat_map(versions).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn the_newer_api_of_load_balancers_is_told_from_the_older_by_its_version() {
        assert_eq!(Service::Elb.in_version("2012-06-01"), Service::Elb);
        assert_eq!(Service::Elb.in_version("2015-12-01"), Service::Other("elasticloadbalancing-v2".into()));
        assert_eq!(Service::Ec2.in_version("2015-12-01"), Service::Ec2);
    }

    #[test]
    fn services_are_listed_as_people_would() {
        assert_eq!(
            titles(),
            "SQS, S3, ELB, Auto Scaling, CloudFormation, EC2, IAM, STS, SSM's Parameter Store and ECR's repositories"
        );
        assert_eq!(names(), "autoscaling, cloudformation, ec2, ecr, elasticloadbalancing, iam, s3, sqs, ssm and sts");
    }
}
