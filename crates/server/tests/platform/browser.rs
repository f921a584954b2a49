//! Web pages in the browser of somebody who runs Millpond: they change nothing.

use serde_json::json;

use crate::support::{Answer, Key, Place, Server};

fn create_queue(server: &Server, key: &Key, host: &str, more: &[(&str, &str)]) -> Answer {
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "AmazonSQS.CreateQueue")];
    let body = "{\"QueueName\":\"jobs\"}";
    let signed = key.sign(host, "POST", "/", "sqs", &headers, body);
    let mut all: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    all.extend_from_slice(more);
    server.send("POST", "/", &all, body)
}

#[test]
fn a_page_changes_nothing_in_local_mode_whatever_it_signs() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let host = server.address.to_string();
    for page in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let answer = create_queue(&server, &Key::any(), &host, &[page]);
        assert_eq!(answer.status, 403, "{page:?}");
        assert!(answer.text().contains("web page"), "{answer:?}");
    }
    // What needs no preflight: a link, an image, a form.
    let link = "/?Action=CreateQueue&QueueName=jobs&Version=2012-11-05\
                &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=test%2F20260101%2Fus-east-1%2Fsqs%2Faws4_request\
                &X-Amz-Date=20260101T000000Z&X-Amz-Expires=604800&X-Amz-SignedHeaders=host&X-Amz-Signature=00";
    assert_eq!(server.get(link, &[("sec-fetch-site", "cross-site")]).status, 403);
    assert!(server.sqs_ok("ListQueues", json!({}))["QueueUrls"].is_null());
}

#[test]
fn a_name_rebound_to_this_machine_reaches_nothing_in_local_mode() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral", "--base-domain", "aws.test"]);
    let answer = create_queue(&server, &Key::any(), "evil.example:4566", &[]);
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("--base-domain"), "{answer:?}");
    for target in ["/", "/bucket/key", "/metrics", "/_millpond/health"] {
        assert_eq!(server.get(target, &[("host", "evil.example:4566")]).status, 403, "{target}");
    }
    assert_eq!(create_queue(&server, &Key::any(), "sqs.us-east-1.aws.test", &[]).status, 200);
}

#[test]
fn a_verified_signature_is_proof_enough_for_a_page() {
    let place = Place::new();
    let key = Key::create(&place, &[]);
    let server = place.serve(&[]);
    let answer = create_queue(&server, &key, "millpond.example.org", &[("origin", "https://console.example.org")]);
    assert_eq!(answer.status, 200, "{answer:?}");
}
