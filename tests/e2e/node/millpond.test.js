// Millpond as the AWS SDK for JavaScript v3 sees it. MILLPOND_BIN names the binary.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as S3 from "@aws-sdk/client-s3";
import * as SQS from "@aws-sdk/client-sqs";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

let server, sqs, s3;

before(async () => {
  const file = join(mkdtempSync(join(tmpdir(), "millpond-node-")), "endpoint");
  const flags = ["serve", "--ephemeral", "--listen", "127.0.0.1:0", "--endpoint-file", file];
  server = spawn(process.env.MILLPOND_BIN, flags, { stdio: "ignore" });
  for (let tries = 0; !(existsSync(file) && readFileSync(file, "utf8").trim()); tries++) {
    assert.ok(tries < 1000 && server.exitCode === null, "millpond did not start");
    await sleep(10);
  }
  const endpoint = readFileSync(file, "utf8").trim();
  const shared = { endpoint, region: "us-east-1", credentials: { accessKeyId: "test", secretAccessKey: "test" } };
  sqs = new SQS.SQSClient({ ...shared, maxAttempts: 1 });
  s3 = new S3.S3Client({ ...shared, maxAttempts: 1, forcePathStyle: true });
});

after(async () => {
  const ended = new Promise((resolve) => server.once("exit", (code) => resolve(code)));
  server.kill("SIGTERM");
  assert.equal(await ended, 0);
});

const newQueue = async (Attributes) =>
  (await sqs.send(new SQS.CreateQueueCommand({ QueueName: `node-${randomUUID()}`, Attributes }))).QueueUrl;

test("a message goes round, and the SDK's own digest checks pass", async () => {
  const QueueUrl = await newQueue();
  const MessageAttributes = {
    text: { DataType: "String", StringValue: "ünï" },
    bytes: { DataType: "Binary", BinaryValue: Uint8Array.from([0, 255]) },
  };
  await sqs.send(new SQS.SendMessageCommand({ QueueUrl, MessageBody: "hello 😀", MessageAttributes }));
  const { Messages } = await sqs.send(
    new SQS.ReceiveMessageCommand({
      QueueUrl,
      MessageAttributeNames: ["All"],
      MessageSystemAttributeNames: ["All"],
      WaitTimeSeconds: 2,
    }),
  );
  assert.equal(Messages[0].Body, "hello 😀");
  assert.deepEqual([...Messages[0].MessageAttributes.bytes.BinaryValue], [0, 255]);
  assert.equal(Messages[0].Attributes.ApproximateReceiveCount, "1");
  await sqs.send(new SQS.DeleteMessageCommand({ QueueUrl, ReceiptHandle: Messages[0].ReceiptHandle }));
  const again = await sqs.send(new SQS.ReceiveMessageCommand({ QueueUrl, VisibilityTimeout: 0 }));
  assert.equal(again.Messages, undefined);
});

test("errors are the classes that programs catch", async () => {
  await assert.rejects(
    sqs.send(new SQS.GetQueueUrlCommand({ QueueName: "absent" })),
    (error) => error.name.includes("QueueDoesNotExist") || error.Code === "AWS.SimpleQueueService.NonExistentQueue",
  );
  await assert.rejects(
    s3.send(new S3.GetObjectCommand({ Bucket: "absent-bucket", Key: "k" })),
    (error) => error instanceof S3.NoSuchBucket || error.name === "NoSuchBucket",
  );
});

test("a batch tells what failed", async () => {
  const QueueUrl = await newQueue({ MaximumMessageSize: "1024" });
  const { Successful, Failed } = await sqs.send(
    new SQS.SendMessageBatchCommand({
      QueueUrl,
      Entries: [
        { Id: "a", MessageBody: "fits" },
        { Id: "b", MessageBody: "x".repeat(2000) },
      ],
    }),
  );
  assert.deepEqual(Successful.map((entry) => entry.Id), ["a"]);
  assert.deepEqual(Failed.map((entry) => [entry.Id, entry.Code]), [["b", "InvalidParameterValue"]]);
});

test("a long poll is woken by a send", async () => {
  const QueueUrl = await newQueue();
  const started = Date.now();
  const waiting = sqs.send(new SQS.ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 20 }));
  await sleep(300);
  await sqs.send(new SQS.SendMessageCommand({ QueueUrl, MessageBody: "wake" }));
  assert.equal((await waiting).Messages[0].Body, "wake");
  assert.ok(Date.now() - started < 5000);
});

test("an object goes up, down, in parts of it, and away", async () => {
  const Bucket = `node-${randomUUID()}`;
  await s3.send(new S3.CreateBucketCommand({ Bucket }));
  const Body = Buffer.alloc(300_000, "millpond");
  await s3.send(new S3.PutObjectCommand({ Bucket, Key: "dir/ä b", Body, ContentType: "text/plain" }));
  const got = await s3.send(new S3.GetObjectCommand({ Bucket, Key: "dir/ä b" }));
  assert.equal(got.ContentType, "text/plain");
  assert.deepEqual(Buffer.from(await got.Body.transformToByteArray()), Body);
  const part = await s3.send(new S3.GetObjectCommand({ Bucket, Key: "dir/ä b", Range: "bytes=-8" }));
  assert.equal(await part.Body.transformToString(), "millpond".repeat(37_500).slice(-8));
  const url = await getSignedUrl(s3, new S3.GetObjectCommand({ Bucket, Key: "dir/ä b" }), { expiresIn: 60 });
  const fetched = await fetch(url);
  assert.equal(fetched.status, 200);
  assert.equal((await fetched.arrayBuffer()).byteLength, 300_000);
  const listed = await s3.send(new S3.ListObjectsV2Command({ Bucket, Delimiter: "/" }));
  assert.deepEqual(listed.CommonPrefixes.map((row) => row.Prefix), ["dir/"]);
  const gone = await s3.send(new S3.DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: "dir/ä b" }] } }));
  assert.equal(gone.Deleted.length, 1);
  await s3.send(new S3.DeleteBucketCommand({ Bucket }));
});
