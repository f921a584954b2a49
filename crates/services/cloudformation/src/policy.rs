//! Stack policies: what an update may do to which resource.
//!
//! Invariants:
//! - Where a stack has a policy, what no statement allows is denied, and an explicit Deny always wins.
//! - A policy that is not understood is refused when it is set.

use serde_json::Value;

/// What an update would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateAction {
    Modify,
    Replace,
    Delete,
}

impl UpdateAction {
    fn name(self) -> &'static str {
        match self {
            Self::Modify => "Update:Modify",
            Self::Replace => "Update:Replace",
            Self::Delete => "Update:Delete",
        }
    }
}

struct Statement {
    is_allow: bool,
    actions: Vec<String>,
    not_actions: bool,
    resources: Vec<String>,
    not_resources: bool,
    /// Patterns of types; `None` for any.
    types: Option<Vec<String>>,
}

/// A policy.
pub(crate) struct StackPolicy(Vec<Statement>);

fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(all) => all.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

impl StackPolicy {
    /// Reads a policy, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let document: Value = serde_json::from_str(text).map_err(|error| format!("not well-formed JSON: {error}"))?;
        let document = document.as_object().ok_or("a policy is an object")?;
        if let Some(unknown) = document.keys().find(|key| *key != "Statement" && *key != "Version" && *key != "Id") {
            return Err(format!("unknown element {unknown}"));
        }
        let statements = match document.get("Statement") {
            Some(Value::Array(all)) => all.iter().collect(),
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err("a policy has Statement".into()),
        };
        statements.into_iter().map(statement).collect::<Result<_, _>>().map(Self)
    }

    /// Why an action is denied; `None` where it is allowed.
    pub(crate) fn denial(&self, action: UpdateAction, logical: &str, kind: &str) -> Option<String> {
        let resource = format!("LogicalResourceId/{logical}");
        let mut allowed = None;
        for (index, statement) in self.0.iter().enumerate() {
            if statement.fits(action.name(), &resource, kind) {
                if !statement.is_allow {
                    return Some(format!(
                        "Action denied by stack policy: Statement [#{}] does not allow [{}] for resource [{resource}]",
                        index + 1,
                        action.name()
                    ));
                }
                allowed = Some(index);
            }
        }
        match allowed {
            Some(_) => None,
            None => Some(format!(
                "Action denied by stack policy: no statement allows [{}] for resource [{resource}]",
                action.name()
            )),
        }
    }
}

fn statement(value: &Value) -> Result<Statement, String> {
    let members = value.as_object().ok_or("a statement is an object")?;
    const KNOWN: [&str; 8] =
        ["Action", "Condition", "Effect", "NotAction", "NotResource", "Principal", "Resource", "Sid"];
    if let Some(unknown) = members.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("unknown element {unknown}"));
    }
    let is_allow = match members.get("Effect").and_then(Value::as_str) {
        Some("Allow") => true,
        Some("Deny") => false,
        _ => return Err("Effect is Allow or Deny".into()),
    };
    let everyone = match members.get("Principal") {
        Some(Value::String(principal)) => principal == "*",
        Some(Value::Object(map)) => map.get("AWS").and_then(Value::as_str) == Some("*"),
        _ => false,
    };
    if !everyone {
        return Err("Principal must be \"*\"".into());
    }
    let either = |yes: &str, no: &str| match (members.get(yes), members.get(no)) {
        (Some(value), None) => {
            strings(value).map(|all| (all, false)).ok_or(format!("{yes} is text or a list of texts"))
        }
        (None, Some(value)) => strings(value).map(|all| (all, true)).ok_or(format!("{no} is text or a list of texts")),
        _ => Err(format!("a statement has exactly one of {yes} and {no}")),
    };
    let (actions, not_actions) = either("Action", "NotAction")?;
    if let Some(wrong) = actions.iter().find(|action| !action.starts_with("Update:") && *action != "*") {
        return Err(format!("unknown action {wrong}"));
    }
    let (resources, not_resources) = either("Resource", "NotResource")?;
    let types = members.get("Condition").map(types).transpose()?;
    Ok(Statement { is_allow, actions, not_actions, resources, not_resources, types })
}

/// The one condition that there is: the resource's type.
fn types(condition: &Value) -> Result<Vec<String>, String> {
    let refused = || "Condition is StringEquals or StringLike of ResourceType".to_owned();
    let members = condition.as_object().filter(|members| members.len() == 1).ok_or_else(refused)?;
    let (operator, operand) = members.iter().next().ok_or_else(refused)?;
    let patterns = operand.as_object().filter(|keys| keys.len() == 1).and_then(|keys| keys.get("ResourceType"));
    let patterns = patterns.and_then(strings).ok_or_else(refused)?;
    match operator.as_str() {
        "StringLike" => Ok(patterns),
        "StringEquals" if patterns.iter().all(|pattern| !pattern.contains(['*', '?'])) => Ok(patterns),
        _ => Err(refused()),
    }
}

impl Statement {
    fn fits(&self, action: &str, resource: &str, kind: &str) -> bool {
        let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| like(pattern, text));
        any(&self.actions, action) != self.not_actions
            && any(&self.resources, resource) != self.not_resources
            && self.types.as_ref().is_none_or(|types| any(types, kind))
    }
}

/// Whether a text fits a pattern with `*` and `?`. Linear: one place to go back to.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(letter) if *letter == '?' || *letter == text[t] => (p, t) = (p + 1, t + 1),
            _ => match back {
                Some((star, from)) => {
                    (p, t) = (star + 1, from + 1);
                    back = Some((star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"Statement": [
        {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": ["Update:Replace", "Update:Delete"], "Principal": "*", "Resource": "LogicalResourceId/Database*"},
        {"Effect": "Deny", "Action": "Update:Modify", "Principal": "*", "Resource": "*",
         "Condition": {"StringEquals": {"ResourceType": ["AWS::EC2::VPC"]}}}
    ]}"#;

    #[test]
    fn a_deny_wins_and_names_its_statement() {
        let policy = StackPolicy::parse(POLICY).unwrap();
        assert_eq!(policy.denial(UpdateAction::Modify, "DatabaseA", "AWS::X"), None);
        assert_eq!(
            policy.denial(UpdateAction::Replace, "DatabaseA", "AWS::X").unwrap(),
            "Action denied by stack policy: Statement [#2] does not allow [Update:Replace] for resource [LogicalResourceId/DatabaseA]"
        );
        assert!(policy.denial(UpdateAction::Delete, "DatabaseA", "AWS::X").is_some());
        assert_eq!(policy.denial(UpdateAction::Delete, "Other", "AWS::X"), None);
        assert!(policy.denial(UpdateAction::Modify, "Net", "AWS::EC2::VPC").is_some());
    }

    #[test]
    fn what_nobody_allows_is_denied() {
        let policy = r#"{"Statement": {"Effect": "Allow", "NotAction": "Update:Delete", "Principal": "*", "NotResource": "LogicalResourceId/A"}}"#;
        let policy = StackPolicy::parse(policy).unwrap();
        assert!(policy.denial(UpdateAction::Delete, "B", "T").is_some());
        assert!(policy.denial(UpdateAction::Modify, "A", "T").is_some());
        assert!(policy.denial(UpdateAction::Modify, "B", "T").is_none());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"Statement": [{}]}"#,
            r#"{"Statement": [{"Effect": "Allow", "Action": "s3:*", "Principal": "*", "Resource": "*"}]}"#,
            r#"{"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "me", "Resource": "*"}]}"#,
            r#"{"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*"}]}"#,
            r#"{"Statement": [{"Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "*", "Condition": {"Bool": {}}}]}"#,
        ] {
            assert!(StackPolicy::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_fit_as_they_should() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*", "abc", true),
            ("ab", "abc", false),
            ("*ab", "aab", true),
        ] {
            assert_eq!(like(pattern, text), fits, "{pattern} {text}");
        }
    }
}
