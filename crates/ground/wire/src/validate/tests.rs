//! Violations in both of the styles that AWS words them in.

use super::*;
use crate::schema::Limits;
use crate::schema::{Dialect, List, Map};
use crate::{json, query};

static ENTRY: Structure = Structure { name: "Entry", members: &[required("Id", "Id", Shape::String)] };

static REQUEST: Structure = Structure {
    name: "Request",
    members: &[
        required("QueueUrl", "QueueUrl", Shape::String),
        Member {
            required: false,
            ..required(
                "Entries",
                "Entry",
                Shape::List(&List { item: Shape::Structure(&ENTRY), item_name: None, written_empty: false }),
            )
        },
        Member {
            required: false,
            ..required(
                "Attributes",
                "Attribute",
                Shape::Map(&Map {
                    value: Shape::Structure(&ENTRY),
                    entry_name: None,
                    key_name: "Name",
                    value_name: "Value",
                }),
            )
        },
        Member {
            required: false,
            limits: Limits { min: Some(2), max: Some(4), values: &[] },
            ..required("Label", "Label", Shape::String)
        },
        Member {
            required: false,
            limits: Limits { min: Some(1), max: Some(10), values: &[] },
            ..required("MaxItems", "MaxItems", Shape::Integer)
        },
        Member {
            required: false,
            limits: Limits { min: None, max: None, values: &["on", "off"] },
            ..required("State", "State", Shape::String)
        },
    ],
};

const fn required(name: &'static str, query_name: &'static str, shape: Shape) -> Member {
    Member { name, query_name, xml_name: query_name, required: true, sensitive: false, shape, limits: Limits::NONE }
}

fn checked(style: Violations, document: &str) -> Result<(), ApiError> {
    check(style, &REQUEST, &json::parse(&REQUEST, document.as_bytes()).unwrap())
}

#[test]
fn a_request_that_keeps_its_model_passes() {
    let document = r#"{"QueueUrl": "u", "Entries": [{"Id": "a"}], "Label": "four", "MaxItems": 10, "State": "on"}"#;
    for style in [Violations::Parameter, Violations::Constraint] {
        assert_eq!(checked(style, document), Ok(()));
    }
}

#[test]
fn a_missing_parameter_is_named_as_the_query_protocol_names_it() {
    let missing = |document: &str| {
        let error = checked(Violations::Parameter, document).unwrap_err();
        assert_eq!(error.code, "MissingRequiredParameterException");
        assert_eq!(error.query_code.as_deref(), Some("MissingParameter"));
        error.message
    };
    assert_eq!(missing("{}"), "The request must contain the parameter QueueUrl.");
    let second = r#"{"QueueUrl": "u", "Entries": [{"Id": "a"}, {}]}"#;
    assert_eq!(missing(second), "The request must contain the parameter Entry.2.Id.");
    let value = r#"{"QueueUrl": "u", "Attributes": {"color": {}}}"#;
    assert_eq!(missing(value), "The request must contain the parameter Attribute.1.Value.Id.");
}

#[test]
fn an_empty_text_is_not_missing() {
    assert_eq!(checked(Violations::Parameter, r#"{"QueueUrl": ""}"#), Ok(()));
    let form = query::parse(Dialect::Aws, &REQUEST, b"QueueUrl=").unwrap();
    assert_eq!(check(Violations::Parameter, &REQUEST, &form), Ok(()));
}

#[test]
fn limits_are_the_services_own_business_where_parameters_are_named() {
    assert_eq!(checked(Violations::Parameter, r#"{"QueueUrl": "u", "Label": "x", "MaxItems": 99}"#), Ok(()));
}

#[test]
fn all_broken_constraints_are_named_at_once() {
    let error = checked(Violations::Constraint, r#"{"Label": "x", "MaxItems": 11, "State": "up"}"#).unwrap_err();
    assert_eq!((error.code.as_ref(), error.status), ("ValidationError", 400));
    assert_eq!(
        error.message,
        "4 validation errors detected: \
         Value null at 'queueUrl' failed to satisfy constraint: Member must not be null; \
         Value 'x' at 'label' failed to satisfy constraint: Member must have length greater than or equal to 2; \
         Value '11' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 10; \
         Value 'up' at 'state' failed to satisfy constraint: Member must satisfy enum value set: [on, off]"
    );
}

#[test]
fn services_that_have_always_spoken_json_have_codes_of_their_own() {
    let document = r#"{"QueueUrl": "u", "MaxItems": 11}"#;
    let error = checked(Violations::Exception, document).unwrap_err();
    assert_eq!((error.code.as_ref(), error.status), ("ValidationException", 400));
    assert_eq!(
        error.message,
        "1 validation error detected: Value '11' at 'maxItems' failed to satisfy constraint: Member must have value \
         less than or equal to 10"
    );
    let error = checked(Violations::Invalid, document).unwrap_err();
    assert_eq!((error.code.as_ref(), error.status), ("InvalidParameterException", 400));
    assert_eq!(
        error.message,
        "Invalid parameter at 'maxItems' failed to satisfy constraint: 'Member must have value less than or equal to \
         10'"
    );
}

#[test]
fn one_broken_constraint_is_one_error_and_says_where() {
    let error = checked(Violations::Constraint, r#"{"QueueUrl": "u", "Entries": [{"Id": "a"}, {}]}"#).unwrap_err();
    assert_eq!(
        error.message,
        "1 validation error detected: Value null at 'entries.2.member.id' failed to satisfy constraint: \
         Member must not be null"
    );
}

#[test]
fn an_answer_about_many_violations_stays_short() {
    let entries = vec!["{}"; 5000].join(",");
    let error =
        checked(Violations::Constraint, &format!(r#"{{"QueueUrl": "u", "Entries": [{entries}]}}"#)).unwrap_err();
    assert!(error.message.starts_with("5000 validation errors detected: "));
    assert!(error.message.len() < 2000);
}

#[test]
fn a_secret_is_not_repeated_in_the_sentence_about_it() {
    static SECRET: Structure = Structure {
        name: "Secret",
        members: &[Member {
            sensitive: true,
            limits: Limits { min: None, max: Some(4), values: &[] },
            ..required("PrivateKey", "PrivateKey", Shape::String)
        }],
    };
    let node = query::parse(Dialect::Aws, &SECRET, b"PrivateKey=hunter2").unwrap();
    let error = check(Violations::Constraint, &SECRET, &node).unwrap_err();
    assert_eq!(
        error.message,
        "1 validation error detected: Value '***' at 'privateKey' failed to satisfy constraint: \
         Member must have length less than or equal to 4"
    );
}
