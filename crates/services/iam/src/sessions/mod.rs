//! [`Sessions`]: temporary credentials, given out and recognised.
//!
//! Invariants:
//! - A session is its [token](token): it is recognised after any restart, and by every process with the master key.
//! - A session ends at its time, when its role is deleted (a role of the same name is another), or when the access key
//!   is deleted that it was made for.
//! - What a role's session may do is what the role's policies say at the moment of the request.
//!
//! Knows no service and no resource's policy.

pub(crate) mod instances;
mod permissions;
mod token;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use api::{AccountId, Identity, Principal, Session, TemporaryCredentials};
use host::{Clock, Ids};
use parking_lot::RwLock;
use policy::{Kind, Limits, Policy};
use store::{Revision, Store, StoreError, View};
use wire::ApiError;
use wire::signature::SigningKeys;

pub(crate) use permissions::with_call;
use permissions::{Policies, RolePermissions};
pub(crate) use token::{Bearer, Claims};

use crate::keys::{OpenKey, Secret, new_access_key_id, new_secret};
use crate::refusal::Refusal;
use crate::roles::{self, RoleRow};
use crate::seal::Seal;
use crate::{KeysError, MasterKey, names, policies};

/// What the ids of temporary access keys begin with.
pub(crate) const KIND: &str = "ASIA";
/// How many open tokens are remembered, and how many roles' policies. Beyond it they are opened and parsed again.
const REMEMBERED_MAX: usize = 1_024;

/// A role's policies, with the revisions of everything that they were parsed from.
type Parsed = (Vec<Revision>, Arc<Policies>);
/// An instance's id, and its role's.
type InstanceAndRole = (Box<str>, Box<str>);

/// Temporary credentials. Share it.
pub struct Sessions {
    pub(crate) store: Store,
    seal: Seal,
    pub(crate) clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    /// By token. Only tokens that opened get here.
    open: RwLock<HashMap<Box<str>, Arc<OpenSession>>>,
    /// By the role's id.
    parsed: RwLock<HashMap<Box<str>, Parsed>>,
    /// What instances were told last.
    pub(crate) instances: RwLock<HashMap<InstanceAndRole, TemporaryCredentials>>,
}

/// A token that was opened.
struct OpenSession {
    claims: Claims,
    key: Arc<OpenKey>,
    of_session: Option<Arc<Policies>>,
}

/// Who signs with a token.
pub(crate) struct Recognised {
    pub(crate) key: Arc<OpenKey>,
    pub(crate) identity: Identity,
    /// The access key that the session was made for, which must still be there.
    pub(crate) made_for: Option<String>,
}

/// Why a token is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was not made here, or not for this access key, or what it was made for is gone.
    #[error("the session token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the session token has expired")]
    Expired,
}

impl Sessions {
    /// Sessions under a master key.
    pub fn new(store: Store, master_key: &MasterKey, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let seal = Seal::new(master_key);
        let (open, parsed, instances) = (RwLock::default(), RwLock::default(), RwLock::default());
        Self { store, seal, clock, ids, open, parsed, instances }
    }

    /// Gives out credentials. `None` only if they are too long to seal, which no checked session is.
    pub(crate) fn give_out(&self, account: &AccountId, bearer: Bearer, lasts_s: u64) -> Option<TemporaryCredentials> {
        let made_at_ms = self.clock.now().as_millis();
        let claims = Claims {
            access_key_id: new_access_key_id(&*self.ids, KIND),
            secret: new_secret(&*self.ids).reveal().to_owned(),
            account: account.to_string(),
            bearer,
            // Expiry is told in whole seconds, and not told too late.
            expires_at_ms: made_at_ms / 1000 * 1000 + lasts_s * 1000,
        };
        Some(TemporaryCredentials {
            session_token: token::sealed(&self.seal, &*self.ids, &claims)?,
            access_key_id: claims.access_key_id,
            secret_access_key: claims.secret,
            made_at_ms,
            expires_at_ms: claims.expires_at_ms,
        })
    }

    /// Who signs with an access key id and a token. Reads the store.
    pub(crate) fn recognise(
        &self,
        access_key_id: &str,
        token: &str,
    ) -> Result<Result<Recognised, TokenError>, KeysError> {
        let Some(open) = self.opened(token).filter(|open| open.claims.access_key_id == access_key_id) else {
            return Ok(Err(TokenError::Invalid));
        };
        if self.clock.now().as_millis() >= open.claims.expires_at_ms {
            return Ok(Err(TokenError::Expired));
        }
        let (key, account) = (Arc::clone(&open.key), open.key.account.clone());
        match &open.claims.bearer {
            Bearer::Key { access_key_id: made_for } => {
                let principal = Principal::Account { access_key_id: access_key_id.into() };
                let made_for = Some(made_for.clone());
                Ok(Ok(Recognised { key, identity: Identity { principal, account }, made_for }))
            }
            Bearer::Role { name, id, session_name, .. } => {
                let role = self.store.read(|view| roles::named_if_any(view, &account, name))?;
                let Some(role) = role.filter(|role| role.value.id == *id) else {
                    return Ok(Err(TokenError::Invalid));
                };
                let permissions = (role.revision, &role.value, session_name.as_str(), open.of_session.clone());
                let session = self.session(&account, access_key_id, permissions)?;
                let identity = Identity { principal: Principal::Session(Arc::new(session)), account };
                Ok(Ok(Recognised { key, identity, made_for: None }))
            }
        }
    }

    fn opened(&self, token: &str) -> Option<Arc<OpenSession>> {
        if let Some(open) = self.open.read().get(token) {
            return Some(Arc::clone(open));
        }
        let claims = token::opened(&self.seal, token)?;
        let account = AccountId::parse(&claims.account)?;
        let key = OpenKey { account, secret: Secret(claims.secret.clone()), signing_keys: SigningKeys::default() };
        let of_session = match &claims.bearer {
            Bearer::Role { policy, policy_arns, .. } if policy.is_some() || !policy_arns.is_empty() => {
                // Managed session policies are looked up when the session begins to be used, and stay as they were.
                Some(Arc::new(self.session_policies(&key.account, policy.as_deref(), policy_arns).ok()?))
            }
            _ => None,
        };
        let open = Arc::new(OpenSession { claims, key: Arc::new(key), of_session });
        let mut remembered = self.open.write();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(token.into(), Arc::clone(&open));
        Some(open)
    }

    fn session_policies(
        &self,
        account: &AccountId,
        inline: Option<&str>,
        arns: &[String],
    ) -> Result<Policies, StoreError> {
        let mut found = Policies::default();
        if let Some(text) = inline {
            found.0.push(("session policy".to_owned(), parse(text)));
        }
        for arn in arns {
            let policy = self.store.read(|view| policies::in_force(view, account, arn))?;
            // One that is gone allows nothing.
            if let Some((_, text)) = policy {
                found.0.push((arn.clone(), parse(&text)));
            }
        }
        Ok(found)
    }

    /// The session of a role.
    pub(crate) fn session(
        &self,
        account: &AccountId,
        access_key_id: &str,
        (revision, role, session_name, of_session): (Revision, &RoleRow, &str, Option<Arc<Policies>>),
    ) -> Result<Session, StoreError> {
        let (own, boundary) = self.store.read(|view| self.policies_of(view, account, revision, role))?;
        let role_arn: Arc<str> = role.arn(account.as_str()).into();
        let arn: Arc<str> = session_arn(account, &role.name, session_name).into();
        let is_narrowed = of_session.is_some();
        let user_id: Arc<str> = format!("{}:{session_name}", role.id).into();
        let permissions = RolePermissions {
            account: account.as_str().into(),
            role_arn: Arc::clone(&role_arn),
            session_arn: Arc::clone(&arn),
            user_id: Arc::clone(&user_id),
            own,
            boundary,
            of_session,
            clock: Arc::clone(&self.clock),
        };
        let access_key_id = access_key_id.into();
        Ok(Session { access_key_id, role_arn, arn, user_id, is_narrowed, permissions: Arc::new(permissions) })
    }

    /// A role's policies and what bounds them, parsed anew only if one of their rows has changed.
    fn policies_of(
        &self,
        view: &View<'_>,
        account: &AccountId,
        revision: Revision,
        role: &RoleRow,
    ) -> Result<(Arc<Policies>, Option<Arc<Policies>>), StoreError> {
        let mut texts = Vec::new();
        for (name, document) in &role.inline {
            texts.push((format!("inline policy {name}"), revision, document.clone()));
        }
        for arn in &role.attached {
            texts.extend(policies::in_force(view, account, arn)?.map(|(at, text)| (arn.clone(), at, text)));
        }
        let own = self.parsed(&role.id, revision, texts);
        let Some(arn) = &role.boundary else { return Ok((own, None)) };
        let boundary = policies::in_force(view, account, arn)?;
        let texts = boundary.map(|(at, text)| (arn.clone(), at, text)).into_iter().collect();
        Ok((own, Some(self.parsed(&format!("{} boundary", role.id), revision, texts))))
    }

    fn parsed(&self, of: &str, revision: Revision, texts: Vec<(String, Revision, String)>) -> Arc<Policies> {
        let revisions: Vec<Revision> =
            std::iter::once(revision).chain(texts.iter().map(|(_, revision, _)| *revision)).collect();
        if let Some((at, parsed)) = self.parsed.read().get(of)
            && *at == revisions
        {
            return Arc::clone(parsed);
        }
        let parsed = texts.into_iter().map(|(place, _, text)| (place, parse(&text))).collect();
        let parsed = Arc::new(Policies(parsed));
        let mut remembered = self.parsed.write();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(of.into(), (revisions, Arc::clone(&parsed)));
        parsed
    }

    /// A session for a service that acts with a role; `None` if there is no such role, or it does not trust the service
    /// that it must trust.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn acting(
        &self,
        role_arn: &str,
        session_name: &str,
        must_trust: Option<&str>,
    ) -> Result<Option<Session>, ApiError> {
        let failed = |error: StoreError| ApiError::from(Refusal::Store(error));
        let Some((account, role)) = self.role(role_arn).await.map_err(failed)? else { return Ok(None) };
        if must_trust.is_some_and(|service| !instances::trusts_service(&role.value, role_arn, service)) {
            return Ok(None);
        }
        let session = self.session(&account, session_name, (role.revision, &role.value, session_name, None));
        Ok(Some(session.map_err(failed)?))
    }

    /// The role of that ARN, as it is now.
    pub(crate) async fn role(&self, arn: &str) -> Result<Option<(AccountId, store::Row<RoleRow>)>, StoreError> {
        let Some((account, name)) = names::parse_arn(names::kind::ROLE, arn) else { return Ok(None) };
        let (name, owner, wanted) = (name.to_owned(), account.clone(), arn.to_owned());
        let found = self.store.read_async(move |view| {
            let row = roles::named_if_any(view, &owner, &name)?;
            Ok::<_, StoreError>(row.filter(|row| row.value.arn(owner.as_str()) == wanted))
        });
        Ok(found.await?.map(|row| (account, row)))
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("open", &self.open.read().len()).finish_non_exhaustive()
    }
}

/// `arn:aws:sts::123456789012:assumed-role/worker/nightly`: without the role's path.
pub(crate) fn session_arn(account: &AccountId, role: &str, session_name: &str) -> String {
    format!("arn:aws:sts::{account}:assumed-role/{role}/{session_name}")
}

/// A stored policy; `None` if an older version's or a damaged one cannot be read.
fn parse(text: &str) -> Option<Policy> {
    Policy::parse_kind(text, Kind::Identity, &Limits::NONE).ok()
}

#[cfg(test)]
pub(crate) mod tests;
