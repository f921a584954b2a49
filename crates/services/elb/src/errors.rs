//! The one file that knows Classic ELB's error codes and sentences.
//!
//! Invariants:
//! - Every `ApiError` of this crate is built here; the other files name the situation, never the wording.
//! - No sentence carries internal detail: what went wrong inside goes to the log under the request's id.
//!
//! Sentences marked "recorded" were seen in answers of AWS; the others follow AWS's documentation or its style.

use std::fmt::Display;

use api::Call;
use api::elb::errors as model;
use store::StoreError;
use wire::ApiError;

use crate::limits::{
    INSTANCES_MAX, LISTENERS_MAX, LOAD_BALANCERS_MAX, NAME_BYTES_MAX, POLICIES_MAX, SECURITY_GROUPS_MAX, TAGS_MAX,
};

// --- load balancers ----------------------------------------------------------------------------------------------

/// No load balancer of this name. Recorded.
pub(crate) fn load_balancer_not_found(name: &str) -> ApiError {
    model::access_point_not_found_exception(format!("There is no ACTIVE Load Balancer named '{name}'"))
}

/// CreateLoadBalancer of an existing name with other settings. Recorded.
pub(crate) fn load_balancer_exists(name: &str) -> ApiError {
    model::duplicate_access_point_name_exception(format!(
        "Load Balancer named '{name}' already exists and it is configured with different parameters."
    ))
}

/// One load balancer too many.
pub(crate) fn too_many_load_balancers() -> ApiError {
    model::too_many_access_points_exception(format!(
        "The quota of {LOAD_BALANCERS_MAX} load balancers for this account and region has been reached"
    ))
}

/// A name longer than 32 characters.
pub(crate) fn name_too_long() -> ApiError {
    validation(format!("LoadBalancer name cannot be longer than {NAME_BYTES_MAX} characters"))
}

/// A name with other characters. Recorded.
pub(crate) fn name_malformed() -> ApiError {
    validation("LoadBalancer name cannot contain characters that are not letters, or digits or the dash.")
}

/// A name with a dash at an end, or none at all.
pub(crate) fn name_ends_with_dash() -> ApiError {
    validation("LoadBalancer name cannot be empty, and cannot begin or end with the dash.")
}

/// A scheme that does not exist.
pub(crate) fn scheme_invalid(scheme: &str) -> ApiError {
    model::invalid_scheme_exception(format!(
        "Scheme '{scheme}' is not valid. Valid values are 'internal' and 'internet-facing'."
    ))
}

/// PageSize outside 1..=400.
pub(crate) fn page_size_out_of_range() -> ApiError {
    validation("Page size must be a number between 1 and 400")
}

/// A marker that we did not give out.
pub(crate) fn marker_invalid() -> ApiError {
    validation("Marker is not valid")
}

// --- zones, subnets, security groups -----------------------------------------------------------------------------

/// Neither zones nor subnets. Recorded.
pub(crate) fn no_zones() -> ApiError {
    validation("Either AvailabilityZones or SubnetIds must be specified")
}

/// Both. Recorded.
pub(crate) fn zones_and_subnets() -> ApiError {
    validation("Only one of SubnetIds or AvailabilityZones parameter may be specified")
}

/// A zone that does not exist here.
pub(crate) fn zone_invalid(zone: &str, known: &[&str]) -> ApiError {
    let known = known.join(", ");
    validation(format!("'{zone}' is not a valid availability zone; the zones of this region are: {known}"))
}

/// The last zone or subnet cannot be taken away.
pub(crate) fn last_zone(what: &str) -> ApiError {
    configuration(format!("A load balancer must keep at least one {what}"))
}

/// No such subnet.
pub(crate) fn subnet_not_found(id: &str) -> ApiError {
    model::subnet_not_found_exception(format!("The subnet ID '{id}' does not exist"))
}

/// Subnets of several networks.
pub(crate) fn subnets_of_several_vpcs() -> ApiError {
    model::invalid_subnet_exception("The subnets of a load balancer must be in one VPC, the load balancer's.")
}

/// Two subnets in one zone. Recorded.
pub(crate) fn two_subnets_in_a_zone() -> ApiError {
    configuration("ELB cannot be attached to multiple subnets in the same AZ.")
}

/// A security group that does not exist. Recorded.
pub(crate) fn security_group_invalid(id: &str) -> ApiError {
    model::invalid_security_group_exception(format!("One or more security groups are invalid: {id}"))
}

/// Too many security groups.
pub(crate) fn too_many_security_groups() -> ApiError {
    configuration(format!("A load balancer can have at most {SECURITY_GROUPS_MAX} security groups"))
}

/// ApplySecurityGroupsToLoadBalancer with none.
pub(crate) fn no_security_groups() -> ApiError {
    configuration("At least one security group must be specified")
}

/// Every address that the configuration gives this zone has a listener on this port already.
pub(crate) fn zone_has_no_free_address(zone: &str, ports: &str) -> ApiError {
    configuration(format!(
        "Zone {zone} has no address left on which port {ports} is free: add an address to [[zone]], or choose another \
         port"
    ))
}

/// Another load balancer's node has this port on the shared address.
pub(crate) fn port_is_taken(port: u16, address: impl Display, by: &str) -> ApiError {
    configuration(format!(
        "Port {port} of address {address} is taken by load balancer '{by}', which shares the address: choose another \
         port, or add an address to [[zone]]"
    ))
}

/// The balancer cannot listen; its own sentence ends with what to do.
pub(crate) fn cannot_listen(reason: impl Display) -> ApiError {
    configuration(format!("The listener cannot be served: {reason}"))
}

// --- listeners ---------------------------------------------------------------------------------------------------

/// No listeners were given. Recorded.
pub(crate) fn no_listeners() -> ApiError {
    validation("Listeners cannot be empty")
}

/// A listener port that does not exist.
pub(crate) fn listener_not_found(name: &str, port: i32) -> ApiError {
    model::listener_not_found_exception(format!("There is no listener on port {port} of load balancer '{name}'"))
}

/// A port that is taken by another listener of the load balancer.
pub(crate) fn listener_exists(name: &str, port: u16) -> ApiError {
    model::duplicate_listener_exception(format!(
        "A listener already exists for {name} with LoadBalancerPort {port}, but with a different InstancePort, \
         Protocol, or SSLCertificateId"
    ))
}

/// Too many listeners.
pub(crate) fn too_many_listeners() -> ApiError {
    configuration(format!("A load balancer can have at most {LISTENERS_MAX} listeners"))
}

/// A front port outside 1..=65535. Recorded.
pub(crate) fn load_balancer_port_out_of_range() -> ApiError {
    validation("Load balancer port must be in 1-65535 inclusive")
}

/// A back port outside 1..=65535. Recorded.
pub(crate) fn instance_port_out_of_range() -> ApiError {
    validation("Instance port must be in 1-65535 inclusive")
}

/// A protocol that does not exist.
pub(crate) fn protocol_unknown(protocol: &str) -> ApiError {
    model::unsupported_protocol_exception(format!(
        "Protocol '{protocol}' is not supported. Valid protocols are HTTP, HTTPS, TCP and SSL."
    ))
}

/// HTTP in front of TCP, or the other way round.
pub(crate) fn protocols_do_not_mix(front: &str, back: &str) -> ApiError {
    configuration(format!(
        "InstanceProtocol {back} cannot stand behind Protocol {front}: HTTP and HTTPS go with HTTP or HTTPS, TCP and \
         SSL with TCP or SSL"
    ))
}

/// Two listeners disagree on whether an instance port speaks TLS.
pub(crate) fn instance_port_is_both(port: u16) -> ApiError {
    configuration(format!(
        "Listeners that share InstancePort {port} must all have a secure InstanceProtocol (HTTPS or SSL), or none"
    ))
}

/// HTTPS or SSL without a certificate. Recorded.
pub(crate) fn certificate_missing() -> ApiError {
    validation("Secure Listeners need to specify a SSLCertificateId")
}

/// A certificate for HTTP or TCP.
pub(crate) fn certificate_not_wanted(port: i32) -> ApiError {
    configuration(format!("The listener on port {port} is neither HTTPS nor SSL and takes no SSLCertificateId"))
}

/// No certificate with this ARN. Recorded.
pub(crate) fn certificate_not_found(arn: &str) -> ApiError {
    model::certificate_not_found_exception(format!("Server Certificate not found for the key: {arn}"))
}

/// A certificate that rustls does not take.
pub(crate) fn certificate_unusable(arn: &str, reason: impl Display) -> ApiError {
    configuration(format!("Server Certificate {arn} cannot be used by a listener: {reason}"))
}

// --- policies ----------------------------------------------------------------------------------------------------

/// No policy of this name. Recorded.
pub(crate) fn policy_not_found(policy: &str, load_balancer: &str) -> ApiError {
    model::policy_not_found_exception(format!(
        "There is no policy with name {policy} for load balancer {load_balancer}"
    ))
}

/// No sample policy of this name.
pub(crate) fn sample_policy_not_found(policy: &str) -> ApiError {
    model::policy_not_found_exception(format!("There is no sample policy with name {policy}"))
}

/// No policy type of this name.
pub(crate) fn policy_type_not_found(name: &str) -> ApiError {
    model::policy_type_not_found_exception(format!("Policy type {name} does not exist"))
}

/// A policy's name is taken.
pub(crate) fn policy_exists(policy: &str, load_balancer: &str) -> ApiError {
    model::duplicate_policy_name_exception(format!(
        "A policy with name {policy} already exists for load balancer {load_balancer}"
    ))
}

/// Too many policies.
pub(crate) fn too_many_policies() -> ApiError {
    model::too_many_policies_exception(format!("A load balancer can have at most {POLICIES_MAX} policies"))
}

/// A policy's name that is none.
pub(crate) fn policy_name_malformed() -> ApiError {
    validation(
        "Policy names consist of 1 to 128 alphanumeric characters and dashes, and do not begin with ELBSecurityPolicy-",
    )
}

/// DeleteLoadBalancerPolicy of one that a listener, a backend server or another policy has.
pub(crate) fn policy_in_use(policy: &str) -> ApiError {
    configuration(format!("You cannot delete policy {policy} because it is in use"))
}

/// An attribute that the policy type does not have.
pub(crate) fn policy_attribute_unknown(attribute: &str, type_name: &str) -> ApiError {
    configuration(format!("Policy attribute '{attribute}' is not defined for policy type {type_name}"))
}

/// An attribute without which the policy means nothing.
pub(crate) fn policy_attribute_missing(attribute: &str, type_name: &str) -> ApiError {
    configuration(format!("Policy attribute '{attribute}' must be specified for policy type {type_name}"))
}

/// An attribute given more often than it may be.
pub(crate) fn policy_attribute_repeated(attribute: &str) -> ApiError {
    configuration(format!("Policy attribute '{attribute}' can be specified once only"))
}

/// A value that the attribute does not take.
pub(crate) fn policy_attribute_invalid(attribute: &str, value: &str, expected: &str) -> ApiError {
    configuration(format!("Value '{value}' of policy attribute '{attribute}' is not valid: it must be {expected}"))
}

/// A security policy of which rustls can serve nothing.
pub(crate) fn policy_leaves_nothing(policy: &str) -> ApiError {
    configuration(format!(
        "Policy {policy} leaves nothing to negotiate: Millpond speaks TLS 1.2 with ECDHE and AES-GCM suites and TLS 1.3, \
         never SSLv3, TLS 1.0, TLS 1.1, CBC, RC4, 3DES or RSA key exchange. Enable Protocol-TLSv1.2 and one of \
         ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256, ECDHE-ECDSA-AES256-GCM-SHA384 and \
         ECDHE-RSA-AES256-GCM-SHA384, or choose ELBSecurityPolicy-TLS-1-2-2017-01 or ELBSecurityPolicy-2016-08"
    ))
}

/// A policy on a listener or backend that it does not fit.
pub(crate) fn policy_does_not_fit(policy: &str, type_name: &str, wanted: &str) -> ApiError {
    configuration(format!("Policy {policy} of type {type_name} can be associated only with {wanted}"))
}

/// Two policies of a kind on one listener or backend.
pub(crate) fn policy_kind_repeated(kind: &str) -> ApiError {
    configuration(format!("Only one {kind} policy can be associated at a time"))
}

/// No listener sends to this port.
pub(crate) fn instance_port_unknown(port: i32) -> ApiError {
    configuration(format!("No listener of the load balancer has InstancePort {port}"))
}

// --- health checks and instances ---------------------------------------------------------------------------------

/// HTTP:80 without a path. Recorded.
pub(crate) fn health_check_path_missing(protocol: &str) -> ApiError {
    validation(format!(
        "HealthCheck {protocol} Target must specify a port followed by a path that begins with a slash. \
         e.g. {protocol}:80/ping/this/path"
    ))
}

/// TCP:80/path.
pub(crate) fn health_check_port_only(protocol: &str) -> ApiError {
    validation(format!("HealthCheck {protocol} Target must specify a port and nothing else. e.g. {protocol}:80"))
}

/// A target of no protocol. Recorded.
pub(crate) fn health_check_protocol_unknown() -> ApiError {
    validation("HealthCheck Target must begin with one of HTTP, TCP, HTTPS, SSL")
}

/// A path that cannot stand in a request line, or is too long.
pub(crate) fn health_check_path_malformed() -> ApiError {
    validation("HealthCheck Target path must be 1 to 1024 visible ASCII characters without a fragment")
}

/// A port outside 1..=65535. Recorded.
pub(crate) fn health_check_port_out_of_range() -> ApiError {
    validation("HealthCheck Target port must be in 1-65535 inclusive")
}

/// Recorded.
pub(crate) fn health_check_timeout_too_long() -> ApiError {
    validation("HealthCheck interval must be greater than timeout")
}

/// A number of the health check is out of its range.
pub(crate) fn health_check_out_of_range(name: &str, low: i32, high: i32) -> ApiError {
    validation(format!("HealthCheck {name} must be between {low} and {high}"))
}

/// An instance that EC2 does not know. Recorded.
pub(crate) fn instance_not_found(id: &str) -> ApiError {
    model::invalid_end_point_exception(format!("Could not find EC2 instance {id}."))
}

/// Something that is no instance's id. Recorded.
pub(crate) fn instance_id_malformed(id: &str) -> ApiError {
    model::invalid_end_point_exception(format!("Invalid id: \"{id}\""))
}

/// An instance of another network. Recorded.
pub(crate) fn instance_of_another_vpc(id: &str) -> ApiError {
    model::invalid_end_point_exception(format!("EC2 instance {id} is not in the same VPC as ELB."))
}

/// No instances were given.
pub(crate) fn no_instances() -> ApiError {
    validation("Instances cannot be empty")
}

/// Too many instances.
pub(crate) fn too_many_instances() -> ApiError {
    configuration(format!("A load balancer can have at most {INSTANCES_MAX} registered instances"))
}

// --- attributes and access logs ----------------------------------------------------------------------------------

/// A number outside of its range.
pub(crate) fn attribute_out_of_range(name: &str, low: i32, high: i32) -> ApiError {
    configuration(format!("{name} must be between {low} and {high}"))
}

/// An additional attribute that does not exist.
pub(crate) fn additional_attribute_unknown(key: &str) -> ApiError {
    model::load_balancer_attribute_not_found_exception(format!("Load balancer attribute '{key}' does not exist"))
}

/// An additional attribute's value.
pub(crate) fn additional_attribute_invalid(key: &str, value: &str, expected: &str) -> ApiError {
    configuration(format!("Value '{value}' of load balancer attribute '{key}' is not valid: it must be {expected}"))
}

/// Access logs without a bucket. Recorded.
pub(crate) fn log_bucket_missing() -> ApiError {
    configuration("S3BucketName must be specified when access logging is enabled")
}

/// Neither 5 nor 60.
pub(crate) fn log_interval_invalid() -> ApiError {
    configuration("EmitInterval must be either 5 or 60 minutes")
}

/// The prefix contains what ELB adds itself, or is no good key.
pub(crate) fn log_prefix_invalid() -> ApiError {
    configuration(
        "S3BucketPrefix cannot contain 'AWSLogs', cannot begin or end with a slash, and has at most 512 characters",
    )
}

/// S3 did not let ELB write its test file. Recorded.
pub(crate) fn log_access_denied(bucket: &str) -> ApiError {
    configuration(format!("Access Denied for bucket: {bucket}. Please check S3bucket permission"))
}

/// There is no such bucket. Recorded.
pub(crate) fn log_bucket_not_found(bucket: &str) -> ApiError {
    configuration(format!("S3Bucket: {bucket} not found"))
}

// --- tags --------------------------------------------------------------------------------------------------------

/// One key twice in a request.
pub(crate) fn duplicate_tag_keys(key: &str) -> ApiError {
    model::duplicate_tag_keys_exception(format!("Tag key '{key}' was specified more than once"))
}

/// Too many tags.
pub(crate) fn too_many_tags(name: &str) -> ApiError {
    model::too_many_tags_exception(format!("The quota of {TAGS_MAX} tags has been reached for load balancer '{name}'"))
}

/// A key that only AWS may set.
pub(crate) fn tag_key_reserved() -> ApiError {
    validation("Tag keys starting with 'aws:' are reserved for system use")
}

/// No or too many names of load balancers.
pub(crate) fn names_out_of_range(max: usize) -> ApiError {
    validation(format!("Between 1 and {max} load balancer names must be specified"))
}

// --- shared ------------------------------------------------------------------------------------------------------

/// Nobody signed.
pub(crate) fn missing_authentication_token() -> ApiError {
    ApiError::sender("MissingAuthenticationToken", "Request is missing Authentication Token").with_status(403)
}

/// Something failed inside; the cause is in the log under the request's id.
pub(crate) fn internal() -> ApiError {
    ApiError::receiver("InternalFailure", "We encountered an internal error. Please try again.")
}

/// The service is going down.
pub(crate) fn service_unavailable() -> ApiError {
    ApiError::receiver("ServiceUnavailable", "The service is shutting down. Please try again.").with_status(503)
}

/// A row that could not be read or written; the cause goes to the log.
pub(crate) fn from_store(call: &Call, error: &StoreError) -> ApiError {
    tracing::error!(request_id = %call.request_id, %error, "the store failed");
    internal()
}

/// EC2 or IAM would not answer what a user's request needs; the cause goes to the log.
pub(crate) fn from_dependency(call: &Call, service: &'static str, error: &ApiError) -> ApiError {
    tracing::error!(request_id = %call.request_id, service, %error, "a service that ELB asks failed");
    model::dependency_throttle_exception(format!("{service} did not answer in time. Please try again."))
}

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::sender("ValidationError", message)
}

fn configuration(message: impl Into<String>) -> ApiError {
    model::invalid_configuration_request_exception(message)
}
