//! May this caller do that? The one place that decides.
//!
//! Invariants, in this order:
//! 1. A `Deny` in the bucket policy wins over everything, even for the bucket's owner; only managing the policy itself
//!    stays open to the owner, so that nobody locks himself out for good.
//! 2. The bucket's owner may do everything, but for objects that belong to another account: what those open, their
//!    ACL says.
//! 3. An `Allow` in the bucket policy holds, for objects that the bucket's owner owns; a public policy opens nothing
//!    to others while `RestrictPublicBuckets` is on.
//! 4. ACLs hold unless ownership is `BucketOwnerEnforced`; their public grants count for nothing while
//!    `IgnorePublicAcls` is on.
//! 5. Otherwise no.
//!
//! A role's session stands for its account in all this if its role's own policies allow the action; if they don't, only
//! a statement of the bucket policy that names the role (or everyone) lets it in, and if they deny it, nothing does.
//!
//! Every decision that a policy statement made against the caller is logged with that statement; those about visitors
//! of websites at `debug`, all others at `info`.

use std::net::IpAddr;

use api::{Call, Principal, Verdict as OfRole};
use s3s::S3Error;

use crate::acl::{self, Asker, Permission};
use crate::errors;
use crate::policy::Verdict;
use crate::rows::{BucketRow, ObjectRow, Ownership};
use crate::service::Service;

/// Which ACL grants an action, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grants {
    /// None: policies only.
    Nothing,
    /// The bucket's.
    Bucket(Permission),
    /// The object's.
    Object(Permission),
}

/// An action of IAM, `s3:GetObject`, and how ACLs grant it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Action {
    pub(crate) name: &'static str,
    grants: Grants,
}

macro_rules! actions {
    ($($constant:ident = $name:literal, $grants:expr;)*) => {
        impl Action { $(pub(crate) const $constant: Self = Self { name: concat!("s3:", $name), grants: $grants };)* }
    };
}

actions! {
    ABORT_MULTIPART_UPLOAD = "AbortMultipartUpload", Grants::Nothing;
    DELETE_BUCKET = "DeleteBucket", Grants::Nothing;
    DELETE_BUCKET_POLICY = "DeleteBucketPolicy", Grants::Nothing;
    DELETE_BUCKET_WEBSITE = "DeleteBucketWebsite", Grants::Nothing;
    DELETE_OBJECT = "DeleteObject", Grants::Bucket(Permission::Write);
    DELETE_OBJECT_TAGGING = "DeleteObjectTagging", Grants::Nothing;
    GET_BUCKET_ACL = "GetBucketAcl", Grants::Bucket(Permission::ReadAcp);
    GET_BUCKET_LOCATION = "GetBucketLocation", Grants::Nothing;
    GET_BUCKET_OWNERSHIP_CONTROLS = "GetBucketOwnershipControls", Grants::Nothing;
    GET_BUCKET_POLICY = "GetBucketPolicy", Grants::Nothing;
    GET_BUCKET_POLICY_STATUS = "GetBucketPolicyStatus", Grants::Nothing;
    GET_BUCKET_PUBLIC_ACCESS_BLOCK = "GetBucketPublicAccessBlock", Grants::Nothing;
    GET_BUCKET_TAGGING = "GetBucketTagging", Grants::Nothing;
    GET_BUCKET_VERSIONING = "GetBucketVersioning", Grants::Nothing;
    GET_BUCKET_WEBSITE = "GetBucketWebsite", Grants::Nothing;
    GET_ENCRYPTION_CONFIGURATION = "GetEncryptionConfiguration", Grants::Nothing;
    GET_LIFECYCLE_CONFIGURATION = "GetLifecycleConfiguration", Grants::Nothing;
    GET_OBJECT = "GetObject", Grants::Object(Permission::Read);
    GET_OBJECT_ACL = "GetObjectAcl", Grants::Object(Permission::ReadAcp);
    GET_OBJECT_ATTRIBUTES = "GetObjectAttributes", Grants::Nothing;
    GET_OBJECT_TAGGING = "GetObjectTagging", Grants::Nothing;
    LIST_BUCKET = "ListBucket", Grants::Bucket(Permission::Read);
    LIST_BUCKET_VERSIONS = "ListBucketVersions", Grants::Bucket(Permission::Read);
    LIST_BUCKET_MULTIPART_UPLOADS = "ListBucketMultipartUploads", Grants::Bucket(Permission::Read);
    LIST_MULTIPART_UPLOAD_PARTS = "ListMultipartUploadParts", Grants::Nothing;
    PUT_BUCKET_ACL = "PutBucketAcl", Grants::Bucket(Permission::WriteAcp);
    PUT_BUCKET_OWNERSHIP_CONTROLS = "PutBucketOwnershipControls", Grants::Nothing;
    PUT_BUCKET_POLICY = "PutBucketPolicy", Grants::Nothing;
    PUT_BUCKET_PUBLIC_ACCESS_BLOCK = "PutBucketPublicAccessBlock", Grants::Nothing;
    PUT_BUCKET_TAGGING = "PutBucketTagging", Grants::Nothing;
    PUT_BUCKET_VERSIONING = "PutBucketVersioning", Grants::Nothing;
    PUT_BUCKET_WEBSITE = "PutBucketWebsite", Grants::Nothing;
    PUT_ENCRYPTION_CONFIGURATION = "PutEncryptionConfiguration", Grants::Nothing;
    PUT_LIFECYCLE_CONFIGURATION = "PutLifecycleConfiguration", Grants::Nothing;
    PUT_OBJECT = "PutObject", Grants::Bucket(Permission::Write);
    PUT_OBJECT_ACL = "PutObjectAcl", Grants::Object(Permission::WriteAcp);
    PUT_OBJECT_TAGGING = "PutObjectTagging", Grants::Nothing;
    // The same actions where they come along with an upload: who may write the object may say how.
    PUT_NEW_OBJECT_ACL = "PutObjectAcl", Grants::Bucket(Permission::Write);
    PUT_NEW_OBJECT_TAGGING = "PutObjectTagging", Grants::Bucket(Permission::Write);
}

/// Actions of objects, and what they are called of a version that a request names.
const OF_VERSIONS: [(&str, &str); 8] = [
    ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    ("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"),
    ("s3:GetObject", "s3:GetObjectVersion"),
    ("s3:GetObjectAcl", "s3:GetObjectVersionAcl"),
    ("s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"),
    ("s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
    ("s3:PutObjectAcl", "s3:PutObjectVersionAcl"),
    ("s3:PutObjectTagging", "s3:PutObjectVersionTagging"),
];

impl Action {
    /// The same action on a version that a request names.
    pub(crate) fn of_version(self) -> Self {
        let name = OF_VERSIONS.iter().find(|(name, _)| *name == self.name).map_or(self.name, |(_, versions)| *versions);
        // A bucket's WRITE lets others hide what is there, never destroy it.
        let grants = if self.name == Self::DELETE_OBJECT.name { Grants::Nothing } else { self.grants };
        Self { name, grants }
    }

    /// What stays open to the bucket's owner whatever the policy denies.
    fn manages_the_policy(self) -> bool {
        ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"].contains(&self.name)
    }

    /// Whether it reads or changes an existing object, and so asks that object's owner.
    fn asks_the_objects_owner(self) -> bool {
        const OTHERS: [Action; 4] = [
            Action::GET_OBJECT_TAGGING,
            Action::PUT_OBJECT_TAGGING,
            Action::GET_OBJECT_ATTRIBUTES,
            Action::DELETE_OBJECT_TAGGING,
        ];
        matches!(self.grants, Grants::Object(_))
            || OTHERS.iter().any(|other| self.name == other.name || self.name == other.of_version().name)
    }
}

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) call: &'a Call,
    pub(crate) action: Action,
    /// The bucket's name and row.
    pub(crate) bucket: (&'a str, &'a BucketRow),
    pub(crate) key: Option<&'a str>,
    /// The object that stands under the key, where the action is about that.
    pub(crate) object: Option<&'a ObjectRow>,
    /// Condition keys beside those that follow from the call, `("s3:prefix", "photos/")`.
    pub(crate) context: Vec<(String, String)>,
    /// Whether it is a visit to a website, whose denials are everyday: browsers ask for icons that nobody made.
    pub(crate) is_visit: bool,
}

impl<'a> Question<'a> {
    pub(crate) fn new(call: &'a Call, action: Action, bucket: (&'a str, &'a BucketRow)) -> Self {
        Self { call, action, bucket, key: None, object: None, context: Vec::new(), is_visit: false }
    }

    pub(crate) fn key(self, key: &'a str) -> Self {
        Self { key: Some(key), ..self }
    }

    pub(crate) fn object(self, object: Option<&'a ObjectRow>) -> Self {
        Self { object, ..self }
    }

    pub(crate) fn visit(self, is_visit: bool) -> Self {
        Self { is_visit, ..self }
    }

    pub(crate) fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.context.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    /// The ARN of what is asked about.
    pub(crate) fn resource(&self) -> String {
        match self.key {
            Some(key) => format!("arn:aws:s3:::{}/{key}", self.bucket.0),
            None => format!("arn:aws:s3:::{}", self.bucket.0),
        }
    }

    /// Condition keys that follow from the call and the object, and those given. Time and principal are not among
    /// them: the policy language knows those itself.
    pub(crate) fn condition_keys(&self) -> Vec<(String, String)> {
        let call = self.call;
        let mut keys = self.context.clone();
        let mut add = |name: &str, value: String| keys.push((name.to_owned(), value));
        add("aws:SourceIp", plain_address(call.source_ip));
        add("aws:SecureTransport", (call.endpoint.scheme == "https").to_string());
        add("aws:RequestedRegion", call.region.as_str().to_owned());
        if let Some(agent) = &call.user_agent {
            add("aws:UserAgent", agent.to_string());
        }
        if let Some(referer) = &call.referer {
            add("aws:Referer", referer.to_string());
        }
        for tag in self.object.into_iter().flat_map(|object| &object.tags) {
            add(&format!("s3:ExistingObjectTag/{}", tag.key), tag.value.clone());
        }
        keys
    }
}

/// `::ffff:10.0.0.1` as `10.0.0.1`, as policies write it.
fn plain_address(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

impl Service {
    /// `AccessDenied` unless the question's answer is yes.
    pub(crate) fn authorise(&self, question: &Question<'_>) -> Result<(), S3Error> {
        if self.allowed(question) { Ok(()) } else { Err(errors::access_denied()) }
    }

    /// Whether the caller may.
    pub(crate) fn allowed(&self, question: &Question<'_>) -> bool {
        let (name, bucket) = question.bucket;
        let of_role = role_says(question);
        let by_account = of_role != Some(OfRole::NotAllowed);
        let verdict = self.policies.evaluate(name, bucket.policy.as_deref(), question, by_account, self.now_ms());
        let allowed = match of_role {
            Some(OfRole::Denied) => false,
            Some(OfRole::NotAllowed) => verdict.is_allow() && question.call.account().as_str() == bucket.owner,
            Some(OfRole::Allowed) | None => self.decide(question, &verdict),
        };
        if !allowed {
            log_denial(question, &verdict);
        }
        allowed
    }

    /// Whether a policy says no.
    pub(crate) fn denies(&self, question: &Question<'_>) -> bool {
        let (name, bucket) = question.bucket;
        role_says(question) == Some(OfRole::Denied)
            || self.policies.evaluate(name, bucket.policy.as_deref(), question, true, self.now_ms()).is_deny()
    }

    fn decide(&self, question: &Question<'_>, verdict: &Verdict) -> bool {
        let bucket = question.bucket.1;
        let call = question.call;
        let is_account = call.identity.is_of_account();
        let owns_bucket = is_account && call.account().as_str() == bucket.owner;
        if verdict.is_deny() {
            return owns_bucket && question.action.manages_the_policy();
        }
        let foreign_object = question.action.asks_the_objects_owner()
            && bucket.ownership != Some(Ownership::BucketOwnerEnforced)
            && question.object.is_some_and(|object| object.owner != bucket.owner);
        if owns_bucket && !foreign_object {
            return true;
        }
        if foreign_object && is_account && question.object.is_some_and(|object| object.owner == call.account().as_str())
        {
            return true;
        }
        let block = bucket.public_access_block.unwrap_or_default();
        let is_service = matches!(call.identity.principal, Principal::Service { .. });
        let shut_out = block.restrict_public_buckets && verdict.policy_is_public() && !is_service;
        if verdict.is_allow() && !foreign_object && !shut_out {
            return true;
        }
        acls_count(bucket) && granted(question, is_account, !block.ignore_public_acls)
    }
}

/// What the policies of the caller's role say; `None` if it is no role's session.
fn role_says(question: &Question<'_>) -> Option<OfRole> {
    let session = question.call.identity.session()?;
    let owner = question.bucket.1.owner.clone();
    let keys = question.condition_keys();
    let mut context: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    context.extend([("aws:ResourceAccount", owner.clone()), ("s3:ResourceAccount", owner)]);
    let resource = question.resource();
    let asked = api::Question::new(question.call, question.action.name, &resource);
    Some(session.decide(&api::Question { context: &context, ..asked }))
}

fn log_denial(question: &Question<'_>, verdict: &Verdict) {
    /// The level of an event is fixed where it stands.
    macro_rules! denied {
        ($level:ident) => {
            tracing::$level!(
                request_id = %question.call.request_id,
                action = question.action.name,
                resource = question.resource(),
                decided_by = verdict.explanation(),
                "access denied"
            )
        };
    }
    if question.is_visit { denied!(debug) } else { denied!(info) }
}

fn granted(question: &Question<'_>, is_account: bool, public_counts: bool) -> bool {
    let id = is_account.then(|| acl::id_of(question.call.account()));
    let asker = Asker { canonical_id: id.as_deref(), public_counts };
    match question.action.grants {
        Grants::Nothing => false,
        Grants::Bucket(permission) => question.bucket.1.acl.allows(asker, permission),
        Grants::Object(permission) => question.object.is_some_and(|object| object.acl.allows(asker, permission)),
    }
}

/// Whether ACLs have any effect in this bucket.
pub(crate) fn acls_count(bucket: &BucketRow) -> bool {
    bucket.ownership != Some(Ownership::BucketOwnerEnforced)
}
