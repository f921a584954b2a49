//! Every operator, with keys that are there, missing and many.

use crate::{Decision, Policy, Principal, Problem, Request};

/// Whether `condition` holds for a request with `context`.
fn holds_in(version: &str, condition: &str, context: &[(&'static str, &[&'static str])]) -> bool {
    let policy = parse(version, condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
    let mut request = Request::new(Principal::Anonymous, "s3:GetObject", "arn:aws:s3:::b/k");
    for (key, values) in context {
        request = request.with_all(*key, values.iter().copied());
    }
    policy.evaluate(&request) == Decision::Allow { statement: 0 }
}

fn parse(version: &str, condition: &str) -> Result<Policy, crate::PolicyError> {
    Policy::parse(&format!(
        r#"{{"Version":"{version}","Statement":[{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{condition}}}]}}"#
    ))
}

fn holds(condition: &str, context: &[(&'static str, &[&'static str])]) -> bool {
    holds_in("2012-10-17", condition, context)
}

/// `operator` with the policy's `value` against the request's `actual`.
fn compare(operator: &str, value: &str, actual: &'static str) -> bool {
    holds(&format!(r#"{{"{operator}":{{"a:k":"{value}"}}}}"#), &[("a:k", &[actual])])
}

#[test]
fn every_operator_compares_as_aws_says() {
    for (operator, value, yes, no) in [
        ("StringEquals", "a*", "a*", "ab"),
        ("StringNotEquals", "ab", "aB", "ab"),
        ("StringEqualsIgnoreCase", "Ä", "ä", "a"),
        ("StringNotEqualsIgnoreCase", "ab", "abc", "AB"),
        ("StringLike", "a*?", "abc", "a"),
        ("StringNotLike", "a*", "b", "abc"),
        ("NumericEquals", "10", "10.0", "11"),
        ("NumericNotEquals", "10", "11", "10"),
        ("NumericLessThan", "10", "9.5", "10"),
        ("NumericLessThanEquals", "10", "10", "10.5"),
        ("NumericGreaterThan", "-1", "0", "-1"),
        ("NumericGreaterThanEquals", "10", "10", "9"),
        ("DateEquals", "2020-01-01T00:00:00Z", "1577836800", "1577836801"),
        ("DateNotEquals", "2020-01-01", "2020-01-02T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("DateLessThan", "2020-01-01T00:00:00Z", "2019-12-31T23:59:59Z", "2020-01-01T00:00:00Z"),
        ("DateLessThanEquals", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "2020-01-01T00:00:01Z"),
        ("DateGreaterThan", "2020-01-01T00:00:00Z", "2020-01-01T00:00:01Z", "2020-01-01T00:00:00Z"),
        ("DateGreaterThanEquals", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "2019-12-31T23:59:59Z"),
        ("Bool", "true", "True", "false"),
        ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", "QmluYXJ6"),
        ("IpAddress", "203.0.113.0/24", "203.0.113.9", "203.0.114.9"),
        ("NotIpAddress", "2001:db8::/32", "2001:db9::1", "2001:db8::1"),
        ("ArnEquals", "arn:aws:sns:*:111122223333:t?", "arn:aws:sns:us-east-1:111122223333:t1", "arn:aws:sns:a:1:t1"),
        ("ArnLike", "arn:aws:s3:::b*", "arn:aws:s3:::bucket", "arn:aws:s3:::Bucket"),
        ("ArnNotEquals", "arn:aws:s3:::b", "arn:aws:s3:::c", "arn:aws:s3:::b"),
        ("ArnNotLike", "arn:aws:s3:::b*", "arn:aws:s3:::c", "arn:aws:s3:::bb"),
    ] {
        assert!(compare(operator, value, yes), "{operator}: {yes} should satisfy {value}");
        assert!(!compare(operator, value, no), "{operator}: {no} should not satisfy {value}");
    }
}

#[test]
fn a_missing_key_fails_an_operator_and_satisfies_its_negation() {
    for (operator, value) in [
        ("StringEquals", "a"),
        ("StringLike", "*"),
        ("NumericLessThan", "1"),
        ("DateEquals", "2020-01-01"),
        ("Bool", "false"),
        ("BinaryEquals", "QQ=="),
        ("IpAddress", "0.0.0.0/0"),
        ("ArnLike", "*:*:*:*:*:*"),
    ] {
        assert!(!holds(&format!(r#"{{"{operator}":{{"a:k":"{value}"}}}}"#), &[]), "{operator}");
        assert!(holds(&format!(r#"{{"{operator}IfExists":{{"a:k":"{value}"}}}}"#), &[]), "{operator}IfExists");
    }
    for (operator, value) in [
        ("StringNotEquals", "a"),
        ("StringNotLike", "*"),
        ("NumericNotEquals", "1"),
        ("DateNotEquals", "2020-01-01"),
        ("NotIpAddress", "0.0.0.0/0"),
        ("ArnNotLike", "*:*:*:*:*:*"),
    ] {
        assert!(holds(&format!(r#"{{"{operator}":{{"a:k":"{value}"}}}}"#), &[]), "{operator}");
    }
}

#[test]
fn if_exists_still_compares_a_key_that_is_there() {
    assert!(compare("StringEqualsIfExists", "a", "a"));
    assert!(!compare("StringEqualsIfExists", "a", "b"));
    assert!(!compare("NotIpAddressIfExists", "10.0.0.0/8", "10.1.1.1"));
}

#[test]
fn null_asks_whether_a_key_is_missing() {
    let (missing, present) = (r#"{"Null":{"a:k":"true"}}"#, r#"{"Null":{"a:k":false}}"#);
    assert!(holds(missing, &[]) && !holds(missing, &[("a:k", &["x"])]));
    assert!(!holds(present, &[]) && holds(present, &[("a:k", &["x"])]));
}

#[test]
fn several_values_are_an_or_and_for_a_negated_operator_a_nor() {
    let any = r#"{"StringEquals":{"a:k":["x","y"]}}"#;
    assert!(holds(any, &[("a:k", &["y"])]) && !holds(any, &[("a:k", &["z"])]));
    let none = r#"{"StringNotEquals":{"a:k":["x","y"]}}"#;
    assert!(!holds(none, &[("a:k", &["y"])]) && holds(none, &[("a:k", &["z"])]));
}

#[test]
fn keys_and_operators_are_an_and() {
    let both = r#"{"StringEquals":{"a:k":"x","a:l":"y"},"Bool":{"a:b":"true"}}"#;
    assert!(holds(both, &[("a:k", &["x"]), ("a:l", &["y"]), ("a:b", &["true"])]));
    assert!(!holds(both, &[("a:k", &["x"]), ("a:l", &["z"]), ("a:b", &["true"])]));
    assert!(!holds(both, &[("a:k", &["x"]), ("a:l", &["y"]), ("a:b", &["false"])]));
}

#[test]
fn key_names_ignore_case() {
    assert!(holds(r#"{"StringEquals":{"AWS:sourceVPC":"v"}}"#, &[("aws:SourceVpc", &["v"])]));
}

#[test]
fn set_operators_quantify_over_the_requests_values() {
    let all = r#"{"ForAllValues:StringLike":{"aws:TagKeys":["a*","b"]}}"#;
    assert!(holds(all, &[("aws:TagKeys", &["a1", "b"])]));
    assert!(!holds(all, &[("aws:TagKeys", &["a1", "c"])]));
    assert!(holds(all, &[]) && holds(all, &[("aws:TagKeys", &[""])]), "no values: holds");
    let any = r#"{"ForAnyValue:StringLike":{"aws:TagKeys":["a*","b"]}}"#;
    assert!(holds(any, &[("aws:TagKeys", &["c", "b"])]));
    assert!(!holds(any, &[("aws:TagKeys", &["c", "d"])]));
    assert!(!holds(any, &[]) && !holds(any, &[("aws:TagKeys", &[""])]), "no values: does not hold");
}

#[test]
fn negated_set_operators_quantify_too() {
    let all = r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":["a","b"]}}"#;
    assert!(holds(all, &[("aws:TagKeys", &["c", "d"])]) && !holds(all, &[("aws:TagKeys", &["c", "a"])]));
    let any = r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a","b"]}}"#;
    assert!(holds(any, &[("aws:TagKeys", &["a", "c"])]) && !holds(any, &[("aws:TagKeys", &["a", "b"])]));
    assert!(!holds(any, &[]));
}

#[test]
fn what_the_request_says_in_another_type_matches_nothing() {
    assert!(!compare("NumericLessThan", "10", "nine"));
    assert!(compare("NumericNotEquals", "10", "nine"));
    assert!(!compare("DateLessThan", "2020-01-01", "yesterday"));
    assert!(!compare("Bool", "true", "yes"));
    assert!(!compare("IpAddress", "0.0.0.0/0", "somewhere"));
    assert!(!compare("ArnLike", "*:*:*:*:*:*", "not-an-arn"));
    assert!(!compare("NumericEquals", "1", "NaN") && !compare("NumericLessThan", "1", "-inf"));
}

#[test]
fn a_wildcard_of_an_arn_operator_stays_in_its_part_but_for_the_last() {
    assert!(!compare("ArnLike", "arn:aws:*:x", "arn:aws:sqs:us-east-1:1:x"));
    assert!(!compare("ArnLike", "arn:*:x:::r", "arn:aws:s:x:::r"));
    assert!(compare("ArnLike", "arn:aws:sns:a:1:t*", "arn:aws:sns:a:1:topic:subscription"));
}

#[test]
fn variables_work_in_texts_and_arns_of_the_new_version_only() {
    let own = r#"{"StringEquals":{"a:k":"x-${a:other}"}}"#;
    let context: &[(_, &[_])] = &[("a:k", &["x-y"]), ("a:other", &["y"])];
    assert!(holds(own, context));
    assert!(!holds_in("2008-10-17", own, context));
    assert!(holds_in("2008-10-17", own, &[("a:k", &["x-${a:other}"])]));
    assert!(!holds(own, &[("a:k", &["x-y"]), ("a:other", &["y", "z"])]), "a key with several values is no variable");
    assert!(!holds(own, &[("a:k", &["x-"])]), "a key without a value equals nothing");
    let arn = r#"{"ArnLike":{"a:k":"arn:aws:sqs:${aws:region}:*:q"}}"#;
    assert!(holds(arn, &[("a:k", &["arn:aws:sqs:eu:1:q"]), ("aws:region", &["eu"])]));
}

#[test]
fn values_may_be_numbers_and_truth_values() {
    assert!(holds(r#"{"NumericLessThanEquals":{"s3:max-keys":10}}"#, &[("s3:max-keys", &["10"])]));
    assert!(holds(r#"{"Bool":{"aws:SecureTransport":true}}"#, &[("aws:SecureTransport", &["true"])]));
}

#[test]
fn what_an_operator_cannot_read_is_refused_with_its_place() {
    for (condition, problem) in [
        (r#"{"StringEqualz":{"a:k":"x"}}"#, Problem::InvalidOperator("StringEqualz".into())),
        (
            r#"{"ForSomeValues:StringEquals":{"a:k":"x"}}"#,
            Problem::InvalidOperator("ForSomeValues:StringEquals".into()),
        ),
        (r#"{"NullIfExists":{"a:k":"true"}}"#, Problem::InvalidOperator("NullIfExists".into())),
        (r#"{"ForAllValues:Null":{"a:k":"true"}}"#, Problem::InvalidOperator("ForAllValues:Null".into())),
        (r#"{"Bool":{"a:k":"flase"}}"#, Problem::InvalidConditionValue("flase".into())),
        (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/40"}}"#, Problem::InvalidConditionValue("10.0.0.0/40".into())),
        (r#"{"NumericEquals":{"a:k":"many"}}"#, Problem::InvalidConditionValue("many".into())),
        (r#"{"DateEquals":{"a:k":"soon"}}"#, Problem::InvalidConditionValue("soon".into())),
        (r#"{"BinaryEquals":{"a:k":"???"}}"#, Problem::InvalidConditionValue("???".into())),
        (r#"{"StringEquals":{"a:k":"${open"}}"#, Problem::InvalidConditionValue("${open".into())),
        (r#"{"StringEquals":{"SourceIp":"x"}}"#, Problem::InvalidConditionKey),
        (r#"{"StringEquals":{"a:k":{}}}"#, Problem::WrongType),
        (r#"{"StringEquals":{"a:k":null}}"#, Problem::WrongType),
        (r#"{"StringEquals":"x"}"#, Problem::WrongType),
        (r#"{"StringEquals":{"a:k":"x","a:k":"y"}}"#, Problem::DuplicateField("a:k".into())),
    ] {
        let error = parse("2012-10-17", condition).expect_err(condition);
        assert_eq!(error.problem(), &problem, "{condition}");
        assert!(error.place().starts_with("Statement[0].Condition."), "{condition}: {error}");
    }
}
