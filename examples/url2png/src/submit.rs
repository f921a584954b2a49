//! `url2png submit`: puts a job on the queue and says where its picture will be.
//!
//! Invariant: a URL is printed only when the queue has answered that it holds the job.

use clap::Args;

use crate::aws::{self, Place};
use crate::job::Job;

/// What `url2png submit` is told.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The page to take a picture of
    url: String,
    #[command(flatten)]
    place: Place,
    /// Where the bucket's website is [default: http://BUCKET.s3-website-REGION.amazonaws.com]
    #[arg(long, env = "URL2PNG_WEBSITE_URL", value_name = "URL")]
    website_url: Option<String>,
}

/// Submits one job and prints the picture's URL.
pub(crate) async fn run(args: SubmitArgs) -> anyhow::Result<()> {
    let job = Job::new(&args.url)?;
    let config = aws::config().await?;
    let sqs = aws_sdk_sqs::Client::new(&config);
    let queue_url = args.place.queue_url(&sqs).await?;

    let sent = sqs.send_message().queue_url(queue_url).message_body(job.to_message()).send().await;
    sent.map_err(|error| aws::sentence("cannot put the job on the queue", &error))?;

    let website_url = args.website_url.unwrap_or_else(|| {
        let region = config.region().map_or("us-east-1", |region| region.as_ref());
        format!("http://{}.s3-website-{region}.amazonaws.com", args.place.bucket)
    });
    println!("{}/{}", website_url.trim_end_matches('/'), job.key());
    Ok(())
}
