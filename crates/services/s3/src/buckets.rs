//! Buckets: creating, finding and deleting them.
//!
//! Invariants:
//! - A name belongs to one account at a time, over all accounts and regions.
//! - A bucket with objects, versions or delete markers is not deleted; its uploads under way end with it.

use std::ops::ControlFlow;
use std::sync::Arc;

use api::{Principal, Region, Verdict};
use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput,
    GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use store::{Scan, Transaction};

use crate::acl::{self, Acl, GrantHeaders};
use crate::authorisation::{Action, Question};
use crate::bucket_settings::ownership_of;
use crate::door::{self, Caller};
use crate::errors::{self, Failure};
use crate::rows::{BUCKETS, BucketRow, OBJECTS, Ownership, VERSIONS, Versioning};
use crate::service::{self, Freed, Service, timestamp};

/// AWS's default quota.
const BUCKETS_LISTED_MAX: i32 = 10_000;
const US_EAST_1: &str = "us-east-1";

/// The rules beside those of characters and length that `s3s` holds for every path.
fn check_new_name(name: &str) -> Result<(), S3Error> {
    const PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
    const SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let reserved =
        PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    if reserved || !s3s::path::check_bucket_name(name) { Err(errors::invalid_bucket_name()) } else { Ok(()) }
}

/// Only an account owns buckets; a role's session acts for its own if its role may `action` on `resource`.
fn account(caller: &Caller, action: &str, resource: &str) -> Result<String, S3Error> {
    let call = &caller.call;
    match &call.identity.principal {
        Principal::Account { .. } => Ok(call.account().to_string()),
        Principal::Session(session) => match session.decide(&api::Question::new(call, action, resource)) {
            Verdict::Allowed => Ok(call.account().to_string()),
            verdict => {
                tracing::info!(request_id = %call.request_id, sentence = session.refusal(action, resource, verdict), "access denied");
                Err(errors::access_denied())
            }
        },
        Principal::Anonymous | Principal::Service { .. } => Err(errors::access_denied()),
    }
}

fn region_of(input: &CreateBucketInput, endpoint: &Region) -> Result<Region, S3Error> {
    let configuration = input.create_bucket_configuration.as_ref();
    if configuration.is_some_and(|c| c.bucket.is_some() || c.location.is_some()) {
        return Err(errors::not_implemented("directory buckets"));
    }
    let Some(constraint) = configuration.and_then(|c| c.location_constraint.as_ref()) else {
        return Ok(endpoint.clone());
    };
    // What the constraint was called when there was one region in Europe.
    let name = if constraint.as_str() == "EU" { "eu-west-1" } else { constraint.as_str() };
    let invalid =
        || errors::error(S3ErrorCode::InvalidLocationConstraint, "The specified location-constraint is not valid");
    if name == US_EAST_1 {
        return Err(invalid());
    }
    let region = Region::parse(name).ok_or_else(invalid)?;
    if endpoint.as_str() != US_EAST_1 && region != *endpoint {
        return Err(errors::error(
            S3ErrorCode::IllegalLocationConstraintException,
            format!(
                "The {region} location constraint is incompatible for the region specific endpoint this request was sent to."
            ),
        ));
    }
    Ok(region)
}

fn acl_of(input: &CreateBucketInput, owner: &str, ownership: Option<Ownership>) -> Result<Acl, S3Error> {
    let headers = GrantHeaders {
        full_control: input.grant_full_control.clone(),
        read: input.grant_read.clone(),
        read_acp: input.grant_read_acp.clone(),
        write: input.grant_write.clone(),
        write_acp: input.grant_write_acp.clone(),
    };
    let acl = match (&input.acl, headers.is_empty()) {
        (Some(_), false) => {
            return Err(errors::invalid_request("Specifying both Canned ACLs and Header Grants is not allowed"));
        }
        (Some(canned), true) => Acl::canned_for_bucket(canned.as_str(), owner)?,
        (None, false) => Acl::from_headers(&headers)?,
        (None, true) => Acl::private(owner),
    };
    if ownership == Some(Ownership::BucketOwnerEnforced) && !acl.is_owners_only(owner, owner) {
        return Err(errors::error(
            S3ErrorCode::InvalidBucketAclWithObjectOwnership,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    Ok(acl)
}

/// CreateBucket.
pub(crate) async fn create(
    service: &Arc<Service>,
    mut request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let arn = format!("arn:aws:s3:::{}", input.bucket);
    let owner = account(&caller, "s3:CreateBucket", &arn)?;
    check_new_name(&input.bucket)?;
    let endpoint = caller.call.region.clone();
    let region = region_of(&input, &endpoint)?;
    let ownership = input.object_ownership.as_ref().map(ownership_of).transpose()?;
    let row = BucketRow {
        acl: acl_of(&input, &owner, ownership)?,
        owner,
        region: region.to_string(),
        created_ms: service.now_ms(),
        ownership,
        policy: None,
        public_access_block: None,
        tags: None,
        website: None,
        versioning: None,
        lifecycle: None,
        encryption: None,
    };
    let name = input.bucket.clone();
    service.write(move |transaction, _| put_new(transaction, &name, row, endpoint.as_str())).await?;
    tracing::info!(bucket = %input.bucket, owner = %caller.call.account(), region = %region, "bucket created");
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) }))
}

fn put_new(transaction: &mut Transaction<'_>, name: &str, row: BucketRow, endpoint: &str) -> Result<(), Failure> {
    let Some(existing) = transaction.get(&BUCKETS, name)? else {
        transaction.insert(&BUCKETS, name, &row)?;
        return Ok(());
    };
    let existing = existing.value;
    if existing.owner != row.owner {
        return Err(errors::bucket_already_exists().into());
    }
    if endpoint != US_EAST_1 || existing.region != US_EAST_1 || row.region != US_EAST_1 {
        return Err(errors::bucket_already_owned().into());
    }
    // In us-east-1 alone, creating one's own bucket again succeeds and resets its ACL.
    transaction.put(&BUCKETS, name, &BucketRow { acl: row.acl, ..existing })?;
    Ok(())
}

/// DeleteBucket.
pub(crate) async fn delete(
    service: &Arc<Service>,
    mut request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let caller = Caller::of(&mut request)?;
    let (name, asked) = (request.input.bucket, Arc::clone(service));
    service
        .write(move |transaction, freed| {
            let row = service::bucket(transaction, &name)?;
            caller.check_owner(&row.owner)?;
            asked.authorise(&Question::new(&caller.call, Action::DELETE_BUCKET, (&name, &row)))?;
            delete_empty(transaction, &name, row.versioning, freed)
        })
        .await?;
    Ok(door::with_status(DeleteBucketOutput {}, http::StatusCode::NO_CONTENT))
}

fn delete_empty(
    transaction: &mut Transaction<'_>,
    name: &str,
    versioning: Option<Versioning>,
    freed: &mut Freed,
) -> Result<(), Failure> {
    let prefix = format!("{name}\0");
    let first = Scan::prefix(&prefix).limit(1);
    if !transaction.keys(&OBJECTS, &first)?.is_empty() || !transaction.keys(&VERSIONS, &first)?.is_empty() {
        let left = if versioning.is_some() { errors::versions_left() } else { errors::bucket_not_empty() };
        return Err(left.into());
    }
    crate::multipart::abort_all(transaction, &prefix, freed)?;
    transaction.delete(&BUCKETS, name)?;
    Ok(())
}

/// HeadBucket.
pub(crate) async fn head(
    service: &Arc<Service>,
    mut request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::LIST_BUCKET).await?;
    Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(row.region), ..HeadBucketOutput::default() }))
}

/// GetBucketLocation: empty for us-east-1, as ever.
pub(crate) async fn location(
    service: &Arc<Service>,
    mut request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::GET_BUCKET_LOCATION).await?;
    let location_constraint = (row.region != US_EAST_1).then(|| BucketLocationConstraint::from(row.region));
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
}

/// ListBuckets: the caller's own.
pub(crate) async fn list(
    service: &Arc<Service>,
    mut request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let owner = account(&caller, "s3:ListAllMyBuckets", "*")?;
    let max = input.max_buckets.unwrap_or(BUCKETS_LISTED_MAX);
    if !(1..=BUCKETS_LISTED_MAX).contains(&max) {
        return Err(errors::invalid_argument("max-buckets must be between 1 and 10000"));
    }
    let max = usize::try_from(max).unwrap_or_default();
    let (prefix, region) = (input.prefix.clone().unwrap_or_default(), input.bucket_region);
    let (after, of) = (input.continuation_token, owner.clone());
    let mut rows = service
        .read(move |view| {
            let mut scan = Scan::prefix(&prefix);
            if let Some(after) = &after {
                scan = scan.after(after);
            }
            let mut found = Vec::new();
            view.visit(&BUCKETS, &scan, |row| {
                if row.value.owner == of && region.as_ref().is_none_or(|region| *region == row.value.region) {
                    found.push((row.key, row.value));
                }
                Ok::<_, Failure>(if found.len() > max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            Ok(found)
        })
        .await?;
    let truncated = rows.len() > max;
    rows.truncate(max);
    let continuation_token = rows.last().filter(|_| truncated).map(|(name, _)| name.clone());
    let buckets = rows.into_iter().map(|(name, row)| Bucket {
        bucket_region: Some(row.region),
        creation_date: Some(timestamp(row.created_ms)),
        name: Some(name),
    });
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token,
        owner: Some(acl::owner(&owner)),
        prefix: input.prefix,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_malformed_names_are_refused() {
        for name in [
            "ab",
            "Upper",
            "under_score",
            "-dash",
            "dot.",
            "a..b",
            "192.168.0.1",
            "xn--bucket",
            "sthree-x",
            "my-s3alias",
            "x--ol-s3",
        ] {
            assert!(check_new_name(name).is_err(), "{name}");
        }
        for name in ["abc", "my.dotted.bucket", "0-9"] {
            assert!(check_new_name(name).is_ok(), "{name}");
        }
    }
}
