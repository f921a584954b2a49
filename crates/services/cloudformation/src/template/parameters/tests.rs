//! Types, constraints, and where values come from.

use serde_json::json;

use super::*;

fn declared(parameter: Value) -> BTreeMap<String, Parameter> {
    BTreeMap::from([("P".to_owned(), read("P", parameter).unwrap())])
}

fn given(value: &str) -> BTreeMap<String, Given> {
    BTreeMap::from([("P".to_owned(), Given { value: Some(value.to_owned()), use_previous: false })])
}

fn outcome(parameter: Value, value: &str) -> Result<String, String> {
    let values = resolve(&declared(parameter), &given(value), None).map_err(|error| error.to_string())?;
    Ok(values["P"].clone())
}

#[test]
fn a_number_keeps_its_bounds() {
    let parameter = json!({"Type": "Number", "Default": "2", "MinValue": "2", "MaxValue": 4});
    assert_eq!(outcome(parameter.clone(), "3"), Ok("3".into()));
    assert_eq!(outcome(parameter.clone(), "1"), Err("Parameter 'P' must be a number not less than 2".into()));
    assert_eq!(outcome(parameter.clone(), "5"), Err("Parameter 'P' must be a number not greater than 4".into()));
    assert_eq!(outcome(parameter, "two"), Err("Parameter 'P' must be a number".into()));
    assert_eq!(
        outcome(json!({"Type": "List<Number>", "MaxValue": 9}), "1, 10"),
        Err("Parameter 'P' must be a number not greater than 9".into())
    );
}

#[test]
fn a_text_keeps_its_length_pattern_and_choice() {
    let parameter = json!({"Type": "String", "MinLength": 2, "MaxLength": "3"});
    assert_eq!(outcome(parameter.clone(), "ab"), Ok("ab".into()));
    assert_eq!(outcome(parameter.clone(), "a"), Err("Parameter 'P' must contain at least 2 characters".into()));
    assert_eq!(outcome(parameter, "äöüß"), Err("Parameter 'P' must contain at most 3 characters".into()));
    let parameter = json!({"Type": "String", "AllowedPattern": "(?=.*[0-9])[a-z0-9]+"});
    assert_eq!(outcome(parameter.clone(), "abc1"), Ok("abc1".into()));
    assert_eq!(outcome(parameter.clone(), "abc"), Err("Parameter 'P' must match pattern (?=.*[0-9])[a-z0-9]+".into()));
    assert!(outcome(parameter, "abc1!").is_err(), "a pattern must fit the whole value");
    let parameter = json!({"Type": "String", "AllowedValues": ["a", true, 3]});
    assert_eq!(outcome(parameter.clone(), "3"), Ok("3".into()));
    assert_eq!(outcome(parameter, "b"), Err("Parameter 'P' must be one of AllowedValues: [a, true, 3]".into()));
}

#[test]
fn the_constraints_own_description_replaces_the_rule() {
    let parameter = json!({"Type": "String", "AllowedValues": ["a"], "ConstraintDescription": "must be a"});
    assert_eq!(outcome(parameter, "b"), Err("Parameter P failed to satisfy constraint: must be a".into()));
}

#[test]
fn a_refusal_of_a_secret_does_not_tell_it() {
    let parameter = json!({"Type": "String", "NoEcho": true, "AllowedPattern": "[a-z]+", "MinLength": 9});
    assert!(!outcome(parameter, "hunter2").unwrap_err().contains("hunter2"));
}

#[test]
fn values_come_from_the_request_the_stack_or_the_default() {
    let with_default = declared(json!({"Type": "String", "Default": "d"}));
    let without = declared(json!({"Type": "String"}));
    let none = BTreeMap::new();
    assert_eq!(resolve(&with_default, &none, None).unwrap()["P"], "d");
    let missing = resolve(&without, &none, None).unwrap_err();
    assert_eq!(missing.to_string(), "Parameters: [P] must have values");
    let previous = BTreeMap::from([("P".to_owned(), "before".to_owned())]);
    let keep = BTreeMap::from([("P".to_owned(), Given { value: None, use_previous: true })]);
    assert_eq!(resolve(&without, &keep, Some(&previous)).unwrap()["P"], "before");
    assert!(resolve(&without, &keep, None).is_err());
    let unknown = BTreeMap::from([("Q".to_owned(), Given { value: None, use_previous: false })]);
    let refused = resolve(&with_default, &unknown, None).unwrap_err();
    assert_eq!(refused.to_string(), "Parameters: [Q] do not exist in the template");
}

#[test]
fn types_say_what_a_value_is() {
    assert_eq!(value_of("String", "a,b"), json!("a,b"));
    assert_eq!(value_of("CommaDelimitedList", "a, b"), json!(["a", "b"]));
    assert_eq!(value_of("List<AWS::EC2::Subnet::Id>", "subnet-1,subnet-2"), json!(["subnet-1", "subnet-2"]));
    assert_eq!(value_of("AWS::SSM::Parameter::Value<List<String>>", "a,b"), json!(["a", "b"]));
    assert_eq!(value_of("Number", "3"), json!("3"));
    let refused = read("P", json!({"Type": "Strin"})).unwrap_err();
    assert_eq!(refused.to_string(), "Template format error: Unrecognized parameter type: Strin");
    assert!(read("P", json!({"Type": "String", "Defualt": "x"})).is_err());
    assert!(read("P", json!({"Type": "Number", "Default": "x"})).is_err());
    assert!(read("P", json!({"Type": "String", "AllowedPattern": "("})).is_err());
}

#[test]
fn a_pattern_that_explodes_is_given_up() {
    let parameter = json!({"Type": "String", "AllowedPattern": r"(a+)+\1b"});
    assert!(outcome(parameter, &"a".repeat(60)).is_err());
}
