//! Access control lists: who was granted what on one bucket or object.
//!
//! Invariants:
//! - An ACL is a list of grants; the canned ones are written out when they are set.
//! - Accounts stand in it by their canonical user id, groups by AWS's URI.
//!
//! Knows nothing of policies, nor whether ACLs are switched off: `authorisation` does.

use api::AccountId;
use s3s::crypto::{Checksum as _, Sha256};
use s3s::{S3Error, dto};
use serde::{Deserialize, Serialize};

use crate::{checksums, errors};

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED_USERS: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";
/// AWS: an ACL holds at most 100 grants.
const GRANTS_MAX: usize = 100;

/// What may be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Permission {
    #[serde(rename = "READ")]
    Read,
    #[serde(rename = "WRITE")]
    Write,
    #[serde(rename = "READ_ACP")]
    ReadAcp,
    #[serde(rename = "WRITE_ACP")]
    WriteAcp,
    #[serde(rename = "FULL_CONTROL")]
    FullControl,
}

impl Permission {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::ReadAcp => "READ_ACP",
            Self::WriteAcp => "WRITE_ACP",
            Self::FullControl => "FULL_CONTROL",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::ReadAcp, Self::WriteAcp, Self::FullControl]
            .into_iter()
            .find(|p| p.name() == name)
    }
}

/// Whom it may be granted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Grantee {
    /// An account, by its canonical user id.
    Account(String),
    /// Everyone, signed or not.
    AllUsers,
    /// Everyone who signs.
    AuthenticatedUsers,
    /// S3's own log delivery.
    LogDelivery,
}

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) grantee: Grantee,
    pub(crate) permission: Permission,
}

/// An access control list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acl {
    pub(crate) grants: Vec<Grant>,
}

/// Who asks, as an ACL sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    /// The canonical user id of one who signed.
    pub(crate) canonical_id: Option<&'a str>,
    /// Whether grants to everyone count (`IgnorePublicAcls` says no).
    pub(crate) public_counts: bool,
}

/// The canonical user id of an account: 64 hexadecimal digits that follow from the account id.
pub(crate) fn canonical_id(account: &str) -> String {
    checksums::hex(&Sha256::checksum(format!("canonical user id of {account}").as_bytes()))
}

/// The grant headers of a request, `x-amz-grant-*`.
#[derive(Clone, Debug, Default)]
pub(crate) struct GrantHeaders {
    pub(crate) full_control: Option<String>,
    pub(crate) read: Option<String>,
    pub(crate) read_acp: Option<String>,
    pub(crate) write: Option<String>,
    pub(crate) write_acp: Option<String>,
}

impl GrantHeaders {
    fn each(&self) -> [(Permission, Option<&str>); 5] {
        [
            (Permission::FullControl, self.full_control.as_deref()),
            (Permission::Read, self.read.as_deref()),
            (Permission::ReadAcp, self.read_acp.as_deref()),
            (Permission::Write, self.write.as_deref()),
            (Permission::WriteAcp, self.write_acp.as_deref()),
        ]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.each().iter().all(|(_, header)| header.is_none())
    }
}

impl Acl {
    /// The owner's full control and nothing else.
    pub(crate) fn private(owner: &str) -> Self {
        Self::of(owner, [])
    }

    fn of(owner: &str, more: impl IntoIterator<Item = (Grantee, Permission)>) -> Self {
        let own = (Grantee::Account(canonical_id(owner)), Permission::FullControl);
        let grants = std::iter::once(own).chain(more).map(|(grantee, permission)| Grant { grantee, permission });
        Self { grants: grants.collect() }
    }

    /// A bucket's canned ACL.
    pub(crate) fn canned_for_bucket(name: &str, owner: &str) -> Result<Self, S3Error> {
        match name {
            "log-delivery-write" => Ok(Self::of(
                owner,
                [(Grantee::LogDelivery, Permission::Write), (Grantee::LogDelivery, Permission::ReadAcp)],
            )),
            "bucket-owner-read" | "bucket-owner-full-control" => Ok(Self::private(owner)),
            _ => Self::canned(name, owner),
        }
    }

    /// An object's canned ACL.
    pub(crate) fn canned_for_object(name: &str, owner: &str, bucket_owner: &str) -> Result<Self, S3Error> {
        let to_bucket_owner = |permission| {
            if owner == bucket_owner {
                return Self::private(owner);
            }
            Self::of(owner, [(Grantee::Account(canonical_id(bucket_owner)), permission)])
        };
        match name {
            "bucket-owner-read" => Ok(to_bucket_owner(Permission::Read)),
            "bucket-owner-full-control" => Ok(to_bucket_owner(Permission::FullControl)),
            _ => Self::canned(name, owner),
        }
    }

    fn canned(name: &str, owner: &str) -> Result<Self, S3Error> {
        use {Grantee::AllUsers, Grantee::AuthenticatedUsers, Permission::Read, Permission::Write};
        match name {
            "private" => Ok(Self::private(owner)),
            "public-read" => Ok(Self::of(owner, [(AllUsers, Read)])),
            "public-read-write" => Ok(Self::of(owner, [(AllUsers, Read), (AllUsers, Write)])),
            "authenticated-read" => Ok(Self::of(owner, [(AuthenticatedUsers, Read)])),
            "aws-exec-read" => Err(errors::not_implemented("the canned ACL aws-exec-read")),
            _ => Err(errors::invalid_argument("The canned ACL that you specified is not valid.")),
        }
    }

    /// The ACL that grant headers write out: exactly these grants.
    pub(crate) fn from_headers(headers: &GrantHeaders) -> Result<Self, S3Error> {
        let mut grants = Vec::new();
        for (permission, header) in headers.each() {
            for grantee in header.into_iter().flat_map(|text| text.split(',')) {
                grants.push(Grant { grantee: grantee_of_header(grantee.trim())?, permission });
            }
        }
        Self::bounded(grants)
    }

    /// The ACL in an `AccessControlPolicy` document, whose owner must stay the one it has.
    pub(crate) fn from_document(document: dto::AccessControlPolicy, owner: &str) -> Result<Self, S3Error> {
        let named = document.owner.and_then(|owner| owner.id);
        if named.is_some_and(|id| id != canonical_id(owner)) {
            return Err(errors::access_denied());
        }
        let grants = document.grants.unwrap_or_default().into_iter().map(grant_of_document);
        Self::bounded(grants.collect::<Result<_, _>>()?)
    }

    fn bounded(grants: Vec<Grant>) -> Result<Self, S3Error> {
        if grants.len() > GRANTS_MAX {
            return Err(errors::invalid_request("An ACL can have at most 100 grants."));
        }
        Ok(Self { grants })
    }

    /// Whether the list grants `permission` to the asker.
    pub(crate) fn allows(&self, asker: Asker<'_>, permission: Permission) -> bool {
        self.grants.iter().any(|grant| {
            let given = grant.permission == permission || grant.permission == Permission::FullControl;
            given
                && match &grant.grantee {
                    Grantee::Account(id) => asker.canonical_id == Some(id.as_str()),
                    Grantee::AllUsers => asker.public_counts,
                    Grantee::AuthenticatedUsers => asker.public_counts && asker.canonical_id.is_some(),
                    Grantee::LogDelivery => false,
                }
        })
    }

    /// Whether it grants anything to everyone, or to everyone who signs.
    pub(crate) fn is_public(&self) -> bool {
        self.grants.iter().any(|grant| matches!(grant.grantee, Grantee::AllUsers | Grantee::AuthenticatedUsers))
    }

    /// Whether it grants nothing but the owner's full control, and the bucket owner's at most.
    pub(crate) fn is_owners_only(&self, owner: &str, bucket_owner: &str) -> bool {
        let own = [canonical_id(owner), canonical_id(bucket_owner)];
        self.grants.iter().all(|grant| {
            grant.permission == Permission::FullControl
                && matches!(&grant.grantee, Grantee::Account(id) if own.contains(id))
        })
    }

    /// Whether it gives an account full control.
    pub(crate) fn gives_full_control(&self, account: &str) -> bool {
        let id = canonical_id(account);
        self.grants.iter().any(|grant| {
            grant.permission == Permission::FullControl && matches!(&grant.grantee, Grantee::Account(to) if *to == id)
        })
    }

    /// The grants as the XML shows them.
    pub(crate) fn to_document(&self) -> Vec<dto::Grant> {
        self.grants
            .iter()
            .map(|grant| dto::Grant {
                grantee: Some(grantee_to_document(&grant.grantee)),
                permission: Some(dto::Permission::from_static(grant.permission.name())),
            })
            .collect()
    }
}

/// An account as `Owner` in XML.
pub(crate) fn owner(account: &str) -> dto::Owner {
    dto::Owner { display_name: None, id: Some(canonical_id(account)) }
}

/// An account as its ACL name, if it signed.
pub(crate) fn id_of(account: &AccountId) -> String {
    canonical_id(account.as_str())
}

fn group(uri: &str) -> Result<Grantee, S3Error> {
    match uri {
        ALL_USERS => Ok(Grantee::AllUsers),
        AUTHENTICATED_USERS => Ok(Grantee::AuthenticatedUsers),
        LOG_DELIVERY => Ok(Grantee::LogDelivery),
        _ => Err(errors::invalid_argument("Invalid group uri")),
    }
}

fn account(id: &str) -> Result<Grantee, S3Error> {
    if id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(Grantee::Account(id.to_ascii_lowercase()))
    } else {
        Err(errors::invalid_argument("Invalid id"))
    }
}

/// `id="…"`, `uri="…"`; e-mail addresses name nobody here.
fn grantee_of_header(text: &str) -> Result<Grantee, S3Error> {
    let (kind, value) =
        text.split_once('=').ok_or_else(|| errors::invalid_argument("Argument format not recognized"))?;
    let value = value.trim().trim_matches('"');
    match kind.trim() {
        "id" => account(value),
        "uri" => group(value),
        "emailAddress" => Err(no_such_address()),
        _ => Err(errors::invalid_argument("Argument format not recognized")),
    }
}

fn no_such_address() -> S3Error {
    errors::error(
        s3s::S3ErrorCode::UnresolvableGrantByEmailAddress,
        "The email address you provided does not match any account on record.",
    )
}

fn grant_of_document(grant: dto::Grant) -> Result<Grant, S3Error> {
    let malformed = || {
        errors::error(
            s3s::S3ErrorCode::MalformedACLError,
            "The XML you provided was not well-formed or did not validate against our published schema",
        )
    };
    let grantee = grant.grantee.ok_or_else(malformed)?;
    let permission = grant.permission.and_then(|p| Permission::parse(p.as_str())).ok_or_else(malformed)?;
    let grantee = match grantee.type_.as_str() {
        dto::Type::CANONICAL_USER => account(grantee.id.as_deref().ok_or_else(malformed)?)?,
        dto::Type::GROUP => group(grantee.uri.as_deref().ok_or_else(malformed)?)?,
        dto::Type::AMAZON_CUSTOMER_BY_EMAIL => return Err(no_such_address()),
        _ => return Err(malformed()),
    };
    Ok(Grant { grantee, permission })
}

fn grantee_to_document(grantee: &Grantee) -> dto::Grantee {
    let named = |id: Option<String>, uri: Option<&str>, kind: &'static str| dto::Grantee {
        display_name: None,
        email_address: None,
        id,
        type_: dto::Type::from_static(kind),
        uri: uri.map(str::to_owned),
    };
    match grantee {
        Grantee::Account(id) => named(Some(id.clone()), None, dto::Type::CANONICAL_USER),
        Grantee::AllUsers => named(None, Some(ALL_USERS), dto::Type::GROUP),
        Grantee::AuthenticatedUsers => named(None, Some(AUTHENTICATED_USERS), dto::Type::GROUP),
        Grantee::LogDelivery => named(None, Some(LOG_DELIVERY), dto::Type::GROUP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &str = "111111111111";
    const OTHER: &str = "222222222222";

    fn asks(acl: &Acl, account: Option<&str>, permission: Permission) -> bool {
        let id = account.map(canonical_id);
        acl.allows(Asker { canonical_id: id.as_deref(), public_counts: true }, permission)
    }

    #[test]
    fn the_canned_acls_grant_what_aws_says() {
        let acl = |name| Acl::canned_for_object(name, OWNER, OTHER).unwrap();
        assert!(
            !asks(&acl("private"), Some(OTHER), Permission::Read)
                && asks(&acl("private"), Some(OWNER), Permission::WriteAcp)
        );
        assert!(
            asks(&acl("public-read"), None, Permission::Read) && !asks(&acl("public-read"), None, Permission::Write)
        );
        assert!(asks(&acl("public-read-write"), None, Permission::Write));
        assert!(!asks(&acl("authenticated-read"), None, Permission::Read));
        assert!(asks(&acl("authenticated-read"), Some(OTHER), Permission::Read));
        assert!(asks(&acl("bucket-owner-read"), Some(OTHER), Permission::Read));
        assert!(!asks(&acl("bucket-owner-read"), Some(OTHER), Permission::ReadAcp));
        assert!(asks(&acl("bucket-owner-full-control"), Some(OTHER), Permission::WriteAcp));
        assert!(Acl::canned_for_object("open-to-all", OWNER, OTHER).is_err());
    }

    #[test]
    fn ignoring_public_grants_leaves_those_to_accounts() {
        let acl = Acl::canned_for_object("public-read", OWNER, OTHER).unwrap();
        let (owner, other) = (canonical_id(OWNER), canonical_id(OTHER));
        assert!(acl.allows(Asker { canonical_id: Some(&owner), public_counts: false }, Permission::Read));
        assert!(!acl.allows(Asker { canonical_id: Some(&other), public_counts: false }, Permission::Read));
    }

    #[test]
    fn grant_headers_are_read_and_bad_ones_refused() {
        let id = canonical_id(OTHER);
        let headers = GrantHeaders {
            read: Some(format!("id=\"{id}\", uri=\"{ALL_USERS}\"")),
            full_control: Some(format!("id={}", canonical_id(OWNER))),
            ..GrantHeaders::default()
        };
        let acl = Acl::from_headers(&headers).unwrap();
        assert_eq!(acl.grants.len(), 3);
        assert!(acl.is_public() && asks(&acl, Some(OTHER), Permission::Read));
        let bad = GrantHeaders { read: Some("emailAddress=a@b.c".to_owned()), ..GrantHeaders::default() };
        assert!(Acl::from_headers(&bad).is_err());
    }

    #[test]
    fn a_document_reads_back_as_it_was_shown() {
        let acl = Acl::canned_for_bucket("log-delivery-write", OWNER).unwrap();
        let document = dto::AccessControlPolicy { grants: Some(acl.to_document()), owner: Some(owner(OWNER)) };
        assert_eq!(Acl::from_document(document.clone(), OWNER).unwrap(), acl);
        assert!(Acl::from_document(document, OTHER).is_err(), "an ACL cannot change the owner");
    }
}
