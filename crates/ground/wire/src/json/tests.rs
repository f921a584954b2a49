//! The JSON codec against Smithy's protocol tests, AWS's recorded refusals, and chance.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::node::{DEPTH_MAX, SLOTS_MAX};
use crate::testing::{EVERYTHING, Everything, SERVICE, everything};
use crate::value::EpochMs;

fn read(document: &str) -> Result<Everything, ApiError> {
    parse(&EVERYTHING, document.as_bytes()).map(|node| Everything::bind(node).unwrap())
}

fn written(value: &Everything) -> String {
    let response = response(Version::V1_0, &EVERYTHING, "id", value);
    String::from_utf8(response.body.to_vec()).unwrap()
}

fn refusal(document: &str) -> String {
    let error = read(document).unwrap_err();
    assert_eq!(error.code, "SerializationException");
    assert_eq!(error.query_code.as_deref(), Some("MalformedInput"));
    assert_eq!(error.status, 400);
    error.message
}

fn text(text: &str) -> Everything {
    Everything { foo: Some(text.to_owned()), ..Everything::default() }
}

#[test]
fn smithys_documents_are_read_as_smithy_says() {
    let nothing = Everything::default();
    let cases = [
        ("{}", nothing.clone()),
        ("", nothing.clone()),
        (r#"{"foo": "string value"}"#, text("string value")),
        (r#"{"boo": "NaN"}"#, Everything { boo: Some(f64::NAN), ..nothing.clone() }),
        (r#"{"boo": "Infinity"}"#, Everything { boo: Some(f64::INFINITY), ..nothing.clone() }),
        (r#"{"boo": "-Infinity"}"#, Everything { boo: Some(f64::NEG_INFINITY), ..nothing.clone() }),
        (r#"{"boo": 1}"#, Everything { boo: Some(1.0), ..nothing.clone() }),
        (
            r#"{"bam": 1000, "long": 9007199254740993}"#,
            Everything { bam: Some(1000), long: Some(9_007_199_254_740_993), ..nothing.clone() },
        ),
        (r#"{"qux": "YmluYXJ5LXZhbHVl"}"#, Everything { qux: Some("binary-value".into()), ..nothing.clone() }),
        (r#"{"moment": 946845296}"#, Everything { moment: Some(EpochMs(946_845_296_000)), ..nothing.clone() }),
        (r#"{"moment": 946845296.123}"#, Everything { moment: Some(EpochMs(946_845_296_123)), ..nothing.clone() }),
        (
            r#"{"listArg": ["abc", "mno"]}"#,
            Everything { list_arg: vec!["abc".into(), "mno".into()], ..nothing.clone() },
        ),
        (r#"{"mapArg": {"abc": "x"}}"#, Everything { map_arg: [("abc".into(), "x".into())].into(), ..nothing.clone() }),
        (
            r#"{"structures": [{"foo": "a"}, {}]}"#,
            Everything { structures: vec![text("a"), nothing.clone()], ..nothing.clone() },
        ),
    ];
    for (document, expected) in cases {
        let read = read(document).unwrap();
        // NaN is not equal to itself, its Debug text is.
        assert_eq!(format!("{read:?}"), format!("{expected:?}"), "{document}");
    }
}

#[test]
fn unknown_members_are_skipped_whatever_they_hold() {
    let document = r#"{"x": {"foo": [1, {"y": null}, "\u00e9", true, -1.5e3]}, "foo": "kept", "z": []}"#;
    assert_eq!(read(document).unwrap(), text("kept"));
}

#[test]
fn a_null_member_is_absent() {
    assert_eq!(read(r#"{"foo": null, "bam": null, "listArg": null}"#).unwrap(), Everything::default());
}

#[test]
fn of_equal_keys_the_last_one_wins() {
    assert_eq!(read(r#"{"foo": "a", "foo": "b"}"#).unwrap(), text("b"));
    assert_eq!(read(r#"{"foo": "a", "foo": null}"#).unwrap(), Everything::default());
    let map = read(r#"{"mapArg": {"k": "a", "j": "x", "k": "b"}}"#).unwrap().map_arg;
    assert_eq!(map, [("j".to_owned(), "x".to_owned()), ("k".to_owned(), "b".to_owned())].into());
}

#[test]
fn escapes_are_decoded() {
    let document = r#"{"foo": "\"\\\/\b\f\n\r\t\u0041\u00fc\ud83d\ude00 ü"}"#;
    assert_eq!(read(document).unwrap(), text("\"\\/\u{8}\u{c}\n\r\tAü😀 ü"));
    assert_eq!(read(r#"{"f\u006fo": "name"}"#).unwrap(), text("name"));
}

#[test]
fn something_of_the_wrong_kind_is_refused_in_awss_words() {
    let cases = [
        (r#"{"bam": "1"}"#, "STRING_VALUE can not be converted to an Integer"),
        (r#"{"bam": true}"#, "TRUE_VALUE can not be converted to an Integer"),
        (r#"{"bam": [1]}"#, "Start of list found where not expected"),
        (r#"{"bam": {"a": 1}}"#, "Start of structure or map found where not expected."),
        (r#"{"foo": 1}"#, "NUMBER_VALUE can not be converted to a String"),
        (r#"{"foo": false}"#, "FALSE_VALUE can not be converted to a String"),
        (r#"{"foo": ["x"]}"#, "Start of list found where not expected"),
        (r#"{"listArg": [1]}"#, "NUMBER_VALUE can not be converted to a String"),
        (r#"{"listArg": "x"}"#, "Expected list or null"),
        (r#"{"mapArg": "x"}"#, "Expected null"),
        (r#"{"structures": [3]}"#, "Expected null"),
        ("[]", "Start of list found where not expected"),
    ];
    for (document, message) in cases {
        assert_eq!(refusal(document), message, "{document}");
    }
}

#[test]
fn null_in_a_list_or_map_is_refused() {
    refusal(r#"{"listArg": ["a", null]}"#);
    refusal(r#"{"mapArg": {"a": null}}"#);
}

#[test]
fn a_fraction_is_cut_off_and_a_number_beyond_its_range_becomes_the_nearest() {
    let bam = |document: &str| read(document).unwrap().bam.unwrap();
    assert_eq!(bam(r#"{"bam": 5.9}"#), 5);
    assert_eq!(bam(r#"{"bam": 1e2}"#), 100);
    assert_eq!(bam(r#"{"bam": 99999999999}"#), i32::MAX);
    assert_eq!(bam(r#"{"bam": -99999999999999999999999}"#), i32::MIN);
    assert_eq!(read(r#"{"long": 1e400}"#).unwrap().long, Some(i64::MAX));
}

#[test]
fn what_is_not_json_is_refused() {
    let documents = [
        "{",
        "}",
        "null",
        "\"x\"",
        "1",
        "{} {}",
        "{,}",
        r#"{"foo"}"#,
        r#"{"foo":}"#,
        r#"{"foo": "a",}"#,
        r#"{foo: "a"}"#,
        r#"{'foo': 'a'}"#,
        r#"{"foo": "a}"#,
        r#"{"foo": "\x"}"#,
        r#"{"foo": "\u12"}"#,
        r#"{"foo": "\u12g4"}"#,
        r#"{"foo": "\ud800"}"#,
        r#"{"foo": "\ud800\u0041"}"#,
        r#"{"foo": "\udc00"}"#,
        "{\"foo\": \"a\nb\"}",
        r#"{"bam": 01}"#,
        r#"{"bam": +1}"#,
        r#"{"bam": 1.}"#,
        r#"{"bam": .5}"#,
        r#"{"bam": 1e}"#,
        r#"{"bam": -}"#,
        r#"{"listArg": ["a",]}"#,
        r#"{"listArg": ["a" "b"]}"#,
        r#"{"baz": TRUE}"#,
        r#"{"baz": truex}"#,
        r#"{"x": nul}"#,
        r#"{"x": [1,]}"#,
        r#"{"x": {"y":}}"#,
        "\u{feff}{}",
    ];
    for document in documents {
        assert!(read(document).is_err(), "{document}");
    }
    assert!(parse(&EVERYTHING, b"{\"foo\": \"\xff\"}").is_err());
}

#[test]
fn a_blob_that_is_not_base64_is_refused() {
    for blob in ["a", "a===", "ab$=", "YQ"] {
        assert_eq!(refusal(&format!(r#"{{"qux": "{blob}"}}"#)), "the blob is not valid base64");
    }
}

#[test]
fn nesting_has_a_bound_in_what_is_read_and_in_what_is_skipped() {
    let nested = |depth: usize| r#"{"nested":["#.repeat(depth) + "{}" + &"]}".repeat(depth);
    assert!(read(&nested(DEPTH_MAX / 2 - 1)).is_ok());
    assert_eq!(refusal(&nested(DEPTH_MAX / 2)), "the document is nested too deeply");
    refusal(&(r#"{"x":"#.to_owned() + &"[".repeat(1_000_000)));
    refusal(&(r#"{"x":"#.to_owned() + &r#"{"x":"#.repeat(1_000_000)));
}

#[test]
fn values_have_a_bound() {
    // Each of these has 16 slots and stands in one.
    let many = |count: usize| format!(r#"{{"structures":[{}]}}"#, vec!["{}"; count].join(","));
    let fitting = SLOTS_MAX / 17 - 1;
    assert_eq!(read(&many(fitting)).unwrap().structures.len(), fitting);
    assert_eq!(refusal(&many(fitting + 2)), "the request has too many values");
}

#[test]
fn text_without_escapes_is_borrowed() {
    let Node::Structure(slots) = parse(&EVERYTHING, br#"{"foo": "plain"}"#).unwrap() else { panic!("no structure") };
    assert!(matches!(&slots[0], Some(Node::String(std::borrow::Cow::Borrowed("plain")))));
}

#[test]
fn absent_and_empty_members_are_left_out() {
    assert_eq!(written(&Everything::default()), "{}");
    assert_eq!(written(&text("")), r#"{"foo":""}"#);
}

#[test]
fn smithys_values_are_written_as_smithy_says() {
    let nothing = Everything::default();
    let cases = [
        (text("a\"b\\c\n\r\t\u{1}/ü"), r#"{"foo":"a\"b\\c\n\r\t\u0001/ü"}"#),
        (Everything { boo: Some(f64::NAN), ..nothing.clone() }, r#"{"boo":"NaN"}"#),
        (Everything { boo: Some(f64::NEG_INFINITY), ..nothing.clone() }, r#"{"boo":"-Infinity"}"#),
        (Everything { bam: Some(-5), baz: Some(false), ..nothing.clone() }, r#"{"bam":-5,"baz":false}"#),
        (Everything { qux: Some("value".into()), ..nothing.clone() }, r#"{"qux":"dmFsdWU="}"#),
        (Everything { moment: Some(EpochMs(1_398_796_238_000)), ..nothing.clone() }, r#"{"moment":1398796238}"#),
        (Everything { moment: Some(EpochMs(1_398_796_238_123)), ..nothing.clone() }, r#"{"moment":1398796238.123}"#),
        (
            Everything { structures: vec![text("["), text("{")], ..nothing.clone() },
            r#"{"structures":[{"foo":"["},{"foo":"{"}]}"#,
        ),
        (
            Everything { map_arg: [("a".into(), ":".into()), ("b".into(), String::new())].into(), ..nothing },
            r#"{"mapArg":{"a":":","b":""}}"#,
        ),
    ];
    for (value, document) in cases {
        assert_eq!(written(&value), document);
    }
}

#[test]
fn a_success_without_output_has_no_body() {
    let response = empty_response(Version::V1_0, "the-id");
    assert_eq!((response.status, response.content_type), (200, "application/x-amz-json-1.0"));
    assert_eq!(response.headers, [("x-amzn-RequestId", "the-id".to_owned())]);
    assert_eq!(response.body, Bytes::new());
}

#[test]
fn an_error_names_its_shape_in_the_body_and_its_query_code_in_a_header() {
    let error = ApiError::sender("CustomCodeError", "Hi").with_query_code("Customized").with_query_message("Hi!");
    let response = error_response(Version::V1_0, &SERVICE, "the-id", &error);
    assert_eq!((response.status, response.content_type), (400, "application/x-amz-json-1.0"));
    assert_eq!(response.body, r#"{"__type":"aws.protocoltests#CustomCodeError","message":"Hi"}"#);
    let expected = [("x-amzn-RequestId", "the-id".to_owned()), ("x-amzn-query-error", "Customized;Sender".to_owned())];
    assert_eq!(response.headers, expected);
}

#[test]
fn an_error_without_a_query_code_gives_its_own() {
    let response = error_response(Version::V1_1, &SERVICE, "id", &ApiError::receiver("InternalFailure", "sorry"));
    assert_eq!(response.status, 500);
    assert_eq!(response.headers[1].1, "InternalFailure;Receiver");
}

#[test]
fn an_unknown_operation_is_the_frameworks_error() {
    let response = error_response(Version::V1_0, &SERVICE, "id", &unknown_operation());
    assert_eq!(response.body, r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        _ = parse(&EVERYTHING, &bytes);
    }

    #[test]
    fn no_text_of_jsons_own_signs_makes_the_reader_panic(document in r#"[{}\[\]",:\\u0-9a-f.eE+ -]{0,60}"#) {
        _ = parse(&EVERYTHING, document.as_bytes());
    }

    #[test]
    fn a_damaged_document_never_makes_the_reader_panic(value in everything(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut document = written(&value).into_bytes();
        let at = at.index(document.len());
        document[at] = byte;
        _ = parse(&EVERYTHING, &document);
        _ = parse(&EVERYTHING, &document[..at]);
    }

    #[test]
    fn what_is_written_is_read_back(value in everything()) {
        prop_assert_eq!(read(&written(&value)).unwrap(), value);
    }

    #[test]
    fn what_is_written_is_json_to_others_too(value in everything()) {
        let document: serde_json::Value = serde_json::from_str(&written(&value)).unwrap();
        let foo = document.get("foo").and_then(serde_json::Value::as_str);
        prop_assert_eq!(foo, value.foo.as_deref());
    }

    #[test]
    fn the_reader_and_others_agree_on_what_is_json(
        value in everything(),
        at in any::<prop::sample::Index>(),
        damage in prop::option::of(r#"[{}\[\]",:\\nu0-9a-f.eE+ -]{0,3}"#),
    ) {
        // Under a name that the schema doesn't know, so that syntax alone decides.
        let mut document = format!(r#"{{"unknown":{}}}"#, written(&value)).into_bytes();
        if let Some(damage) = damage {
            let at = at.index(document.len());
            document.splice(at..(at + damage.len()).min(document.len()), damage.bytes());
        }
        let others = serde_json::from_slice::<serde_json::Value>(&document);
        let beyond_f64 = others.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        let still_unknown = others.as_ref().map_or(true, |document| document.get("unknown").is_some());
        if !beyond_f64 && still_unknown {
            let ours = parse(&EVERYTHING, &document);
            prop_assert_eq!(ours.is_ok(), others.is_ok(), "{}", String::from_utf8_lossy(&document));
        }
    }
}
