//! The queue's half of the tour: a job that survives its worker's death.

use std::net::SocketAddr;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use http::{Method, Request};
use serde_json::{Value, json};

use super::{REGION, Tour, Worker, answer, command, title};
use crate::cli::client;

const QUEUE: &str = "jobs";
const BUCKET: &str = "pictures";
/// Short, so that nobody has to wait for the killed worker's message; AWS's default is 30.
const VISIBILITY_TIMEOUT_S: u32 = 4;
const JOB: &str = "https://example.com";

/// What the worker of the tour is told.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WorkerArgs {
    /// The server.
    #[arg(long)]
    address: SocketAddr,
    /// The queue.
    #[arg(long)]
    queue_url: String,
}

/// Takes one message and never finishes it.
pub(in crate::cli) fn work(args: &WorkerArgs) -> anyhow::Result<ExitCode> {
    let tour = Tour { address: args.address, worker: Worker::default() };
    let received = tour.sqs("ReceiveMessage", json!({ "QueueUrl": args.queue_url, "WaitTimeSeconds": 5 }))?;
    println!("worker {} took {} and is working on it", std::process::id(), received["Messages"][0]["Body"]);
    // Nobody lets it come this far, unless the tour itself was killed.
    thread::sleep(Duration::from_secs(20));
    Ok(ExitCode::FAILURE)
}

/// Tells it.
pub(super) fn walk(tour: &Tour) -> anyhow::Result<()> {
    let queue_url = tour.create_queue()?;
    tour.send(&queue_url)?;
    tour.lose_a_worker(&queue_url)?;
    let handle = tour.receive_again(&queue_url)?;
    tour.publish()?;
    tour.acknowledge(&queue_url, &handle)?;
    tour.clean_up(&queue_url)?;
    println!("\nThat was a whole job: queued, taken, survived its worker's death, done, published, acknowledged.");
    Ok(())
}

impl Tour {
    fn create_queue(&self) -> anyhow::Result<String> {
        title("A queue for jobs. A message that is taken stays hidden from others for 4 seconds.");
        command(&format!(
            "aws sqs create-queue --queue-name {QUEUE} --attributes VisibilityTimeout={VISIBILITY_TIMEOUT_S}"
        ));
        let attributes = json!({ "VisibilityTimeout": VISIBILITY_TIMEOUT_S.to_string() });
        let created = self.sqs("CreateQueue", json!({ "QueueName": QUEUE, "Attributes": attributes }))?;
        let url = created["QueueUrl"].as_str().context("the answer has no QueueUrl")?.to_owned();
        answer(&url);
        Ok(url)
    }

    fn send(&self, queue_url: &str) -> anyhow::Result<()> {
        title("A job on the queue: a page to make a picture of.");
        command(&format!("aws sqs send-message --queue-url $QUEUE --message-body {JOB}"));
        let sent = self.sqs("SendMessage", json!({ "QueueUrl": queue_url, "MessageBody": JOB }))?;
        answer(&format!("message {}", text(&sent["MessageId"])));
        Ok(())
    }

    /// A process of its own, so that it can be killed as workers are.
    fn lose_a_worker(&self, queue_url: &str) -> anyhow::Result<()> {
        title("A worker takes the job, and dies over it.");
        command("aws sqs receive-message --queue-url $QUEUE     # in another process");
        let program = std::env::current_exe().context("cannot find this program again")?;
        let worker = Command::new(program)
            .args(["demo-worker", "--address", &self.address.to_string(), "--queue-url", queue_url])
            .stdout(Stdio::inherit())
            .spawn()
            .context("cannot start the worker")?;
        *self.worker.0.lock() = Some(worker);
        self.wait_for(queue_url, "ApproximateNumberOfMessagesNotVisible")?;
        // Its own line on the screen comes first.
        thread::sleep(Duration::from_millis(200));
        let killed = self.worker.kill().context("the worker is gone")?;
        answer(&format!("kill -9 {killed}"));
        Ok(())
    }

    fn receive_again(&self, queue_url: &str) -> anyhow::Result<String> {
        title("Nothing is lost: when its time is up, the job is there again for the next worker.");
        command("aws sqs receive-message --queue-url $QUEUE --wait-time-seconds 20");
        let asked = json!({
            "QueueUrl": queue_url,
            "WaitTimeSeconds": 20,
            "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
        });
        let received = self.sqs("ReceiveMessage", asked)?;
        let message = &received["Messages"][0];
        ensure!(message["Body"] == JOB, "the message did not come back: {received}");
        let count = text(&message["Attributes"]["ApproximateReceiveCount"]);
        answer(&format!("{JOB}, received {count} times"));
        Ok(text(&message["ReceiptHandle"]).to_owned())
    }

    fn publish(&self) -> anyhow::Result<()> {
        title("The second worker publishes its result in a website bucket.");
        command(&format!("aws s3 mb s3://{BUCKET}"));
        command(&format!("aws s3 website s3://{BUCKET} --index-document index.html"));
        command(&format!("aws s3 cp index.html s3://{BUCKET}/ --acl public-read"));
        let website = "<WebsiteConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IndexDocument>\
                       <Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>";
        self.s3(Method::PUT, &format!("/{BUCKET}"), &[], "")?;
        self.s3(Method::PUT, &format!("/{BUCKET}?website"), &[], website)?;
        let headers = [("x-amz-acl", "public-read"), ("content-type", "text/html")];
        self.s3(Method::PUT, &format!("/{BUCKET}/index.html"), &headers, "<h1>Done.</h1>")?;
        let host = format!("{BUCKET}.s3-website-{REGION}.localhost:{}", self.address.port());
        command(&format!("curl http://{host}/"));
        let page = client::send(self.address, Request::get("/").header("host", host).body(Vec::new())?)?;
        ensure!(page.status == 200, "the website answers {}: {}", page.status, page.text());
        answer(&page.text());
        Ok(())
    }

    fn acknowledge(&self, queue_url: &str, handle: &str) -> anyhow::Result<()> {
        title("Done: the message is deleted, and the queue is empty.");
        command("aws sqs delete-message --queue-url $QUEUE --receipt-handle $HANDLE");
        command("aws sqs get-queue-attributes --queue-url $QUEUE --attribute-names All");
        self.sqs("DeleteMessage", json!({ "QueueUrl": queue_url, "ReceiptHandle": handle }))?;
        for (name, meaning) in
            [("ApproximateNumberOfMessages", "waiting"), ("ApproximateNumberOfMessagesNotVisible", "in flight")]
        {
            answer(&format!("{} {meaning}", self.count(queue_url, name)?));
        }
        Ok(())
    }

    fn clean_up(&self, queue_url: &str) -> anyhow::Result<()> {
        title("And all of it can go.");
        command(&format!("aws s3 rb s3://{BUCKET} --force"));
        command("aws sqs delete-queue --queue-url $QUEUE");
        self.s3(Method::DELETE, &format!("/{BUCKET}/index.html"), &[], "")?;
        self.s3(Method::DELETE, &format!("/{BUCKET}"), &[], "")?;
        self.sqs("DeleteQueue", json!({ "QueueUrl": queue_url }))?;
        let left = self.sqs("ListQueues", json!({}))?;
        answer(&format!("queues left: {}", left["QueueUrls"].as_array().map_or(0, Vec::len)));
        Ok(())
    }

    fn count(&self, queue_url: &str, attribute: &str) -> anyhow::Result<u64> {
        let answer = self.sqs("GetQueueAttributes", json!({ "QueueUrl": queue_url, "AttributeNames": [attribute] }))?;
        text(&answer["Attributes"][attribute]).parse().with_context(|| format!("{attribute} is no number: {answer}"))
    }

    fn wait_for(&self, queue_url: &str, attribute: &str) -> anyhow::Result<()> {
        const TRIES: u32 = 100;
        for _ in 0..TRIES {
            if self.count(queue_url, attribute)? > 0 {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("the worker took no message within five seconds")
    }

    fn sqs(&self, operation: &str, input: Value) -> anyhow::Result<Value> {
        let request = Request::post("/")
            .header("host", self.address.to_string())
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("AmazonSQS.{operation}"))
            .body(input.to_string().into_bytes())?;
        let answer = self.signed("sqs", request).with_context(|| operation.to_owned())?;
        if answer.body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&answer.body)?) }
    }

    fn s3(&self, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> anyhow::Result<()> {
        let request = Request::builder().method(method.clone()).uri(target).header("host", self.address.to_string());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.signed("s3", request.body(body.into())?).with_context(|| format!("{method} {target}"))?;
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
