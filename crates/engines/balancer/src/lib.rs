//! The load balancer's data plane: listeners, proxying, health checks, DNS. Knows no AWS API: services/elb translates.
//!
//! Invariants:
//! - What is served is one immutable [`Config`]; publishing another swaps it whole, and a request reads it once.
//! - No lock is shared between requests, and no disk and no control plane stands on a request's path.
//! - Every buffer, queue and wait has a bound, named in [`Limits`] or in [`LoadBalancer`].
//! - A change of configuration, of a certificate or of targets drops no request in flight.
//!
//! LIFECYCLE.md beside this crate tells a connection's story from accept to access record.

mod access;
mod access_record;
mod balancer;
mod bind_error;
mod config;
mod deadline;
mod dns;
mod egress;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod listener;
mod metrics;
mod plan;
mod pool;
mod proxy;
pub mod proxy_protocol;
mod publisher;
mod registry;
mod state;
mod stats;
mod stream;
mod surge;
mod target_health;
mod tcp;
mod tls;
mod usage;
mod worker;

pub use access_record::{Sealed, Spool, SpoolStats};
pub use balancer::{Balancer, ListeningSocket, Options, Reservation};
pub use bind_error::{BindError, BindFailure};
pub use config::{
    AccessRule, Backend, BackendProtocol, Certificate, Config, DesyncMode, Frontend, HealthCheck, HealthCheckKind,
    IpNetwork, Limits, Listener, LoadBalancer, LoadBalancerId, Node, PrivateKey, Stickiness, Target, TargetId, Tls,
    TlsPolicy,
};
pub use dns::DnsOptions;
pub use egress::Egress;
pub use health::{HealthReason, HealthState, TargetHealth};
pub use metrics::Latencies;
pub use stats::{Metric, NodeStats, TargetStats};
pub use tls::{CertificateError, check_certificate, suite_is_supported};
pub use usage::{UsageLine, UsageReport};
