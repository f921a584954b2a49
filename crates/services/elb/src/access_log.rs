//! Access logs on their way to S3: as whom ELB writes, which keys, and the test file.
//!
//! Invariants:
//! - ELB writes as nobody but the principals that AWS documents; what the bucket's policy does not give them is refused.
//! - A file's key follows from the file alone: putting it twice makes one object.

use std::net::IpAddr;

use ::api::{Call, Principal, PutObject};
use balancer::Sealed;
use bytes::Bytes;
use host::Timestamp;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use wire::ApiError;

use crate::errors;
use crate::rows::{AccessLogRow, LoadBalancerRow};
use crate::service::Elb;
use crate::service_call;

/// The accounts that ELB writes logs as, by region.
const ACCOUNTS: [(&str, &str); 21] = [
    ("us-east-1", "127311923021"),
    ("us-east-2", "033677994240"),
    ("us-west-1", "027434742980"),
    ("us-west-2", "797873946194"),
    ("af-south-1", "098369216593"),
    ("ap-east-1", "754344448648"),
    ("ap-northeast-1", "582318560864"),
    ("ap-northeast-2", "600734575887"),
    ("ap-northeast-3", "383597477331"),
    ("ap-south-1", "718504428378"),
    ("ap-southeast-1", "114774131450"),
    ("ap-southeast-2", "783225319266"),
    ("ca-central-1", "985666609251"),
    ("eu-central-1", "054676820928"),
    ("eu-north-1", "897822967062"),
    ("eu-south-1", "635631232127"),
    ("eu-west-1", "156460612806"),
    ("eu-west-2", "652711504416"),
    ("eu-west-3", "009996457667"),
    ("me-south-1", "076674570225"),
    ("sa-east-1", "507241528517"),
];
/// The principal of newer bucket policies.
const SERVICE: &str = "logdelivery.elasticloadbalancing.amazonaws.com";
/// Characters of a key's last part before `.log`.
const RANDOM_CHARS: usize = 8;

/// Whose log it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) load_balancer: &'a str,
}

impl<'a> Owner<'a> {
    /// The owner of this row's log.
    pub(crate) fn of(row: &'a LoadBalancerRow) -> Self {
        Self { account: &row.account, region: &row.region, load_balancer: &row.name }
    }
}

impl Elb {
    /// Proves that logs can be written, as AWS does when logging is turned on.
    pub(crate) async fn write_test_file(
        &self,
        call: &Call,
        row: &LoadBalancerRow,
        log: &AccessLogRow,
    ) -> Result<(), ApiError> {
        let owner = Owner::of(row);
        let key = format!("{}/ELBAccessLogTestFile", directory(owner, log));
        let body = format!("Enable AccessLog for ELB: {} at {}\n", row.name, iso(self.inner.clock.now()));
        self.put(owner, log, key, body.into()).await.map_err(|error| {
            tracing::info!(request_id = %call.request_id, bucket = log.bucket, %error, "ELB cannot write its test file");
            match error.code.as_ref() {
                "NoSuchBucket" | "InvalidBucketName" => errors::log_bucket_not_found(&log.bucket),
                "AccessDenied" => errors::log_access_denied(&log.bucket),
                _ => errors::from_dependency(call, "S3", &error),
            }
        })
    }

    /// Puts an object as ELB: as its account in the region, and where that may not, as its service principal.
    pub(crate) async fn put(
        &self,
        owner: Owner<'_>,
        log: &AccessLogRow,
        key: String,
        body: Bytes,
    ) -> Result<(), ApiError> {
        let account = ACCOUNTS.iter().find(|(region, _)| *region == owner.region).unwrap_or(&ACCOUNTS[0]).1;
        // There is no key behind it; the name only shows in logs.
        let as_account = Principal::Account { access_key_id: "elasticloadbalancing".into() };
        let as_service = Principal::Service { name: SERVICE.into() };
        let mut last = errors::internal();
        for (principal, account) in [(as_account, account), (as_service, owner.account)] {
            let Some(call) = service_call::to_s3(principal, account, owner.region) else { continue };
            let object = PutObject {
                bucket: log.bucket.clone(),
                key: key.clone(),
                body: body.clone(),
                content_type: Some("text/plain".to_owned()),
                canned_acl: Some("bucket-owner-full-control".to_owned()),
            };
            match self.inner.object_store.put(&call, object).await {
                Ok(()) => return Ok(()),
                Err(error) if error.code == "AccessDenied" => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

/// `prefix/AWSLogs/123456789012`.
fn directory(owner: Owner<'_>, log: &AccessLogRow) -> String {
    let slash = if log.prefix.is_empty() { "" } else { "/" };
    format!("{}{slash}AWSLogs/{}", log.prefix, owner.account)
}

/// The key of a file of records.
pub(crate) fn key(owner: Owner<'_>, log: &AccessLogRow, sealed: &Sealed) -> String {
    let Owner { account, region, load_balancer } = owner;
    let end = interval_end(sealed.last, log.interval_min);
    let date = date(end);
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let (hour, minute) = (date.hour(), date.minute());
    format!(
        "{}/elasticloadbalancing/{region}/{year:04}/{month:02}/{day:02}/\
         {account}_elasticloadbalancing_{region}_{load_balancer}_{year:04}{month:02}{day:02}T{hour:02}{minute:02}Z_{}_{}.log",
        directory(owner, log),
        node_in_key(sealed.node),
        random(owner, sealed),
    )
}

/// When the interval ends that a record falls into; intervals begin with the hour.
fn interval_end(at: Timestamp, interval_min: u32) -> Timestamp {
    let interval_ms = u64::from(interval_min) * 60_000;
    Timestamp((at.as_millis() / interval_ms + 1) * interval_ms)
}

/// IPv6 has colons, which keys may have but file systems may not.
fn node_in_key(node: IpAddr) -> String {
    node.to_string().replace(':', "-")
}

/// What AWS calls a random string: here it follows from the file, so that a retry after a crash overwrites its object.
fn random(owner: Owner<'_>, sealed: &Sealed) -> String {
    let mut hash = Sha256::new();
    hash.update(owner.account);
    for number in [sealed.load_balancer.0, sealed.number, sealed.first.as_millis(), sealed.records] {
        hash.update(number.to_be_bytes());
    }
    hash.update(sealed.node.to_string());
    let letters = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let digest = hash.finalize();
    digest.iter().take(RANDOM_CHARS).map(|byte| char::from(letters[usize::from(*byte) % letters.len()])).collect()
}

fn iso(at: Timestamp) -> String {
    let date = date(at);
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let (hour, minute, second) = (date.hour(), date.minute(), date.second());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn date(at: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use balancer::LoadBalancerId;

    use super::*;

    fn sealed(number: u64) -> Sealed {
        Sealed {
            load_balancer: LoadBalancerId(7),
            node: "10.0.0.5".parse().unwrap(),
            first: Timestamp::from_secs(1_392_507_000),
            // 2014-02-15T23:38:00Z
            last: Timestamp::from_secs(1_392_507_480),
            records: 3,
            bytes: 500,
            number,
        }
    }

    #[test]
    fn a_file_s_key_is_as_aws_documents_it() {
        let owner = Owner { account: "123456789012", region: "us-west-2", load_balancer: "my-loadbalancer" };
        let log = AccessLogRow { bucket: "b".into(), prefix: "my-app".into(), interval_min: 5 };
        let key = key(owner, &log, &sealed(1));
        let start = "my-app/AWSLogs/123456789012/elasticloadbalancing/us-west-2/2014/02/15/\
                     123456789012_elasticloadbalancing_us-west-2_my-loadbalancer_20140215T2340Z_10.0.0.5_";
        let random = key.strip_prefix(start).and_then(|rest| rest.strip_suffix(".log")).unwrap();
        assert!(random.len() == 8 && random.bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");
    }

    #[test]
    fn the_same_file_has_the_same_key_and_another_one_another() {
        let owner = Owner { account: "123456789012", region: "us-east-1", load_balancer: "web" };
        let log = AccessLogRow { bucket: "b".into(), prefix: String::new(), interval_min: 60 };
        assert_eq!(key(owner, &log, &sealed(1)), key(owner, &log, &sealed(1)));
        assert_ne!(key(owner, &log, &sealed(1)), key(owner, &log, &sealed(2)));
        // The hour that a record of 23:38 falls into ends on the next day.
        assert!(
            key(owner, &log, &sealed(1)).starts_with("AWSLogs/123456789012/elasticloadbalancing/us-east-1/2014/02/16/")
        );
    }
}
