//! What the tests stand on: the service on a store in memory, with a clock in hand and images that the test names.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ::api::ec2::{DescribeImagesInput, Image};
use ::api::{AccountId, Call, Endpoint, Identity, Principal, Protocol, Region, RequestId, Secrets};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use host::SystemClock;
use serde_json::{Value, json};
use store::Store;
use wire::ApiError;

use crate::images::Images;
use crate::service::Inner;
use crate::{OpenError, Ssm};

/// Seals by writing the place and the key beside the secret, reversed: enough to tell places and keys apart.
pub(super) struct Reversed(pub(super) &'static str);

impl Secrets for Reversed {
    fn close(&self, bound_to: &str, secret: &[u8]) -> Option<String> {
        let secret: Vec<u8> = secret.iter().rev().copied().collect();
        Some(STANDARD.encode([format!("{}|{bound_to}|", self.0).as_bytes(), &secret].concat()))
    }

    fn open(&self, bound_to: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let secret = bytes.strip_prefix(format!("{}|{bound_to}|", self.0).as_bytes())?;
        Some(secret.iter().rev().copied().collect())
    }
}

/// Two of Amazon's images, for one processor.
pub(super) struct Amazons;

#[async_trait]
impl Images for Amazons {
    async fn describe(&self, _: &Call, input: DescribeImagesInput) -> Result<Vec<Image>, ApiError> {
        let image = |id: &str, name: &str, at: &str| Image {
            image_id: Some(id.into()),
            name: Some(name.into()),
            creation_date: Some(at.into()),
            ..Image::default()
        };
        let all = [
            image("ami-0old", "al2023-ami-2023.1", "2023-01-01T00:00:00.000Z"),
            image("ami-0new", "al2023-ami-2023.6", "2024-10-10T00:00:00.000Z"),
        ];
        if !input.image_ids.is_empty() {
            let wanted = |image: &Image| input.image_ids.iter().any(|id| image.image_id.as_ref() == Some(id));
            let found: Vec<Image> = all.into_iter().filter(wanted).collect();
            let missing = || ApiError::sender("InvalidAMIID.NotFound", "no such image");
            return if found.is_empty() { Err(missing()) } else { Ok(found) };
        }
        let value = |name: &str| {
            let filter = input.filters.iter().find(|filter| filter.name.as_deref() == Some(name));
            filter.map(|filter| filter.values.concat()).unwrap_or_default()
        };
        let fits = value("name") == "al2023-ami-*" && value("architecture") == "x86_64" && input.owners == ["amazon"];
        Ok(if fits { all.to_vec() } else { Vec::new() })
    }
}

/// The service, and who asks it.
pub(super) struct Platform {
    pub(super) ssm: Ssm,
    pub(super) store: Store,
    pub(super) call: Call,
}

pub(super) fn open(store: &Store, key: &'static str) -> Result<Ssm, OpenError> {
    let (clock, secrets) = (Arc::new(SystemClock), Arc::new(Reversed(key)));
    Ssm::with(Inner { store: store.clone(), clock, secrets, images: Arc::new(Amazons) })
}

impl Platform {
    pub(super) fn new() -> Self {
        let store = Store::in_memory().unwrap();
        let ssm = open(&store, "key").unwrap();
        let principal = Principal::Account { access_key_id: "AKIA".into() };
        let call = Call {
            identity: Identity { principal, account: AccountId::parse("123456789012").unwrap() },
            region: Region::parse("eu-west-1").unwrap(),
            request_id: RequestId("r".into()),
            endpoint: Endpoint { scheme: "http", authority: "localhost:4566".into() },
            path: "/".into(),
            protocol: Protocol::Json11,
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            trace_header: None,
            user_agent: None,
            referer: None,
        };
        Self { ssm, store, call }
    }

    pub(super) async fn ask(&self, operation: &str, input: Value) -> Result<Value, (String, String)> {
        let answer = self.ssm.handle(&self.call, operation, Bytes::from(input.to_string())).await;
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == 200 {
            return Ok(document);
        }
        let code = document["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
        let message = document["message"].as_str().or(document["Message"].as_str()).unwrap_or_default().to_owned();
        Err((code, message))
    }

    pub(super) async fn ok(&self, operation: &str, input: Value) -> Value {
        let asked = format!("{operation} {input}");
        self.ask(operation, input).await.unwrap_or_else(|error| panic!("{asked}: {error:?}"))
    }

    pub(super) async fn refused(&self, operation: &str, input: Value) -> (String, String) {
        let asked = format!("{operation} {input}");
        match self.ask(operation, input).await {
            Err(refusal) => refusal,
            Ok(answer) => panic!("{asked} was answered {answer}"),
        }
    }

    /// Puts a String.
    pub(super) async fn put(&self, name: &str, value: &str) -> Value {
        self.ok("PutParameter", json!({"Name": name, "Value": value, "Type": "String"})).await
    }

    /// Puts another version.
    pub(super) async fn overwrite(&self, name: &str, value: &str) -> Value {
        self.ok("PutParameter", json!({"Name": name, "Value": value, "Overwrite": true})).await
    }

    pub(super) async fn value(&self, name: &str) -> Value {
        self.ok("GetParameter", json!({"Name": name})).await["Parameter"]["Value"].take()
    }
}

/// The names in a listing.
pub(super) fn names(listing: &Value) -> Vec<String> {
    let listed = listing["Parameters"].as_array().unwrap();
    listed.iter().map(|one| one["Name"].as_str().unwrap().to_owned()).collect()
}
