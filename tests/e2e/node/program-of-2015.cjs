// A program as it was written in 2015: the AWS SDK of that year, no endpoint, no certificate, no idea of Millpond.
const AWS = require("aws-sdk-2015");

const sqs = new AWS.SQS({ region: "us-east-1" });
const s3 = new AWS.S3({ region: "us-east-1" });
const bucket = process.argv[2];
const fail = (error) => {
  console.error(error);
  process.exit(1);
};

const call = (service, operation, parameters) =>
  new Promise((resolve) =>
    service[operation](parameters, (error, data) => (error ? fail(error) : resolve(data))),
  );

(async () => {
  const { QueueUrl } = await call(sqs, "createQueue", { QueueName: bucket });
  await call(sqs, "sendMessage", { QueueUrl, MessageBody: "http://example.org/" });
  const { Messages } = await call(sqs, "receiveMessage", { QueueUrl, WaitTimeSeconds: 2 });
  await call(sqs, "deleteMessage", { QueueUrl, ReceiptHandle: Messages[0].ReceiptHandle });
  const left = await call(sqs, "getQueueAttributes", { QueueUrl, AttributeNames: ["All"] });
  await call(s3, "createBucket", { Bucket: bucket });
  const object = { Bucket: bucket, Key: "page.png", Body: "picture", ContentType: "image/png", ACL: "public-read" };
  await call(s3, "putObject", object);
  const hidden = left.Attributes.ApproximateNumberOfMessagesNotVisible;
  const count = Number(left.Attributes.ApproximateNumberOfMessages) + Number(hidden);
  console.log(JSON.stringify({ version: AWS.VERSION, QueueUrl, body: Messages[0].Body, count }));
})().catch(fail);
