//! Fetching files and archives, with the credentials that the metadata has for their bucket or server.
//!
//! Invariant: credentials go to the place that they were written for, and to no other; a redirect carries none.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Request};
use serde_json::{Map, Value};
use wire::signature::{AmzDate, EMPTY_SHA256_HEX};
use wire::sigv4::{Signer, sign};

use crate::cloudformation::{refused_with, retrying};
use crate::credentials::{Credentials, of_role};
use crate::error::{BuildError, Result};
use crate::http_client::{HttpClient, get};
use crate::log::Log;
use crate::metadata_service::MetadataService;
use crate::system::System;
use crate::value;

/// The metadata key under which credentials for downloads stand.
const KEY: &str = "AWS::CloudFormation::Authentication";

/// What downloads need.
pub(super) struct Downloads<'a> {
    /// For the clock.
    pub(super) system: &'a System,
    /// What fetches.
    pub(super) http: &'a HttpClient<'a>,
    /// For roles' credentials.
    pub(super) service: &'a MetadataService<'a>,
    /// The whole metadata.
    pub(super) metadata: &'a Value,
}

impl Downloads<'_> {
    /// Fetches `url` into a file, with the credentials called `named` or those that the metadata has for its place.
    pub(super) fn fetch(&self, log: &Log<'_>, url: &str, named: Option<&str>, to: &mut File) -> Result<()> {
        let url = url.replace(' ', "%20");
        let failed = |reason: &dyn std::fmt::Display| BuildError::said(format!("Failed to retrieve {url}: {reason}"));
        let entry = self.authentication(&url, named)?;
        let mut attempt = || {
            to.rewind_and_empty()?;
            let request = self.authorized(get(&url, HeaderMap::new())?, entry);
            let request = request.map_err(crate::http_client::HttpError::Invalid)?;
            match self.http.download(request, to)? {
                None => Ok(()),
                Some(status) => Err(refused_with(status, &url)),
            }
        };
        retrying(self.system, log, &mut attempt).map_err(|error| failed(&error))?;
        to.seek(SeekFrom::Start(0))?;
        Ok(())
    }

    /// The entry of the metadata that has credentials for the URL.
    fn authentication(&self, url: &str, named: Option<&str>) -> Result<Option<&Map<String, Value>>> {
        let Some(entries) = self.metadata.get(KEY).and_then(Value::as_object) else {
            return match named {
                Some(named) => Err(BuildError::said(format!("authentication {named} is not in {KEY}"))),
                None => Ok(None),
            };
        };
        if let Some(named) = named.filter(|named| entries.contains_key(*named)) {
            return super::build::attributes(KEY, named, &entries[named]).map(Some);
        }
        let uri: http::Uri = url.parse().map_err(|error| BuildError::said(format!("{url} is not a URL: {error}")))?;
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        let bucket = s3_place(uri.host().unwrap_or_default(), uri.path()).map(|(bucket, _)| bucket);
        let is_for = |entry: &Map<String, Value>| {
            let has =
                |key: &str, wanted: &str| entry.get(key).is_some_and(|v| value::texts(v).iter().any(|t| t == wanted));
            match kind(entry).as_str() {
                "s3" => bucket.as_deref().is_some_and(|bucket| has("buckets", bucket)),
                "basic" => has("uris", authority),
                _ => false,
            }
        };
        Ok(entries.values().filter_map(Value::as_object).find(|entry| is_for(entry)))
    }

    fn authorized(
        &self,
        mut request: Request<Vec<u8>>,
        entry: Option<&Map<String, Value>>,
    ) -> Result<Request<Vec<u8>>, String> {
        let Some(entry) = entry else { return Ok(request) };
        let text = |key: &str| value::text_at(entry, key);
        match kind(entry).as_str() {
            "basic" => {
                let both = format!("{}:{}", text("username").unwrap_or_default(), text("password").unwrap_or_default());
                let header = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(both)));
                request.headers_mut().insert(AUTHORIZATION, header.map_err(|error| error.to_string())?);
                Ok(request)
            }
            "s3" => {
                let credentials = match (text("accessKeyId"), text("secretKey"), text("roleName")) {
                    (Some(access_key), Some(secret_key), _) => Credentials { access_key, secret_key, token: None },
                    (_, _, Some(role)) => of_role(self.service, &role)?,
                    _ => return Err("S3 auth requires either \"accessKeyId\" and \"secretKey\" or \"roleName\"".into()),
                };
                self.signed(request, &credentials)
            }
            other => Err(format!("Unrecognized authentication type: {other}")),
        }
    }

    fn signed(&self, request: Request<Vec<u8>>, credentials: &Credentials) -> Result<Request<Vec<u8>>, String> {
        let (mut parts, body) = request.into_parts();
        let place = s3_place(parts.uri.host().unwrap_or_default(), parts.uri.path());
        let region = place.and_then(|(_, region)| region).unwrap_or_else(|| "us-east-1".to_owned());
        if let Some(token) = &credentials.token {
            let token = HeaderValue::from_str(token).map_err(|error| error.to_string())?;
            parts.headers.insert("x-amz-security-token", token);
        }
        let signer = Signer {
            access_key_id: &credentials.access_key,
            secret_access_key: &credentials.secret_key,
            region: &region,
            service: "s3",
        };
        let date =
            AmzDate::from_unix(self.system.unix_s()).ok_or("the clock stands at a date that cannot be signed")?;
        sign(&signer, &mut parts, EMPTY_SHA256_HEX, &date).map_err(|error| error.to_string())?;
        Ok(Request::from_parts(parts, body))
    }
}

trait Rewind {
    fn rewind_and_empty(&mut self) -> std::io::Result<()>;
}

impl Rewind for File {
    /// A second try must not stand behind the rest of the first.
    fn rewind_and_empty(&mut self) -> std::io::Result<()> {
        self.set_len(0)?;
        self.seek(SeekFrom::Start(0)).map(drop)
    }
}

fn kind(entry: &Map<String, Value>) -> String {
    value::text_at(entry, "type").unwrap_or_default().to_lowercase()
}

/// The bucket and region that a URL of S3's names, with the bucket in the host or in the path.
fn s3_place(host: &str, path: &str) -> Option<(String, Option<String>)> {
    let host = host.to_ascii_lowercase();
    let name = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let labels: Vec<&str> = name.split('.').collect();
    let position = labels.iter().rposition(|label| *label == "s3" || label.starts_with("s3-"))?;
    let dashed = labels[position].strip_prefix("s3-").filter(|region| !region.starts_with("external"));
    let region = labels.get(position + 1).copied().or(dashed).map(str::to_owned);
    let bucket = match position {
        0 => path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned(),
        _ => labels[..position].join("."),
    };
    (!bucket.is_empty()).then_some((bucket, region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_found_in_the_host_or_in_the_path() {
        let place = |host: &str, path: &str| s3_place(host, path);
        let found = |bucket: &str, region: Option<&str>| Some((bucket.to_owned(), region.map(str::to_owned)));
        assert_eq!(place("s3.amazonaws.com", "/shop/a.zip"), found("shop", None));
        assert_eq!(place("s3-eu-west-1.amazonaws.com", "/shop/a"), found("shop", Some("eu-west-1")));
        assert_eq!(place("shop.s3.eu-west-1.amazonaws.com", "/a"), found("shop", Some("eu-west-1")));
        assert_eq!(place("a.b.s3.amazonaws.com", "/a"), found("a.b", None));
        assert_eq!(place("s3-external-1.amazonaws.com", "/shop/a"), found("shop", None));
        assert_eq!(place("shop.example.org", "/a"), None);
        assert_eq!(place("s3.amazonaws.com", "/"), None);
    }
}
