// AWS CDK, unmodified: bootstrap, deploy, diff, deploy again, destroy, without any endpoint. The servers of the
// stack answer, and nothing is left.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import * as S3 from "@aws-sdk/client-s3";
import * as SQS from "@aws-sdk/client-sqs";

const folder = mkdtempSync(join(tmpdir(), "millpond-cdk-"));
const environment = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(AWS|CDK)_/.test(name))),
  AWS_CONFIG_FILE: "/dev/null",
  AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
  // Nothing is asked of anybody else.
  CDK_DISABLE_VERSION_CHECK: "1",
  CDK_DISABLE_CLI_TELEMETRY: "true",
  CDK_HOME: folder,
};
const run = promisify(execFile);
let server, endpoint, port;

const freePort = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

before(async () => {
  const file = join(folder, "endpoint");
  port = await freePort();
  // A port that stays: instances are told of it.
  const listen = `127.0.0.1:${await freePort()}`;
  writeFileSync(join(folder, "millpond.toml"), '[[zone]]\nname = "us-east-1a"\naddresses = ["127.0.0.1"]\n');
  const flags = ["serve", "--ephemeral", "--listen", listen, "--endpoint-file", file, "--instance-isolation", "unprivileged"];
  server = spawn(process.env.MILLPOND_BIN, flags, { stdio: "ignore", cwd: folder });
  for (let tries = 0; !(existsSync(file) && readFileSync(file, "utf8").trim()); tries++) {
    assert.ok(tries < 1000 && server.exitCode === null, "millpond did not start");
    await sleep(10);
  }
  endpoint = `http://${listen}`;
});

after(async () => {
  const ended = new Promise((resolve) => server.once("exit", (code) => resolve(code)));
  server.kill("SIGTERM");
  assert.equal(await ended, 0);
  rmSync(folder, { recursive: true, force: true });
});

const millpond = async (...words) => {
  const { stdout } = await run(process.env.MILLPOND_BIN, words, { cwd: folder });
  return stdout;
};

const cdk = async (...words) => {
  const program = join(import.meta.dirname, "node_modules/aws-cdk/bin/cdk");
  try {
    const flags = ["--no-notices", "--ci"];
    // The policy of CDK's bucket for assets lets nobody in without TLS, which AWS's names have here, too.
    const command = ["exec", "--capture", "--endpoint", endpoint, "--", "node", program, ...words, ...flags];
    const { stdout, stderr } = await run(process.env.MILLPOND_BIN, command, { env: environment, cwd: folder, timeout: 180_000 });
    return stdout + stderr;
  } catch (error) {
    throw new Error(`cdk ${words.join(" ")}: ${error.message}\n${error.stdout}\n${error.stderr}`);
  }
};

// The app as a cloud assembly, which later commands take in the place of the program: synthesis is the slow part.
const synth = async (...context) => {
  const assembly = mkdtempSync(join(folder, "assembly-"));
  const app = `node ${join(import.meta.dirname, "cdk-app.cjs")}`;
  const wanted = [`port=${port}`, ...context].flatMap((one) => ["-c", one]);
  await cdk("synth", "--quiet", "--app", app, "--output", assembly, ...wanted);
  return ["--app", assembly];
};

const outputs = join(folder, "outputs.json");
const deploy = async (app) => {
  const said = await cdk("deploy", ...app, "--require-approval", "never", "--outputs-file", outputs);
  // Who may not assume the roles goes on with a warning.
  assert.doesNotMatch(said, /could not be used to assume/);
  return JSON.parse(readFileSync(outputs, "utf8")).Shop;
};

const get = (path) =>
  new Promise((resolve, reject) => {
    http.get({ host: "127.0.0.1", port, path, agent: false }, async (answer) => {
      let body = "";
      for await (const chunk of answer) body += chunk;
      resolve([answer.statusCode, body.trim()]);
    }).on("error", reject);
  });

test("an app is bootstrapped, deployed, changed and destroyed", async () => {
  const clients = { endpoint, region: "us-east-1", credentials: { accessKeyId: "test", secretAccessKey: "test" } };
  const [sqs, s3] = [new SQS.SQSClient({ ...clients, useQueueUrlAsEndpoint: false }), new S3.S3Client({ ...clients, forcePathStyle: true })];

  const [before, after] = await Promise.all([
    synth(),
    synth("visibility=60"),
    cdk("bootstrap", "aws://000000000000/us-east-1"),
  ]);
  const assets = "cdk-hnb659fds-assets-000000000000-us-east-1";
  await assert.rejects(s3.send(new S3.ListObjectsV2Command({ Bucket: assets })), { name: "AccessDenied" });

  const shop = await deploy(before);
  assert.match(shop.Queue, /Shop-Jobs/);
  const servers = new Set();
  for (let tries = 0; servers.size < 2; tries++) {
    assert.ok(tries < 300, "two servers do not answer");
    const [status, body] = await get("/index.html");
    if (status === 200) servers.add(body);
    else await sleep(100);
  }
  const timeout = async () => {
    const wanted = { QueueUrl: shop.Queue, AttributeNames: ["VisibilityTimeout", "RedrivePolicy"] };
    const { Attributes } = await sqs.send(new SQS.GetQueueAttributesCommand(wanted));
    assert.equal(JSON.parse(Attributes.RedrivePolicy).maxReceiveCount, 3);
    return Attributes.VisibilityTimeout;
  };
  assert.equal(await timeout(), "30");

  assert.match(await cdk("diff", ...after), /VisibilityTimeout[\s\S]*Number of stacks with differences: 1/);
  assert.deepEqual(await deploy(after), shop);
  assert.equal(await timeout(), "60");

  await cdk("destroy", ...after, "--force");
  await assert.rejects(timeout(), { name: "QueueDoesNotExist" });
  const buckets = (await s3.send(new S3.ListBucketsCommand({}))).Buckets.map(({ Name }) => Name);
  assert.deepEqual(buckets, [assets]);
  const stacks = await millpond("stack", "--endpoint", endpoint, "ls");
  assert.match(stacks, /CDKToolkit/);
  assert.doesNotMatch(stacks, /Shop/);
  assert.doesNotMatch(await millpond("lb", "ls", "--endpoint", endpoint), /Shop/);
  await assert.rejects(get("/"), { code: "ECONNREFUSED" });
});
