//! One port, every service: each request form reaches its own.

use serde_json::json;

use crate::support::{Key, Place, Server};

fn signed(
    server: &Server,
    method: &str,
    target: &str,
    service: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> crate::support::Answer {
    let host = headers
        .iter()
        .find(|(name, _)| *name == "host")
        .map_or(server.address.to_string(), |(_, host)| host.to_string());
    let rest: Vec<_> = headers.iter().copied().filter(|(name, _)| *name != "host").collect();
    let signed = Key::any().sign(&host, method, target, service, &rest, body);
    let signed: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    server.send(method, target, &signed, body)
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[test]
fn a_queue_is_reached_by_json_by_form_and_by_its_url() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let url = server.create_queue("jobs");
    let path = url.strip_prefix(&server.endpoint).unwrap();
    let version = "Version=2012-11-05";
    let send = format!("Action=SendMessage&MessageBody=form&{version}");
    assert_eq!(signed(&server, "POST", path, "sqs", &[FORM], &send).status, 200);
    let get = format!("{path}?Action=SendMessage&MessageBody=get&{version}");
    assert_eq!(signed(&server, "GET", &get, "sqs", &[], "").status, 200);
    let json = [("x-amz-target", "AmazonSQS.SendMessage"), ("content-type", "application/x-amz-json-1.0")];
    let body = json!({ "QueueUrl": url, "MessageBody": "json" }).to_string();
    assert_eq!(signed(&server, "POST", path, "sqs", &json, &body).status, 200);
    let received = server.sqs_ok("ReceiveMessage", json!({ "QueueUrl": url, "MaxNumberOfMessages": 10 }));
    let mut bodies: Vec<_> =
        received["Messages"].as_array().unwrap().iter().map(|m| m["Body"].as_str().unwrap()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, ["form", "get", "json"]);
}

#[test]
fn the_url_of_a_queue_is_built_from_the_host_that_the_client_used() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let json = [("x-amz-target", "AmazonSQS.CreateQueue"), ("content-type", "application/x-amz-json-1.0")];
    for host in ["localhost:4566", "sqs.us-east-1.localhost.localstack.cloud:4566", "127.0.0.1:1"] {
        let headers = [json[0], json[1], ("host", host)];
        let answer = signed(&server, "POST", "/", "sqs", &headers, "{\"QueueName\":\"jobs\"}");
        assert_eq!(answer.json()["QueueUrl"], format!("http://{host}/000000000000/jobs"), "{answer:?}");
    }
    let headers = [json[0], json[1], ("host", "localhost"), ("x-forwarded-proto", "https")];
    let answer = signed(&server, "POST", "/", "sqs", &headers, "{\"QueueName\":\"jobs\"}");
    assert_eq!(answer.json()["QueueUrl"], "https://localhost/000000000000/jobs", "{answer:?}");
}

#[test]
fn a_service_that_is_not_here_says_so_in_its_clients_protocol() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let json = [("x-amz-target", "DynamoDB_20120810.ListTables"), ("content-type", "application/x-amz-json-1.0")];
    let answer = signed(&server, "POST", "/", "dynamodb", &json, "{}");
    assert_eq!((answer.status, answer.json()["__type"].as_str()), (400, Some("UnknownOperationException")));
    assert!(answer.text().contains("dynamodb"));
    let answer = signed(&server, "POST", "/", "sns", &[FORM], "Action=ListTopics&Version=2010-03-31");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("<Code>InvalidAction</Code>") && answer.text().contains("sns"), "{answer:?}");
    let answer = signed(&server, "GET", "/2015-03-31/functions", "lambda", &[], "");
    assert_eq!(answer.status, 501, "{answer:?}");
    assert!(answer.text().contains("lambda"));
}

#[test]
fn every_answer_names_its_request() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    let ids = [
        server.sqs("ListQueues", json!({})).header("x-amzn-requestid").map(str::to_owned),
        server.sqs("Nonsense", json!({})).header("x-amzn-requestid").map(str::to_owned),
        server.get("/bucket/key", &[]).header("x-amz-request-id").map(str::to_owned),
    ];
    for id in ids {
        assert!(id.is_some_and(|id| id.len() >= 16));
    }
}

#[test]
fn one_port_serves_a_bucket_by_path_by_host_and_as_a_website() {
    let place = Place::new();
    let server = place.serve(&["--ephemeral"]);
    assert_eq!(signed(&server, "PUT", "/shop", "s3", &[], "").status, 200);
    let public = [("x-amz-acl", "public-read"), ("content-type", "text/html")];
    let put = signed(&server, "PUT", "/shop/index.html", "s3", &public, "<h1>Hello</h1>");
    assert_eq!(put.status, 200, "{put:?}");
    let website =
        "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>";
    assert_eq!(signed(&server, "PUT", "/shop?website", "s3", &[], website).status, 200);
    for (target, host) in [
        ("/shop/index.html", "localhost:4566"),
        ("/index.html", "shop.s3.localhost:4566"),
        ("/index.html", "shop.localhost:4566"),
        ("/", "shop.s3-website-us-east-1.localhost:4566"),
        ("/", "shop.s3-website.us-east-1.localhost:4566"),
    ] {
        let answer = server.get(target, &[("host", host)]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "<h1>Hello</h1>"), "{target} on {host}");
    }
}
