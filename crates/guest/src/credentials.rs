//! With whose credentials requests are signed.
//!
//! Invariant: a credential file that others may read is refused, as the published tools do.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::metadata_service::MetadataService;
use crate::options::CredentialOptions;
use crate::system::System;

/// Keys, and the token of a role's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// `AKIA…`.
    pub(crate) access_key: String,
    /// The secret.
    pub(crate) secret_key: String,
    /// Sent along with a role's keys.
    pub(crate) token: Option<String>,
}

/// The credentials that the options name; `Ok(None)` when they name none, and the instance speaks for itself.
pub(crate) fn named(
    system: &System,
    metadata: &MetadataService<'_>,
    options: &CredentialOptions,
) -> Result<Option<Credentials>, String> {
    if let Some(path) = &options.credential_file {
        let credentials = from_file(system, path);
        return credentials.map(Some).map_err(|error| format!("Error retrieving credentials from file:\n\t{error}"));
    }
    if let Some(role) = &options.role {
        return of_role(metadata, role).map(Some);
    }
    match (&options.access_key, &options.secret_key) {
        (Some(access_key), Some(secret_key)) if !access_key.is_empty() && !secret_key.is_empty() => {
            Ok(Some(Credentials { access_key: access_key.clone(), secret_key: secret_key.clone(), token: None }))
        }
        _ => Ok(None),
    }
}

/// The credentials of the instance's own profile, whatever its role is called.
pub(crate) fn of_profile(metadata: &MetadataService<'_>) -> Option<Credentials> {
    let roles = metadata.get("meta-data/iam/security-credentials/").ok()??;
    of_role(metadata, roles.lines().next()?.trim()).ok()
}

/// A role's credentials.
pub(crate) fn of_role(metadata: &MetadataService<'_>, role: &str) -> Result<Credentials, String> {
    let missing = || format!("the metadata service has no credentials of the role {role}");
    let answer = metadata.get(&format!("meta-data/iam/security-credentials/{role}"));
    let answer = answer.map_err(|error| format!("{}: {error}", missing()))?.ok_or_else(missing)?;
    let document: Value = serde_json::from_str(&answer).map_err(|error| format!("{}: {error}", missing()))?;
    let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
    match (text("AccessKeyId"), text("SecretAccessKey")) {
        (Some(access_key), Some(secret_key)) => Ok(Credentials { access_key, secret_key, token: text("Token") }),
        _ => Err(missing()),
    }
}

/// Reads `AWSAccessKeyId=` and `AWSSecretKey=` from a file that only its owner may read.
pub(crate) fn from_file(system: &System, path: &str) -> Result<Credentials, String> {
    let file = system.path(path);
    let Ok(found) = std::fs::metadata(&file) else {
        return Err(format!("Credential file was not found at {path}"));
    };
    if found.permissions().mode() & 0o077 != 0 {
        return Err(
            "Credential file cannot be accessible by group or other. Please chmod 600 the credential file.".to_owned()
        );
    }
    let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
    let value = |key: &str| {
        let value = text.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('=')).next_back();
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    match (value("AWSAccessKeyId"), value("AWSSecretKey")) {
        (Some(access_key), Some(secret_key)) => Ok(Credentials { access_key, secret_key, token: None }),
        _ => Err("Credential file must contain the keys 'AWSAccessKeyId' and 'AWSSecretKey'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_file_is_read_only_when_nobody_else_can() {
        let root = tempfile::tempdir().unwrap();
        let system = System::under(root.path(), &[]);
        let file = root.path().join("keys");
        std::fs::write(&file, "AWSAccessKeyId=AKID\n AWSSecretKey=a=b\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(from_file(&system, "/keys").unwrap_err().contains("chmod 600"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let read = from_file(&system, "/keys").unwrap();
        assert_eq!((read.access_key.as_str(), read.secret_key.as_str()), ("AKID", "a=b"));
        assert!(from_file(&system, "/none").unwrap_err().contains("not found at /none"));
    }
}
