//! Instances' identities: the document that an instance shows, and the signature that proves it.
//!
//! Invariants:
//! - A document that verifies was made here, for the instance that it names.
//! - The key is made once and stays: what was signed before a restart verifies after it.

use async_trait::async_trait;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host::Ids;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};
use wire::ApiError;

use crate::Ec2;
use crate::errors::Refusal;
use crate::rows::{IDENTITY_KEYS, INSTANCES, IdentityKeyRow};

/// What the document says, in AWS's order and with its empty members.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    pub(crate) account_id: String,
    pub(crate) architecture: String,
    pub(crate) availability_zone: String,
    pub(crate) billing_products: Option<String>,
    pub(crate) devpay_product_codes: Option<String>,
    pub(crate) marketplace_product_codes: Option<String>,
    pub(crate) image_id: String,
    pub(crate) instance_id: String,
    pub(crate) instance_type: String,
    pub(crate) kernel_id: Option<String>,
    pub(crate) pending_time: String,
    pub(crate) private_ip: String,
    pub(crate) ramdisk_id: Option<String>,
    pub(crate) region: String,
    pub(crate) version: String,
}

/// The key, made when there is none. Blocks on the store.
pub(crate) fn key(store: &Store, ids: &dyn Ids) -> Result<IdentityKeyRow, StoreError> {
    if let Some(row) = store.read(|view| view.get(&IDENTITY_KEYS, ""))? {
        return Ok(row.value);
    }
    let mut seed = [0; 32];
    ids.fill(&mut seed);
    store.write(|tx| match tx.get(&IDENTITY_KEYS, "")? {
        Some(row) => Ok(row.value),
        None => {
            let row = IdentityKeyRow { seed };
            tx.insert(&IDENTITY_KEYS, "", &row)?;
            Ok(row)
        }
    })
}

/// The signature of a document, in base64. Empty if the key is none.
pub(crate) fn sign(key: &IdentityKeyRow, document: &str) -> String {
    let pair = Ed25519KeyPair::from_seed_unchecked(&key.seed).ok();
    pair.map(|pair| STANDARD.encode(pair.sign(document.as_bytes()))).unwrap_or_default()
}

fn verifies(key: &IdentityKeyRow, document: &[u8], signature: &str) -> bool {
    let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(&key.seed) else { return false };
    let Ok(signature) = STANDARD.decode(signature.replace(['\n', '\r'], "")) else { return false };
    UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref()).verify(document, &signature).is_ok()
}

#[async_trait]
impl api::InstanceIdentities for Ec2 {
    async fn verify(&self, document: &[u8], signature: &str) -> Result<Option<api::InstanceIdentity>, ApiError> {
        let (document, signature) = (document.to_vec(), signature.to_owned());
        let verified = self.inner.store.read_async(move |view| {
            let Some(key) = view.get(&IDENTITY_KEYS, "")? else { return Ok(None) };
            if !verifies(&key.value, &document, &signature) {
                return Ok(None);
            }
            let Ok(said) = serde_json::from_slice::<Document>(&document) else { return Ok(None) };
            let (Some(account), Some(region)) =
                (api::AccountId::parse(&said.account_id), api::Region::parse(&said.region))
            else {
                return Ok(None);
            };
            let place = crate::place::Place { account, region };
            // One that is gone proves nothing any more.
            let row = view.get(&INSTANCES, &place.key(&said.instance_id))?;
            let is_there = row.is_some_and(|row| row.value.state != crate::rows::State::Terminated);
            Ok::<_, Refusal>(is_there.then(|| api::InstanceIdentity {
                account: place.account.clone(),
                region: place.region.clone(),
                instance_id: said.instance_id,
            }))
        });
        Ok(verified.await?)
    }
}
