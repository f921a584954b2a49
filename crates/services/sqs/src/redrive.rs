//! RedrivePolicy and RedriveAllowPolicy: where messages go that nobody could process, and who may send them there.
//!
//! Invariants:
//! - A [`RedrivePolicy`] has a well-formed target and a `maxReceiveCount` of 1..=1000; whether the target exists and
//!   lets this source in is checked when the policy is set, against the queues of that moment.
//! - Both are kept parsed and written out in one canonical form, so that equal policies compare equal.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::ApiError;

use crate::arn::QueueArn;
use crate::errors::{self, RedrivePolicyFault as Fault};
use crate::limits::{MAX_RECEIVE_COUNT, REDRIVE_SOURCES_MAX};

/// After how many receives a message moves, and to which queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RedrivePolicy {
    /// The dead-letter queue's ARN.
    #[serde(rename = "deadLetterTargetArn")]
    pub(crate) dead_letter_target_arn: String,
    /// Receives that a message may have in its source queue.
    #[serde(rename = "maxReceiveCount")]
    pub(crate) max_receive_count: u32,
}

impl RedrivePolicy {
    /// Reads the attribute's JSON. AWS takes `maxReceiveCount` as a number or as a string of digits.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let refuse = |fault| errors::redrive_policy_invalid(text, fault);
        let Ok(Value::Object(map)) = serde_json::from_str(text) else { return Err(refuse(Fault::NotAMap)) };
        let target = map.get("deadLetterTargetArn").ok_or_else(|| refuse(Fault::Lacks("deadLetterTargetArn")))?;
        let count = map.get("maxReceiveCount").ok_or_else(|| refuse(Fault::Lacks("maxReceiveCount")))?;
        let target = target.as_str().filter(|arn| QueueArn::parse(arn).is_some());
        let target = target.ok_or_else(|| refuse(Fault::TargetMalformed))?;
        let given = count.as_str().map_or_else(|| count.to_string(), str::to_owned);
        let max_receive_count = given.parse().ok().filter(|count| MAX_RECEIVE_COUNT.contains(count));
        let max_receive_count = max_receive_count.and_then(|count| u32::try_from(count).ok());
        let max_receive_count = max_receive_count.ok_or_else(|| errors::max_receive_count_invalid(text, &given))?;
        Ok(Self { dead_letter_target_arn: target.to_owned(), max_receive_count })
    }

    /// The attribute's value.
    pub(crate) fn render(&self) -> String {
        let target = Value::from(self.dead_letter_target_arn.as_str());
        format!("{{\"deadLetterTargetArn\":{target},\"maxReceiveCount\":{}}}", self.max_receive_count)
    }
}

/// Which queues may name this one as their dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RedriveAllowPolicy {
    /// Every queue of the account and region; what holds without a policy.
    AllowAll,
    /// None.
    DenyAll,
    /// These ARNs, at most ten.
    ByQueue(Vec<String>),
}

impl RedriveAllowPolicy {
    /// Reads the attribute's JSON.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let malformed = || errors::redrive_allow_policy_malformed(text);
        let Ok(Value::Object(map)) = serde_json::from_str(text) else { return Err(malformed()) };
        let permission = map.get("redrivePermission").and_then(Value::as_str).ok_or_else(malformed)?;
        let sources = map.get("sourceQueueArns");
        match permission {
            "allowAll" | "denyAll" if sources.is_some() => Err(errors::redrive_allow_policy_sources(text)),
            "allowAll" => Ok(Self::AllowAll),
            "denyAll" => Ok(Self::DenyAll),
            "byQueue" => sources
                .and_then(source_arns)
                .map(Self::ByQueue)
                .ok_or_else(|| errors::redrive_allow_policy_sources(text)),
            _ => Err(malformed()),
        }
    }

    /// The attribute's value.
    pub(crate) fn render(&self) -> String {
        match self {
            Self::AllowAll => "{\"redrivePermission\":\"allowAll\"}".to_owned(),
            Self::DenyAll => "{\"redrivePermission\":\"denyAll\"}".to_owned(),
            Self::ByQueue(sources) => {
                let sources = Value::from(sources.clone());
                format!("{{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":{sources}}}")
            }
        }
    }

    /// Whether the queue with this ARN may name ours.
    pub(crate) fn allows(&self, source_arn: &str) -> bool {
        match self {
            Self::AllowAll => true,
            Self::DenyAll => false,
            Self::ByQueue(sources) => sources.iter().any(|source| source == source_arn),
        }
    }
}

/// 1 to 10 queue ARNs.
fn source_arns(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array().filter(|list| (1..=REDRIVE_SOURCES_MAX).contains(&list.len()))?;
    list.iter().map(|arn| arn.as_str().filter(|arn| QueueArn::parse(arn).is_some()).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "arn:aws:sqs:us-east-1:000000000000:dead";

    fn policy(count: &str) -> String {
        format!("{{\"deadLetterTargetArn\": \"{TARGET}\", \"maxReceiveCount\": {count}}}")
    }

    #[test]
    fn max_receive_count_is_1_to_1000_as_a_number_or_a_string() {
        for (good, count) in [("1", 1), ("1000", 1_000), ("\"5\"", 5)] {
            assert_eq!(RedrivePolicy::parse(&policy(good)).unwrap().max_receive_count, count);
        }
        for bad in ["0", "1001", "-1", "1.5", "\"x\"", "null", "true"] {
            let error = RedrivePolicy::parse(&policy(bad)).unwrap_err();
            assert_eq!(error.query_code.as_deref(), Some("InvalidParameterValue"));
            assert!(error.message.contains("valid values are from 1 to 1000 both inclusive"), "{bad}");
        }
    }

    #[test]
    fn a_malformed_target_is_refused_in_aws_s_words() {
        let text = "{\"deadLetterTargetArn\": \"dummy\", \"maxReceiveCount\": 42}";
        assert_eq!(
            RedrivePolicy::parse(text).unwrap_err().message,
            "Value {\"deadLetterTargetArn\": \"dummy\", \"maxReceiveCount\": 42} for parameter RedrivePolicy is \
             invalid. Reason: Invalid value for deadLetterTargetArn."
        );
    }

    #[test]
    fn a_policy_lacking_a_member_or_not_a_map_is_refused() {
        let no_count = format!("{{\"deadLetterTargetArn\":\"{TARGET}\"}}");
        assert!(RedrivePolicy::parse(&no_count).unwrap_err().message.contains("mandatory attribute: maxReceiveCount"));
        let no_target = "{\"maxReceiveCount\":1}";
        assert!(RedrivePolicy::parse(no_target).unwrap_err().message.contains("attribute: deadLetterTargetArn"));
        for bad in ["x", "[]", "\"\"", "{"] {
            assert!(RedrivePolicy::parse(bad).unwrap_err().message.contains("not a valid JSON map"), "{bad}");
        }
    }

    #[test]
    fn equal_policies_compare_equal_however_they_were_written() {
        let spaced = RedrivePolicy::parse(&policy("\"3\"")).unwrap();
        let tight = RedrivePolicy::parse(&spaced.render()).unwrap();
        assert_eq!(spaced, tight);
        assert_eq!(tight.render(), format!("{{\"deadLetterTargetArn\":\"{TARGET}\",\"maxReceiveCount\":3}}"));
    }

    #[test]
    fn an_allow_policy_is_allow_all_deny_all_or_up_to_ten_queues() {
        let by_queue = |count: usize| {
            let arns = vec![TARGET; count];
            RedriveAllowPolicy::parse(&format!("{{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":{arns:?}}}"))
        };
        assert!(by_queue(1).unwrap().allows(TARGET) && !by_queue(1).unwrap().allows("other"));
        assert!(by_queue(10).is_ok() && by_queue(11).is_err() && by_queue(0).is_err());
        assert!(RedriveAllowPolicy::parse("{\"redrivePermission\":\"allowAll\"}").unwrap().allows(TARGET));
        assert!(!RedriveAllowPolicy::parse("{\"redrivePermission\":\"denyAll\"}").unwrap().allows(TARGET));
    }

    #[test]
    fn an_allow_policy_that_makes_no_sense_is_refused() {
        for bad in [
            "x",
            "{}",
            "{\"redrivePermission\":\"some\"}",
            "{\"redrivePermission\":\"byQueue\"}",
            "{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"x\"]}",
            "{\"redrivePermission\":\"denyAll\",\"sourceQueueArns\":[]}",
        ] {
            let error = RedriveAllowPolicy::parse(bad).unwrap_err();
            assert_eq!(error.query_code.as_deref(), Some("InvalidParameterValue"), "{bad}");
        }
    }

    #[test]
    fn an_allow_policy_comes_back_as_it_is_written() {
        let text = format!("{{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"{TARGET}\"]}}");
        assert_eq!(RedriveAllowPolicy::parse(&text).unwrap().render(), text);
        let all = "{\"redrivePermission\":\"allowAll\"}";
        assert_eq!(RedriveAllowPolicy::parse(all).unwrap().render(), all);
    }
}
