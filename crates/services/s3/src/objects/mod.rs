//! Objects: what all that put, get, copy and delete them share.
//!
//! Invariants:
//! - A row is committed with its reference to bytes that are already durable, in the transaction that drops the
//!   object it replaces.
//! - A key that is missing is `NoSuchKey` only to those who may list the bucket; to others it is `AccessDenied`.

pub(crate) mod acls;
pub(crate) mod attributes;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod put;

use std::sync::Arc;

use api::Principal;
use s3s::S3Error;
use s3s::dto::{StorageClass, Timestamp};
use store::View;

use crate::acl::{Acl, GrantHeaders};
use crate::authorisation::{Action, Question};
use crate::bucket_settings::check_acl;
use crate::conditions::{Validators, seconds};
use crate::door::Caller;
use crate::errors::{self, Failure};
use crate::rows::{BucketRow, Description, ObjectRow, Ownership, Standing};
use crate::service::{self, Service, timestamp};
use crate::versions::{self, Place, VersionId};

/// AWS: user metadata is at most 2 KB, names and values together.
const METADATA_BYTES_MAX: usize = 2 * 1024;
/// AWS: a single PUT or part is at most 5 GiB.
pub(crate) const UPLOAD_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// What S3 calls bytes of which nobody said what they are.
pub(crate) const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// The members that PutObject, CopyObject and CreateMultipartUpload have in common, as a [`Description`].
macro_rules! description {
    ($input:ident) => {
        $crate::objects::checked_description($crate::rows::Description {
            content_type: $input.content_type.take(),
            cache_control: $input.cache_control.take(),
            content_disposition: $input.content_disposition.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            expires_s: $input.expires.take().map($crate::conditions::seconds),
            metadata: $input.metadata.take().into_iter().flatten().collect(),
            website_redirect_location: $input.website_redirect_location.take(),
            storage_class: $crate::objects::storage_class($input.storage_class.as_ref())?,
        })
    };
}
pub(crate) use description;

/// The ACL members that they have in common.
macro_rules! acl_request {
    ($input:ident) => {
        $crate::objects::AclRequest {
            canned: $input.acl.take().map(|acl| acl.as_str().to_owned()),
            headers: $crate::acl::GrantHeaders {
                full_control: $input.grant_full_control.take(),
                read: $input.grant_read.take(),
                read_acp: $input.grant_read_acp.take(),
                write: None,
                write_acp: $input.grant_write_acp.take(),
            },
        }
    };
}
pub(crate) use acl_request;

/// Holds metadata and redirect against their limits.
pub(crate) fn checked_description(mut description: Description) -> Result<Description, S3Error> {
    let bytes: usize = description.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        return Err(errors::metadata_too_large());
    }
    if let Some(to) = &description.website_redirect_location
        && !["/", "http://", "https://"].iter().any(|start| to.starts_with(start))
    {
        return Err(errors::custom(
            "InvalidRedirectLocation",
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
        ));
    }
    // A transfer's own encoding is no property of the object.
    description.content_encoding = description.content_encoding.and_then(|encodings| {
        let kept: Vec<&str> =
            encodings.split(',').map(str::trim).filter(|e| !e.is_empty() && *e != "aws-chunked").collect();
        (!kept.is_empty()).then(|| kept.join(","))
    });
    Ok(description)
}

/// The storage classes that differ from STANDARD in price only are kept by name; those from which objects must be
/// restored first are refused.
pub(crate) fn storage_class(class: Option<&StorageClass>) -> Result<Option<String>, S3Error> {
    match class.map(StorageClass::as_str) {
        None | Some(StorageClass::STANDARD) => Ok(None),
        Some(
            name @ (StorageClass::STANDARD_IA
            | StorageClass::ONEZONE_IA
            | StorageClass::REDUCED_REDUNDANCY
            | StorageClass::INTELLIGENT_TIERING
            | StorageClass::GLACIER_IR),
        ) => Ok(Some(name.to_owned())),
        Some(
            name @ (StorageClass::GLACIER
            | StorageClass::DEEP_ARCHIVE
            | StorageClass::OUTPOSTS
            | StorageClass::SNOW
            | StorageClass::EXPRESS_ONEZONE),
        ) => Err(errors::not_implemented(&format!("the storage class {name}"))),
        Some(_) => Err(errors::invalid_storage_class()),
    }
}

/// How a request says the ACL of an object that it makes.
#[derive(Clone, Debug, Default)]
pub(crate) struct AclRequest {
    pub(crate) canned: Option<String>,
    pub(crate) headers: GrantHeaders,
}

impl AclRequest {
    pub(crate) fn is_given(&self) -> bool {
        self.canned.is_some() || !self.headers.is_empty()
    }
}

/// The owner and the ACL of an object that `caller` makes in `bucket`.
pub(crate) fn owner_and_acl(caller: &Caller, bucket: &BucketRow, asked: &AclRequest) -> Result<(String, Acl), S3Error> {
    // Nobody and services have no account to own anything.
    let writer = match caller.call.identity.principal {
        Principal::Account { .. } | Principal::Session(_) => caller.call.account().as_str(),
        Principal::Anonymous | Principal::Service { .. } => bucket.owner.as_str(),
    };
    let of_writer = asked_acl(asked, writer, bucket)?;
    let owner = match bucket.ownership {
        Some(Ownership::BucketOwnerEnforced) => bucket.owner.as_str(),
        Some(Ownership::BucketOwnerPreferred) if of_writer.gives_full_control(&bucket.owner) => bucket.owner.as_str(),
        _ => writer,
    };
    let acl = if owner == writer { of_writer } else { Acl::private(owner) };
    check_acl(bucket, &acl, owner)?;
    if owner != writer && bucket.ownership == Some(Ownership::BucketOwnerEnforced) {
        // The writer's own wish is judged too: only what changes nothing may be asked for.
        check_acl(bucket, &asked_acl(asked, writer, bucket)?, writer)?;
    }
    Ok((owner.to_owned(), acl))
}

fn asked_acl(asked: &AclRequest, owner: &str, bucket: &BucketRow) -> Result<Acl, S3Error> {
    match (&asked.canned, asked.headers.is_empty()) {
        (Some(_), false) => {
            Err(errors::invalid_request("Specifying both Canned ACLs and Header Grants is not allowed"))
        }
        (Some(canned), true) => Acl::canned_for_object(canned, owner, &bucket.owner),
        (None, false) => Acl::from_headers(&asked.headers),
        (None, true) => Ok(Acl::private(owner)),
    }
}

/// Asks whether `caller` may put `key`, with the ACL and tags that come along.
pub(crate) fn authorise_put(
    service: &Service,
    caller: &Caller,
    bucket: (&str, &BucketRow),
    key: &str,
    acl: &AclRequest,
    tagging: Option<&str>,
) -> Result<(), S3Error> {
    caller.check_owner(&bucket.1.owner)?;
    let ask = |action| {
        let canned = acl.canned.as_deref();
        service.authorise(&Question::new(&caller.call, action, bucket).key(key).with("s3:x-amz-acl", canned))
    };
    ask(Action::PUT_OBJECT)?;
    if acl.is_given() {
        ask(Action::PUT_NEW_OBJECT_ACL)?;
    }
    if tagging.is_some_and(|tags| !tags.is_empty()) {
        ask(Action::PUT_NEW_OBJECT_TAGGING)?;
    }
    Ok(())
}

/// Which object of a bucket: its key and, where the request names one, its version.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) key: String,
    pub(crate) version: Option<VersionId>,
}

impl Target {
    /// With the version as `versionId` names it.
    pub(crate) fn new(key: String, version: Option<&str>) -> Result<Self, S3Error> {
        let parse = |text| VersionId::parse(text).ok_or_else(errors::invalid_version_id);
        Ok(Self { key, version: version.map(parse).transpose()? })
    }

    /// Whatever version is current.
    pub(crate) fn current(key: String) -> Self {
        Self { key, version: None }
    }
}

/// The object that `target` names, for a caller who may `action` it.
pub(crate) fn find(
    service: &Service,
    view: &View<'_>,
    caller: &Caller,
    bucket: (&str, &BucketRow),
    target: &Target,
    action: Action,
) -> Result<ObjectRow, Failure> {
    let Target { key, version } = target;
    let place = Place::new(bucket, key);
    let standing = match version {
        Some(version) => versions::find(view, place, version)?,
        None => versions::current(view, place)?,
    };
    let ask = |action| Question::new(&caller.call, action, bucket).visit(caller.is_visitor);
    let action = match version {
        Some(version) => ask(action.of_version()).key(key).with("s3:VersionId", Some(version.as_str())),
        None => ask(action).key(key),
    };
    match standing {
        Some(Standing::Object(object)) => {
            service.authorise(&action.object(Some(&object)))?;
            Ok(*object)
        }
        Some(Standing::DeleteMarker(marker)) if version.is_some() => {
            service.authorise(&action)?;
            let modified = get::http_date(&timestamp(marker.modified_ms));
            Err(errors::of_delete_marker(errors::method_not_allowed(), marker.version.name(), modified).into())
        }
        standing => {
            // Whether a key exists is told only to those who could list it.
            service.authorise(&ask(Action::LIST_BUCKET).with("s3:prefix", Some(key)))?;
            let missing = if version.is_some() { errors::no_such_version() } else { errors::no_such_key() };
            let error = match standing {
                Some(marker) => errors::of_delete_marker(missing, marker.version().name(), None),
                None => missing,
            };
            Err(error.into())
        }
    }
}

impl Service {
    /// An object's row, for a caller who may `action` it; and the version id to tell.
    pub(crate) async fn read_object(
        self: &Arc<Self>,
        caller: Caller,
        bucket: String,
        target: Target,
        action: Action,
    ) -> Result<(ObjectRow, Option<String>), S3Error> {
        let service = Arc::clone(self);
        self.read(move |view| {
            let row = service::bucket(view, &bucket)?;
            caller.check_owner(&row.owner)?;
            let object = find(&service, view, &caller, (&bucket, &row), &target, action)?;
            let told = versions::told(&row, &object.version);
            Ok((object, told))
        })
        .await
    }

    /// Changes an object's row, for a caller who may `action` it; the version id to tell.
    pub(crate) async fn change_object<F>(
        self: &Arc<Self>,
        caller: Caller,
        bucket: String,
        target: Target,
        action: Action,
        change: F,
    ) -> Result<Option<String>, S3Error>
    where
        F: FnOnce(&BucketRow, &mut ObjectRow) -> Result<(), S3Error> + Send + 'static,
    {
        let service = Arc::clone(self);
        self.write(move |transaction, _| {
            let row = service::bucket(transaction, &bucket)?;
            caller.check_owner(&row.owner)?;
            let mut object = find(&service, transaction, &caller, (&bucket, &row), &target, action)?;
            change(&row, &mut object)?;
            let told = versions::told(&row, &object.version);
            versions::rewrite(transaction, Place::new((&bucket, &row), &target.key), object)?;
            Ok(told)
        })
        .await
    }
}

impl ObjectRow {
    /// What conditions are held against.
    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators { etag: &self.etag, modified_s: i64::try_from(self.modified_ms / 1000).unwrap_or(i64::MAX) }
    }
}

impl Description {
    /// `Expires` as `s3s` takes it.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        let at = time::OffsetDateTime::from_unix_timestamp(self.expires_s?).ok()?;
        debug_assert_eq!(Some(seconds(at.into())), self.expires_s);
        Some(at.into())
    }

    /// The content type, or S3's default.
    pub(crate) fn content_type(&self) -> String {
        self.content_type.clone().unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned())
    }
}
