//! Whether a policy is public, as S3's Block Public Access means it ("The meaning of public").
//!
//! Invariant: errs on the side of public. A statement is not public only if its principals are named, or if a
//! condition ties one of a few keys to values without wildcards.

use crate::document::{Effect, Policy, Statement};

impl Policy {
    /// Whether some statement allows something to the world.
    pub fn is_public(&self) -> bool {
        self.statements().iter().any(Statement::is_public)
    }
}

impl Statement {
    fn is_public(&self) -> bool {
        let tied = |key: &str| TYING_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key));
        self.effect() == Effect::Allow
            && self.is_about_everyone()
            && !self.conditions().iter().any(|condition| tied(condition.key()) && condition.is_fixed())
    }
}

// From "Blocking public access to your Amazon S3 storage".
const TYING_KEYS: [&str; 14] = [
    "aws:SourceIp",
    "aws:SourceArn",
    "aws:SourceVpc",
    "aws:SourceVpce",
    "aws:SourceOwner",
    "aws:SourceAccount",
    "aws:userid",
    "aws:PrincipalOrgID",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:DataAccessPointArn",
    "s3:DataAccessPointAccount",
    "aws:PrincipalServiceName",
];

#[cfg(test)]
mod tests {
    use crate::Policy;

    fn is_public(principal: &str, condition: &str) -> bool {
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":{principal},"Action":"s3:GetObject","Resource":"*"{condition}}}}}"#
        );
        Policy::parse(&text).expect("a policy").is_public()
    }

    #[test]
    fn a_policy_for_everyone_is_public_unless_a_condition_ties_it_down() {
        assert!(is_public(r#""*""#, ""));
        assert!(is_public(r#"{"AWS":"*"}"#, r#","Condition":{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#));
        assert!(is_public(r#""*""#, r#","Condition":{"StringEquals":{"aws:UserAgent":"secret"}}"#));
        assert!(is_public(r#""*""#, r#","Condition":{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}"#));
        assert!(is_public(r#""*""#, r#","Condition":{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#));
        assert!(!is_public(r#""*""#, r#","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#));
        assert!(!is_public(r#""*""#, r#","Condition":{"StringEquals":{"aws:SourceVpc":"vpc-1"}}"#));
        assert!(!is_public(r#"{"AWS":"111122223333"}"#, ""));
        assert!(!is_public(r#"{"Service":"sns.amazonaws.com"}"#, ""));
    }

    #[test]
    fn a_deny_is_never_public() {
        let text = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}}"#;
        assert!(!Policy::parse(text).expect("a policy").is_public());
    }
}
