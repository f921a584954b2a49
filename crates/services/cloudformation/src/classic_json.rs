//! JSON as CloudFormation's own tools ask for it: a form that says `ContentType=JSON`, answered by a document with the
//! names of the XML.
//!
//! Invariant: only the form of the answer differs; the request is decoded, checked and done as any other.
//!
//! Source: aws-cfn-bootstrap, which speaks nothing else.

use ::api::{Call, Protocol};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use wire::{ApiError, EncodedResponse, Fault};

/// The members of a form that are not the operation's.
const COMMON: [&str; 5] = ["Action", "ContentType", "SignatureMethod", "SignatureVersion", "Version"];

/// The document that a form stands for, if it asks for JSON.
pub(crate) fn document(call: &Call, form: &[u8]) -> Option<Bytes> {
    if call.protocol != Protocol::Query {
        return None;
    }
    let form = std::str::from_utf8(form).ok()?;
    let mut members = Map::new();
    let mut wants_json = false;
    for pair in form.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = crate::prepare::decoded(&value.replace('+', " "))?;
        wants_json |= name == "ContentType" && value == "JSON";
        let name = crate::prepare::decoded(name)?;
        if !COMMON.contains(&name.as_str()) && !name.starts_with("X-Amz-") {
            put(&mut members, &name, value)?;
        }
    }
    wants_json.then(|| Value::Object(members).to_string().into())
}

/// Puts a value where a form's name says: `Tags.member.1.Key` is the key of the first tag. Forms write their lists in
/// order.
fn put(members: &mut Map<String, Value>, path: &str, value: String) -> Option<()> {
    let Some((name, rest)) = path.split_once(".member.") else {
        members.insert(path.to_owned(), Value::String(value));
        return Some(());
    };
    let (index, below) = rest.split_once('.').map_or((rest, None), |(index, below)| (index, Some(below)));
    let index: usize = index.parse::<usize>().ok()?.checked_sub(1)?;
    let list = members.entry(name).or_insert_with(|| json!([])).as_array_mut()?;
    match (below, list.len()) {
        (None, length) if index == length => list.push(Value::String(value)),
        (Some(below), length) if index <= length => {
            if index == length {
                list.push(json!({}));
            }
            put(list[index].as_object_mut()?, below, value)?;
        }
        _ => return None,
    }
    Some(())
}

/// An answer in that form.
pub(crate) fn success(call: &Call, operation: &str, answer: EncodedResponse) -> EncodedResponse {
    let result: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| json!({}));
    let mut inner = Map::new();
    inner.insert(format!("{operation}Result"), result);
    inner.insert("ResponseMetadata".into(), json!({"RequestId": call.request_id.0}));
    let mut whole = Map::new();
    whole.insert(format!("{operation}Response"), Value::Object(inner));
    with_body(answer, &Value::Object(whole))
}

/// An error in that form.
pub(crate) fn failure(call: &Call, error: &ApiError) -> EncodedResponse {
    let kind = match error.fault {
        Fault::Sender => "Sender",
        Fault::Receiver => "Receiver",
    };
    let code = error.query_code.as_ref().unwrap_or(&error.code);
    let message = error.query_message.as_ref().unwrap_or(&error.message);
    let body = json!({
        "Error": {"Code": code, "Message": message, "Type": kind},
        "RequestId": call.request_id.0,
    });
    with_body(::api::cloudformation::encode_error(call, error), &body)
}

fn with_body(answer: EncodedResponse, body: &Value) -> EncodedResponse {
    EncodedResponse { content_type: "application/json", body: body.to_string().into(), ..answer }
}
