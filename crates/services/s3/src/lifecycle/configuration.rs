//! PutBucketLifecycleConfiguration, GetBucketLifecycleConfiguration and DeleteBucketLifecycle.

use std::sync::Arc;

use s3s::dto::{
    DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, GetBucketLifecycleConfigurationInput,
    GetBucketLifecycleConfigurationOutput, PutBucketLifecycleConfigurationInput, PutBucketLifecycleConfigurationOutput,
    TransitionDefaultMinimumObjectSize,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use super::{Lifecycle, rules};
use crate::authorisation::Action;
use crate::checksums;
use crate::door::{self, Caller};
use crate::errors;
use crate::rows::BucketRow;
use crate::service::Service;

/// What AWS takes for a bucket that says nothing.
const ALL_CLASSES: &str = TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K;

fn minimum_of(asked: Option<&TransitionDefaultMinimumObjectSize>) -> Result<Option<String>, S3Error> {
    match asked.map(TransitionDefaultMinimumObjectSize::as_str) {
        None => Ok(None),
        Some(known @ (ALL_CLASSES | TransitionDefaultMinimumObjectSize::VARIES_BY_STORAGE_CLASS)) => {
            Ok(Some(known.to_owned()))
        }
        Some(other) => {
            Err(errors::invalid_request(format!("Invalid TransitionDefaultMinimumObjectSize found: {other}")))
        }
    }
}

fn told(lifecycle: &Lifecycle) -> TransitionDefaultMinimumObjectSize {
    let minimum = lifecycle.transition_minimum.clone();
    minimum.map_or(TransitionDefaultMinimumObjectSize::from_static(ALL_CLASSES), Into::into)
}

/// PutBucketLifecycleConfiguration. The rules hold from the next pass on, for what is there already too.
pub(crate) async fn put(
    service: &Arc<Service>,
    mut request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
    let caller = Caller::of(&mut request)?;
    let input = request.input;
    let rules = input.lifecycle_configuration.map(|configuration| configuration.rules).unwrap_or_default();
    let ids = Arc::clone(&service.ids);
    let lifecycle = rules::read(rules, || checksums::hex(&ids.uuid())).and_then(|rules| {
        let transition_minimum = minimum_of(input.transition_default_minimum_object_size.as_ref())?;
        Ok(Lifecycle { rules, transition_minimum })
    });
    let minimum = lifecycle.as_ref().ok().map(told);
    let change = move |row: &mut BucketRow| {
        row.lifecycle = Some(lifecycle?);
        Ok(())
    };
    service.change_bucket(caller, input.bucket, Action::PUT_LIFECYCLE_CONFIGURATION, change).await?;
    Ok(S3Response::new(PutBucketLifecycleConfigurationOutput { transition_default_minimum_object_size: minimum }))
}

/// GetBucketLifecycleConfiguration.
pub(crate) async fn get(
    service: &Arc<Service>,
    mut request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
    let caller = Caller::of(&mut request)?;
    let row = service.read_bucket(caller, request.input.bucket, Action::GET_LIFECYCLE_CONFIGURATION).await?;
    let lifecycle = row.lifecycle.ok_or_else(errors::no_lifecycle)?;
    let minimum = told(&lifecycle);
    Ok(S3Response::new(GetBucketLifecycleConfigurationOutput {
        rules: Some(lifecycle.rules.into_iter().map(rules::write).collect()),
        transition_default_minimum_object_size: Some(minimum),
    }))
}

/// DeleteBucketLifecycle: nothing expires any more.
pub(crate) async fn delete(
    service: &Arc<Service>,
    mut request: S3Request<DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
    let caller = Caller::of(&mut request)?;
    let change = |row: &mut BucketRow| {
        row.lifecycle = None;
        Ok(())
    };
    service.change_bucket(caller, request.input.bucket, Action::PUT_LIFECYCLE_CONFIGURATION, change).await?;
    Ok(door::with_status(DeleteBucketLifecycleOutput::default(), http::StatusCode::NO_CONTENT))
}
