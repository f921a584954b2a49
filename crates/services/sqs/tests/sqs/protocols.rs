//! Both protocols on the wire: what clients send and what they get back, byte by byte where it matters.

use api::{Call, Protocol};
use bytes::Bytes;
use serde_json::{Value, json};
use wire::EncodedResponse;

use crate::platform::*;

fn text(response: &EncodedResponse) -> String {
    String::from_utf8(response.body.to_vec()).unwrap()
}

fn header<'r>(response: &'r EncodedResponse, name: &str) -> Option<&'r str> {
    response.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

async fn json(platform: &Platform, operation: &str, input: Value) -> (u16, Value) {
    let response = platform.sqs.handle(&call(), operation, Bytes::from(input.to_string())).await;
    assert_eq!(response.content_type, "application/x-amz-json-1.0");
    let body = if response.body.is_empty() { Value::Null } else { serde_json::from_slice(&response.body).unwrap() };
    (response.status, body)
}

async fn query(platform: &Platform, path: &str, operation: &str, form: &str) -> (u16, String) {
    let call = Call { protocol: Protocol::Query, path: path.into(), ..call() };
    let response = platform.sqs.handle(&call, operation, Bytes::from(form.to_owned())).await;
    (response.status, text(&response))
}

#[tokio::test(start_paused = true)]
async fn json_sends_receives_and_deletes() {
    let platform = Platform::new().await;
    let (status, created) = json(&platform, "CreateQueue", json!({ "QueueName": "orders" })).await;
    assert_eq!((status, &created), (200, &json!({ "QueueUrl": "http://localhost:4566/000000000000/orders" })));
    let url = created["QueueUrl"].clone();
    let attributes = json!({ "n": { "DataType": "Binary", "BinaryValue": "AAEC" } });
    let input = json!({ "QueueUrl": url, "MessageBody": "a", "MessageAttributes": attributes });
    let (_, sent) = json(&platform, "SendMessage", input).await;
    assert_eq!(sent["MD5OfMessageBody"], "0cc175b9c0f1b6a831c399e269772661");
    let input = json!({ "QueueUrl": url, "MessageAttributeNames": ["All"], "AttributeNames": ["SenderId"] });
    let (_, received) = json(&platform, "ReceiveMessage", input).await;
    let message = &received["Messages"][0];
    assert_eq!((&message["Body"], &message["Attributes"]), (&json!("a"), &json!({ "SenderId": ACCOUNT })));
    assert_eq!(message["MessageAttributes"], attributes);
    assert_eq!(message["MD5OfMessageAttributes"], sent["MD5OfMessageAttributes"]);
    let input = json!({ "QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"] });
    assert_eq!(json(&platform, "DeleteMessage", input).await, (200, Value::Null));
    assert_eq!(json(&platform, "ReceiveMessage", json!({ "QueueUrl": url })).await, (200, json!({})));
}

#[tokio::test(start_paused = true)]
async fn json_leaves_out_lists_that_are_empty() {
    let platform = Platform::new().await;
    assert_eq!(json(&platform, "ListQueues", json!({})).await, (200, json!({})));
    platform.queue("orders").await;
    let input = json!({ "QueueUrl": "orders" });
    assert_eq!(json(&platform, "GetQueueAttributes", input).await, (200, json!({})));
    let entries = json!([{ "Id": "1", "MessageBody": "a" }]);
    let (_, sent) = json(&platform, "SendMessageBatch", json!({ "QueueUrl": "orders", "Entries": entries })).await;
    assert_eq!(sent["Successful"].as_array().map(Vec::len), Some(1));
    assert_eq!(sent.get("Failed"), None);
}

#[tokio::test(start_paused = true)]
async fn a_json_error_names_shape_and_query_code() {
    let platform = Platform::new().await;
    let input = Bytes::from(json!({ "QueueUrl": "nope" }).to_string());
    let response = platform.sqs.handle(&call(), "PurgeQueue", input).await;
    assert_eq!(response.status, 400);
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    let expected = json!({
        "__type": "com.amazonaws.sqs#QueueDoesNotExist",
        "message": "The specified queue does not exist.",
    });
    assert_eq!(body, expected);
    assert_eq!(header(&response, "x-amzn-query-error"), Some("AWS.SimpleQueueService.NonExistentQueue;Sender"));
    assert_eq!(header(&response, "x-amzn-RequestId"), Some("11111111-2222-4333-8444-555555555555"));
}

#[tokio::test(start_paused = true)]
async fn json_works_at_the_queue_s_own_path_too() {
    let platform = Platform::new().await;
    platform.queue("orders").await.send("a").await;
    let call = Call { path: "/000000000000/orders".into(), ..call() };
    let response = platform.sqs.handle(&call, "ReceiveMessage", Bytes::from("{\"QueueUrl\":\"orders\"}")).await;
    assert_eq!(response.status, 200);
    assert!(text(&response).contains("\"Body\":\"a\""));
}

#[tokio::test(start_paused = true)]
async fn a_missing_parameter_and_an_unknown_action_have_aws_s_words() {
    let platform = Platform::new().await;
    let (status, error) = json(&platform, "SendMessage", json!({ "MessageBody": "a" })).await;
    assert_eq!((status, &error["message"]), (400, &json!("The request must contain the parameter QueueUrl.")));
    let (status, error) = json(&platform, "FlyToTheMoon", json!({})).await;
    assert_eq!(status, 400);
    assert!(error["__type"].as_str().unwrap().ends_with("#UnknownOperationException"));
    let (status, error) = query(&platform, "/", "FlyToTheMoon", "Action=FlyToTheMoon").await;
    assert!(status == 400 && error.contains("<Code>InvalidAction</Code>"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn query_answers_in_xml_and_a_carriage_return_survives() {
    let platform = Platform::new().await;
    let form = "Action=CreateQueue&QueueName=orders&Attribute.1.Name=VisibilityTimeout&Attribute.1.Value=0&Tag.1.Key=k&Tag.1.Value=v";
    let (status, created) = query(&platform, "/", "CreateQueue", form).await;
    assert_eq!(status, 200);
    assert!(created.contains("xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\""));
    assert!(created.contains("<QueueUrl>http://localhost:4566/000000000000/orders</QueueUrl>"));
    assert!(created.contains("<RequestId>11111111-2222-4333-8444-555555555555</RequestId>"));
    let form = "QueueUrl=orders&MessageBody=a%0D%0Ab&MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=v";
    let (_, sent) = query(&platform, "/", "SendMessage", form).await;
    assert!(sent.contains("<MD5OfMessageAttributes>"), "{sent}");
    let (_, received) =
        query(&platform, "/", "ReceiveMessage", "QueueUrl=orders&AttributeName.1=SenderId&MessageAttributeName.1=All")
            .await;
    assert!(received.contains("<Body>a&#13;") || received.contains("<Body>a&#xD;"), "{received}");
    assert!(received.contains("<Attribute><Name>SenderId</Name><Value>000000000000</Value></Attribute>"), "{received}");
    assert!(received.contains("<MessageAttribute><Name>n</Name>"), "{received}");
    let (_, tags) = query(&platform, "/", "ListQueueTags", "QueueUrl=orders").await;
    assert!(tags.contains("<Tag><Key>k</Key><Value>v</Value></Tag>"), "{tags}");
}

#[tokio::test(start_paused = true)]
async fn a_query_error_has_type_code_message_and_an_empty_detail() {
    let platform = Platform::new().await;
    let (status, error) = query(&platform, "/", "PurgeQueue", "QueueUrl=nope").await;
    assert_eq!(status, 400);
    assert!(error.contains("<Type>Sender</Type><Code>AWS.SimpleQueueService.NonExistentQueue</Code>"), "{error}");
    assert!(error.contains("<Message>The specified queue does not exist for this wsdl version.</Message>"), "{error}");
    assert!(error.contains("<Detail/>"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_query_at_a_queue_s_path_means_that_queue_unless_it_names_another() {
    let platform = Platform::new().await;
    let orders = platform.queue("orders").await;
    let invoices = platform.queue("invoices").await;
    let path = "/000000000000/orders";
    assert_eq!(query(&platform, path, "SendMessage", "Action=SendMessage&MessageBody=by+path").await.0, 200);
    let form = "Action=SendMessage&MessageBody=by+parameter&QueueUrl=invoices";
    assert_eq!(query(&platform, path, "SendMessage", form).await.0, 200);
    assert_eq!(query(&platform, "/queue/orders", "SendMessage", "MessageBody=by+short+path").await.0, 200);
    assert_eq!(orders.bodies().await, ["by path", "by short path"]);
    assert_eq!(invoices.bodies().await, ["by parameter"]);
}

#[tokio::test(start_paused = true)]
async fn actions_of_no_queue_are_invalid_at_a_queue_s_path() {
    let platform = Platform::new().await;
    platform.queue("orders").await;
    for action in ["CreateQueue", "ListQueues"] {
        let (status, error) = query(&platform, "/000000000000/orders", action, "QueueName=x").await;
        assert!(status == 400 && error.contains("<Code>InvalidAction</Code>"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_s_url_without_an_action_is_an_unknown_operation() {
    let platform = Platform::new().await;
    platform.queue("orders").await;
    let (status, body) = query(&platform, "/000000000000/orders", "", "").await;
    assert_eq!((status, body.trim()), (404, "<UnknownOperationException/>"));
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_query_fails_by_entry() {
    let platform = Platform::new().await;
    platform.queue("orders").await;
    let form = "QueueUrl=orders&SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=x\
                &SendMessageBatchRequestEntry.2.Id=b&SendMessageBatchRequestEntry.2.MessageBody=y\
                &SendMessageBatchRequestEntry.2.DelaySeconds=901";
    let (status, body) = query(&platform, "/", "SendMessageBatch", form).await;
    assert_eq!(status, 200);
    assert!(body.contains("<SendMessageBatchResultEntry><Id>a</Id>"), "{body}");
    assert!(body.contains("<BatchResultErrorEntry>") && body.contains("<Code>InvalidParameterValue</Code>"), "{body}");
    let (_, empty) = query(&platform, "/", "SendMessageBatch", "QueueUrl=orders").await;
    assert!(empty.contains("AWS.SimpleQueueService.EmptyBatchRequest"), "{empty}");
}
