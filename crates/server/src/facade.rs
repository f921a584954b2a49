//! [`Facade`]: every service by name, for whoever may ask every service.
//!
//! Invariants:
//! - A call through it is one from a user, without HTTP: the same codecs, checks and errors. Nothing is reached in
//!   another way.
//! - A member that an operation does not have is refused: what a template asks for is never dropped in silence.

use std::sync::Arc;

use api::{BucketRequest, Call, ObjectStore, Principal, Protocol, Session, unknown_member};
use async_trait::async_trait;
use autoscaling::Autoscaling;
use bytes::{Bytes, BytesMut};
use ec2::Ec2;
use ecr::Ecr;
use elb::Elb;
use http_body_util::{BodyExt as _, Full};
use iam::{Iam, Parameters, Sessions};
use s3::S3;
use serde_json::{Value, json};
use sqs::Sqs;
use ssm::Ssm;
use wire::{ApiError, EncodedResponse, schema};

/// Who acts with a role.
const CLOUDFORMATION: &str = "cloudformation.amazonaws.com";
/// What AWS calls CloudFormation's sessions.
const SESSION_NAME: &str = "AWSCloudFormation";
/// The longest answer of S3's about a bucket that is read.
const BUCKET_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Every service but CloudFormation, which is given this.
pub struct Facade {
    /// Simple Queue Service.
    pub sqs: Sqs,
    /// Simple Storage Service.
    pub s3: S3,
    /// Identity and Access Management.
    pub iam: Iam,
    /// What sessions of roles may do.
    pub sessions: Arc<Sessions>,
    /// Elastic Compute Cloud.
    pub ec2: Ec2,
    /// Classic Elastic Load Balancing.
    pub elb: Elb,
    /// Auto Scaling.
    pub autoscaling: Autoscaling,
    /// Systems Manager's Parameter Store.
    pub ssm: Ssm,
    /// Elastic Container Registry.
    pub ecr: Ecr,
}

/// What the services and their schemas are called in `api`.
fn schema_of(service: &str) -> Option<&'static schema::Service> {
    match service {
        "sqs" => Some(&api::sqs::SERVICE),
        "iam" => Some(&api::iam::SERVICE),
        "ec2" => Some(&api::ec2::SERVICE),
        "elb" => Some(&api::elb::SERVICE),
        "autoscaling" => Some(&api::autoscaling::SERVICE),
        "ssm" => Some(&api::ssm::SERVICE),
        "ecr" => Some(&api::ecr::SERVICE),
        _ => None,
    }
}

#[async_trait]
impl api::Platform for Facade {
    async fn invoke(&self, call: &Call, service: &str, operation: &str, input: Value) -> Result<Value, ApiError> {
        let Some(schema) = schema_of(service) else { return Err(no_service(service)) };
        if let Some(member) = unknown_member(schema, operation, &input) {
            let message = format!("The parameter {member} is not recognized");
            return Err(ApiError::sender("UnknownParameter", message));
        }
        let mut call = Call { protocol: Protocol::Json11, ..call.clone() };
        if call.identity.session().is_some() && service != "sqs" {
            let name = if service == "elb" { "elasticloadbalancing" } else { service };
            self.sessions.authorise(&call, name, operation, &Parameters::of_value(&input))?;
            // The role may: what is done is CloudFormation's doing, and carries its tags.
            call.identity.principal = Principal::Service { name: CLOUDFORMATION.into() };
        }
        let body = Bytes::from(input.to_string());
        // Boxed: a call pays for its own service's future, not for the largest.
        let answer: EncodedResponse = match service {
            "sqs" => Box::pin(api::sqs::dispatch(&self.sqs, &call, operation, &body)).await?,
            "iam" => Box::pin(api::iam::dispatch(&self.iam, &call, operation, &body)).await?,
            "ec2" => Box::pin(api::ec2::dispatch(&self.ec2, &call, operation, &body)).await?,
            "elb" => Box::pin(api::elb::dispatch(&self.elb, &call, operation, &body)).await?,
            "ssm" => Box::pin(api::ssm::dispatch(&self.ssm, &call, operation, &body)).await?,
            "ecr" => Box::pin(api::ecr::dispatch(&self.ecr, &call, operation, &body)).await?,
            _ => Box::pin(api::autoscaling::dispatch(&self.autoscaling, &call, operation, &body)).await?,
        };
        if answer.body.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_slice(&answer.body).map_err(|_| unreadable())
    }

    async fn bucket(&self, call: &Call, request: BucketRequest) -> Result<Bytes, ApiError> {
        let BucketRequest { method, bucket, subresource, headers, body } = request;
        let query = if subresource.is_empty() { String::new() } else { format!("?{subresource}") };
        let mut http = http::Request::builder()
            .method(method)
            .uri(format!("/{bucket}{query}"))
            // Path style at a host that names no bucket.
            .header(http::header::HOST, "s3.amazonaws.com")
            .header(http::header::CONTENT_LENGTH, body.len());
        for (name, value) in headers {
            http = http.header(name, value);
        }
        let http = http.body(Full::new(body)).map_err(|_| unreadable())?;
        let answer = self.s3.handle(call.clone(), http).await;
        let status = answer.status().as_u16();
        let text = read(answer.into_body()).await?;
        if (200..300).contains(&status) {
            return Ok(text);
        }
        Err(refusal(status, &String::from_utf8_lossy(&text)))
    }

    async fn acting(&self, role_arn: &str, must_trust: bool) -> Result<Option<Session>, ApiError> {
        self.sessions.acting(role_arn, SESSION_NAME, must_trust.then_some(CLOUDFORMATION)).await
    }

    async fn object(&self, call: &Call, bucket: &str, key: &str, bytes_max: usize) -> Result<Bytes, ApiError> {
        self.s3.get(call, bucket, key, bytes_max).await
    }
}

/// An answer's document, within its bound.
async fn read(mut body: s3::Body) -> Result<Bytes, ApiError> {
    let mut text = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(unreadable()) };
        if let Some(data) = frame.data_ref() {
            if text.len() + data.len() > BUCKET_ANSWER_BYTES_MAX {
                return Err(unreadable());
            }
            text.extend_from_slice(data);
        }
    }
    Ok(text.freeze())
}

fn no_service(service: &str) -> ApiError {
    ApiError::sender("UnknownOperationException", format!("Millpond has no service {service:?}"))
}

fn unreadable() -> ApiError {
    ApiError::receiver("InternalFailure", "The request processing has failed because of an unknown error.")
}

/// An error document of S3's.
fn refusal(status: u16, document: &str) -> ApiError {
    let element = |name: &str| {
        let (_, rest) = document.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
    };
    let code = element("Code").unwrap_or_else(|| format!("Http{status}"));
    let message = element("Message").unwrap_or_default();
    let error = if status >= 500 { ApiError::receiver(code, message) } else { ApiError::sender(code, message) };
    error.with_status(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_document_of_s3s_becomes_an_error() {
        let document =
            "<?xml version=\"1.0\"?><Error><Code>BucketNotEmpty</Code><Message>It is &lt;full&gt;</Message></Error>";
        let error = refusal(409, document);
        assert_eq!(
            (error.code.as_ref(), error.message.as_str(), error.status),
            ("BucketNotEmpty", "It is <full>", 409)
        );
        assert_eq!(refusal(502, "").code, "Http502");
    }
}
