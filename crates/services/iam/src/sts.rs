//! [`Sts`]: `GetCallerIdentity`, so that programs can ask who they are.
//!
//! Invariant: it tells only what the caller's own signature proved.

use api::sts::{GetCallerIdentityInput, GetCallerIdentityOutput};
use api::{Call, Principal};
use bytes::Bytes;
use wire::{ApiError, EncodedResponse};

use crate::AuthError;

/// AWS's Security Token Service; has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sts;

impl Sts {
    /// Answers one request; `body` is the form or the JSON document, for a GET the query string. Errors are encoded too.
    pub async fn handle(&self, call: &Call, operation: &str, body: Bytes) -> EncodedResponse {
        match api::sts::dispatch(self, call, operation, &body).await {
            Ok(answer) => answer,
            Err(error) => api::sts::encode_error(call, &error),
        }
    }
}

impl api::sts::Sts for Sts {
    async fn get_caller_identity(
        &self,
        call: &Call,
        _input: GetCallerIdentityInput,
    ) -> Result<GetCallerIdentityOutput, ApiError> {
        // A root user's id is the account's own; AWS shows no other id for a root user's key.
        let Principal::Account { .. } = call.identity.principal else { return Err(AuthError::missing_token()) };
        Ok(GetCallerIdentityOutput {
            user_id: Some(call.account().to_string()),
            account: Some(call.account().to_string()),
            arn: call.identity.arn(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use api::{AccountId, Endpoint, Identity, Protocol, Region, RequestId};

    use super::*;

    fn call(principal: Principal) -> Call {
        Call {
            identity: Identity { principal, account: AccountId::parse("123456789012").unwrap() },
            region: Region::parse("us-east-1").unwrap(),
            request_id: RequestId("r".into()),
            endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
            path: "/".into(),
            protocol: Protocol::Query,
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            trace_header: None,
            user_agent: None,
            referer: None,
        }
    }

    async fn asked(principal: Principal) -> (u16, String) {
        let form = Bytes::from_static(b"Action=GetCallerIdentity&Version=2011-06-15");
        let answer = Sts.handle(&call(principal), "GetCallerIdentity", form).await;
        (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_root_key_is_told_its_account_and_arn() {
        let (status, body) = asked(Principal::Account { access_key_id: "AKIA".into() }).await;
        assert_eq!(status, 200);
        for element in ["<Arn>arn:aws:iam::123456789012:root</Arn>", "<Account>123456789012</Account>", "<UserId>"] {
            assert!(body.contains(element), "{body}");
        }
    }

    #[tokio::test]
    async fn nobody_is_told_nothing() {
        let (status, body) = asked(Principal::Anonymous).await;
        assert_eq!(status, 403);
        assert!(body.contains("<Code>MissingAuthenticationToken</Code>"), "{body}");
    }
}
