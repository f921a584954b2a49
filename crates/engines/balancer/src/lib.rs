//! The load balancer's data plane: listeners, proxying, health checks, DNS. Knows no AWS API: services/elb translates.
//!
//! Invariants:
//! - What is served is one immutable [`Config`]; publishing another swaps it whole, and a request reads it once.
//! - No lock is shared between requests, and no disk and no control plane stands on a request's path.
//! - Every buffer, queue and wait has a bound, named in [`Limits`] or in [`LoadBalancer`].
//! - A change of configuration, of a certificate or of targets drops no request in flight.
//!
//! LIFECYCLE.md beside this crate tells a connection's story from accept to access record.

mod access_record;
mod config;
mod metrics;
mod proxy_protocol;
mod state;
mod stream;
mod tcp;
mod tls;

pub use config::{
    AccessRule, Backend, BackendProtocol, Certificate, Config, DesyncMode, Frontend, HealthCheck, HealthCheckKind,
    IpNetwork, Limits, Listener, LoadBalancer, LoadBalancerId, Node, PrivateKey, Stickiness, Target, TargetId, Tls,
    TlsPolicy,
};
pub use tls::{CertificateError, check_certificate, suite_is_supported};
