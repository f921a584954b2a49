//! PutBucketVersioning and GetBucketVersioning.

use std::sync::Arc;

use s3s::dto::{
    BucketVersioningStatus, GetBucketVersioningInput, GetBucketVersioningOutput, MFADelete, PutBucketVersioningInput,
    PutBucketVersioningOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use crate::authorisation::Action;
use crate::door::Caller;
use crate::errors;
use crate::rows::{BucketRow, Versioning};
use crate::service::Service;

fn versioning_of(status: Option<&BucketVersioningStatus>) -> Result<Versioning, S3Error> {
    match status.map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Ok(Versioning::Enabled),
        Some(BucketVersioningStatus::SUSPENDED) => Ok(Versioning::Suspended),
        Some(_) => Err(errors::malformed_xml()),
        None => Err(errors::no_versioning_status()),
    }
}

/// `Disabled` is what always holds; anything else asks for a device that nobody has.
fn check_mfa(asked: Option<&MFADelete>) -> Result<(), S3Error> {
    match asked.map(MFADelete::as_str) {
        None | Some(MFADelete::DISABLED) => Ok(()),
        Some(MFADelete::ENABLED) => Err(errors::not_implemented("MfaDelete Enabled: deletes by a second factor")),
        Some(_) => Err(errors::malformed_xml()),
    }
}

/// PutBucketVersioning.
pub(crate) async fn put(
    service: &Arc<Service>,
    mut request: S3Request<PutBucketVersioningInput>,
) -> S3Result<S3Response<PutBucketVersioningOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let asked = input.versioning_configuration;
    let change = move |row: &mut BucketRow| {
        // Judged only now: that there is such a bucket, and whose it is, comes first.
        check_mfa(asked.mfa_delete.as_ref())?;
        row.versioning = Some(versioning_of(asked.status.as_ref())?);
        Ok(())
    };
    service.change_bucket(caller, input.bucket, Action::PUT_BUCKET_VERSIONING, change).await?;
    Ok(S3Response::new(PutBucketVersioningOutput::default()))
}

/// GetBucketVersioning: empty where it was never switched on.
pub(crate) async fn get(
    service: &Arc<Service>,
    mut request: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::GET_BUCKET_VERSIONING).await?;
    let status = row.versioning.map(|versioning| {
        BucketVersioningStatus::from_static(match versioning {
            Versioning::Enabled => BucketVersioningStatus::ENABLED,
            Versioning::Suspended => BucketVersioningStatus::SUSPENDED,
        })
    });
    Ok(S3Response::new(GetBucketVersioningOutput { status, ..GetBucketVersioningOutput::default() }))
}
