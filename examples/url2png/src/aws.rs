//! The way to AWS: the configuration that both commands share, and errors as sentences.
//!
//! Region, credentials and endpoints come from where every AWS program takes them: the environment, the profile in
//! `~/.aws`, or the role of the machine.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use anyhow::{Context, anyhow};
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use clap::Args;

/// No answer takes longer, the longest poll (20 s) and the upload of a picture included. Without a bound, a connection
/// that died silently would hold a worker for ever.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The queue and the bucket, which both commands need.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The name of the queue that holds the jobs
    #[arg(long, env = "URL2PNG_QUEUE", value_name = "NAME")]
    pub(crate) queue: String,
    /// The bucket that serves the pictures
    #[arg(long, env = "URL2PNG_BUCKET", value_name = "NAME")]
    pub(crate) bucket: String,
}

impl Place {
    /// Asks SQS for the queue's URL.
    pub(crate) async fn queue_url(&self, sqs: &aws_sdk_sqs::Client) -> anyhow::Result<String> {
        let answer = sqs.get_queue_url().queue_name(&self.queue).send().await;
        let answer = answer.map_err(|error| sentence(format!("cannot find the queue {}", self.queue), &error))?;
        answer.queue_url.context("SQS answered without the queue's URL")
    }
}

/// The configuration from the environment, over the SDK's own HTTP client.
pub(crate) async fn config() -> anyhow::Result<SdkConfig> {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ANSWER_WITHIN).build();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(timeouts);
    let config = config.load().await;
    config.region().context("no AWS region is set; set AWS_REGION, or a region in your profile")?;
    Ok(config)
}

/// `what` went wrong, and what AWS says of it: its code and its message if it answered, else why it could not be asked.
pub(crate) fn sentence<E, R>(what: impl Display, error: &SdkError<E, R>) -> anyhow::Error
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => anyhow!("{what}: {code}: {message}"),
        (Some(code), None) => anyhow!("{what}: {code}"),
        _ => {
            // "dispatch failure" alone says nothing; the causes beneath it do.
            let causes = std::iter::successors(error.source(), |&cause| cause.source());
            let why = causes.fold(error.to_string(), |why, cause| format!("{why}: {cause}"));
            anyhow!("{what}: {why}")
        }
    }
}
