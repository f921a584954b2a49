//! Who this instance is: its id, and the document and signature that prove it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::metadata_service::MetadataService;
use crate::system::System;

/// This instance's id; `None` outside of an instance.
pub(crate) fn instance_id(metadata: &MetadataService<'_>) -> Option<String> {
    let id = metadata.get("meta-data/instance-id").ok()??;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// What signals are sent as: the instance's id, or the host's name where there is no metadata service.
pub(crate) fn unique_id(system: &System, metadata: &MetadataService<'_>) -> String {
    instance_id(metadata).unwrap_or_else(|| host_name(system))
}

fn host_name(system: &System) -> String {
    let outcome = system.try_run(&["hostname", "-f"]);
    let full = outcome.output.trim();
    if outcome.is_success() && !full.is_empty() {
        return full.to_owned();
    }
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The `Authorization` header by which CloudFormation knows an instance that has no credentials:
/// `CFN_V1 base64(identity document):signature`.
pub(crate) fn authorization(metadata: &MetadataService<'_>) -> Option<String> {
    let document = metadata.get("dynamic/instance-identity/document").ok()??;
    let signature = metadata.get("dynamic/instance-identity/signature").ok()??;
    Some(format!("CFN_V1 {}:{}", STANDARD.encode(document.trim_end()), signature.trim_end().replace('\n', "")))
}
