//! Listeners: checked, added, taken away, given another certificate.
//!
//! Invariants:
//! - Ports are unique in a load balancer; a listener that is said again with the same settings changes nothing.
//! - HTTP and HTTPS stand before HTTP and HTTPS only, TCP and SSL before TCP and SSL.
//! - A listener that speaks TLS with clients has a certificate, and a security policy from the start.

use ::api::Call;
use ::api::elb::*;
use wire::ApiError;

use crate::errors;
use crate::limits::LISTENERS_MAX;
use crate::policies;
use crate::rows::{ListenerRow, LoadBalancerRow, Protocol};
use crate::security_policies;
use crate::service::Elb;

/// Port, protocol, instance port, instance protocol, certificate.
pub(crate) type Settings<'a> = (u16, &'static str, u16, &'static str, Option<&'a str>);

impl ListenerRow {
    /// All but the policies, which are set on their own.
    pub(crate) fn settings(&self) -> Settings<'_> {
        let certificate = self.certificate.as_deref();
        (self.port, self.protocol.as_str(), self.instance_port, self.instance_protocol.as_str(), certificate)
    }
}

/// Adds listeners to a row. Certificates are only looked for by `check_certificates`.
pub(crate) fn add(row: &mut LoadBalancerRow, listeners: Vec<Listener>) -> Result<(), ApiError> {
    for listener in listeners {
        let mut new = check(listener)?;
        if let Some(old) = row.listener(i32::from(new.port)) {
            if old.settings() == new.settings() {
                continue;
            }
            return Err(errors::listener_exists(&row.name, new.port));
        }
        let other = row.listeners.iter().find(|other| other.instance_port == new.instance_port);
        if other.is_some_and(|other| other.instance_protocol.is_secure() != new.instance_protocol.is_secure()) {
            return Err(errors::instance_port_is_both(new.instance_port));
        }
        if new.protocol.is_secure() {
            new.policies.push(security_policies::DEFAULT.to_owned());
            policies::adopt_predefined(row, &new.policies);
        }
        row.listeners.push(new);
        if row.listeners.len() > LISTENERS_MAX {
            return Err(errors::too_many_listeners());
        }
    }
    Ok(())
}

fn check(listener: Listener) -> Result<ListenerRow, ApiError> {
    let port = listener.load_balancer_port;
    let is_port = |port: &u16| *port > 0;
    let front_port = u16::try_from(port).ok().filter(is_port).ok_or_else(errors::load_balancer_port_out_of_range)?;
    let instance_port = u16::try_from(listener.instance_port).ok();
    let instance_port = instance_port.filter(is_port).ok_or_else(errors::instance_port_out_of_range)?;
    let parse = |text: &str| Protocol::parse(text).ok_or_else(|| errors::protocol_unknown(text));
    let protocol = parse(&listener.protocol)?;
    let instance_protocol = match listener.instance_protocol.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => parse(text)?,
        // AWS: HTTP behind HTTP and HTTPS, TCP behind TCP and SSL.
        None if protocol.is_http() => Protocol::Http,
        None => Protocol::Tcp,
    };
    if protocol.is_http() != instance_protocol.is_http() {
        return Err(errors::protocols_do_not_mix(protocol.as_str(), instance_protocol.as_str()));
    }
    let certificate = listener.ssl_certificate_id.filter(|arn| !arn.is_empty());
    match (&certificate, protocol.is_secure()) {
        (None, true) => return Err(errors::certificate_missing()),
        (Some(_), false) => return Err(errors::certificate_not_wanted(port)),
        _ => {}
    }
    Ok(ListenerRow { port: front_port, protocol, instance_port, instance_protocol, certificate, policies: Vec::new() })
}

impl Elb {
    pub(crate) async fn create_listeners(
        &self,
        call: &Call,
        input: CreateLoadBalancerListenersInput,
    ) -> Result<(), ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        if input.listeners.is_empty() {
            return Err(errors::no_listeners());
        }
        add(&mut draft.row, input.listeners)?;
        self.check_certificates(call, &draft.row).await?;
        draft.reserved = Some(self.reserve(call, &draft.row).await?);
        self.commit(call, draft).await
    }

    pub(crate) async fn delete_listeners(
        &self,
        call: &Call,
        input: DeleteLoadBalancerListenersInput,
    ) -> Result<(), ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let row = &mut draft.row;
        // Ports without a listener are fine: they are gone already.
        row.listeners.retain(|listener| !input.load_balancer_ports.contains(&i32::from(listener.port)));
        let used: Vec<_> = row.listeners.iter().map(|listener| listener.instance_port).collect();
        row.backend_policies.retain(|port, _| used.contains(port));
        self.commit(call, draft).await
    }

    pub(crate) async fn set_certificate(
        &self,
        call: &Call,
        input: SetLoadBalancerListenerSSLCertificateInput,
    ) -> Result<(), ApiError> {
        let mut draft = self.draft(call, &input.load_balancer_name).await?;
        let (row, port) = (&mut draft.row, input.load_balancer_port);
        let found = row.listeners.iter_mut().find(|listener| i32::from(listener.port) == port);
        let Some(listener) = found else { return Err(errors::listener_not_found(&row.name, port)) };
        if !listener.protocol.is_secure() {
            return Err(errors::certificate_not_wanted(port));
        }
        listener.certificate = Some(input.ssl_certificate_id);
        self.check_certificates(call, row).await?;
        self.commit(call, draft).await
    }
}
