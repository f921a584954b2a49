//! Load balancers: created, described page by page, deleted.
//!
//! Invariants:
//! - A name is unique in its account and region, without regard to case; creating one again with the same settings
//!   changes nothing and succeeds.
//! - A load balancer whose listeners cannot be served is refused before its row is written.

use std::net::SocketAddr;

use ::api::Call;
use ::api::elb::*;
use store::StoreError;
use wire::ApiError;

use crate::data_plane::Reserved;
use crate::describe;
use crate::errors;
use crate::health_check;
use crate::limits::{self, LOAD_BALANCERS_MAX, NAME_BYTES_MAX};
use crate::listeners::{self, Settings};
use crate::rows::{AttributesRow, COUNTERS, LAST_ID, LOAD_BALANCERS, ListenerRow, LoadBalancerRow};
use crate::service::Elb;
use crate::tags;
use crate::world;
use crate::zones::Taken;

/// Digits in a DNS name.
const DNS_DIGITS: u64 = 10_000_000_000;

impl Elb {
    pub(crate) async fn create(
        &self,
        call: &Call,
        input: CreateLoadBalancerInput,
    ) -> Result<CreateLoadBalancerOutput, ApiError> {
        let changes = self.begin_change().await;
        check_name(&input.load_balancer_name)?;
        let internal = match input.scheme.as_deref() {
            None | Some("" | "internet-facing") => false,
            Some("internal") => true,
            Some(other) => return Err(errors::scheme_invalid(other)),
        };
        let mut row = self.blank(call, &input.load_balancer_name, internal);
        tags::add(&mut row, input.tags, call.is_from_service())?;
        if input.listeners.is_empty() {
            return Err(errors::no_listeners());
        }
        listeners::add(&mut row, input.listeners)?;
        self.check_certificates(call, &row).await?;
        row.health_check = health_check::default_for(&row);
        let sites = self.sites(call, &input.availability_zones, &input.subnets).await?;
        row.vpc_id = sites.first().and_then(|site| site.vpc_id.clone());
        self.set_groups(call, &mut row, input.security_groups).await?;
        let mine = self.rows_of(call).await?;
        if let Some(old) = mine.iter().find(|old| old.name.eq_ignore_ascii_case(&row.name)) {
            let same_zones = old.zones.len() == sites.len()
                && sites.iter().all(|site| old.zones.iter().any(|zone| site.is_of(zone)));
            if !same_zones || !is_same(old, &row) {
                return Err(errors::load_balancer_exists(&row.name));
            }
            return Ok(CreateLoadBalancerOutput { dns_name: Some(old.dns_name.clone()) });
        }
        if mine.len() >= LOAD_BALANCERS_MAX {
            return Err(errors::too_many_load_balancers());
        }
        self.place(call, &mut row, &sites).await?;
        let reserved = self.reserve(call, &row).await?;
        let dns_name = row.dns_name.clone();
        let write = self.inner.store.write_async(move |tx| {
            // From the row's own counter, so that an id never comes again.
            let last = tx.get(&COUNTERS, LAST_ID)?.map_or(0, |counter| counter.value);
            row.id = last + 1;
            tx.put(&COUNTERS, LAST_ID, &row.id)?;
            tx.insert(&LOAD_BALANCERS, &row.key(), &row).map(|_| ())
        });
        write.await.map_err(|error: StoreError| errors::from_store(call, &error))?;
        self.reconcile().await;
        drop((reserved, changes));
        Ok(CreateLoadBalancerOutput { dns_name: Some(dns_name) })
    }

    /// A load balancer with nothing set on it.
    fn blank(&self, call: &Call, name: &str, internal: bool) -> LoadBalancerRow {
        let digits = self.inner.ids.u64() % DNS_DIGITS;
        let scheme = if internal { "internal-" } else { "" };
        let dns_name = format!("{scheme}{name}-{digits:010}.{}.{}", call.region, self.inner.dns_domain);
        LoadBalancerRow {
            id: 0,
            account: call.account().as_str().to_owned(),
            region: call.region.as_str().to_owned(),
            name: name.to_owned(),
            internal,
            created_ms: self.inner.clock.now().as_millis(),
            dns_name,
            vpc_id: None,
            zones: Vec::new(),
            security_groups: Vec::new(),
            source_group: None,
            listeners: Vec::new(),
            policies: Vec::new(),
            backend_policies: Default::default(),
            health_check: health_check::unset(),
            instances: Vec::new(),
            attributes: AttributesRow::default(),
            tags: Default::default(),
        }
    }

    /// Binds what the row's listeners need, unless another load balancer has it.
    pub(crate) async fn reserve(&self, call: &Call, row: &LoadBalancerRow) -> Result<Reserved, ApiError> {
        let all = self.all_rows().await.map_err(|error| errors::from_store(call, &error))?;
        let id = (row.id != 0).then_some(row.id);
        let ports: Vec<_> = row.listeners.iter().map(|listener| listener.port).collect();
        Taken::by_others(&all, id).check(row, &ports)?;
        let addresses: Vec<_> =
            row.zones.iter().flat_map(|zone| ports.iter().map(|port| SocketAddr::new(zone.address, *port))).collect();
        self.inner.balancer.reserve(&addresses).map_err(errors::cannot_listen)
    }

    /// Whether all certificates that the row names exist and can be served.
    pub(crate) async fn check_certificates(&self, call: &Call, row: &LoadBalancerRow) -> Result<(), ApiError> {
        for arn in row.listeners.iter().filter_map(|listener| listener.certificate.as_deref()) {
            // An ARN says whose it is: nobody shows another account's certificate.
            let is_own = arn.split(':').nth(4) == Some(call.account().as_str());
            let found = if is_own { self.inner.certificates.find(arn).await } else { Ok(None) };
            let found = found.map_err(|error| errors::from_dependency(call, "IAM", &error))?;
            let certificate = found.ok_or_else(|| errors::certificate_not_found(arn))?;
            balancer::check_certificate(&world::to_certificate(&certificate))
                .map_err(|error| errors::certificate_unusable(arn, error))?;
        }
        Ok(())
    }

    pub(crate) async fn delete(&self, call: &Call, input: DeleteLoadBalancerInput) -> Result<(), ApiError> {
        let changes = self.begin_change().await;
        // One that is not there is gone already: AWS answers that with success.
        let Some(row) = self.find(call, &input.load_balancer_name).await? else { return Ok(()) };
        let (key, row) = (row.key, row.value);
        if let Some(log) = row.attributes.access_log.clone() {
            self.retire_log(call, &row, log).await?;
        }
        let write = self.inner.store.write_async(move |tx| tx.delete(&LOAD_BALANCERS, &key));
        write.await.map_err(|error: StoreError| errors::from_store(call, &error))?;
        self.reconcile().await;
        drop(changes);
        Ok(())
    }

    pub(crate) async fn describe_all(
        &self,
        call: &Call,
        input: DescribeLoadBalancersInput,
    ) -> Result<DescribeLoadBalancersOutput, ApiError> {
        let size = limits::page_size(input.page_size)?;
        let rows = self.rows_of(call).await?;
        if !input.load_balancer_names.is_empty() {
            let find = |name: &String| {
                let found = rows.iter().find(|row| row.name.eq_ignore_ascii_case(name));
                found.map(describe::load_balancer).ok_or_else(|| errors::load_balancer_not_found(name))
            };
            let descriptions = input.load_balancer_names.iter().map(find).collect::<Result<_, _>>()?;
            return Ok(DescribeLoadBalancersOutput { load_balancer_descriptions: descriptions, next_marker: None });
        }
        // The marker is the name of the last one told: pages stay whole while others come and go.
        let after = input.marker.filter(|marker| !marker.is_empty()).map(|marker| marker.to_ascii_lowercase());
        if after.as_deref().is_some_and(|marker| !is_name(marker)) {
            return Err(errors::marker_invalid());
        }
        let mut following =
            rows.iter().filter(|row| after.as_ref().is_none_or(|after| row.name.to_ascii_lowercase() > *after));
        let page: Vec<_> = following.by_ref().take(size).collect();
        let next_marker = following.next().and_then(|_| page.last()).map(|row| row.name.clone());
        let load_balancer_descriptions = page.into_iter().map(describe::load_balancer).collect();
        Ok(DescribeLoadBalancersOutput { load_balancer_descriptions, next_marker })
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(errors::name_too_long());
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(errors::name_malformed());
    }
    if is_name(name) { Ok(()) } else { Err(errors::name_ends_with_dash()) }
}

fn is_name(name: &str) -> bool {
    let allowed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    allowed && !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('-') && !name.ends_with('-')
}

/// Whether a CreateLoadBalancer that is said again says what there is. Tags do not count, as they may have changed.
fn is_same(old: &LoadBalancerRow, new: &LoadBalancerRow) -> bool {
    let (mut old_groups, mut new_groups) = (old.security_groups.clone(), new.security_groups.clone());
    old_groups.sort();
    new_groups.sort();
    old.internal == new.internal && settings(old) == settings(new) && old_groups == new_groups
}

fn settings(row: &LoadBalancerRow) -> Vec<Settings<'_>> {
    let mut all: Vec<_> = row.listeners.iter().map(ListenerRow::settings).collect();
    all.sort();
    all
}
