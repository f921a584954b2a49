//! [`MetadataSource`]: what an instance may learn about itself.
//!
//! Invariants:
//! - Looked up anew at each question, so what was changed a moment ago is told.
//! - An instance learns of itself only; one that is terminated learns nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::InstanceRoles;
use host::{Clock, Ids};
use machines::{InstanceId, Metadata, MetadataDocument, MetadataOptions};
use store::{Scan, Store, StoreError, View};

use crate::identity::{self, Document};
use crate::network_interfaces::{mac_text, private_name, public_address, public_name};
use crate::place::{Layout, Place};
use crate::regions::zone_id;
use crate::rows::*;
use crate::to_networks::id_in;
use crate::{images, instance_profiles, moments, tags, to_engine};

/// The version of the document's form, as AWS states it.
const DOCUMENT_VERSION: &str = "2017-09-30";

/// Answers from the rows.
pub(crate) struct MetadataSource {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) instance_roles: Option<Arc<dyn InstanceRoles>>,
}

/// Where an instance is, its profile, and what it may learn.
type Found = (Place, Option<ProfileRow>, MetadataDocument);

impl Metadata for MetadataSource {
    fn document(&self, instance: &InstanceId) -> Option<Arc<MetadataDocument>> {
        let found = identity::key(&self.store, &*self.ids)
            .and_then(|key| self.store.read(|view| self.find(view, &key, &instance.0)));
        match found {
            Ok(found) => found.map(|(place, profile, mut document)| {
                // IAM reads rows of its own: not while ours are being read.
                let (roles, now_ms) = (self.instance_roles.as_deref(), self.clock.now().as_millis());
                (document.iam_info, document.credentials) =
                    instance_profiles::metadata(roles, &place, &instance.0, profile.as_ref(), now_ms);
                Arc::new(document)
            }),
            Err(error) => {
                tracing::error!(%error, %instance, "an instance's metadata could not be read");
                None
            }
        }
    }
}

impl MetadataSource {
    fn find(&self, view: &View<'_>, key: &IdentityKeyRow, id: &str) -> Result<Option<Found>, StoreError> {
        let keys = view.keys(&INSTANCES, &Scan::all())?;
        let Some(row_key) = keys.into_iter().find(|row_key| id_in(row_key) == id) else { return Ok(None) };
        let (Some(place), Some(row)) = (Place::in_key(&row_key), view.get(&INSTANCES, &row_key)?) else {
            return Ok(None);
        };
        let row = row.value;
        let Some(interface) = view.get(&INTERFACES, &place.key(&row.interface_id))? else { return Ok(None) };
        let Some(vpc) = view.get(&VPCS, &place.key(&row.vpc_id))? else { return Ok(None) };
        let Some(subnet) = view.get(&SUBNETS, &place.key(&row.subnet_id))? else { return Ok(None) };
        let (interface, vpc, subnet) = (interface.value, vpc.value, subnet.value);
        let public = public_address(view, &place, &row.interface_id, &interface)?;
        let mut group_names = Vec::new();
        for group in &interface.groups {
            group_names.extend(view.get(&GROUPS, &place.key(group))?.map(|row| row.value.name));
        }
        let own_tags = tags::of(view, &place, id)?;
        let own_tags = own_tags.into_iter().filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())));
        let document = document(&place, id, &row, &interface);
        let MetadataRow { enabled, tokens_required, hop_limit, tags } = row.metadata;
        let profile = row.profile.clone();
        let told = MetadataDocument {
            options: MetadataOptions { enabled, tokens_required, hop_limit, tags },
            image_id: row.image_id.clone(),
            instance_id: id.to_owned(),
            instance_type: row.instance_type.clone(),
            launch_index: row.launch_index,
            reservation_id: row.reservation_id.clone(),
            hostname: private_name(&place.region, interface.address),
            private_address: Some(interface.address),
            public_hostname: public
                .filter(|_| vpc.dns_hostnames)
                .map(|address| public_name(&place.region, address))
                .unwrap_or_default(),
            public_address: public,
            mac: mac_text(interface.mac),
            zone: row.zone.clone(),
            zone_id: self.layout.zone(&row.zone).map(|(region, zone)| zone_id(region, zone)).unwrap_or_default(),
            region: place.region.to_string(),
            domain: "amazonaws.com".to_owned(),
            partition: "aws".to_owned(),
            group_names,
            group_ids: interface.groups,
            interface_id: row.interface_id.clone(),
            owner_id: place.account.to_string(),
            subnet_id: row.subnet_id.clone(),
            subnet_cidr: subnet.cidr.to_string(),
            vpc_id: row.vpc_id.clone(),
            vpc_cidrs: vec![vpc.cidr.to_string()],
            public_keys: row.key.iter().map(|key| (key.name.clone(), key.public_key.clone())).collect(),
            user_data: to_engine::user_data(&row),
            tags: own_tags.collect::<BTreeMap<_, _>>(),
            life_cycle: "on-demand".to_owned(),
            identity_signature: identity::sign(key, &document),
            identity_document: document,
            ..MetadataDocument::default()
        };
        Ok(Some((place, profile, told)))
    }
}

/// The identity document, as AWS lays it out.
fn document(place: &Place, id: &str, row: &InstanceRow, interface: &InterfaceRow) -> String {
    let document = Document {
        account_id: place.account.to_string(),
        architecture: images::architecture().to_owned(),
        availability_zone: row.zone.clone(),
        billing_products: None,
        devpay_product_codes: None,
        marketplace_product_codes: None,
        image_id: row.image_id.clone(),
        instance_id: id.to_owned(),
        instance_type: row.instance_type.clone(),
        kernel_id: None,
        pending_time: moments::iso(row.launched_at_ms),
        private_ip: interface.address.to_string(),
        ramdisk_id: None,
        region: place.region.to_string(),
        version: DOCUMENT_VERSION.to_owned(),
    };
    serde_json::to_string_pretty(&document).unwrap_or_default()
}
