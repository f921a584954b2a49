//! What the tests have in common: a Millpond that lives as long as a test, and clients of it.
//!
//! The binary under test is the one that MILLPOND_BIN names.

#![allow(dead_code, reason = "each test binary uses its share")]

pub(crate) mod pages;
pub(crate) mod picture;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::types::{IndexDocument, WebsiteConfiguration};
use aws_sdk_sqs::types::QueueAttributeName;

pub(crate) const REGION: &str = "us-east-1";
/// How long anything may take that takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with empty state, on a port of its own; it ends with this value.
pub(crate) struct Millpond {
    process: Child,
    pub(crate) endpoint: String,
    pub(crate) config: SdkConfig,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) s3: aws_sdk_s3::Client,
}

impl Millpond {
    pub(crate) fn start() -> Self {
        let binary = std::env::var_os("MILLPOND_BIN")
            .expect("these tests drive a built millpond: build it, and set MILLPOND_BIN to the binary's absolute path");
        assert!(
            Path::new(&binary).is_file(),
            "MILLPOND_BIN names {}, and no file is there: build millpond first",
            binary.display()
        );
        let dir = tempfile::tempdir().unwrap();
        let endpoint_file = dir.path().join("endpoint");
        let mut process = Command::new(&binary)
            .args(["serve", "--ephemeral", "--listen", "127.0.0.1:0", "--endpoint-file"])
            .arg(&endpoint_file)
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("MILLPOND_BIN can be run");
        let endpoint = eventually("millpond says where it listens", || {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("millpond ended at its start: {status}");
            }
            fs::read_to_string(&endpoint_file).ok().filter(|text| text.starts_with("http://"))
        });
        let endpoint = endpoint.trim().trim_end_matches('/').to_owned();

        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(&endpoint)
            .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(Credentials::new(
                "test", "test", None, None, "tests",
            )))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let (sqs, s3) = (aws_sdk_sqs::Client::new(&config), aws_sdk_s3::Client::new(&config));
        Self { process, endpoint, config, sqs, s3 }
    }

    /// HOST:PORT.
    pub(crate) fn authority(&self) -> &str {
        self.endpoint.trim_start_matches("http://")
    }

    /// A bucket whose website anybody may read, one object's ACL at a time.
    pub(crate) async fn website_bucket(&self, bucket: &str) {
        self.s3.create_bucket().bucket(bucket).send().await.unwrap();
        // As `aws s3 mb` users must since 2023, before objects can be public by their ACLs.
        let open = aws_sdk_s3::types::PublicAccessBlockConfiguration::builder().block_public_acls(false).build();
        self.s3.put_public_access_block().bucket(bucket).public_access_block_configuration(open).send().await.unwrap();
        let rule = aws_sdk_s3::types::OwnershipControlsRule::builder()
            .object_ownership(aws_sdk_s3::types::ObjectOwnership::BucketOwnerPreferred)
            .build()
            .unwrap();
        let rules = aws_sdk_s3::types::OwnershipControls::builder().rules(rule).build().unwrap();
        self.s3.put_bucket_ownership_controls().bucket(bucket).ownership_controls(rules).send().await.unwrap();
        let index = IndexDocument::builder().suffix("index.html").build().unwrap();
        let website = WebsiteConfiguration::builder().index_document(index).build();
        self.s3.put_bucket_website().bucket(bucket).website_configuration(website).send().await.unwrap();
    }

    /// The URL of a new queue.
    pub(crate) async fn queue(&self, name: &str, attributes: &[(QueueAttributeName, String)]) -> String {
        let attributes = attributes.iter().cloned().collect();
        let created = self.sqs.create_queue().queue_name(name).set_attributes(Some(attributes)).send().await.unwrap();
        created.queue_url.unwrap()
    }

    /// Messages visible, in flight and delayed.
    pub(crate) async fn counts(&self, queue_url: &str) -> [u32; 3] {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let ask = self.sqs.get_queue_attributes().queue_url(queue_url).set_attribute_names(Some(names.to_vec()));
        let attributes = ask.send().await.unwrap().attributes.unwrap();
        names.map(|name| attributes[&name].parse().unwrap())
    }

    pub(crate) async fn wait_for_counts(&self, queue_url: &str, expected: [u32; 3]) {
        let start = Instant::now();
        loop {
            let counts = self.counts(queue_url).await;
            if counts == expected {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{queue_url}: {counts:?} is not yet {expected:?}");
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Millpond {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Asks again and again until there is an answer; panics when it takes too long.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "too late: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// What an anonymous browser gets from `url`, with another Host header if one is named: status, type and body.
pub(crate) fn fetch(url: &str, host: Option<&str>) -> (u16, String, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.get(url);
    if let Some(host) = host {
        request = request.header("Host", host);
    }
    let mut response = request.call().unwrap();
    let content_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), content_type.unwrap_or_default(), response.body_mut().read_to_vec().unwrap())
}
