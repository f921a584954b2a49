//! PutBucketEncryption, GetBucketEncryption and DeleteBucketEncryption.
//!
//! Invariants:
//! - AES256 alone is taken: on AWS it is what every bucket has and nothing can switch off. Here it is kept and shown, and
//!   no answer about an object says that the object is encrypted: that is the disk's business.
//! - Whatever would need keys of somebody's own (KMS, customer keys) is refused.

use std::sync::Arc;

use s3s::dto::{
    DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput,
    PutBucketEncryptionInput, PutBucketEncryptionOutput, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use crate::authorisation::Action;
use crate::door::{self, Caller};
use crate::errors;
use crate::rows::{BucketRow, Encryption};
use crate::service::Service;

fn encryption_of(configuration: &ServerSideEncryptionConfiguration) -> Result<Encryption, S3Error> {
    let [rule] = configuration.rules.as_slice() else { return Err(errors::malformed_xml()) };
    let default = rule.apply_server_side_encryption_by_default.as_ref().ok_or_else(errors::malformed_xml)?;
    match default.sse_algorithm.as_str() {
        ServerSideEncryption::AES256 => {}
        name @ (ServerSideEncryption::AWS_KMS | ServerSideEncryption::AWS_KMS_DSSE) => {
            return Err(errors::not_implemented(&format!("SSEAlgorithm {name}: there is no KMS here")));
        }
        _ => return Err(errors::malformed_xml()),
    }
    if default.kms_master_key_id.is_some() {
        return Err(errors::invalid_argument(
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
        ));
    }
    Ok(Encryption { bucket_key: rule.bucket_key_enabled })
}

/// PutBucketEncryption.
pub(crate) async fn put(
    service: &Arc<Service>,
    mut request: S3Request<PutBucketEncryptionInput>,
) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let encryption = encryption_of(&input.server_side_encryption_configuration);
    let change = move |row: &mut BucketRow| {
        row.encryption = Some(encryption?);
        Ok(())
    };
    service.change_bucket(caller, input.bucket, Action::PUT_ENCRYPTION_CONFIGURATION, change).await?;
    Ok(S3Response::new(PutBucketEncryptionOutput::default()))
}

/// GetBucketEncryption: what was put, and nothing that was not.
pub(crate) async fn get(
    service: &Arc<Service>,
    mut request: S3Request<GetBucketEncryptionInput>,
) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::GET_ENCRYPTION_CONFIGURATION).await?;
    let encryption = row.encryption.ok_or_else(errors::no_encryption)?;
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
            kms_master_key_id: None,
            sse_algorithm: ServerSideEncryption::from_static(ServerSideEncryption::AES256),
        }),
        bucket_key_enabled: Some(encryption.bucket_key.unwrap_or_default()),
    };
    let configuration = ServerSideEncryptionConfiguration { rules: vec![rule] };
    Ok(S3Response::new(GetBucketEncryptionOutput { server_side_encryption_configuration: Some(configuration) }))
}

/// DeleteBucketEncryption.
pub(crate) async fn delete(
    service: &Arc<Service>,
    mut request: S3Request<DeleteBucketEncryptionInput>,
) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
    let caller = Caller::of(&mut request)?;
    let change = |row: &mut BucketRow| {
        row.encryption = None;
        Ok(())
    };
    service.change_bucket(caller, request.input.bucket, Action::PUT_ENCRYPTION_CONFIGURATION, change).await?;
    Ok(door::with_status(DeleteBucketEncryptionOutput::default(), http::StatusCode::NO_CONTENT))
}
