//! [`Sessions::authorise`]: may a role's session call this operation?
//!
//! Invariants:
//! - It is asked for every operation of every service but S3 and SQS, whose own resources' policies have a say in it and
//!   who ask by themselves. STS lets everybody ask who he is.
//! - The resources are those that the request names, as far as [`targets`] knows them. Of others it is not known what is
//!   meant: then an allow must cover everything that the service has, and any deny of the action counts.
//! - Who hands a role to a service must have `iam:PassRole` for it.

mod parameters;
mod targets;

use api::{Call, Principal, Question, Session, Verdict};
use store::StoreError;
use wire::ApiError;

pub use parameters::Parameters;
use targets::{Target, targets};

use crate::names::{self, kind};
use crate::refusal::Refusal;
use crate::sessions::Sessions;
use crate::{instance_profiles, roles};

const PASS_ROLE: &str = "iam:PassRole";
/// Services that ask by themselves.
const ASK_THEMSELVES: [&str; 3] = ["s3", "sqs", "sts"];

impl Sessions {
    /// Whether the caller may; everybody may who is no role's session. `service` is its name in signatures' scopes. May
    /// read the store.
    ///
    /// # Errors
    /// The refusal, in the service's words.
    pub fn authorise(
        &self,
        call: &Call,
        service: &str,
        operation: &str,
        parameters: &Parameters,
    ) -> Result<(), ApiError> {
        let Principal::Session(session) = &call.identity.principal else { return Ok(()) };
        if ASK_THEMSELVES.contains(&service) {
            return Ok(());
        }
        let action = format!("{service}:{operation}");
        let context = context(parameters);
        let mut targets = targets(call, service, operation, parameters);
        if service == "iam" {
            self.with_paths(call, &mut targets)?;
        }
        for Target { resource, is_exact } in &targets {
            let question =
                Question { is_exact: *is_exact, context: &context, ..Question::new(call, &action, resource) };
            let shown = if *is_exact { resource } else { "*" };
            check(session, &question, service, shown)?;
        }
        self.check_passed(call, session, service, operation, parameters)
    }

    /// IAM's ARNs have the paths of what is there, which requests do not name.
    fn with_paths(&self, call: &Call, targets: &mut [Target]) -> Result<(), ApiError> {
        let account = call.account();
        for target in targets {
            let found = self.store.read(|view| {
                if let Some((_, name)) = names::parse_arn(kind::ROLE, &target.resource) {
                    let role = roles::named_if_any(view, account, name)?;
                    return Ok(role.map(|role| role.value.arn(account.as_str())));
                }
                if let Some((_, name)) = names::parse_arn(kind::INSTANCE_PROFILE, &target.resource) {
                    let profile = view.get(&instance_profiles::TABLE, &crate::service::key(account, name))?;
                    return Ok(profile.map(|profile| profile.value.arn(account.as_str())));
                }
                Ok(None)
            });
            if let Some(arn) = found.map_err(internal)? {
                target.resource = arn;
            }
        }
        Ok(())
    }

    /// Whether the caller may hand on the roles that the request hands on.
    fn check_passed(
        &self,
        call: &Call,
        session: &Session,
        service: &str,
        operation: &str,
        parameters: &Parameters,
    ) -> Result<(), ApiError> {
        let mut passed = Vec::new();
        match service {
            "cloudformation" => {
                let roles = parameters.all(&["RoleARN"]);
                passed.extend(roles.map(|arn| (arn.to_owned(), "cloudformation.amazonaws.com")));
            }
            "iam" if operation == "AddRoleToInstanceProfile" => {
                for name in parameters.all(&["RoleName"]) {
                    let arn = self.store.read(|view| roles::named_if_any(view, call.account(), name));
                    let arn = arn.map_err(internal)?.map(|role| role.value.arn(call.account().as_str()));
                    passed.extend(arn.map(|arn| (arn, "ec2.amazonaws.com")));
                }
            }
            _ => {
                for profile in parameters.all(&targets::PROFILES) {
                    let role = self.role_of_profile(call, profile).map_err(internal)?;
                    passed.extend(role.map(|arn| (arn, "ec2.amazonaws.com")));
                }
            }
        }
        for (arn, to) in &passed {
            let context = [("iam:PassedToService", (*to).to_owned())];
            let question = Question { context: &context, ..Question::new(call, PASS_ROLE, arn) };
            check(session, &question, service, arn)?;
        }
        Ok(())
    }

    fn role_of_profile(&self, call: &Call, arn_or_name: &str) -> Result<Option<String>, StoreError> {
        let account = call.account();
        let name = names::parse_arn(kind::INSTANCE_PROFILE, arn_or_name).map_or(arn_or_name, |(_, name)| name);
        self.store.read(|view| {
            let profile = view.get(&instance_profiles::TABLE, &crate::service::key(account, name))?;
            let Some(role) = profile.and_then(|profile| profile.value.role) else { return Ok(None) };
            Ok(roles::named_if_any(view, account, &role)?.map(|role| role.value.arn(account.as_str())))
        })
    }
}

/// Condition keys that the parameters give.
fn context(parameters: &Parameters) -> Vec<(&'static str, String)> {
    let keys = [
        ("iam:PolicyARN", "PolicyArn"),
        ("iam:PermissionsBoundary", "PermissionsBoundary"),
        ("cloudformation:RoleArn", "RoleARN"),
        ("cloudformation:TemplateUrl", "TemplateURL"),
    ];
    let found = keys.iter().filter_map(|(key, name)| Some((*key, parameters.all(&[name]).next()?.to_owned())));
    found.collect()
}

fn check(session: &Session, question: &Question<'_>, service: &str, shown: &str) -> Result<(), ApiError> {
    let verdict = session.decide(question);
    if verdict == Verdict::Allowed {
        return Ok(());
    }
    let sentence = session.refusal(question.action, shown, verdict);
    tracing::info!(request_id = %question.call.request_id, sentence, "denied");
    Err(match service {
        "ec2" => ApiError::sender(
            "UnauthorizedOperation",
            format!("You are not authorized to perform this operation. {sentence}"),
        ),
        _ => ApiError::sender("AccessDeniedException", sentence).with_query_code("AccessDenied"),
    }
    .with_status(403))
}

fn internal(error: StoreError) -> ApiError {
    Refusal::Store(error).into()
}

#[cfg(test)]
mod tests;
