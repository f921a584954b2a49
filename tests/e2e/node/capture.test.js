// `millpond exec --capture`: programs that name no endpoint, of 2015 and of today, talk to Millpond.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

let server, endpoint;

before(async () => {
  const file = join(mkdtempSync(join(tmpdir(), "millpond-capture-")), "endpoint");
  const flags = ["serve", "--ephemeral", "--listen", "127.0.0.1:0", "--endpoint-file", file];
  server = spawn(process.env.MILLPOND_BIN, flags, { stdio: "ignore" });
  for (let tries = 0; !(existsSync(file) && readFileSync(file, "utf8").trim()); tries++) {
    assert.ok(tries < 1000 && server.exitCode === null, "millpond did not start");
    await sleep(10);
  }
  endpoint = readFileSync(file, "utf8").trim();
});

after(async () => {
  const ended = new Promise((resolve) => server.once("exit", (code) => resolve(code)));
  server.kill("SIGTERM");
  assert.equal(await ended, 0);
});

const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("AWS_")));

const captured = (...command) => {
  const flags = ["exec", "--capture", "--endpoint", endpoint, "--", ...command];
  return execFileSync(process.env.MILLPOND_BIN, flags, { env: environment, encoding: "utf8" });
};

test("a program of 2015 sends, receives and deletes a message and puts a public object", async () => {
  const name = `old-${randomUUID()}`;
  const said = JSON.parse(captured("node", join(import.meta.dirname, "program-of-2015.cjs"), name));
  assert.deepEqual(said, {
    version: "2.1.18",
    QueueUrl: `https://sqs.us-east-1.amazonaws.com/000000000000/${name}`,
    body: "http://example.org/",
    count: 0,
  });
  // Public means anybody, from outside and without a signature.
  const answer = await fetch(`${endpoint}/${name}/page.png`);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "image/png");
  assert.equal(await answer.text(), "picture");
});

test("a program of today needs no endpoint either", () => {
  const name = `new-${randomUUID()}`;
  const program = `
    import * as SQS from "@aws-sdk/client-sqs";
    const sqs = new SQS.SQSClient({});
    const { QueueUrl } = await sqs.send(new SQS.CreateQueueCommand({ QueueName: "${name}" }));
    await sqs.send(new SQS.SendMessageCommand({ QueueUrl, MessageBody: "hi" }));
    const { Messages } = await sqs.send(new SQS.ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 2 }));
    console.log(QueueUrl, Messages[0].Body);`;
  const said = captured("node", "--input-type=module", "--eval", program);
  assert.equal(said, `https://sqs.us-east-1.amazonaws.com/000000000000/${name} hi\n`);
});
