//! What instances of a stack say to CloudFormation without credentials of their own: an identity document in the place of
//! a signature, and the URLs of wait conditions.
//!
//! Invariants:
//! - An identity document opens two operations of CloudFormation, no more, and only while its instance is there.
//! - A wait condition's URL is its own proof: who knows it may signal, and nothing else.

use api::{Identity, InstanceIdentities as _, Principal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use iam::AuthError;
use tracing::info;
use wire::ApiError;

use super::body::{Body, RequestBody};
use super::catalogue::Service;
use super::{Asked, FrontDoor, answer};

/// The scheme of an instance's proof: `CFN_V1 base64(identity document):signature`.
const SCHEME: &str = "CFN_V1 ";
/// What an instance may ask for.
const OPERATIONS: [&str; 2] = ["DescribeStackResource", "SignalResource"];

/// The document and its signature, if that is how a request is proved.
fn proof(parts: &Parts) -> Option<Option<(Vec<u8>, String)>> {
    let header = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix(SCHEME)?;
    let (document, signature) = header.trim().split_once(':').unwrap_or((header, ""));
    Some(STANDARD.decode(document).ok().map(|document| (document, signature.to_owned())))
}

impl FrontDoor {
    /// Admits an instance by its identity document; `None` where a request is not proved that way.
    pub(super) async fn admit_instance(
        &self,
        asked: &mut Asked,
        service: &Service,
        operation: &str,
    ) -> Option<Result<(), ApiError>> {
        let proof = proof(&asked.parts)?;
        let refused = || Err(AuthError::missing_token());
        if *service != Service::Cloudformation || !OPERATIONS.contains(&operation) {
            return Some(refused());
        }
        let Some((document, signature)) = proof else { return Some(refused()) };
        Some(match self.services.ec2.verify(&document, &signature).await {
            Ok(Some(instance)) => {
                asked.call.region = instance.region;
                let principal = Principal::Account { access_key_id: instance.instance_id.into() };
                asked.call.identity = Identity { principal, account: instance.account };
                Ok(())
            }
            Ok(None) => refused(),
            Err(error) => Err(error),
        })
    }

    /// Takes what is put to a wait condition's URL.
    pub(super) async fn wait_condition(&self, parts: &Parts, body: RequestBody) -> Response<Body> {
        if !matches!(parts.method, Method::PUT | Method::POST) {
            return answer::plain(StatusCode::METHOD_NOT_ALLOWED, "A signal is a PUT.");
        }
        let path = parts.uri.path().strip_prefix(cloudformation::WAIT_PATH).unwrap_or_default();
        let whole = match self.collect(body).await {
            Ok(whole) => whole,
            Err(error) => return answer::closing(answer::plain(StatusCode::BAD_REQUEST, &error.to_string())),
        };
        match self.services.cloudformation.wait_condition(path, &whole.bytes).await {
            Ok(()) => answer::plain(StatusCode::OK, ""),
            Err(error) => {
                info!(code = %error.code, "a wait condition's signal was refused");
                let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
                answer::plain(status, &error.message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof_in(authorization: &str) -> Option<Option<(Vec<u8>, String)>> {
        let request = http::Request::builder().header(AUTHORIZATION, authorization).body(()).unwrap();
        proof(&request.into_parts().0)
    }

    #[test]
    fn an_instances_proof_is_a_document_and_its_signature() {
        assert_eq!(proof_in("CFN_V1 e30=:c2ln"), Some(Some((b"{}".to_vec(), "c2ln".into()))));
        assert_eq!(proof_in("CFN_V1 ???:c2ln"), Some(None));
        assert_eq!(proof_in("CFN_V1 e30="), Some(Some((b"{}".to_vec(), String::new()))));
        assert_eq!(proof_in("AWS4-HMAC-SHA256 Credential=x"), None);
    }
}
