//! The port by which other services of Millpond keep and read small objects: access logs, templates.
//!
//! Invariant: a service gets nothing that the bucket's policy does not give to its principal.

use std::sync::Arc;

use api::{Call, ObjectStore, PortFuture, PutObject};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use s3s::{S3Error, StdError};

use crate::authorisation::{Action, Question};
use crate::conditions::{ReadHeaders, WriteConditions};
use crate::door::Caller;
use crate::objects::get::Reading;
use crate::objects::put::{Put, replace, still_owned};
use crate::objects::{AclRequest, Target, UPLOAD_BYTES_MAX, authorise_put, owner_and_acl};
use crate::rows::{Description, ObjectRow, Version};
use crate::service::{self, Service, Taken};
use crate::{S3, errors};

/// The canned ACL by which a service hands what it puts to the bucket's owner.
const FOR_THE_OWNER: &str = "bucket-owner-full-control";

impl ObjectStore for S3 {
    fn put<'a>(&'a self, call: &'a Call, object: PutObject) -> PortFuture<'a, ()> {
        Box::pin(async move { put(&self.service, call, object).await.map_err(|error| errors::to_api(&error)) })
    }

    fn get<'a>(&'a self, call: &'a Call, bucket: &'a str, key: &'a str, bytes_max: usize) -> PortFuture<'a, Bytes> {
        Box::pin(async move {
            get(&self.service, call, bucket, key, bytes_max).await.map_err(|error| errors::to_api(&error))
        })
    }
}

async fn put(service: &Arc<Service>, call: &Call, object: PutObject) -> Result<(), S3Error> {
    if object.key.is_empty() || !s3s::path::check_key(&object.key) {
        return Err(errors::key_too_long());
    }
    let caller = Caller::new(call.clone(), ReadHeaders::default());
    let asked = AclRequest { canned: object.canned_acl, ..AclRequest::default() };
    let (name, key) = (object.bucket, object.key);
    let wanted = name.clone();
    let bucket = service.read(move |view| service::bucket(view, &wanted)).await?;
    // Giving the bucket's owner full control of what a service puts takes nothing from anybody: as with AWS's log
    // delivery, policies that allow s3:PutObject alone are enough for it, and may ask for it by s3:x-amz-acl.
    if asked.canned.as_deref() == Some(FOR_THE_OWNER) {
        let question = Question::new(&caller.call, Action::PUT_OBJECT, (&name, &bucket));
        service.authorise(&question.key(&key).with("s3:x-amz-acl", asked.canned.as_deref()))?;
    } else {
        authorise_put(service, &caller, (&name, &bucket), &key, &asked, None)?;
    }
    let (owner, acl) = owner_and_acl(&caller, &bucket, &asked)?;
    let body = futures_util::stream::once(std::future::ready(Ok::<_, StdError>(object.body)));
    let taken = Taken::from(service.blobs.upload(body, None, UPLOAD_BYTES_MAX).await?);
    let row = ObjectRow {
        owner,
        size: taken.size,
        etag: taken.digests.etag(),
        modified_ms: service.now_ms(),
        content: taken.content,
        description: Description { content_type: object.content_type, ..Description::default() },
        checksum: None,
        tags: Vec::new(),
        acl,
        version: Version::default(),
    };
    let (blob, asked) = (taken.blob, Arc::clone(service));
    service
        .write_with(taken.unsettled, move |transaction, freed| {
            let bucket = still_owned(transaction, &name, &bucket.owner)?;
            let put = Put { row, blob, conditions: WriteConditions::default() };
            replace(&asked, transaction, (&name, &bucket), &key, put, freed)?;
            Ok(())
        })
        .await
}

async fn get(service: &Arc<Service>, call: &Call, bucket: &str, key: &str, bytes_max: usize) -> Result<Bytes, S3Error> {
    let reading = Reading {
        caller: Caller::new(call.clone(), ReadHeaders::default()),
        bucket: bucket.to_owned(),
        target: Target::current(key.to_owned()),
        action: Action::GET_OBJECT,
        is_source: false,
        without_bytes: false,
    };
    let found = service.fetch(reading).await?;
    let size = found.object.size;
    if usize::try_from(size).is_ok_and(|size| size > bytes_max) {
        return Err(errors::entity_too_large());
    }
    let mut download = found.download(service, &(0..size));
    let mut bytes = BytesMut::new();
    while let Some(chunk) = download.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| errors::internal("disk", error.as_ref()))?);
    }
    Ok(bytes.freeze())
}
