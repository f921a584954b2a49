//! The front door's own pages.

use serde_json::json;

use crate::support::{Key, Place};

#[test]
fn health_says_per_service_whether_it_runs() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    for path in ["/_millpond/health", "/_localstack/health"] {
        let health = server.get(path, &[]).json();
        for service in ["sqs", "s3", "sts"] {
            assert_eq!(health["services"][service], "running", "{path}: {health}");
        }
        assert_eq!(health["auth"], "local");
        assert!(health["version"].is_string());
    }
    assert_eq!(server.send("POST", "/_millpond/health", &[], "").status, 405);
    assert_eq!(server.get("/_millpond/nothing", &[]).status, 404);
}

#[test]
fn reset_is_off_unless_allowed_and_then_empties_everything() {
    let place = Place::new();
    let server = place.serve(&[]);
    server.create_queue("jobs");
    let refused = server.send("POST", "/_millpond/reset", &[], "");
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("--allow-reset"), "{refused:?}");
    server.stop();

    let server = place.serve(&["--allow-reset"]);
    assert_eq!(server.sqs_ok("ListQueues", json!({}))["QueueUrls"].as_array().unwrap().len(), 1);
    for page in [("origin", "https://evil.example"), ("sec-fetch-site", "same-origin"), ("host", "evil.example")] {
        assert_eq!(server.send("POST", "/_millpond/reset", &[page], "").status, 403, "{page:?}");
    }
    assert_eq!(server.get("/_millpond/reset", &[]).status, 405);
    assert_eq!(server.send("POST", "/_millpond/reset", &[], "").status, 200);
    assert!(server.sqs_ok("ListQueues", json!({}))["QueueUrls"].is_null());
    let url = server.create_queue("jobs");
    server.sqs_ok("SendMessage", json!({ "QueueUrl": url, "MessageBody": "again" }));
}

#[test]
fn in_strict_mode_a_reset_needs_a_key() {
    let place = Place::new();
    let key = Key::create(&place, &[]);
    let server = place.serve(&["--allow-reset"]);
    assert_eq!(server.send("POST", "/_millpond/reset", &[], "").status, 403);
    let signed = key.sign(&server.address.to_string(), "POST", "/_millpond/reset", "millpond", &[], "");
    let signed: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(server.send("POST", "/_millpond/reset", &signed, "").status, 200);
}

#[test]
fn metrics_count_what_happened() {
    let place = Place::new();
    let server = place.serve(&[]);
    let url = server.create_queue("jobs");
    for _ in 0..3 {
        server.sqs_ok("SendMessage", json!({ "QueueUrl": url, "MessageBody": "x" }));
    }
    server.sqs("Nonsense", json!({}));
    let metrics = server.get("/metrics", &[]).text();
    let value = |series: &str| {
        let line =
            metrics.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("{series}\n{metrics}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(value("millpond_requests_total{service=\"sqs\",operation=\"SendMessage\",status=\"2xx\"}"), 3.0);
    assert_eq!(value("millpond_requests_total{service=\"sqs\",operation=\"other\",status=\"4xx\"}"), 1.0);
    assert_eq!(value("millpond_request_seconds_count{service=\"sqs\",operation=\"SendMessage\"}"), 3.0);
    assert_eq!(
        value(
            "millpond_queue_messages{account=\"000000000000\",region=\"us-east-1\",queue=\"jobs\",state=\"visible\"}"
        ),
        3.0
    );
    assert!(value("millpond_journal_commits_total") >= 3.0);
    assert!(value("millpond_connections ") >= 1.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
}
