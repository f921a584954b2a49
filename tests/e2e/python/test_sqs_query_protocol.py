"""SQS as programs from before November 2023 see it: an old boto3, over the Query protocol."""

import json
import os
import subprocess

from conftest import cli_environment

PROGRAM = r"""
import boto3, json, os, sys, uuid
from botocore.exceptions import ClientError
assert boto3.client("sqs", region_name="us-east-1").meta.service_model.metadata["protocol"] == "query"
sqs = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
seen = {}
url = sqs.create_queue(QueueName="old-" + uuid.uuid4().hex[:8], Attributes={"VisibilityTimeout": "7"}, tags={"a": "b"})["QueueUrl"]
seen["tags"] = sqs.list_queue_tags(QueueUrl=url)["Tags"]
seen["visibility"] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
attributes = {"k": {"DataType": "String", "StringValue": "v"}, "b": {"DataType": "Binary", "BinaryValue": b"\x00\x01"}}
sqs.send_message(QueueUrl=url, MessageBody="a <b> & \r\n c", MessageAttributes=attributes)
batch = sqs.send_message_batch(QueueUrl=url, Entries=[
    {"Id": "one", "MessageBody": "1"}, {"Id": "two", "MessageBody": "2", "DelaySeconds": 901}])
seen["batch"] = [[e["Id"] for e in batch["Successful"]], [(e["Id"], e["Code"]) for e in batch["Failed"]]]
got = []
while len(got) < 2:
    got += sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"], WaitTimeSeconds=5)["Messages"]
seen["bodies"] = sorted(m["Body"] for m in got)
[rich] = [m for m in got if m.get("MessageAttributes")]
seen["attribute"] = rich["MessageAttributes"]["b"]["BinaryValue"].hex()
done = sqs.delete_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(got)])
seen["deleted"] = len(done["Successful"])
try:
    sqs.get_queue_url(QueueName="nothing-here")
except ClientError as error:
    seen["error"] = [error.response["Error"]["Code"], error.response["Error"]["Message"], error.response["ResponseMetadata"]["HTTPStatusCode"]]
seen["listed"] = url in sqs.list_queues(QueueNamePrefix="old-")["QueueUrls"]
sqs.delete_queue(QueueUrl=url)
print(json.dumps(seen))
"""


def test_an_old_boto3_does_its_whole_round_over_query(server):
    result = subprocess.run(
        [os.environ["MILLPOND_LEGACY_PYTHON"], "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=cli_environment(server.endpoint),
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "tags": {"a": "b"},
        "visibility": {"VisibilityTimeout": "7"},
        "batch": [["one"], [["two", "InvalidParameterValue"]]],
        "bodies": ["1", "a <b> & \r\n c"],
        "attribute": "0001",
        "deleted": 2,
        "error": [
            "AWS.SimpleQueueService.NonExistentQueue",
            "The specified queue does not exist for this wsdl version.",
            400,
        ],
        "listed": True,
    }
