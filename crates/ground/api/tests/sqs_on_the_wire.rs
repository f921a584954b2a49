//! SQS's requests and answers, byte for byte, in both of its protocols.

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see helpers of an integration test"
)]

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use api::sqs::{self, *};
use api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId};
use bytes::Bytes;
use wire::{ApiError, EncodedResponse};

/// Keeps the last input and answers what it was told to, or the default.
#[derive(Default)]
struct Recorder {
    seen: Mutex<Option<Box<dyn Any + Send>>>,
    answer: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Recorder {
    fn record<I: Send + 'static, O: Default + 'static>(&self, input: I) -> Result<O, ApiError> {
        *self.seen.lock().unwrap() = Some(Box::new(input));
        let answer = self.answer.lock().unwrap().take();
        Ok(answer.map(|answer| *answer.downcast::<O>().expect("the answer of another operation")).unwrap_or_default())
    }
}

macro_rules! record {
    ($($method:ident: $input:ty => $output:ty;)*) => {
        impl Sqs for Recorder {
            $(async fn $method(&self, _: &Call, input: $input) -> Result<$output, ApiError> {
                self.record(input)
            })*
        }
    };
}

record! {
    add_permission: AddPermissionInput => ();
    cancel_message_move_task: CancelMessageMoveTaskInput => CancelMessageMoveTaskOutput;
    change_message_visibility: ChangeMessageVisibilityInput => ();
    change_message_visibility_batch: ChangeMessageVisibilityBatchInput => ChangeMessageVisibilityBatchOutput;
    create_queue: CreateQueueInput => CreateQueueOutput;
    delete_message: DeleteMessageInput => ();
    delete_message_batch: DeleteMessageBatchInput => DeleteMessageBatchOutput;
    delete_queue: DeleteQueueInput => ();
    get_queue_attributes: GetQueueAttributesInput => GetQueueAttributesOutput;
    get_queue_url: GetQueueUrlInput => GetQueueUrlOutput;
    list_dead_letter_source_queues: ListDeadLetterSourceQueuesInput => ListDeadLetterSourceQueuesOutput;
    list_message_move_tasks: ListMessageMoveTasksInput => ListMessageMoveTasksOutput;
    list_queue_tags: ListQueueTagsInput => ListQueueTagsOutput;
    list_queues: ListQueuesInput => ListQueuesOutput;
    purge_queue: PurgeQueueInput => ();
    receive_message: ReceiveMessageInput => ReceiveMessageOutput;
    remove_permission: RemovePermissionInput => ();
    send_message: SendMessageInput => SendMessageOutput;
    send_message_batch: SendMessageBatchInput => SendMessageBatchOutput;
    set_queue_attributes: SetQueueAttributesInput => ();
    start_message_move_task: StartMessageMoveTaskInput => StartMessageMoveTaskOutput;
    tag_queue: TagQueueInput => ();
    untag_queue: UntagQueueInput => ();
}

fn call(protocol: Protocol) -> Call {
    Call {
        identity: Identity { principal: Principal::Anonymous, account: AccountId::parse("000000000000").unwrap() },
        region: Region::parse("us-east-1").unwrap(),
        request_id: RequestId("the-id".into()),
        endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
        path: "/".into(),
        protocol,
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        trace_header: None,
        user_agent: None,
        referer: None,
    }
}

/// What the service gets to see.
async fn decoded<I: 'static>(protocol: Protocol, operation: &str, body: &str) -> Result<I, ApiError> {
    let recorder = Recorder::default();
    sqs::dispatch(&recorder, &call(protocol), operation, &Bytes::copy_from_slice(body.as_bytes())).await?;
    let seen = recorder.seen.lock().unwrap().take().unwrap();
    Ok(*seen.downcast::<I>().expect("the input of another operation"))
}

/// What the client gets to see.
async fn encoded(protocol: Protocol, operation: &str, body: &str, answer: impl Any + Send) -> EncodedResponse {
    let recorder = Recorder { answer: Mutex::new(Some(Box::new(answer))), ..Recorder::default() };
    sqs::dispatch(&recorder, &call(protocol), operation, &Bytes::copy_from_slice(body.as_bytes())).await.unwrap()
}

fn text(response: &EncodedResponse) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn attribute(data_type: &str, string: Option<&str>, binary: Option<&'static [u8]>) -> MessageAttributeValue {
    MessageAttributeValue {
        data_type: data_type.into(),
        string_value: string.map(str::to_owned),
        binary_value: binary.map(Bytes::from_static),
        ..MessageAttributeValue::default()
    }
}

fn a_message() -> SendMessageInput {
    SendMessageInput {
        queue_url: "http://localhost:4566/000000000000/q".into(),
        message_body: "a\r\nü".into(),
        delay_seconds: Some(5),
        message_attributes: [
            ("color".to_owned(), attribute("String", Some("red"), None)),
            ("raw".to_owned(), attribute("Binary.png", None, Some(b"\x00\xff"))),
        ]
        .into(),
        message_system_attributes: [(
            "AWSTraceHeader".to_owned(),
            MessageSystemAttributeValue {
                data_type: "String".into(),
                string_value: Some("Root=1".into()),
                ..MessageSystemAttributeValue::default()
            },
        )]
        .into(),
        message_group_id: Some("tenant".into()),
        message_deduplication_id: None,
    }
}

#[tokio::test]
async fn a_message_is_the_same_in_both_protocols() {
    let json = r#"{"QueueUrl":"http://localhost:4566/000000000000/q","MessageBody":"a\r\n\u00fc","DelaySeconds":5,
        "MessageAttributes":{"color":{"DataType":"String","StringValue":"red"},
                             "raw":{"DataType":"Binary.png","BinaryValue":"AP8="}},
        "MessageSystemAttributes":{"AWSTraceHeader":{"DataType":"String","StringValue":"Root=1"}},
        "MessageGroupId":"tenant"}"#;
    let form = "Action=SendMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2Flocalhost%3A4566%2F000000000000%2Fq\
        &MessageBody=a%0D%0A%C3%BC&DelaySeconds=5\
        &MessageAttribute.1.Name=color&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=red\
        &MessageAttribute.2.Name=raw&MessageAttribute.2.Value.DataType=Binary.png&MessageAttribute.2.Value.BinaryValue=AP8%3D\
        &MessageSystemAttribute.1.Name=AWSTraceHeader&MessageSystemAttribute.1.Value.DataType=String\
        &MessageSystemAttribute.1.Value.StringValue=Root%3D1&MessageGroupId=tenant";
    assert_eq!(decoded::<SendMessageInput>(Protocol::Json10, "SendMessage", json).await.unwrap(), a_message());
    assert_eq!(decoded::<SendMessageInput>(Protocol::Query, "SendMessage", form).await.unwrap(), a_message());
}

#[tokio::test]
async fn flat_lists_and_maps_have_the_query_protocols_own_names() {
    let query = Protocol::Query;
    let create: CreateQueueInput = decoded(
        query,
        "CreateQueue",
        "QueueName=q&Attribute.1.Name=DelaySeconds&Attribute.1.Value=5&Tag.1.Key=team&Tag.1.Value=a",
    )
    .await
    .unwrap();
    assert_eq!(create.attributes["DelaySeconds"], "5");
    assert_eq!(create.tags["team"], "a");

    let set: SetQueueAttributesInput =
        decoded(query, "SetQueueAttributes", "QueueUrl=u&Attribute.Name=Policy&Attribute.Value=").await.unwrap();
    assert_eq!(set.attributes["Policy"], "");

    let get: GetQueueAttributesInput =
        decoded(query, "GetQueueAttributes", "QueueUrl=u&AttributeName.1=All&AttributeName.2=Policy").await.unwrap();
    assert_eq!(get.attribute_names, strings(&["All", "Policy"]));

    let receive: ReceiveMessageInput = decoded(
        query,
        "ReceiveMessage",
        "QueueUrl=u&MaxNumberOfMessages=10&AttributeName.1=SenderId&MessageSystemAttributeName.1=All\
         &MessageAttributeName.1=.%2A",
    )
    .await
    .unwrap();
    assert_eq!(receive.max_number_of_messages, Some(10));
    assert_eq!(receive.attribute_names, ["SenderId"]);
    assert_eq!(receive.message_system_attribute_names, ["All"]);
    assert_eq!(receive.message_attribute_names, [".*"]);

    let untag: UntagQueueInput = decoded(query, "UntagQueue", "QueueUrl=u&TagKey.1=a&TagKey.2=b").await.unwrap();
    assert_eq!(untag.tag_keys, strings(&["a", "b"]));

    let tag: TagQueueInput = decoded(query, "TagQueue", "QueueUrl=u&Tag.1.Key=a&Tag.1.Value=b").await.unwrap();
    assert_eq!(tag.tags["a"], "b");

    let permit: AddPermissionInput =
        decoded(query, "AddPermission", "QueueUrl=u&Label=l&AWSAccountId.1=125074342641&ActionName.1=SendMessage")
            .await
            .unwrap();
    assert_eq!((permit.aws_account_ids, permit.actions), (strings(&["125074342641"]), strings(&["SendMessage"])));
}

#[tokio::test]
async fn batches_have_the_query_protocols_own_names() {
    let send: SendMessageBatchInput = decoded(
        Protocol::Query,
        "SendMessageBatch",
        "QueueUrl=u&SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=x\
         &SendMessageBatchRequestEntry.2.Id=b&SendMessageBatchRequestEntry.2.MessageBody=y\
         &SendMessageBatchRequestEntry.2.MessageAttribute.1.Name=n\
         &SendMessageBatchRequestEntry.2.MessageAttribute.1.Value.DataType=Number\
         &SendMessageBatchRequestEntry.2.MessageAttribute.1.Value.StringValue=1",
    )
    .await
    .unwrap();
    assert_eq!(send.entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(send.entries[1].message_attributes["n"].data_type, "Number");

    let delete: DeleteMessageBatchInput = decoded(
        Protocol::Query,
        "DeleteMessageBatch",
        "QueueUrl=u&DeleteMessageBatchRequestEntry.1.Id=a&DeleteMessageBatchRequestEntry.1.ReceiptHandle=h",
    )
    .await
    .unwrap();
    assert_eq!(delete.entries[0].receipt_handle, "h");

    let change: ChangeMessageVisibilityBatchInput = decoded(
        Protocol::Query,
        "ChangeMessageVisibilityBatch",
        "QueueUrl=u&ChangeMessageVisibilityBatchRequestEntry.1.Id=a\
         &ChangeMessageVisibilityBatchRequestEntry.1.ReceiptHandle=h\
         &ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout=30",
    )
    .await
    .unwrap();
    assert_eq!(change.entries[0].visibility_timeout, Some(30));
}

#[tokio::test]
async fn a_batch_without_entries_reaches_the_service() {
    for (protocol, body) in [(Protocol::Json10, r#"{"QueueUrl":"u"}"#), (Protocol::Query, "QueueUrl=u")] {
        let batch: SendMessageBatchInput = decoded(protocol, "SendMessageBatch", body).await.unwrap();
        assert!(batch.entries.is_empty());
    }
}

#[tokio::test]
async fn a_missing_parameter_is_refused_before_the_service_sees_it() {
    let cases = [
        (Protocol::Json10, "SendMessage", r#"{"QueueUrl":"u"}"#, "MessageBody"),
        (Protocol::Query, "SendMessage", "QueueUrl=u", "MessageBody"),
        (Protocol::Json10, "StartMessageMoveTask", "{}", "SourceArn"),
        (Protocol::Query, "SendMessage", "MessageBody=x", "QueueUrl"),
        (Protocol::Query, "SetQueueAttributes", "QueueUrl=u", "Attribute"),
        (
            Protocol::Json10,
            "SendMessageBatch",
            r#"{"QueueUrl":"u","Entries":[{"Id":"a","MessageBody":"x"},{"Id":"b"}]}"#,
            "SendMessageBatchRequestEntry.2.MessageBody",
        ),
    ];
    for (protocol, operation, body, parameter) in cases {
        let error = decoded::<()>(protocol, operation, body).await.unwrap_err();
        assert_eq!(error.message, format!("The request must contain the parameter {parameter}."));
        assert_eq!(error.query_code.as_deref(), Some("MissingParameter"));
    }
}

#[tokio::test]
async fn an_operation_that_is_not_listed_is_unknown() {
    let json = decoded::<()>(Protocol::Json10, "Frobnicate", "{}").await.unwrap_err();
    assert_eq!((json.code.as_ref(), json.status), ("UnknownOperationException", 400));
    let query = decoded::<()>(Protocol::Query, "Frobnicate", "").await.unwrap_err();
    assert_eq!((query.code.as_ref(), query.status), ("InvalidAction", 400));
    assert!(sqs::SERVICE.operation("Frobnicate").is_none());
}

#[tokio::test]
async fn every_listed_operation_is_found_and_answers() {
    assert_eq!(sqs::SERVICE.operations.len(), 23);
    for operation in sqs::SERVICE.operations {
        assert!(std::ptr::eq(sqs::SERVICE.operation(operation.name).unwrap(), *operation));
        let called = sqs::dispatch(&Recorder::default(), &call(Protocol::Json10), operation.name, &Bytes::new()).await;
        let unknown = called.is_err_and(|error| error.code == "UnknownOperationException");
        assert!(!unknown, "{}", operation.name);
    }
}

fn a_received_message() -> ReceiveMessageOutput {
    ReceiveMessageOutput {
        messages: vec![Message {
            message_id: Some("m".into()),
            receipt_handle: Some("h".into()),
            md5_of_body: Some("md5".into()),
            body: Some("a\r<b>".into()),
            attributes: [("SentTimestamp".to_owned(), "1".to_owned())].into(),
            message_attributes: [("color".to_owned(), attribute("String", Some("red"), None))].into(),
            ..Message::default()
        }],
    }
}

#[tokio::test]
async fn a_received_message_is_written_in_both_protocols() {
    let json = encoded(Protocol::Json10, "ReceiveMessage", r#"{"QueueUrl":"u"}"#, a_received_message()).await;
    assert_eq!((json.status, json.content_type), (200, "application/x-amz-json-1.0"));
    assert_eq!(
        text(&json),
        r#"{"Messages":[{"Attributes":{"SentTimestamp":"1"},"Body":"a\r<b>","MD5OfBody":"md5","MessageAttributes":{"color":{"DataType":"String","StringValue":"red"}},"MessageId":"m","ReceiptHandle":"h"}]}"#
    );
    let query = encoded(Protocol::Query, "ReceiveMessage", "QueueUrl=u", a_received_message()).await;
    assert_eq!((query.status, query.content_type), (200, "text/xml"));
    assert_eq!(
        text(&query),
        "<?xml version=\"1.0\"?><ReceiveMessageResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">\
         <ReceiveMessageResult><Message><Attribute><Name>SentTimestamp</Name><Value>1</Value></Attribute>\
         <Body>a&#13;&lt;b&gt;</Body><MD5OfBody>md5</MD5OfBody><MessageAttribute><Name>color</Name><Value>\
         <DataType>String</DataType><StringValue>red</StringValue></Value></MessageAttribute><MessageId>m</MessageId>\
         <ReceiptHandle>h</ReceiptHandle></Message></ReceiveMessageResult><ResponseMetadata>\
         <RequestId>the-id</RequestId></ResponseMetadata></ReceiveMessageResponse>"
    );
}

#[tokio::test]
async fn an_empty_receive_is_an_empty_document() {
    let json =
        encoded(Protocol::Json10, "ReceiveMessage", r#"{"QueueUrl":"u"}"#, ReceiveMessageOutput::default()).await;
    assert_eq!(text(&json), "{}");
    let query = encoded(Protocol::Query, "ReceiveMessage", "QueueUrl=u", ReceiveMessageOutput::default()).await;
    assert!(text(&query).contains("<ReceiveMessageResult></ReceiveMessageResult><ResponseMetadata>"), "{query:?}");
}

#[tokio::test]
async fn a_batch_answer_keeps_failures_apart_and_leaves_out_an_empty_list() {
    let output = || SendMessageBatchOutput {
        successful: vec![],
        failed: vec![BatchResultErrorEntry {
            id: "a".into(),
            sender_fault: true,
            code: "InvalidParameterValue".into(),
            message: Some("Too long.".into()),
        }],
    };
    let json = encoded(Protocol::Json10, "SendMessageBatch", r#"{"QueueUrl":"u"}"#, output()).await;
    assert_eq!(
        text(&json),
        r#"{"Failed":[{"Code":"InvalidParameterValue","Id":"a","Message":"Too long.","SenderFault":true}]}"#
    );
    let query = encoded(Protocol::Query, "SendMessageBatch", "QueueUrl=u", output()).await;
    assert!(text(&query).contains(
        "<SendMessageBatchResult><BatchResultErrorEntry><Code>InvalidParameterValue</Code><Id>a</Id>\
         <Message>Too long.</Message><SenderFault>true</SenderFault></BatchResultErrorEntry></SendMessageBatchResult>"
    ));
}

#[tokio::test]
async fn an_operation_without_output_answers_its_success_alone() {
    let json = encoded(Protocol::Json10, "DeleteQueue", r#"{"QueueUrl":"u"}"#, ()).await;
    assert_eq!((json.status, text(&json)), (200, ""));
    let query = encoded(Protocol::Query, "DeleteQueue", "QueueUrl=u", ()).await;
    assert_eq!(
        text(&query),
        "<?xml version=\"1.0\"?><DeleteQueueResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">\
         <ResponseMetadata><RequestId>the-id</RequestId></ResponseMetadata></DeleteQueueResponse>"
    );
}

#[test]
fn an_error_has_its_own_code_and_sentence_in_each_protocol() {
    let error = sqs::errors::queue_does_not_exist("The specified queue does not exist.")
        .with_query_message("The specified queue does not exist for this wsdl version.");
    let json = sqs::encode_error(&call(Protocol::Json10), &error);
    assert_eq!(json.status, 400);
    assert_eq!(
        text(&json),
        r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#
    );
    let code = ("x-amzn-query-error", "AWS.SimpleQueueService.NonExistentQueue;Sender".to_owned());
    assert_eq!(json.headers, [("x-amzn-RequestId", "the-id".to_owned()), code]);

    let query = sqs::encode_error(&call(Protocol::Query), &error);
    assert_eq!(
        text(&query),
        "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><Error>\
         <Type>Sender</Type><Code>AWS.SimpleQueueService.NonExistentQueue</Code>\
         <Message>The specified queue does not exist for this wsdl version.</Message><Detail/></Error>\
         <RequestId>the-id</RequestId></ErrorResponse>"
    );
}

#[test]
fn the_models_statuses_are_kept() {
    let statuses = [
        (sqs::errors::over_limit("").status, 403),
        (sqs::errors::purge_queue_in_progress("").status, 403),
        (sqs::errors::request_throttled("").status, 403),
        (sqs::errors::resource_not_found_exception("").status, 404),
        (sqs::errors::queue_name_exists("").status, 400),
    ];
    for (status, expected) in statuses {
        assert_eq!(status, expected);
    }
    assert_eq!(sqs::errors::queue_name_exists("").query_code.as_deref(), Some("QueueAlreadyExists"));
}

/// A second service, to show that nothing above is SQS's alone.
struct Clerk;

impl api::sts::Sts for Clerk {
    async fn get_caller_identity(
        &self,
        call: &Call,
        _: api::sts::GetCallerIdentityInput,
    ) -> Result<api::sts::GetCallerIdentityOutput, ApiError> {
        Ok(api::sts::GetCallerIdentityOutput {
            account: Some(call.account().to_string()),
            arn: Some("arn:aws:iam::000000000000:root".into()),
            user_id: Some("000000000000".into()),
        })
    }

    async fn assume_role(
        &self,
        _: &Call,
        _: api::sts::AssumeRoleInput,
    ) -> Result<api::sts::AssumeRoleOutput, ApiError> {
        Err(ApiError::sender("AccessDenied", "no roles here"))
    }

    async fn get_session_token(
        &self,
        _: &Call,
        _: api::sts::GetSessionTokenInput,
    ) -> Result<api::sts::GetSessionTokenOutput, ApiError> {
        Err(ApiError::sender("AccessDenied", "no sessions here"))
    }
}

#[tokio::test]
async fn sts_speaks_query_with_its_own_namespace() {
    let form = Bytes::from_static(b"Action=GetCallerIdentity&Version=2011-06-15");
    let response = api::sts::dispatch(&Clerk, &call(Protocol::Query), "GetCallerIdentity", &form).await.unwrap();
    assert_eq!(
        text(&response),
        "<?xml version=\"1.0\"?><GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><Account>000000000000</Account><Arn>arn:aws:iam::000000000000:root</Arn>\
         <UserId>000000000000</UserId></GetCallerIdentityResult><ResponseMetadata><RequestId>the-id</RequestId>\
         </ResponseMetadata></GetCallerIdentityResponse>"
    );
}
