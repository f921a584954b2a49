//! Who may do what to a queue.
//!
//! Invariants:
//! - The owner's account may do everything, unless a statement of the queue's policy denies it expressly.
//! - Everybody else (other accounts, services, the anonymous) may do what a statement allows and none denies, and never
//!   what belongs to the owner: creating, deleting, setting, permitting, tagging, listing, moving.
//! - A role's session may do what its role's policies allow, or what a statement of the queue's policy allows to the role
//!   itself; a deny of either wins.
//! - Every refusal by a policy is logged with the statement that decided.

use api::{Call, Principal, Question, Verdict};
use host::Timestamp;
use policy::{Decision, Request};
use wire::ApiError;

use crate::errors;
use crate::registry::ServedQueue;

/// An action, as policies name it, and whether a policy can open it to others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permission {
    action: &'static str,
    grantable: bool,
}

/// SendMessage and its batch.
pub(crate) const SEND_MESSAGE: Permission = grantable("sqs:SendMessage");
/// ReceiveMessage.
pub(crate) const RECEIVE_MESSAGE: Permission = grantable("sqs:ReceiveMessage");
/// DeleteMessage and its batch.
pub(crate) const DELETE_MESSAGE: Permission = grantable("sqs:DeleteMessage");
/// ChangeMessageVisibility and its batch.
pub(crate) const CHANGE_MESSAGE_VISIBILITY: Permission = grantable("sqs:ChangeMessageVisibility");
/// GetQueueAttributes.
pub(crate) const GET_QUEUE_ATTRIBUTES: Permission = grantable("sqs:GetQueueAttributes");
/// GetQueueUrl.
pub(crate) const GET_QUEUE_URL: Permission = grantable("sqs:GetQueueUrl");
/// ListDeadLetterSourceQueues.
pub(crate) const LIST_DEAD_LETTER_SOURCE_QUEUES: Permission = grantable("sqs:ListDeadLetterSourceQueues");
/// PurgeQueue.
pub(crate) const PURGE_QUEUE: Permission = grantable("sqs:PurgeQueue");
/// DeleteQueue.
pub(crate) const DELETE_QUEUE: Permission = owners("sqs:DeleteQueue");
/// SetQueueAttributes.
pub(crate) const SET_QUEUE_ATTRIBUTES: Permission = owners("sqs:SetQueueAttributes");
/// AddPermission.
pub(crate) const ADD_PERMISSION: Permission = owners("sqs:AddPermission");
/// RemovePermission.
pub(crate) const REMOVE_PERMISSION: Permission = owners("sqs:RemovePermission");
/// TagQueue.
pub(crate) const TAG_QUEUE: Permission = owners("sqs:TagQueue");
/// UntagQueue.
pub(crate) const UNTAG_QUEUE: Permission = owners("sqs:UntagQueue");
/// ListQueueTags.
pub(crate) const LIST_QUEUE_TAGS: Permission = owners("sqs:ListQueueTags");

const fn grantable(action: &'static str) -> Permission {
    Permission { action, grantable: true }
}

const fn owners(action: &'static str) -> Permission {
    Permission { action, grantable: false }
}

/// Refuses the anonymous where no policy could let them in, before anything tells whether the queue exists.
pub(crate) fn check_signed(call: &Call, permission: Permission) -> Result<(), ApiError> {
    if call.identity.is_anonymous() && !permission.grantable {
        return Err(errors::missing_authentication_token());
    }
    Ok(())
}

/// For what concerns the caller's own account and is no question of a queue's policy; `resource` is an ARN.
pub(crate) fn check_owner(call: &Call, action: &str, resource: &str) -> Result<(), ApiError> {
    match &call.identity.principal {
        Principal::Account { .. } => Ok(()),
        Principal::Session(session) => match session.decide(&Question::new(call, action, resource)) {
            Verdict::Allowed => Ok(()),
            verdict => Err(errors::not_authorised(session.refusal(action, resource, verdict))),
        },
        Principal::Anonymous => Err(errors::missing_authentication_token()),
        Principal::Service { .. } => Err(errors::access_denied("*")),
    }
}

/// Whether the caller may do this to the queue, which it named by `url`.
pub(crate) fn check(
    call: &Call,
    queue: &ServedQueue,
    permission: Permission,
    url: &str,
    now: Timestamp,
) -> Result<(), ApiError> {
    let is_own = call.identity.is_of_account() && call.account().as_str() == &*queue.account;
    let session = match call.identity.session() {
        Some(session) => {
            let verdict = session.decide(&Question::new(call, permission.action, &queue.arn));
            if verdict == Verdict::Denied || verdict == Verdict::NotAllowed && !is_own {
                let sentence = session.refusal(permission.action, &queue.arn, verdict);
                tracing::info!(request_id = %call.request_id, sentence, "denied");
                return Err(errors::not_authorised(sentence));
            }
            Some(verdict)
        }
        None => None,
    };
    // A role that has no permission of its own is as a stranger, but for what names it.
    let owner = is_own && session != Some(Verdict::NotAllowed);
    let state = queue.state();
    let Some(policy) = &state.policy else {
        return if owner { Ok(()) } else { Err(refused(call, queue, permission, url, "the queue has no policy")) };
    };
    if !owner && !permission.grantable {
        return Err(refused(call, queue, permission, url, "no policy opens this action to others"));
    }
    let mut request = request(call, queue, permission, now);
    if session == Some(Verdict::NotAllowed) {
        request = request.of_itself();
    }
    let decision = policy.evaluate(&request);
    match decision {
        Decision::Allow { .. } => Ok(()),
        Decision::NoMatch if owner => Ok(()),
        Decision::NoMatch | Decision::ExplicitDeny { .. } => {
            Err(refused(call, queue, permission, url, &policy.explain(&decision)))
        }
    }
}

/// The call as the policy language sees it.
fn request<'a>(call: &'a Call, queue: &'a ServedQueue, permission: Permission, now: Timestamp) -> Request<'a> {
    let principal = match &call.identity.principal {
        Principal::Anonymous => policy::Principal::Anonymous,
        Principal::Account { .. } => {
            policy::Principal::Account { account: call.account().as_str(), arn: None, canonical_user: None }
        }
        Principal::Session(session) => policy::Principal::Account {
            account: call.account().as_str(),
            arn: Some(&session.arn),
            canonical_user: None,
        },
        Principal::Service { name } => policy::Principal::Service { name },
    };
    let secure = if call.endpoint.scheme == "https" { "true" } else { "false" };
    let mut request = Request::new(principal, permission.action, &queue.arn)
        .at(now.as_millis())
        .with("aws:SourceIp", call.source_ip.to_string())
        .with("aws:SecureTransport", secure)
        .with("aws:RequestedRegion", &*queue.region)
        .with("aws:ResourceAccount", &*queue.account);
    if let Some(session) = call.identity.session() {
        request = request.with("aws:PrincipalArn", &*session.role_arn).with("aws:userid", &*session.user_id);
    }
    if let Some(user_agent) = &call.user_agent {
        request = request.with("aws:UserAgent", &**user_agent);
    }
    if let Some(referer) = &call.referer {
        request = request.with("aws:Referer", &**referer);
    }
    request
}

fn refused(call: &Call, queue: &ServedQueue, permission: Permission, url: &str, why: &str) -> ApiError {
    tracing::info!(
        request_id = %call.request_id, queue = %queue.arn, action = permission.action,
        principal = ?call.identity.principal, account = %call.account(), why, "denied",
    );
    match call.identity.session() {
        // Whatever the queue's policy lacks, the role's own would have been enough, unless the queue's denies.
        Some(session) if session.decide(&Question::new(call, permission.action, &queue.arn)) != Verdict::Allowed => {
            errors::not_authorised(session.refusal(permission.action, &queue.arn, Verdict::NotAllowed))
        }
        _ => errors::access_denied(url),
    }
}
