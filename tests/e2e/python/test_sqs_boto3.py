"""SQS as boto3 sees it: today's SDK, over JSON."""

import hashlib
import json
import threading
import time
import uuid

import boto3
import pytest
from botocore.exceptions import ClientError


def code_of(error):
    return error.value.response["Error"]["Code"]


def test_a_message_goes_round_with_its_attributes(sqs, queue_url):
    attributes = {
        "Kind": {"DataType": "String", "StringValue": "picture é"},
        "Size.px": {"DataType": "Number.int", "StringValue": "1280"},
        "Raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff\x10"},
    }
    # boto3 checks both digests itself and raises when one is wrong.
    sent = sqs.send_message(QueueUrl=queue_url, MessageBody="héllo\r\n\t\U0001f600", MessageAttributes=attributes)
    assert sent["MD5OfMessageBody"] == hashlib.md5("héllo\r\n\t\U0001f600".encode()).hexdigest()
    [message] = sqs.receive_message(
        QueueUrl=queue_url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )["Messages"]
    assert message["Body"] == "héllo\r\n\t\U0001f600"
    assert message["MessageId"] == sent["MessageId"]
    assert message["MessageAttributes"] == attributes
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert message["Attributes"]["SenderId"]
    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    counts = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == "0"
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_only_the_attributes_asked_for_come_back_and_their_digest_matches(sqs, queue_url):
    attributes = {name: {"DataType": "String", "StringValue": name} for name in ("app.a", "app.b", "other")}
    sqs.send_message(QueueUrl=queue_url, MessageBody="x", MessageAttributes=attributes)
    [message] = sqs.receive_message(QueueUrl=queue_url, MessageAttributeNames=["app.*"])["Messages"]
    assert sorted(message["MessageAttributes"]) == ["app.a", "app.b"]


def test_a_batch_fails_entry_by_entry(sqs, queue_url):
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"MaximumMessageSize": "1024"})
    answer = sqs.send_message_batch(
        QueueUrl=queue_url,
        Entries=[
            {"Id": "ok", "MessageBody": "fits"},
            {"Id": "long", "MessageBody": "x" * 1025},
            {"Id": "late", "MessageBody": "y", "DelaySeconds": 901},
        ],
    )
    assert [entry["Id"] for entry in answer["Successful"]] == ["ok"]
    failed = {entry["Id"]: entry for entry in answer["Failed"]}
    assert failed["long"]["Code"] == "InvalidParameterValue" and failed["long"]["SenderFault"]
    assert "1024" in failed["long"]["Message"]
    assert failed["late"]["Code"] == "InvalidParameterValue"


@pytest.mark.parametrize(
    "entries, code",
    [
        ([], "AWS.SimpleQueueService.EmptyBatchRequest"),
        ([{"Id": str(n), "MessageBody": "x"} for n in range(11)], "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
        ([{"Id": "a", "MessageBody": "x"}] * 2, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"),
        ([{"Id": "a b", "MessageBody": "x"}], "AWS.SimpleQueueService.InvalidBatchEntryId"),
        (
            [{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)],
            "AWS.SimpleQueueService.BatchRequestTooLong",
        ),
    ],
)
def test_a_batch_that_is_wrong_as_a_whole_gets_sqs_own_code(sqs, queue_url, entries, code):
    with pytest.raises(ClientError) as error:
        sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
    assert code_of(error) == code


def test_the_errors_that_programs_catch_have_their_names(sqs, queue_url):
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as error:
        sqs.get_queue_url(QueueName="no-such-queue")
    assert code_of(error) == "AWS.SimpleQueueService.NonExistentQueue"
    with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
        sqs.delete_message(QueueUrl=queue_url, ReceiptHandle="garbage")
    with pytest.raises(ClientError) as error:
        sqs.send_message(QueueUrl=queue_url, MessageBody="\x01")
    assert code_of(error) == "InvalidMessageContents"
    with pytest.raises(ClientError) as error:
        sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=11)
    assert code_of(error) == "InvalidParameterValue"
    assert "Value 11 for parameter MaxNumberOfMessages is invalid" in str(error.value)


def test_creating_a_queue_again_is_the_same_queue_unless_an_attribute_differs(sqs):
    name = f"again-{uuid.uuid4().hex[:8]}"
    first = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == first
    with pytest.raises(sqs.exceptions.QueueNameExists):
        sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "61"})
    sqs.delete_queue(QueueUrl=first)


def test_a_message_comes_back_after_its_visibility_timeout_and_stays_hidden_before(sqs, queue_url):
    sqs.send_message(QueueUrl=queue_url, MessageBody="x")
    [first] = sqs.receive_message(QueueUrl=queue_url, VisibilityTimeout=2)["Messages"]
    assert "Messages" not in sqs.receive_message(QueueUrl=queue_url)
    [second] = sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=5, AttributeNames=["All"])["Messages"]
    assert second["MessageId"] == first["MessageId"]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_visibility_timeout_of_zero_gives_the_message_back_at_once(sqs, queue_url):
    sqs.send_message(QueueUrl=queue_url, MessageBody="x")
    [message] = sqs.receive_message(QueueUrl=queue_url)["Messages"]
    sqs.change_message_visibility(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert len(sqs.receive_message(QueueUrl=queue_url)["Messages"]) == 1


def test_a_long_poll_wakes_when_a_message_is_sent(server, sqs, queue_url):
    woken = []

    def wait():
        poller = server.client("sqs")
        answer = poller.receive_message(QueueUrl=queue_url, WaitTimeSeconds=20)
        woken.append((time.monotonic(), answer.get("Messages", [])))

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.5)
    sent = time.monotonic()
    sqs.send_message(QueueUrl=queue_url, MessageBody="wake")
    waiter.join(10)
    [(at, messages)] = woken
    assert [message["Body"] for message in messages] == ["wake"]
    assert at - sent < 2, "the wait was for the message, not for its 20 seconds"


def test_a_delayed_message_is_not_seen_early(sqs, queue_url):
    sqs.send_message(QueueUrl=queue_url, MessageBody="later", DelaySeconds=2)
    started = time.monotonic()
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessagesDelayed"] == "1"
    assert "Messages" not in sqs.receive_message(QueueUrl=queue_url)
    assert sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=10)["Messages"][0]["Body"] == "later"
    assert time.monotonic() - started > 1.5


def test_a_message_received_too_often_goes_to_the_dead_letter_queue_and_back(sqs, queue_url):
    dead_url = sqs.create_queue(QueueName=f"dead-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = lambda url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = {"deadLetterTargetArn": arn(dead_url), "maxReceiveCount": "2"}
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"RedrivePolicy": json.dumps(redrive)})
    sqs.send_message(QueueUrl=queue_url, MessageBody="poison")
    for _ in range(2):
        [message] = sqs.receive_message(QueueUrl=queue_url, VisibilityTimeout=0)["Messages"]
    assert "Messages" not in sqs.receive_message(QueueUrl=queue_url)
    [dead] = sqs.receive_message(QueueUrl=dead_url, AttributeNames=["All"], VisibilityTimeout=0)["Messages"]
    assert dead["MessageId"] == message["MessageId"]
    assert dead["Attributes"]["DeadLetterQueueSourceArn"] == arn(queue_url)
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead_url)["queueUrls"] == [queue_url]

    task = sqs.start_message_move_task(SourceArn=arn(dead_url))["TaskHandle"]
    assert task
    [back] = sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=10)["Messages"]
    assert back["Body"] == "poison"
    deadline = time.monotonic() + 10
    while (latest := sqs.list_message_move_tasks(SourceArn=arn(dead_url))["Results"][0])["Status"] != "COMPLETED":
        assert time.monotonic() < deadline, latest
        time.sleep(0.1)
    assert latest["ApproximateNumberOfMessagesMoved"] == 1
    sqs.delete_queue(QueueUrl=dead_url)


def test_a_move_of_messages_is_cancelled(sqs, queue_url):
    dead_url = sqs.create_queue(QueueName=f"dead-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = lambda url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn(dead_url), "maxReceiveCount": 1})
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"RedrivePolicy": policy})
    for n in range(10):
        sqs.send_message(QueueUrl=dead_url, MessageBody=str(n))
    task = sqs.start_message_move_task(
        SourceArn=arn(dead_url), DestinationArn=arn(queue_url), MaxNumberOfMessagesPerSecond=1
    )["TaskHandle"]
    moved = sqs.cancel_message_move_task(TaskHandle=task)["ApproximateNumberOfMessagesMoved"]
    assert moved < 10
    deadline = time.monotonic() + 20
    while (latest := sqs.list_message_move_tasks(SourceArn=arn(dead_url))["Results"][0])["Status"] != "CANCELLED":
        assert latest["Status"] == "CANCELLING" and time.monotonic() < deadline, latest
        time.sleep(0.05)
    left = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert int(left["ApproximateNumberOfMessages"]) > 0
    for handle, code in [(task, "UnsupportedOperation"), ("bm9uZQ==", "InvalidParameterValue")]:
        with pytest.raises(ClientError) as refused:
            sqs.cancel_message_move_task(TaskHandle=handle)
        assert code_of(refused).endswith(code)
    sqs.delete_queue(QueueUrl=dead_url)


def test_batches_hide_and_delete_entry_by_entry(sqs, queue_url):
    sqs.send_message_batch(
        QueueUrl=queue_url, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(3)]
    )
    got = []
    while len(got) < 3:
        got += sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=2)["Messages"]
    entries = [{"Id": f"m{n}", "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)]
    hidden = [{**entries[0], "VisibilityTimeout": 0}, {**entries[1], "VisibilityTimeout": 43201}]
    answer = sqs.change_message_visibility_batch(QueueUrl=queue_url, Entries=hidden)
    assert [one["Id"] for one in answer["Successful"]] == ["m0"]
    assert [(one["Id"], one["Code"]) for one in answer["Failed"]] == [("m1", "InvalidParameterValue")]
    again = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)["Messages"]
    assert [one["Body"] for one in again] == [got[0]["Body"]]
    wrong = {"Id": "wrong", "ReceiptHandle": "no handle"}
    answer = sqs.delete_message_batch(QueueUrl=queue_url, Entries=[*entries[1:], wrong])
    assert sorted(one["Id"] for one in answer["Successful"]) == ["m1", "m2"]
    assert [(one["Id"], one["SenderFault"]) for one in answer["Failed"]] == [("wrong", True)]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    assert [counts[name] for name in names] == ["0", "1"]


def test_purge_takes_everything(sqs, queue_url):
    sqs.send_message_batch(
        QueueUrl=queue_url, Entries=[{"Id": str(n), "MessageBody": "x"} for n in range(10)]
    )
    sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=5)
    sqs.purge_queue(QueueUrl=queue_url)
    counts = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == "0"
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_lists_have_pages_and_tags_are_kept(sqs):
    prefix = f"page-{uuid.uuid4().hex[:8]}"
    urls = [sqs.create_queue(QueueName=f"{prefix}-{n}", tags={"n": str(n)})["QueueUrl"] for n in range(5)]
    pages = list(
        sqs.get_paginator("list_queues").paginate(QueueNamePrefix=prefix, PaginationConfig={"PageSize": 2})
    )
    assert [len(page["QueueUrls"]) for page in pages] == [2, 2, 1]
    assert sorted(url for page in pages for url in page["QueueUrls"]) == sorted(urls)
    assert sqs.list_queue_tags(QueueUrl=urls[3])["Tags"] == {"n": "3"}
    sqs.tag_queue(QueueUrl=urls[3], Tags={"Team": "blue"})
    sqs.untag_queue(QueueUrl=urls[3], TagKeys=["n"])
    assert sqs.list_queue_tags(QueueUrl=urls[3])["Tags"] == {"Team": "blue"}
    for url in urls:
        sqs.delete_queue(QueueUrl=url)


def test_another_account_gets_in_by_the_queue_policy_and_not_without(server, sqs, queue_url):
    other = server.client("sqs", key="222222222222")
    with pytest.raises(ClientError) as error:
        other.send_message(QueueUrl=queue_url, MessageBody="let me in")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    sqs.add_permission(QueueUrl=queue_url, Label="friends", AWSAccountIds=["222222222222"], Actions=["SendMessage"])
    other.send_message(QueueUrl=queue_url, MessageBody="thank you")
    with pytest.raises(ClientError):
        other.receive_message(QueueUrl=queue_url)
    sqs.remove_permission(QueueUrl=queue_url, Label="friends")
    with pytest.raises(ClientError):
        other.send_message(QueueUrl=queue_url, MessageBody="again")


def test_accounts_and_regions_do_not_see_each_other(server, sqs):
    name = f"same-{uuid.uuid4().hex[:8]}"
    urls = [
        server.client("sqs", key=key, region=region).create_queue(QueueName=name)["QueueUrl"]
        for key, region in [("111111111111", "us-east-1"), ("222222222222", "us-east-1"), ("111111111111", "mars-1")]
    ]
    one = server.client("sqs", key="111111111111")
    one.send_message(QueueUrl=urls[0], MessageBody="only here")
    elsewhere = server.client("sqs", key="111111111111", region="mars-1")
    assert "Messages" not in elsewhere.receive_message(QueueUrl=urls[2])
    assert one.receive_message(QueueUrl=urls[0])["Messages"][0]["Body"] == "only here"


def test_a_fifo_queue_is_refused_aloud(sqs):
    with pytest.raises(ClientError) as error:
        sqs.create_queue(QueueName="orders.fifo", Attributes={"FifoQueue": "true"})
    assert code_of(error) == "AWS.SimpleQueueService.UnsupportedOperation"


def test_the_resource_interface_works(server):
    resource = boto3.resource(
        "sqs",
        endpoint_url=server.endpoint,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    queue = resource.create_queue(QueueName=f"resource-{uuid.uuid4().hex[:8]}")
    queue.send_message(MessageBody="hello")
    [message] = queue.receive_messages(WaitTimeSeconds=1)
    assert message.body == "hello"
    message.delete()
    queue.delete()
