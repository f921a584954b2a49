//! Bucket policies: parsed once, asked often; and the operations that set them.
//!
//! Invariants:
//! - A policy that does not parse is never stored, so that every stored one can be asked.
//! - A stored policy that cannot be read all the same (an older version's, a damaged row) denies everything: a lost
//!   `Deny` must not open a bucket.
//! - Every statement of a bucket policy is about this bucket and its objects.

use std::collections::HashMap;
use std::sync::Arc;

use ::policy::{self, Decision, Policy};
use api::Principal;
use parking_lot::Mutex;
use s3s::dto::{
    DeleteBucketPolicyInput, DeleteBucketPolicyOutput, GetBucketPolicyInput, GetBucketPolicyOutput,
    GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, PolicyStatus, PutBucketPolicyInput, PutBucketPolicyOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::authorisation::{Action, Question};
use crate::door::{self, Caller};
use crate::rows::BucketRow;
use crate::service::Service;
use crate::{acl, errors};

/// AWS: a bucket policy is at most 20 KB.
const POLICY_BYTES_MAX: usize = 20 * 1024;
/// Parsed policies kept; more buckets with policies than this parse again.
const CACHED_MAX: usize = 1024;

/// Parsed policies by bucket.
#[derive(Default)]
pub(crate) struct PolicyCache(Mutex<HashMap<String, Arc<Parsed>>>);

/// A policy and the text it was parsed from.
struct Parsed {
    text: String,
    /// `None`: it does not parse.
    policy: Option<Policy>,
}

/// What a bucket's policy says to a question.
pub(crate) struct Verdict {
    parsed: Option<Arc<Parsed>>,
    decision: Decision,
    unreadable: bool,
}

impl Verdict {
    pub(crate) fn is_deny(&self) -> bool {
        self.unreadable || matches!(self.decision, Decision::ExplicitDeny { .. })
    }

    pub(crate) fn is_allow(&self) -> bool {
        !self.unreadable && matches!(self.decision, Decision::Allow { .. })
    }

    pub(crate) fn policy_is_public(&self) -> bool {
        self.parsed.as_ref().and_then(|parsed| parsed.policy.as_ref()).is_some_and(Policy::is_public)
    }

    /// Which statement decided, for the log.
    pub(crate) fn explanation(&self) -> String {
        match &self.parsed {
            None => "no bucket policy; owner and ACL do not allow it".to_owned(),
            Some(_) if self.unreadable => "the stored bucket policy is unreadable".to_owned(),
            Some(parsed) => match &parsed.policy {
                Some(policy) => policy.explain(&self.decision),
                None => String::new(),
            },
        }
    }
}

impl PolicyCache {
    /// Asks the policy of `bucket`. `by_account`: whether what is given to the caller's account is given to him.
    pub(crate) fn evaluate(
        &self,
        bucket: &str,
        text: Option<&str>,
        question: &Question<'_>,
        by_account: bool,
        now_ms: u64,
    ) -> Verdict {
        let Some(text) = text else {
            return Verdict { parsed: None, decision: Decision::NoMatch, unreadable: false };
        };
        let parsed = self.parsed(bucket, text);
        let Some(policy) = &parsed.policy else {
            return Verdict { parsed: Some(parsed), decision: Decision::NoMatch, unreadable: true };
        };
        let decision = ask(policy, question, by_account, now_ms);
        Verdict { parsed: Some(parsed), decision, unreadable: false }
    }

    fn parsed(&self, bucket: &str, text: &str) -> Arc<Parsed> {
        let mut cache = self.0.lock();
        if let Some(parsed) = cache.get(bucket).filter(|parsed| parsed.text == text) {
            return Arc::clone(parsed);
        }
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        let policy = Policy::parse(text)
            .inspect_err(|error| tracing::error!(bucket, error = %error, "a stored bucket policy is unreadable"))
            .ok();
        let parsed = Arc::new(Parsed { text: text.to_owned(), policy });
        cache.insert(bucket.to_owned(), Arc::clone(&parsed));
        parsed
    }
}

/// Puts the question in the policy language's terms.
fn ask(policy: &Policy, question: &Question<'_>, by_account: bool, now_ms: u64) -> Decision {
    let account = question.call.account().as_str();
    let canonical_id = acl::canonical_id(account);
    let principal = match &question.call.identity.principal {
        Principal::Anonymous => policy::Principal::Anonymous,
        Principal::Account { .. } => {
            policy::Principal::Account { account, arn: None, canonical_user: Some(canonical_id.as_str()) }
        }
        Principal::Session(session) => {
            policy::Principal::Account { account, arn: Some(&session.arn), canonical_user: Some(canonical_id.as_str()) }
        }
        Principal::Service { name } => policy::Principal::Service { name },
    };
    let resource = question.resource();
    let mut request = policy::Request::new(principal, question.action.name, &resource).at(now_ms);
    if let Some(session) = question.call.identity.session() {
        request = request.with("aws:PrincipalArn", &*session.role_arn).with("aws:userid", &*session.user_id);
    }
    if !by_account {
        request = request.of_itself();
    }
    let keys = question.condition_keys();
    for (name, value) in &keys {
        request = request.with(name, value);
    }
    policy.evaluate(&request)
}

/// Parses a policy for `bucket`, with S3's own sentences for what is wrong.
fn checked(bucket: &str, text: &str) -> Result<Policy, S3Error> {
    let malformed = |sentence: String| errors::error(S3ErrorCode::MalformedPolicy, sentence);
    if text.len() > POLICY_BYTES_MAX {
        return Err(malformed("Policies must be at most 20480 bytes".to_owned()));
    }
    let policy = Policy::parse(text).map_err(|error| malformed(error.problem().to_string()))?;
    let own = format!("arn:aws:s3:::{bucket}");
    for statement in policy.statements() {
        let about_us = |resource: &str| {
            resource.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '*']))
        };
        if !statement.resources().all(about_us) {
            return Err(malformed("Policy has invalid resource".to_owned()));
        }
        if !statement.actions().all(|action| action == "*" || action.to_ascii_lowercase().starts_with("s3:")) {
            return Err(malformed("Policy has invalid action".to_owned()));
        }
    }
    Ok(policy)
}

/// PutBucketPolicy.
pub(crate) async fn put(
    service: &Arc<Service>,
    mut request: S3Request<PutBucketPolicyInput>,
) -> S3Result<S3Response<PutBucketPolicyOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let policy = checked(&input.bucket, &input.policy);
    let change = move |row: &mut BucketRow| {
        // Judged only now: who may not put a policy learns nothing about his.
        let policy = policy?;
        if policy.is_public() && row.public_access_block.is_some_and(|block| block.block_public_policy) {
            return Err(errors::access_denied());
        }
        row.policy = Some(input.policy);
        Ok(())
    };
    service.change_bucket(caller, input.bucket, Action::PUT_BUCKET_POLICY, change).await?;
    Ok(door::with_status(PutBucketPolicyOutput::default(), http::StatusCode::NO_CONTENT))
}

/// GetBucketPolicy: the text as it was put.
pub(crate) async fn get(
    service: &Arc<Service>,
    mut request: S3Request<GetBucketPolicyInput>,
) -> S3Result<S3Response<GetBucketPolicyOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::GET_BUCKET_POLICY).await?;
    let policy = row.policy.ok_or_else(errors::no_such_bucket_policy)?;
    Ok(S3Response::new(GetBucketPolicyOutput { policy: Some(policy) }))
}

/// DeleteBucketPolicy.
pub(crate) async fn delete(
    service: &Arc<Service>,
    mut request: S3Request<DeleteBucketPolicyInput>,
) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
    let caller = Caller::of(&mut request)?;
    let change = |row: &mut BucketRow| {
        row.policy = None;
        Ok(())
    };
    service.change_bucket(caller, request.input.bucket, Action::DELETE_BUCKET_POLICY, change).await?;
    Ok(door::with_status(DeleteBucketPolicyOutput::default(), http::StatusCode::NO_CONTENT))
}

/// GetBucketPolicyStatus.
pub(crate) async fn status(
    service: &Arc<Service>,
    mut request: S3Request<GetBucketPolicyStatusInput>,
) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::GET_BUCKET_POLICY_STATUS).await?;
    let text = row.policy.ok_or_else(errors::no_such_bucket_policy)?;
    let is_public = Policy::parse(&text).is_ok_and(|policy| policy.is_public());
    Ok(S3Response::new(GetBucketPolicyStatusOutput {
        policy_status: Some(PolicyStatus { is_public: Some(is_public) }),
    }))
}
