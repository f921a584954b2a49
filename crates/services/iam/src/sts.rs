//! [`Sts`]: who a caller is, and temporary credentials.
//!
//! Invariants:
//! - It tells only what the caller's own signature proved.
//! - A role is taken only by whom its trust policy allows; a session needs its own role's policies for that as well,
//!   unless the trust policy names it.

use std::sync::Arc;

use api::sts::*;
use api::{AccountId, Call, Principal, Question, Session, TemporaryCredentials, Verdict};
use bytes::Bytes;
use policy::{Decision, Kind, Limits, Policy, Request};
use wire::value::EpochMs;
use wire::{ApiError, EncodedResponse};

use crate::refusal::Refusal;
use crate::roles::RoleRow;
use crate::sessions::{Bearer, Sessions, session_arn, with_call};
use crate::{AuthError, documents, policies};

/// How long a session lasts unless the client says.
const LASTS_S: u64 = 3_600;
/// The longest session of a role taken by a session, and of an account's own key.
const CHAINED_MAX_S: u64 = 3_600;
/// AWS: characters of a session policy.
const SESSION_POLICY_MAX: usize = 2_048;
/// AWS: managed session policies.
const SESSION_POLICY_ARNS_MAX: usize = 10;
const ASSUME_ROLE: &str = "sts:AssumeRole";

/// AWS's Security Token Service.
#[derive(Clone, Debug)]
pub struct Sts {
    sessions: Arc<Sessions>,
}

impl Sts {
    /// The service that gives out these sessions.
    pub fn new(sessions: Arc<Sessions>) -> Self {
        Self { sessions }
    }

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
        let user_id = match &call.identity.principal {
            // A root user's id is the account's own; AWS shows no other id for a root user's key.
            Principal::Account { .. } => call.account().to_string(),
            Principal::Session(session) => session.user_id.to_string(),
            Principal::Anonymous | Principal::Service { .. } => return Err(AuthError::missing_token()),
        };
        let account = Some(call.account().to_string());
        Ok(GetCallerIdentityOutput { user_id: Some(user_id), account, arn: call.identity.arn() })
    }

    async fn assume_role(&self, call: &Call, input: AssumeRoleInput) -> Result<AssumeRoleOutput, ApiError> {
        refuse_unsupported(&input)?;
        let name = &input.role_session_name;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if !name.bytes().all(allowed) {
            return Err(validation(format!(
                "1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy constraint: Member \
                 must satisfy regular expression pattern: [\\w+=,.@-]*"
            )));
        }
        let arn = input.role_arn.clone();
        if crate::names::parse_arn(crate::names::kind::ROLE, &arn).is_none() {
            return Err(validation(format!("{arn} is invalid")));
        }
        let found = self.sessions.role(&arn).await.map_err(Refusal::from)?;
        // Whether a role is there is for those to know who may take it.
        let Some((account, role)) = found else { return Err(not_authorised(call, &arn)) };
        let role = role.value;
        if !self.may_assume(call, &account, &role, &input) {
            return Err(not_authorised(call, &arn));
        }
        let lasts_s = lasts_s(call, &role, input.duration_seconds)?;
        let policy_arns = self.check_session_policies(&account, &input).await?;
        let packed = input.policy.as_deref().map(|policy| policy.len() * 100 / SESSION_POLICY_MAX);
        let (role_name, role_id) = (role.name.clone(), role.id.clone());
        let bearer = Bearer::Role {
            name: role.name,
            id: role.id,
            session_name: input.role_session_name.clone(),
            policy: input.policy,
            policy_arns,
        };
        let made = self.sessions.give_out(&account, bearer, lasts_s).ok_or_else(internal)?;
        tracing::info!(role = arn, session = input.role_session_name, "a role was assumed");
        Ok(AssumeRoleOutput {
            credentials: Some(told(made)),
            assumed_role_user: Some(AssumedRoleUser {
                assumed_role_id: format!("{role_id}:{}", input.role_session_name),
                arn: session_arn(&account, &role_name, &input.role_session_name),
            }),
            packed_policy_size: packed.and_then(|percent| i32::try_from(percent).ok()),
            ..Default::default()
        })
    }

    async fn get_session_token(
        &self,
        call: &Call,
        input: GetSessionTokenInput,
    ) -> Result<GetSessionTokenOutput, ApiError> {
        refuse(&[
            ("SerialNumber", input.serial_number.is_some()),
            ("TokenCode", input.token_code.is_some()),
            ("MinimumSessionTokenSize", input.minimum_session_token_size.is_some()),
        ])?;
        let access_key_id = match &call.identity.principal {
            // A key that is itself temporary would outlive what it was made for.
            Principal::Account { access_key_id } if !access_key_id.starts_with(crate::sessions::KIND) => access_key_id,
            Principal::Anonymous => return Err(AuthError::missing_token()),
            _ => return Err(denied("Cannot call GetSessionToken with session credentials".to_owned())),
        };
        let bearer = Bearer::Key { access_key_id: access_key_id.to_string() };
        // AWS: longer sessions of an account's owner last an hour.
        let asked = input.duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(CHAINED_MAX_S);
        let lasts_s = asked.min(CHAINED_MAX_S);
        let made = self.sessions.give_out(call.account(), bearer, lasts_s).ok_or_else(internal)?;
        Ok(GetSessionTokenOutput { credentials: Some(told(made)), ..Default::default() })
    }
}

impl Sts {
    /// Whether the caller may take the role.
    fn may_assume(&self, call: &Call, account: &AccountId, role: &RoleRow, input: &AssumeRoleInput) -> bool {
        let Ok(trust) = Policy::parse_kind(&role.trust, Kind::Trust, &Limits::NONE) else { return false };
        let arn = &input.role_arn;
        let now_ms = self.sessions.clock.now().as_millis();
        let asked = |principal: policy::Principal<'_>| {
            let mut request = with_call(Request::new(principal, ASSUME_ROLE, arn).at(now_ms), call)
                .with("aws:RequestedRegion", call.region.as_str())
                .with("aws:ResourceAccount", account.as_str())
                .with("aws:PrincipalAccount", call.account().as_str())
                .with("sts:RoleSessionName", input.role_session_name.as_str());
            if let Some(id) = &input.external_id {
                request = request.with("sts:ExternalId", id.as_str());
            }
            if let Some(session) = call.identity.session() {
                request = request.with("aws:PrincipalArn", &*session.role_arn).with("aws:userid", &*session.user_id);
            }
            trust.evaluate(&request)
        };
        let caller = call.account().as_str();
        match &call.identity.principal {
            Principal::Anonymous | Principal::Service { .. } => false,
            Principal::Account { .. } => {
                let principal = policy::Principal::Account { account: caller, arn: None, canonical_user: None };
                matches!(asked(principal), Decision::Allow { .. })
            }
            Principal::Session(session) => {
                let as_of =
                    |account| policy::Principal::Account { account, arn: Some(&session.arn), canonical_user: None };
                let context = sts_context(input);
                let question = Question { context: &context, ..Question::new(call, ASSUME_ROLE, arn) };
                match (asked(as_of(caller)), session.decide(&question)) {
                    (Decision::Allow { .. }, Verdict::Allowed) => true,
                    // Named itself, not by its account, a principal of the role's account needs nothing more.
                    (Decision::Allow { .. }, Verdict::NotAllowed) => {
                        call.account() == account && matches!(asked(as_of("")), Decision::Allow { .. })
                    }
                    _ => false,
                }
            }
        }
    }

    /// Checks a session's policies; the ARNs of the managed ones.
    async fn check_session_policies(
        &self,
        account: &AccountId,
        input: &AssumeRoleInput,
    ) -> Result<Vec<String>, ApiError> {
        if let Some(policy) = &input.policy {
            documents::identity(policy)
                .map_err(|error| errors::malformed_policy_document_exception(error.to_string()))?;
            if policy.chars().count() > SESSION_POLICY_MAX {
                return Err(errors::packed_policy_too_large_exception(format!(
                    "Packed policy consumes {}% of allotted space, please use smaller policy.",
                    policy.len() * 100 / SESSION_POLICY_MAX
                )));
            }
        }
        let arns: Vec<String> = input.policy_arns.iter().filter_map(|one| one.arn.clone()).collect();
        if arns.len() > SESSION_POLICY_ARNS_MAX {
            return Err(validation(format!(
                "The number of session policies exceeds the maximum of {SESSION_POLICY_ARNS_MAX}"
            )));
        }
        let (account, wanted) = (account.clone(), arns.clone());
        let checked = self.sessions.store.read_async(move |view| {
            wanted.iter().try_for_each(|arn| {
                policies::check_arn(arn)?;
                policies::attachable(view, &account, arn)
            })
        });
        match checked.await {
            Ok(()) => Ok(arns),
            Err(refusal @ Refusal::Store(_)) => Err(refusal.into()),
            Err(refusal) => Err(validation(refusal.to_string())),
        }
    }
}

/// The condition keys of taking a role that a session's own policies may ask for.
fn sts_context(input: &AssumeRoleInput) -> Vec<(&'static str, String)> {
    let mut context = vec![("sts:RoleSessionName", input.role_session_name.clone())];
    context.extend(input.external_id.clone().map(|id| ("sts:ExternalId", id)));
    context
}

/// How long the session lasts.
fn lasts_s(call: &Call, role: &RoleRow, asked: Option<i32>) -> Result<u64, ApiError> {
    let Some(asked) = asked.and_then(|s| u64::try_from(s).ok()) else { return Ok(LASTS_S) };
    if asked > u64::from(role.max_session_s) {
        return Err(validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.".to_owned(),
        ));
    }
    if call.identity.session().is_some() && asked > CHAINED_MAX_S {
        return Err(validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
                .to_owned(),
        ));
    }
    Ok(asked)
}

fn refuse_unsupported(input: &AssumeRoleInput) -> Result<(), ApiError> {
    refuse(&[
        ("Tags", !input.tags.is_empty()),
        ("TransitiveTagKeys", !input.transitive_tag_keys.is_empty()),
        ("SerialNumber", input.serial_number.is_some()),
        ("TokenCode", input.token_code.is_some()),
        ("SourceIdentity", input.source_identity.is_some()),
        ("ProvidedContexts", !input.provided_contexts.is_empty()),
        ("MinimumSessionTokenSize", input.minimum_session_token_size.is_some()),
    ])
}

/// Refuses the first parameter that was given and that nothing here honours.
fn refuse(given: &[(&str, bool)]) -> Result<(), ApiError> {
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((parameter, _)) => Err(validation(format!("The parameter {parameter} is not supported here."))),
        None => Ok(()),
    }
}

fn told(made: TemporaryCredentials) -> Credentials {
    Credentials {
        access_key_id: made.access_key_id,
        secret_access_key: made.secret_access_key,
        session_token: made.session_token,
        expiration: EpochMs(i64::try_from(made.expires_at_ms).unwrap_or(i64::MAX)),
    }
}

fn validation(sentence: String) -> ApiError {
    ApiError::sender("ValidationError", sentence)
}

fn denied(sentence: String) -> ApiError {
    ApiError::sender("AccessDenied", sentence).with_status(403)
}

fn not_authorised(call: &Call, role_arn: &str) -> ApiError {
    let caller = match &call.identity.principal {
        Principal::Anonymous => return AuthError::missing_token(),
        Principal::Session(session) => Session::clone(session).arn.to_string(),
        _ => call.identity.arn().unwrap_or_default(),
    };
    denied(format!("User: {caller} is not authorized to perform: {ASSUME_ROLE} on resource: {role_arn}"))
}

fn internal() -> ApiError {
    ApiError::receiver("InternalFailure", "We encountered an internal error. Please try again.")
}

#[cfg(test)]
mod tests;
