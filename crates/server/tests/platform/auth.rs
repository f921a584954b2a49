//! Keys: local mode takes any, strict mode only its own, and the two never mix.

use serde_json::json;

use crate::support::{Answer, Key, Place, eventually};

fn code(answer: &Answer) -> String {
    let kind = answer.json()["__type"].as_str().unwrap_or_default().to_owned();
    kind.rsplit('#').next().unwrap_or_default().to_owned()
}

#[test]
fn in_local_mode_any_key_signs_and_a_12_digit_one_selects_its_account() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral", "--account", "999999999999"]);
    for (id, account) in [("test", "999999999999"), ("dummy", "999999999999"), ("111122223333", "111122223333")] {
        let key = Key { id: id.into(), secret: "whatever".into() };
        let created = server.sqs_as(&key, "CreateQueue", json!({ "QueueName": "jobs" }));
        let url = created.json()["QueueUrl"].as_str().unwrap().to_owned();
        assert_eq!(url, format!("{}/{account}/jobs", server.endpoint), "{id}");
    }
}

#[test]
fn without_a_signature_nothing_happens_in_either_mode() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let target = [("x-amz-target", "AmazonSQS.CreateQueue"), ("content-type", "application/x-amz-json-1.0")];
    let answer = server.send("POST", "/", &target, "{\"QueueName\":\"jobs\"}");
    assert_eq!((answer.status, code(&answer).as_str()), (403, "MissingAuthenticationTokenException"), "{answer:?}");
    let answer = server.get("/?Action=CreateQueue&QueueName=jobs&Version=2012-11-05", &[]);
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("<Code>MissingAuthenticationToken</Code>"), "{answer:?}");
    let answer = server.send("PUT", "/bucket", &[], "");
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(server.sqs_ok("ListQueues", json!({}))["QueueUrls"].is_null());
}

#[test]
fn in_strict_mode_only_configured_keys_sign() {
    let place = Place::new();
    let key = Key::create(&place, &["--account", "111122223333", "--description", "ci"]);
    let listed = String::from_utf8(place.run(&["keys", "ls"]).stdout).unwrap();
    assert!(listed.contains(&key.id) && listed.contains("111122223333") && listed.contains("ci"), "{listed}");
    assert!(!listed.contains(&key.secret));
    let server = place.serve(&[]);
    let created = server.sqs_as(&key, "CreateQueue", json!({ "QueueName": "jobs" }));
    assert_eq!(created.json()["QueueUrl"], format!("{}/111122223333/jobs", server.endpoint), "{created:?}");

    let wrong = Key { id: key.id.clone(), secret: "wrong".into() };
    let refused = server.sqs_as(&wrong, "ListQueues", json!({}));
    assert_eq!((refused.status, code(&refused).as_str()), (403, "SignatureDoesNotMatch"), "{refused:?}");
    let refused = server.sqs_as(&Key::any(), "ListQueues", json!({}));
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(code(&refused).starts_with("InvalidClientTokenId") || code(&refused) == "UnrecognizedClientException");

    let removed = place.run(&["keys", "rm", &key.id]);
    assert!(removed.status.success(), "{removed:?}");
    eventually("the removed key is refused", || server.sqs_as(&key, "ListQueues", json!({})).status == 403);
}

#[test]
fn a_tampered_body_is_refused_in_strict_mode() {
    let place = Place::new();
    let key = Key::create(&place, &[]);
    let server = place.serve(&[]);
    let request = server.sqs_request(&key, "CreateQueue", json!({ "QueueName": "jobs" })).replace("jobs", "job5");
    let mut connection = server.connect();
    connection.write(&request);
    let answer = connection.read();
    assert_eq!((answer.status, code(&answer).as_str()), (403, "SignatureDoesNotMatch"), "{answer:?}");
}

#[test]
fn a_signature_for_one_service_commands_no_other() {
    let place = Place::new();
    let key = Key::create(&place, &[]);
    let server = place.serve(&[]);
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "AmazonSQS.CreateQueue")];
    let body = "{\"QueueName\":\"jobs\"}";
    for service in ["s3", "sts", "sns"] {
        let signed = key.sign(&server.address.to_string(), "POST", "/", service, &headers, body);
        let signed: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = server.send("POST", "/", &signed, body);
        assert!(answer.status == 400 || answer.status == 403, "{service}: {answer:?}");
    }
    assert!(server.sqs_as(&key, "ListQueues", json!({})).json()["QueueUrls"].is_null());
}

#[test]
fn local_mode_turns_strict_when_a_key_is_made() {
    let place = Place::new();
    let server = place.serve(&[]);
    assert_eq!(server.sqs("ListQueues", json!({})).status, 200);
    let key = Key::create(&place, &[]);
    eventually("others are refused", || server.sqs("ListQueues", json!({})).status == 403);
    assert_eq!(server.sqs_as(&key, "ListQueues", json!({})).status, 200);
    drop(server);
    let refusal = place.refusal(&["serve", "--listen", "127.0.0.1:0", "--auth", "local"]);
    assert!(refusal.contains("access keys exist"), "{refusal}");
}

#[test]
fn get_caller_identity_says_who_signed() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let key = Key { id: "111122223333".into(), secret: "x".into() };
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let host = server.address.to_string();
    let signed = key.sign(&host, "POST", "/", "sts", &form, body);
    let signed: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = server.send("POST", "/", &signed, body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains("<Account>111122223333</Account>"), "{answer:?}");
    assert_eq!(server.send("POST", "/", &form, body).status, 403, "nobody is nobody");
}
