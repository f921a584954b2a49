//! Lifecycle policies: checked as ECR checks them, and kept.
//!
//! Invariant: a policy that is kept is one that ECR would take.

use std::collections::BTreeSet;

use ::api::Call;
use ::api::ecr::*;
use serde_json::{Map, Value};
use wire::ApiError;

use crate::errors;
use crate::service::{Ecr, named, place_of};

impl Ecr {
    pub(crate) async fn put_lifecycle(
        &self,
        call: &Call,
        input: PutLifecyclePolicyInput,
    ) -> Result<PutLifecyclePolicyOutput, ApiError> {
        let place = place_of(call, input.registry_id.as_deref())?;
        check(&input.lifecycle_policy_text)?;
        let text = input.lifecycle_policy_text;
        let output = PutLifecyclePolicyOutput {
            registry_id: Some(place.account.clone()),
            repository_name: Some(input.repository_name.clone()),
            lifecycle_policy_text: Some(text.clone()),
        };
        self.change(place, input.repository_name, move |row| {
            row.lifecycle_policy = Some(text);
            Ok(output)
        })
        .await
    }

    pub(crate) async fn get_lifecycle(
        &self,
        call: &Call,
        input: GetLifecyclePolicyInput,
    ) -> Result<GetLifecyclePolicyOutput, ApiError> {
        let place = place_of(call, input.registry_id.as_deref())?;
        self.read(move |view| {
            let row = named(view, &place, &input.repository_name)?.value;
            let missing = || errors::no_lifecycle_policy(&row.name, &place.account);
            Ok(GetLifecyclePolicyOutput {
                lifecycle_policy_text: Some(row.lifecycle_policy.clone().ok_or_else(missing)?),
                registry_id: Some(place.account),
                repository_name: Some(row.name),
                last_evaluated_at: None,
            })
        })
        .await
    }

    pub(crate) async fn delete_lifecycle(
        &self,
        call: &Call,
        input: DeleteLifecyclePolicyInput,
    ) -> Result<DeleteLifecyclePolicyOutput, ApiError> {
        let place = place_of(call, input.registry_id.as_deref())?;
        let account = place.account.clone();
        self.change(place, input.repository_name, move |row| {
            let text = row.lifecycle_policy.take();
            Ok(DeleteLifecyclePolicyOutput {
                lifecycle_policy_text: Some(text.ok_or_else(|| errors::no_lifecycle_policy(&row.name, &account))?),
                registry_id: Some(account),
                repository_name: Some(row.name.clone()),
                last_evaluated_at: None,
            })
        })
        .await
    }
}

/// Holds a policy against ECR's rules.
fn check(text: &str) -> Result<(), ApiError> {
    let document = serde_json::from_str::<Value>(text).ok();
    let unmapped = || errors::lifecycle("Could not map policyString into LifecyclePolicy.");
    let document = document.as_ref().and_then(Value::as_object).ok_or_else(unmapped)?;
    let rules = document.get("rules").and_then(Value::as_array).ok_or_else(unmapped)?;
    if rules.is_empty() {
        return Err(errors::lifecycle("array has too few elements: instance: /rules, minimum 1"));
    }
    let (mut priorities, mut untagged) = (BTreeSet::new(), 0);
    for rule in rules {
        let rule = rule.as_object().ok_or_else(unmapped)?;
        let priority = rule.get("rulePriority").and_then(Value::as_u64).filter(|priority| *priority > 0);
        let priority = priority.ok_or_else(|| errors::lifecycle("rulePriority must be a positive number"))?;
        if !priorities.insert(priority) {
            return Err(errors::lifecycle("rulePriority must be unique."));
        }
        let selection = rule.get("selection").and_then(Value::as_object);
        let selection = selection.ok_or_else(|| errors::lifecycle("a rule has a selection"))?;
        check_selection(selection)?;
        untagged += usize::from(selection.get("tagStatus") == Some(&Value::from("untagged")));
        if rule.get("action").and_then(|action| action.get("type")) != Some(&Value::from("expire")) {
            return Err(errors::lifecycle(
                "instance value not found in enum: instance: /action/type, possible: [\"expire\"]",
            ));
        }
    }
    if untagged > 1 { Err(errors::lifecycle("Only one rule can select Untagged images.")) } else { Ok(()) }
}

fn check_selection(selection: &Map<String, Value>) -> Result<(), ApiError> {
    let text = |name: &str| selection.get(name).and_then(Value::as_str).unwrap_or_default();
    let one_of = |name: &str, possible: &[&str]| {
        let refused = || errors::lifecycle(&format!("{name} must be one of {}", possible.join(", ")));
        if possible.contains(&text(name)) { Ok(()) } else { Err(refused()) }
    };
    one_of("tagStatus", &["any", "tagged", "untagged"])?;
    one_of("countType", &["imageCountMoreThan", "sinceImagePushed"])?;
    let by_age = text("countType") == "sinceImagePushed";
    if by_age {
        one_of("countUnit", &["days"])?;
    } else if selection.contains_key("countUnit") {
        return Err(errors::lifecycle("countUnit goes with countType sinceImagePushed only"));
    }
    if selection.get("countNumber").and_then(Value::as_u64).is_none_or(|count| count == 0) {
        return Err(errors::lifecycle("countNumber must be a positive number"));
    }
    let names_tags = ["tagPrefixList", "tagPatternList"]
        .iter()
        .any(|name| selection.get(*name).and_then(Value::as_array).is_some_and(|list| !list.is_empty()));
    match (text("tagStatus"), names_tags) {
        ("tagged", false) => Err(errors::lifecycle("tagPrefixList or tagPatternList is required for tagged images")),
        ("any" | "untagged", true) => {
            Err(errors::lifecycle("tagPrefixList and tagPatternList go with tagStatus tagged only"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(priority: u32, status: &str) -> Value {
        json!({
            "rulePriority": priority,
            "selection": {"tagStatus": status, "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1},
            "action": {"type": "expire"},
        })
    }

    #[test]
    fn a_policy_is_taken_or_refused_with_its_problem() {
        let taken = json!({"rules": [rule(1, "untagged"), rule(2, "any")]}).to_string();
        assert_eq!(check(&taken), Ok(()));
        let refused = |policy: Value| check(&policy.to_string()).unwrap_err().message;
        assert!(refused(json!([])).contains("Could not map policyString into LifecyclePolicy."));
        assert!(refused(json!({"rules": []})).contains("too few"));
        assert!(refused(json!({"rules": [rule(1, "any"), rule(1, "any")]})).contains("unique"));
        assert!(refused(json!({"rules": [rule(1, "untagged"), rule(2, "untagged")]})).contains("Only one rule"));
        assert!(refused(json!({"rules": [rule(1, "tagged")]})).contains("tagPrefixList"));
        assert!(refused(json!({"rules": [rule(1, "other")]})).contains("tagStatus"));
        assert!(refused(json!({"rules": [{"rulePriority": 1}]})).contains("selection"));
    }
}
