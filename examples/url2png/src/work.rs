//! `url2png work`: takes jobs from the queue, one at a time, and carries them out.
//!
//! Invariants: a message is deleted only after its picture is stored. A job that fails, for whatever reason, goes back
//! to the queue, which moves it to the dead-letter queue when it has been received too often; it never ends the worker.
//! While a job is in hand its message stays invisible to other workers, however long it takes, and when the worker
//! stops the message is given back at once.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ObjectCannedAcl;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::change_message_visibility::ChangeMessageVisibilityError;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::aws::{self, Place};
use crate::job::Job;
use crate::render::Renderer;

/// How long a worker waits when the queue can't be asked, the first time; doubled each time up to the second number.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What `url2png work` is told.
#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    #[command(flatten)]
    place: Place,
    /// How long a job is ours before another worker may have it, in seconds; renewed each third of it
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(3..=43_200))]
    visibility_timeout: i32,
    /// How long one question to an empty queue waits, in seconds
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(0..=20))]
    wait: i32,
    /// How soon a job that failed may be tried again, in seconds
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(0..=43_200))]
    retry_after: i32,
    /// How long a page may take to render, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    render_timeout: u32,
    /// How long the job in hand may take after SIGTERM, in seconds, before it is given back
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    grace: u32,
    /// The Chromium to render with
    #[arg(long, env = "URL2PNG_CHROMIUM", default_value = "chromium", value_name = "PROGRAM")]
    chromium: PathBuf,
    /// Where Chromium's profiles are made [default: the system's temporary directory]
    #[arg(long, env = "URL2PNG_WORK_DIR", value_name = "DIR")]
    work_dir: Option<PathBuf>,
}

/// Works until SIGTERM or SIGINT.
pub(crate) async fn run(args: WorkArgs) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let profiles = args.work_dir.clone().unwrap_or_else(std::env::temp_dir);
    let renderer = Renderer::new(args.chromium.clone(), profiles, seconds(args.render_timeout))?;
    let config = aws::config().await?;
    let sqs = aws_sdk_sqs::Client::new(&config);
    let queue_url = args.place.queue_url(&sqs).await?;
    info!(queue_url, bucket = args.place.bucket, pid = std::process::id(), "waiting for jobs");
    Worker { sqs, s3: aws_sdk_s3::Client::new(&config), queue_url, renderer, args }.run(&mut stop).await;
    info!("stopped");
    Ok(())
}

struct Worker {
    sqs: aws_sdk_sqs::Client,
    s3: aws_sdk_s3::Client,
    queue_url: String,
    renderer: Renderer,
    args: WorkArgs,
}

/// A message in our hands.
struct Taken {
    body: String,
    receipt_handle: String,
    receive_count: u32,
}

/// How a job ended.
enum Outcome {
    Done(Job),
    Failed(anyhow::Error),
    /// Another worker has it, or will.
    Lost,
    /// We were told to stop, and it was not ready in time.
    Unfinished,
}

impl Worker {
    async fn run(&self, stop: &mut Stop) {
        let mut pause = PAUSE.0;
        while !stop.requested {
            match self.receive(stop).await {
                Ok(None) => pause = PAUSE.0,
                Ok(Some(taken)) if stop.requested => self.give_back(&taken, 0).await,
                Ok(Some(taken)) => {
                    pause = PAUSE.0;
                    let outcome = self.carry_out(&taken, stop).await;
                    self.settle(&taken, outcome).await;
                }
                Err(error) => {
                    error!(error = format!("{error:#}"), pause_s = pause.as_secs(), "asking again after a pause");
                    tokio::select! { () = sleep(pause) => {}, () = stop.requested() => {} }
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// Waits for a message. A poll under way is not broken off by SIGTERM: what it is about to bring would stay
    /// invisible to the other workers until its timeout.
    async fn receive(&self, stop: &mut Stop) -> anyhow::Result<Option<Taken>> {
        let poll = self
            .sqs
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(1)
            .visibility_timeout(self.args.visibility_timeout)
            .wait_time_seconds(self.args.wait)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send();
        let mut poll = std::pin::pin!(poll);
        let answer = tokio::select! {
            answer = &mut poll => answer,
            () = stop.requested() => {
                info!(wait_s = self.args.wait, "stopping when the queue has answered");
                poll.await
            }
        };
        let answer = answer.map_err(|error| aws::sentence("cannot receive", &error))?;
        answer.messages.unwrap_or_default().pop().map(Taken::try_from).transpose()
    }

    async fn carry_out(&self, taken: &Taken, stop: &mut Stop) -> Outcome {
        // What is not ready when another future wins is dropped, and Chromium with it.
        tokio::select! {
            done = self.render_and_store(taken) => done.map_or_else(Outcome::Failed, Outcome::Done),
            lost = self.stay_invisible(taken) => { warn!(error = format!("{lost:#}"), "lost the job"); Outcome::Lost }
            () = stop.grace_over(seconds(self.args.grace)) => Outcome::Unfinished,
        }
    }

    async fn render_and_store(&self, taken: &Taken) -> anyhow::Result<Job> {
        let job = Job::from_message(&taken.body)?;
        info!(url = %job.url(), key = job.key(), receive_count = taken.receive_count, "rendering");
        let picture = self.renderer.render(job.url()).await?;
        let put = self
            .s3
            .put_object()
            .bucket(&self.args.place.bucket)
            .key(job.key())
            .acl(ObjectCannedAcl::PublicRead)
            .content_type("image/png")
            .body(ByteStream::from(picture));
        put.send().await.map_err(|error| aws::sentence("cannot store the picture", &error))?;
        Ok(job)
    }

    /// Renews the message's visibility timeout until it is no longer ours to renew, and says why.
    async fn stay_invisible(&self, taken: &Taken) -> anyhow::Error {
        let third = seconds(self.args.visibility_timeout.unsigned_abs()) / 3;
        loop {
            sleep(third).await;
            let Err(error) = self.change_visibility(taken, self.args.visibility_timeout).await else { continue };
            let sentence = aws::sentence("cannot renew the visibility timeout", &error);
            if is_lost(&error) {
                return sentence;
            }
            // Two thirds of the timeout are left to try again.
            warn!(error = format!("{sentence:#}"), "trying again");
        }
    }

    async fn settle(&self, taken: &Taken, outcome: Outcome) {
        match outcome {
            Outcome::Done(job) => {
                let delete = self.sqs.delete_message().queue_url(&self.queue_url).receipt_handle(&taken.receipt_handle);
                match delete.send().await {
                    Ok(_) => info!(url = %job.url(), key = job.key(), "done"),
                    // It comes again, and the same picture is stored once more.
                    Err(error) => error!(error = format!("{:#}", aws::sentence("cannot delete the job", &error))),
                }
            }
            Outcome::Failed(error) => {
                warn!(error = format!("{error:#}"), receive_count = taken.receive_count, "failed");
                self.give_back(taken, self.args.retry_after).await;
            }
            Outcome::Lost => {}
            Outcome::Unfinished => {
                info!("giving the job in hand back");
                self.give_back(taken, 0).await;
            }
        }
    }

    /// Lets the queue hand the message out again after `delay_s`. If that fails it does so after the timeout.
    async fn give_back(&self, taken: &Taken, delay_s: i32) {
        if let Err(error) = self.change_visibility(taken, delay_s).await {
            warn!(error = format!("{:#}", aws::sentence("cannot give the job back", &error)));
        }
    }

    async fn change_visibility(
        &self,
        taken: &Taken,
        timeout_s: i32,
    ) -> Result<(), SdkError<ChangeMessageVisibilityError>> {
        let change = self.sqs.change_message_visibility().queue_url(&self.queue_url);
        change.receipt_handle(&taken.receipt_handle).visibility_timeout(timeout_s).send().await.map(drop)
    }
}

/// Whether the message is no longer ours: its timeout ended while we could not renew it, or the queue is gone.
fn is_lost(error: &SdkError<ChangeMessageVisibilityError>) -> bool {
    error.as_service_error().is_some_and(|error| {
        error.is_message_not_inflight()
            || error.is_receipt_handle_is_invalid()
            || error.is_queue_does_not_exist()
            // What SQS says of a message that was deleted meanwhile.
            || error.code() == Some("InvalidParameterValue")
    })
}

impl TryFrom<Message> for Taken {
    type Error = anyhow::Error;

    fn try_from(message: Message) -> anyhow::Result<Self> {
        let count =
            message.attributes.as_ref().and_then(|a| a.get(&MessageSystemAttributeName::ApproximateReceiveCount));
        Ok(Self {
            receive_count: count.and_then(|count| count.parse().ok()).unwrap_or(1),
            body: message.body.unwrap_or_default(),
            receipt_handle: message.receipt_handle.context("SQS sent a message without a receipt handle")?,
        })
    }
}

/// Whether somebody asked us to stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    requested: bool,
}

impl Stop {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, requested: false })
    }

    /// Returns when somebody asks, or asked already.
    async fn requested(&mut self) {
        if !self.requested {
            tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
            self.requested = true;
        }
    }

    /// Returns when somebody asked and `grace` has passed since.
    async fn grace_over(&mut self, grace: Duration) {
        self.requested().await;
        info!(grace_s = grace.as_secs(), "stopping after the job in hand");
        sleep(grace).await;
    }
}

fn seconds(s: u32) -> Duration {
    Duration::from_secs(s.into())
}
