//! GetObjectAcl and PutObjectAcl.

use std::sync::Arc;

use s3s::dto::{GetObjectAclInput, GetObjectAclOutput, PutObjectAclInput, PutObjectAclOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::Target;
use crate::acl::{self, Acl, GrantHeaders};
use crate::authorisation::Action;
use crate::bucket_settings::{check_acl, one_acl};
use crate::door::Caller;
use crate::rows::{BucketRow, ObjectRow};
use crate::service::Service;

/// GetObjectAcl.
pub(crate) async fn get(
    service: &Arc<Service>,
    mut request: S3Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let target = Target::new(input.key, input.version_id.as_deref())?;
    let (object, _) = service.read_object(caller, input.bucket, target, Action::GET_OBJECT_ACL).await?;
    Ok(S3Response::new(GetObjectAclOutput {
        grants: Some(object.acl.to_document()),
        owner: Some(acl::owner(&object.owner)),
        request_charged: None,
    }))
}

/// PutObjectAcl.
pub(crate) async fn put(
    service: &Arc<Service>,
    mut request: S3Request<PutObjectAclInput>,
) -> S3Result<S3Response<PutObjectAclOutput>> {
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
    let change = move |bucket: &BucketRow, row: &mut ObjectRow| {
        let canned = canned.map(|canned| Acl::canned_for_object(canned.as_str(), &row.owner, &bucket.owner));
        let acl = one_acl(canned, &headers, document, &row.owner)?;
        check_acl(bucket, &acl, &row.owner)?;
        row.acl = acl;
        Ok(())
    };
    let target = Target::new(input.key, input.version_id.as_deref())?;
    service.change_object(caller, input.bucket, target, Action::PUT_OBJECT_ACL, change).await?;
    Ok(S3Response::new(PutObjectAclOutput::default()))
}
