//! [`Platform`]: the port for whoever may ask every service, by the names of its operations: CloudFormation.
//!
//! Invariants:
//! - A request through it is one from a user, without HTTP: the same checks, the same errors.
//! - A member that the operation does not have is refused and never dropped ([`unknown_member`]).

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use wire::ApiError;
use wire::schema::{Service, Shape, Structure};

use crate::{Call, Session};

/// A request to S3 about a bucket, as it is on the wire but for its signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketRequest {
    /// `PUT`.
    pub method: &'static str,
    /// The bucket's name.
    pub bucket: String,
    /// `website`, `policy`; empty for the bucket itself.
    pub subresource: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The document.
    pub body: Bytes,
}

/// Every service, by name.
#[async_trait]
pub trait Platform: Send + Sync + 'static {
    /// Has a service answer an operation. `service` is the name of its module in this crate, `ec2`; members have the
    /// names of AWS's model, blobs are base64, moments seconds since the epoch.
    async fn invoke(&self, call: &Call, service: &str, operation: &str, input: Value) -> Result<Value, ApiError>;

    /// A session of a role, to act with; `None` if there is no such role, or it must trust CloudFormation and doesn't.
    /// Calls with it are held to what the role may do, and are CloudFormation's in all else.
    async fn acting(&self, role_arn: &str, must_trust: bool) -> Result<Option<Session>, ApiError>;

    /// Has S3 answer a request about a bucket; what comes back is the answer's document.
    async fn bucket(&self, call: &Call, request: BucketRequest) -> Result<Bytes, ApiError>;

    /// Reads an object as `call`'s identity; `EntityTooLarge` beyond `bytes_max`.
    async fn object(&self, call: &Call, bucket: &str, key: &str, bytes_max: usize) -> Result<Bytes, ApiError>;
}

/// The first member of an operation's input that the operation does not have: `SecurityGroups[0].Name`.
pub fn unknown_member(service: &Service, operation: &str, input: &Value) -> Option<String> {
    let operation = service.operation(operation)?;
    unknown_in(operation.input, input).map(|path| path.trim_start_matches('.').to_owned())
}

fn unknown_in(structure: &Structure, value: &Value) -> Option<String> {
    for (name, value) in value.as_object()? {
        let Some(member) = structure.members.iter().find(|member| member.name == name) else {
            return Some(format!(".{name}"));
        };
        if let Some(below) = unknown_of(&member.shape, value) {
            return Some(format!(".{name}{below}"));
        }
    }
    None
}

fn unknown_of(shape: &Shape, value: &Value) -> Option<String> {
    match shape {
        Shape::Structure(structure) => unknown_in(structure, value),
        Shape::List(list) => value
            .as_array()?
            .iter()
            .enumerate()
            .find_map(|(index, item)| unknown_of(&list.item, item).map(|below| format!("[{index}]{below}"))),
        Shape::Map(map) => value.as_object()?.values().find_map(|value| unknown_of(&map.value, value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_that_the_operation_does_not_have_is_named_with_its_place() {
        let unknown = |input: Value| unknown_member(&crate::elb::SERVICE, "CreateLoadBalancer", &input);
        assert_eq!(unknown(json!({"LoadBalancerName": "web", "Listeners": [{"Protocol": "HTTP"}]})), None);
        assert_eq!(unknown(json!({"Name": "web"})), Some("Name".into()));
        let nested = json!({"Listeners": [{"Protocol": "HTTP"}, {"Port": 80}]});
        assert_eq!(unknown(nested), Some("Listeners[1].Port".into()));
    }
}
