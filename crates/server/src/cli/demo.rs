//! `millpond demo`: a newcomer's first minute. A server of its own on a free port, real requests, real answers, and the
//! `aws` command for each; nothing is left behind.
//!
//! Invariant: every line that looks like an answer is one; the tour stops at the first that is not as promised.

use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use host::{Clock, SystemClock};
use http::{Method, Request};
use serde_json::{Value, json};

use super::client::{self, Answer};
use super::running::Running;
use crate::config::{Config, Overrides};
use crate::shutdown::Signals;

const REGION: &str = "us-east-1";
const QUEUE: &str = "jobs";
const BUCKET: &str = "pictures";
/// Short, so that nobody has to wait for the killed worker's message; AWS's default is 30.
const VISIBILITY_TIMEOUT_S: u32 = 4;
const JOB: &str = "https://example.com";

/// Starts a server, walks through it and stops it.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    let config = Config::load(Overrides {
        ephemeral: Some(true),
        listen: vec!["127.0.0.1:0".into()],
        config: Some("/dev/null".into()),
        ..Overrides::default()
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let exit = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let running = Running::start(&config).await?;
        let address = *running.addresses.first().context("the server listens nowhere")?;
        let tour = tokio::task::spawn_blocking(move || Tour::new(address).walk());
        let result = tokio::select! {
            result = tour => result?.map(|()| ExitCode::SUCCESS),
            () = signals.first() => Ok(ExitCode::from(130)),
        };
        running.stop(Duration::from_secs(1)).await?;
        result
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

/// What the worker of the tour is told.
#[derive(Debug, clap::Args)]
pub(super) struct WorkerArgs {
    /// The server.
    #[arg(long)]
    address: SocketAddr,
    /// The queue.
    #[arg(long)]
    queue_url: String,
}

/// Takes one message and never finishes it.
pub(super) fn work(args: &WorkerArgs) -> anyhow::Result<ExitCode> {
    let tour = Tour::new(args.address);
    let received = tour.sqs("ReceiveMessage", json!({ "QueueUrl": args.queue_url, "WaitTimeSeconds": 5 }))?;
    println!("worker {} took {} and is working on it", std::process::id(), received["Messages"][0]["Body"]);
    // Nobody lets it come this far, unless the tour itself was killed.
    thread::sleep(Duration::from_secs(20));
    Ok(ExitCode::FAILURE)
}

struct Tour {
    address: SocketAddr,
}

impl Tour {
    fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    fn walk(&self) -> anyhow::Result<()> {
        println!("A Millpond of its own serves http://{}; it keeps nothing.\n", self.address);
        let queue_url = self.create_queue()?;
        self.send(&queue_url)?;
        self.lose_a_worker(&queue_url)?;
        let handle = self.receive_again(&queue_url)?;
        self.publish()?;
        self.acknowledge(&queue_url, &handle)?;
        self.clean_up(&queue_url)?;
        println!(
            "That was a whole job: queued, taken, survived its worker's death, done, published, acknowledged.\n\
             Start your own with `millpond serve`; then `millpond aws …` and `millpond exec -- …` reach it."
        );
        Ok(())
    }

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
        let mut worker = Worker(worker);
        self.wait_for(queue_url, "ApproximateNumberOfMessagesNotVisible")?;
        // Its own line on the screen comes first.
        thread::sleep(Duration::from_millis(200));
        worker.0.kill().context("cannot kill the worker")?;
        answer(&format!("kill -9 {}", worker.0.id()));
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
        println!();
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

    fn signed(&self, service: &str, request: Request<Vec<u8>>) -> anyhow::Result<Answer> {
        let answer = client::send_signed(self.address, client::ANYBODY, service, REGION, SystemClock.now(), request)?;
        ensure!((200..300).contains(&answer.status), "answered {}: {}", answer.status, answer.text());
        Ok(answer)
    }
}

/// A process that is killed when this goes, however the tour ends.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn title(text: &str) {
    println!("\n* {text}");
}

fn command(text: &str) {
    println!("  $ {text}");
}

fn answer(text: &str) {
    println!("    {text}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
