//! Credentials of instances: those of the role in an instance's profile.
//!
//! Invariants:
//! - They are given out only while the role trusts `ec2.amazonaws.com`.
//! - What an instance was told stays the same until [`FRESH_FOR_S`] have passed, and is good for much longer: whoever
//!   reads the metadata at AWS's own pace never holds expired ones.

use api::{AccountId, InstanceCredentials, InstanceProfile, InstanceRoles};
use async_trait::async_trait;
use policy::{Decision, Kind, Limits, Policy, Principal, Request};
use store::StoreError;
use wire::ApiError;

use super::{Bearer, Sessions};
use crate::instance_profiles;
use crate::names::{self, kind};
use crate::refusal::Refusal;
use crate::roles::{self, RoleRow};

/// How long an instance's credentials last. AWS: six hours, a little more or less.
const LASTS_S: u64 = 6 * 3_600;
/// When an instance gets new ones.
const FRESH_FOR_S: u64 = 3_600;
/// How many instances' credentials are remembered; beyond it they are made anew.
const REMEMBERED_MAX: usize = 10_000;

/// Whether a service may take a role.
pub(crate) fn trusts_service(role: &RoleRow, role_arn: &str, service: &str) -> bool {
    let Ok(trust) = Policy::parse_kind(&role.trust, Kind::Trust, &Limits::NONE) else { return false };
    let request = Request::new(Principal::Service { name: service }, "sts:AssumeRole", role_arn);
    matches!(trust.evaluate(&request), Decision::Allow { .. })
}

#[async_trait]
impl InstanceRoles for Sessions {
    async fn profile(&self, account: &AccountId, arn_or_name: &str) -> Result<Option<InstanceProfile>, ApiError> {
        let named = match arn_or_name.starts_with("arn:") {
            true => match names::parse_arn(kind::INSTANCE_PROFILE, arn_or_name) {
                Some((owner, name)) if owner == *account => name,
                _ => return Ok(None),
            },
            false => arn_or_name,
        };
        let (account, named, asked) = (account.clone(), named.to_owned(), arn_or_name.to_owned());
        let found = self.store.read_async(move |view| {
            let row = match instance_profiles::named(view, &account, &named) {
                Ok(row) => row.value,
                Err(Refusal::NotFound(_)) => return Ok(None),
                Err(other) => return Err(other),
            };
            let arn = row.arn(account.as_str());
            if asked.starts_with("arn:") && arn != asked {
                return Ok(None);
            }
            let role = row.role.as_deref().map(|role| roles::named(view, &account, role)).transpose()?;
            let role_arn = role.map(|role| role.value.arn(account.as_str()));
            Ok(Some(InstanceProfile { arn, id: row.id, name: row.name, role_arn }))
        });
        Ok(found.await?)
    }

    fn credentials(
        &self,
        account: &AccountId,
        profile: &InstanceProfile,
        instance_id: &str,
    ) -> Result<Option<InstanceCredentials>, ApiError> {
        let found = self.store.read(|view| {
            let Some(row) = view.get(&instance_profiles::TABLE, &crate::service::key(account, &profile.name))? else {
                return Ok(None);
            };
            let Some(role) = row.value.role.filter(|_| row.value.id == profile.id) else { return Ok(None) };
            roles::named_if_any(view, account, &role)
        });
        let Some(role) = found.map_err(|error: StoreError| ApiError::from(Refusal::Store(error)))? else {
            return Ok(None);
        };
        let role = role.value;
        let role_name = role.name.clone();
        if !trusts_service(&role, &role.arn(account.as_str()), "ec2.amazonaws.com") {
            let why = format!("EC2 cannot assume the role {role_name}.");
            return Ok(Some(InstanceCredentials { role_name, credentials: Err(why) }));
        }
        let now = self.clock.now().as_millis();
        let of: (Box<str>, Box<str>) = (instance_id.into(), role.id.as_str().into());
        if let Some(known) = self.instances.read().get(&of)
            && known.made_at_ms + FRESH_FOR_S * 1000 > now
        {
            return Ok(Some(InstanceCredentials { role_name, credentials: Ok(known.clone()) }));
        }
        let bearer = Bearer::Role {
            name: role.name,
            id: role.id,
            session_name: instance_id.to_owned(),
            policy: None,
            policy_arns: Vec::new(),
        };
        let Some(made) = self.give_out(account, bearer, LASTS_S) else { return Ok(None) };
        let mut remembered = self.instances.write();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(of, made.clone());
        Ok(Some(InstanceCredentials { role_name, credentials: Ok(made) }))
    }
}
