//! Repositories' own policies: checked, and kept as they came.
//!
//! Invariant: a policy that is kept is one of the policy language. Nobody asks it: there is nothing to pull or push.

use ::api::Call;
use ::api::ecr::*;
use policy::{Limits, Policy};
use serde_json::Value;
use wire::ApiError;

use crate::errors;
use crate::service::{Ecr, named, place_of};

impl Ecr {
    pub(crate) async fn set_policy(
        &self,
        call: &Call,
        input: SetRepositoryPolicyInput,
    ) -> Result<SetRepositoryPolicyOutput, ApiError> {
        let place = place_of(call, input.registry_id.as_deref())?;
        check(&input.policy_text)?;
        let text = input.policy_text;
        let output = SetRepositoryPolicyOutput {
            registry_id: Some(place.account.clone()),
            repository_name: Some(input.repository_name.clone()),
            policy_text: Some(text.clone()),
        };
        self.change(place, input.repository_name, move |row| {
            row.policy = Some(text);
            Ok(output)
        })
        .await
    }

    pub(crate) async fn get_policy(
        &self,
        call: &Call,
        input: GetRepositoryPolicyInput,
    ) -> Result<GetRepositoryPolicyOutput, ApiError> {
        let place = place_of(call, input.registry_id.as_deref())?;
        self.read(move |view| {
            let row = named(view, &place, &input.repository_name)?.value;
            let missing = || errors::no_policy(&row.name, &place.account);
            Ok(GetRepositoryPolicyOutput {
                policy_text: Some(row.policy.clone().ok_or_else(missing)?),
                registry_id: Some(place.account),
                repository_name: Some(row.name),
            })
        })
        .await
    }

    pub(crate) async fn delete_policy(
        &self,
        call: &Call,
        input: DeleteRepositoryPolicyInput,
    ) -> Result<DeleteRepositoryPolicyOutput, ApiError> {
        let place = place_of(call, input.registry_id.as_deref())?;
        let account = place.account.clone();
        self.change(place, input.repository_name, move |row| {
            let text = row.policy.take();
            Ok(DeleteRepositoryPolicyOutput {
                policy_text: Some(text.ok_or_else(|| errors::no_policy(&row.name, &account))?),
                registry_id: Some(account),
                repository_name: Some(row.name.clone()),
            })
        })
        .await
    }
}

/// Reads a policy. Its statements may say no resource, for it can only be the repository.
fn check(text: &str) -> Result<(), ApiError> {
    let mut document: Value = serde_json::from_str(text).map_err(|_| errors::policy())?;
    let statements = match document.get_mut("Statement") {
        Some(Value::Array(statements)) => statements.as_mut_slice(),
        Some(one @ Value::Object(_)) => std::slice::from_mut(one),
        _ => return Err(errors::policy()),
    };
    for statement in statements.iter_mut().filter_map(Value::as_object_mut) {
        if !statement.contains_key("Resource") && !statement.contains_key("NotResource") {
            statement.insert("Resource".to_owned(), Value::from("*"));
        }
    }
    Policy::parse_within(&document.to_string(), &Limits::NONE).map(drop).map_err(|_| errors::policy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_needs_no_resource_but_must_be_one() {
        let taken = r#"{"Version": "2012-10-17", "Statement": [{"Sid": "Pull", "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"}, "Action": ["ecr:BatchGetImage"],
            "Condition": {"StringLike": {"aws:sourceArn": "arn:aws:lambda:us-east-1:1:function:*"}}}]}"#;
        assert_eq!(check(taken), Ok(()));
        for refused in ["", "[]", "{}", r#"{"Statement": [{"Effect": "Perhaps"}]}"#] {
            assert_eq!(check(refused).unwrap_err().code, "InvalidParameterException", "{refused}");
        }
    }
}
