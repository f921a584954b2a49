//! A bucket's settings: ACL, ownership controls, public access block. (Policy, tags and website have files of their own.)
//!
//! Invariants:
//! - While `BlockPublicAcls` is on, no public ACL is set; while ownership is `BucketOwnerEnforced`, none at all.

use std::sync::Arc;

use s3s::dto::{
    AccessControlPolicy, DeleteBucketOwnershipControlsInput, DeleteBucketOwnershipControlsOutput,
    DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput, GetBucketAclInput, GetBucketAclOutput,
    GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput, GetPublicAccessBlockInput,
    GetPublicAccessBlockOutput, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PublicAccessBlockConfiguration, PutBucketAclInput, PutBucketAclOutput, PutBucketOwnershipControlsInput,
    PutBucketOwnershipControlsOutput, PutPublicAccessBlockInput, PutPublicAccessBlockOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::acl::{self, Acl, GrantHeaders};
use crate::authorisation::{Action, acls_count};
use crate::door::{self, Caller};
use crate::errors;
use crate::rows::{BucketRow, Ownership, PublicAccessBlock};
use crate::service::Service;

/// Reads `ObjectOwnership`.
pub(crate) fn ownership_of(name: &ObjectOwnership) -> Result<Ownership, S3Error> {
    match name.as_str() {
        ObjectOwnership::OBJECT_WRITER => Ok(Ownership::ObjectWriter),
        ObjectOwnership::BUCKET_OWNER_PREFERRED => Ok(Ownership::BucketOwnerPreferred),
        ObjectOwnership::BUCKET_OWNER_ENFORCED => Ok(Ownership::BucketOwnerEnforced),
        other => Err(errors::invalid_argument(format!("Invalid x-amz-object-ownership header: {other}"))),
    }
}

fn ownership_name(ownership: Ownership) -> ObjectOwnership {
    ObjectOwnership::from_static(match ownership {
        Ownership::ObjectWriter => ObjectOwnership::OBJECT_WRITER,
        Ownership::BucketOwnerPreferred => ObjectOwnership::BUCKET_OWNER_PREFERRED,
        Ownership::BucketOwnerEnforced => ObjectOwnership::BUCKET_OWNER_ENFORCED,
    })
}

/// The three ways in which a request says an ACL; exactly one must be used.
pub(crate) fn one_acl(
    canned: Option<Result<Acl, S3Error>>,
    headers: &GrantHeaders,
    document: Option<AccessControlPolicy>,
    owner: &str,
) -> Result<Acl, S3Error> {
    // Clients send an empty document along with headers.
    let document = document.filter(|document| document.grants.is_some() || document.owner.is_some());
    match (canned, headers.is_empty(), document) {
        (Some(acl), true, None) => acl,
        (None, false, None) => Acl::from_headers(headers),
        (None, true, Some(document)) => Acl::from_document(document, owner),
        (None, true, None) => Err(errors::error(
            S3ErrorCode::MissingSecurityHeader,
            "Your request was missing a required header: x-amz-acl",
        )),
        (Some(_), false, _) => {
            Err(errors::invalid_request("Specifying both Canned ACLs and Header Grants is not allowed"))
        }
        _ => Err(errors::error(S3ErrorCode::UnexpectedContent, "This request does not support content")),
    }
}

/// Whether the bucket takes this ACL for itself or one of its objects.
pub(crate) fn check_acl(bucket: &BucketRow, acl: &Acl, owner: &str) -> Result<(), S3Error> {
    if !acls_count(bucket) && !acl.is_owners_only(owner, &bucket.owner) {
        return Err(errors::acl_not_supported());
    }
    if acl.is_public() && bucket.public_access_block.is_some_and(|block| block.block_public_acls) {
        return Err(errors::access_denied());
    }
    Ok(())
}

/// GetBucketAcl.
pub(crate) async fn get_acl(
    service: &Arc<Service>,
    mut request: S3Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::GET_BUCKET_ACL).await?;
    let shown = if acls_count(&row) { row.acl } else { Acl::private(&row.owner) };
    Ok(S3Response::new(GetBucketAclOutput { grants: Some(shown.to_document()), owner: Some(acl::owner(&row.owner)) }))
}

/// PutBucketAcl.
pub(crate) async fn put_acl(
    service: &Arc<Service>,
    mut request: S3Request<PutBucketAclInput>,
) -> S3Result<S3Response<PutBucketAclOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let headers = GrantHeaders {
        full_control: input.grant_full_control,
        read: input.grant_read,
        read_acp: input.grant_read_acp,
        write: input.grant_write,
        write_acp: input.grant_write_acp,
    };
    let (canned, document) = (input.acl, input.access_control_policy);
    let change = move |row: &mut BucketRow| {
        let canned = canned.map(|canned| Acl::canned_for_bucket(canned.as_str(), &row.owner));
        let acl = one_acl(canned, &headers, document, &row.owner)?;
        check_acl(row, &acl, &row.owner)?;
        row.acl = acl;
        Ok(())
    };
    service.change_bucket(caller, input.bucket, Action::PUT_BUCKET_ACL, change).await?;
    Ok(S3Response::new(PutBucketAclOutput::default()))
}

/// GetBucketOwnershipControls.
pub(crate) async fn get_ownership(
    service: &Arc<Service>,
    mut request: S3Request<GetBucketOwnershipControlsInput>,
) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::GET_BUCKET_OWNERSHIP_CONTROLS).await?;
    let ownership = row.ownership.ok_or_else(errors::no_ownership_controls)?;
    let rules = vec![OwnershipControlsRule { object_ownership: ownership_name(ownership) }];
    Ok(S3Response::new(GetBucketOwnershipControlsOutput { ownership_controls: Some(OwnershipControls { rules }) }))
}

/// PutBucketOwnershipControls. A bucket whose own ACL opens it to others cannot become `BucketOwnerEnforced`.
pub(crate) async fn put_ownership(
    service: &Arc<Service>,
    mut request: S3Request<PutBucketOwnershipControlsInput>,
) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
    let caller = Caller::of(&mut request)?;
    let [rule] = request.input.ownership_controls.rules.as_slice() else { return Err(errors::malformed_xml()) };
    let ownership = ownership_of(&rule.object_ownership).map_err(|_| errors::malformed_xml())?;
    let change = move |row: &mut BucketRow| {
        if ownership == Ownership::BucketOwnerEnforced && !row.acl.is_owners_only(&row.owner, &row.owner) {
            return Err(errors::error(
                S3ErrorCode::InvalidBucketAclWithObjectOwnership,
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
            ));
        }
        row.ownership = Some(ownership);
        Ok(())
    };
    service.change_bucket(caller, request.input.bucket, Action::PUT_BUCKET_OWNERSHIP_CONTROLS, change).await?;
    Ok(S3Response::new(PutBucketOwnershipControlsOutput::default()))
}

/// DeleteBucketOwnershipControls.
pub(crate) async fn delete_ownership(
    service: &Arc<Service>,
    mut request: S3Request<DeleteBucketOwnershipControlsInput>,
) -> S3Result<S3Response<DeleteBucketOwnershipControlsOutput>> {
    let caller = Caller::of(&mut request)?;
    let change = |row: &mut BucketRow| {
        row.ownership = None;
        Ok(())
    };
    service.change_bucket(caller, request.input.bucket, Action::PUT_BUCKET_OWNERSHIP_CONTROLS, change).await?;
    Ok(door::with_status(DeleteBucketOwnershipControlsOutput::default(), http::StatusCode::NO_CONTENT))
}

/// GetPublicAccessBlock.
pub(crate) async fn get_public_access_block(
    service: &Arc<Service>,
    mut request: S3Request<GetPublicAccessBlockInput>,
) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::GET_BUCKET_PUBLIC_ACCESS_BLOCK).await?;
    let block = row.public_access_block.ok_or_else(errors::no_public_access_block)?;
    let configuration = PublicAccessBlockConfiguration {
        block_public_acls: Some(block.block_public_acls),
        block_public_policy: Some(block.block_public_policy),
        ignore_public_acls: Some(block.ignore_public_acls),
        restrict_public_buckets: Some(block.restrict_public_buckets),
    };
    Ok(S3Response::new(GetPublicAccessBlockOutput { public_access_block_configuration: Some(configuration) }))
}

/// PutPublicAccessBlock.
pub(crate) async fn put_public_access_block(
    service: &Arc<Service>,
    mut request: S3Request<PutPublicAccessBlockInput>,
) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
    let caller = Caller::of(&mut request)?;
    let configuration = request.input.public_access_block_configuration;
    let block = PublicAccessBlock {
        block_public_acls: configuration.block_public_acls.unwrap_or_default(),
        ignore_public_acls: configuration.ignore_public_acls.unwrap_or_default(),
        block_public_policy: configuration.block_public_policy.unwrap_or_default(),
        restrict_public_buckets: configuration.restrict_public_buckets.unwrap_or_default(),
    };
    let change = move |row: &mut BucketRow| {
        row.public_access_block = Some(block);
        Ok(())
    };
    service.change_bucket(caller, request.input.bucket, Action::PUT_BUCKET_PUBLIC_ACCESS_BLOCK, change).await?;
    Ok(S3Response::new(PutPublicAccessBlockOutput::default()))
}

/// DeletePublicAccessBlock.
pub(crate) async fn delete_public_access_block(
    service: &Arc<Service>,
    mut request: S3Request<DeletePublicAccessBlockInput>,
) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
    let caller = Caller::of(&mut request)?;
    let change = |row: &mut BucketRow| {
        row.public_access_block = None;
        Ok(())
    };
    service.change_bucket(caller, request.input.bucket, Action::PUT_BUCKET_PUBLIC_ACCESS_BLOCK, change).await?;
    Ok(door::with_status(DeletePublicAccessBlockOutput::default(), http::StatusCode::NO_CONTENT))
}
