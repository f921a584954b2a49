//! TLS at the front door: certificates for the names that a client asks for, signed by our own authority.
//!
//! Invariants:
//! - A certificate is made only for a name that is ours ([`Host::is_ours`]); nobody can make us vouch for another.
//! - At most [`CERTIFICATES_MAX`] certificates are kept; asking for one more forgets them all, which costs a signature each.
//! - A certificate is used for half of its time at most.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::Region;
use host::Clock;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tracing::warn;

use super::ca::{CaError, CertificateAuthority, NAME_HOLDS};
use super::host::Host;
use crate::config::Config;

/// Certificates kept, of about 600 bytes each.
const CERTIFICATES_MAX: usize = 1024;

/// What makes a TLS server of the front door.
#[derive(Clone)]
pub struct Tls {
    /// Begins a handshake.
    pub acceptor: TlsAcceptor,
    /// Who vouches.
    pub authority: Arc<CertificateAuthority>,
}

impl Tls {
    /// TLS for the names that the configuration serves.
    pub fn new(config: &Config, authority: Arc<CertificateAuthority>, clock: Arc<dyn Clock>) -> Result<Self, CaError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let resolver = Resolver {
            authority: authority.clone(),
            clock,
            base_domains: config.base_domains.clone(),
            nameless: Nameless::of(config),
            made: Mutex::default(),
        };
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), authority })
    }
}

/// What the certificate of a client that names nobody holds: it came to an address, or is from before names were told.
#[derive(Debug)]
struct Nameless {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Nameless {
    fn of(config: &Config) -> Self {
        let mut names = vec!["localhost".to_owned()];
        names.extend(names_below("amazonaws.com", &config.region));
        names.extend(
            config
                .base_domains
                .iter()
                .flat_map(|domain| std::iter::once(domain.clone()).chain(names_below(domain, &config.region))),
        );
        let mut addresses = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        for listen in config.listen.iter().chain(&config.tls_listen) {
            if !listen.ip().is_unspecified() && !addresses.contains(&listen.ip()) {
                addresses.push(listen.ip());
            }
        }
        Self { names, addresses }
    }
}

/// The names that clients of old use below a domain; a wildcard covers one label.
fn names_below(domain: &str, region: &Region) -> Vec<String> {
    let forms = ["*.D", "s3.D", "*.s3.D", "*.queue.D", "*.R.D", "*.s3.R.D", "*.s3-R.D", "*.R.elb.D"];
    forms.iter().map(|form| form.replace('R', &region.to_string()).replace('D', domain)).collect()
}

struct Resolver {
    authority: Arc<CertificateAuthority>,
    clock: Arc<dyn Clock>,
    base_domains: Vec<String>,
    nameless: Nameless,
    /// By name; the empty one is for clients that tell none. With the second from which a new one is made.
    made: Mutex<HashMap<String, (u64, Arc<CertifiedKey>)>>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificate(hello.server_name().unwrap_or_default())
    }
}

impl Resolver {
    fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let now = self.clock.now();
        if let Some((renew_s, certified)) = self.made.lock().get(&name)
            && now.as_secs() < *renew_s
        {
            return Some(certified.clone());
        }
        // Without the lock: two may make the same one, and one of them is forgotten.
        let certified = match name.as_str() {
            "" => self.authority.certify(&self.nameless.names, &self.nameless.addresses, now),
            name if Host::parse(name, &self.base_domains).is_ours => {
                self.authority.certify(&[name.to_owned()], &[], now)
            }
            _ => return None,
        };
        let certified = certified.inspect_err(|error| warn!(%error, name, "cannot make a certificate")).ok()?;
        let half_s = NAME_HOLDS.whole_seconds().unsigned_abs() / 2;
        let mut made = self.made.lock();
        if made.len() >= CERTIFICATES_MAX {
            made.clear();
        }
        made.insert(name, (now.as_secs() + half_s, certified.clone()));
        Some(certified)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use host::Timestamp;
    use host::sim::SimClock;

    use super::*;

    fn clock() -> Arc<SimClock> {
        Arc::new(SimClock::frozen(Timestamp::from_secs(1_800_000_000)))
    }

    fn resolver(clock: Arc<SimClock>) -> Resolver {
        let authority = Arc::new(CertificateAuthority::passing(clock.now()).unwrap());
        let names = names_below("amazonaws.com", &Region::parse("eu-west-1").unwrap());
        let nameless = Nameless { names, addresses: vec![IpAddr::from([127, 0, 0, 1])] };
        Resolver { authority, clock, base_domains: vec!["cloud.example".into()], nameless, made: Mutex::default() }
    }

    #[test]
    fn certificates_are_made_for_our_names_and_no_others() {
        let resolver = resolver(clock());
        for name in ["", "localhost", "queue.amazonaws.com", "a.b.s3.eu-west-1.amazonaws.com", "SQS.Cloud.Example"] {
            assert!(resolver.certificate(name).is_some(), "{name}");
        }
        for name in ["bank.example", "amazonaws.com.evil.example", "xcloud.example"] {
            assert!(resolver.certificate(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_certificate_is_made_once_and_again_when_half_of_its_time_is_over() {
        let clock = clock();
        let resolver = resolver(clock.clone());
        let first = resolver.certificate("sqs.amazonaws.com").unwrap();
        assert!(Arc::ptr_eq(&first, &resolver.certificate("SQS.amazonaws.com.").unwrap()));
        clock.advance(Duration::from_secs(200 * 86_400));
        assert!(!Arc::ptr_eq(&first, &resolver.certificate("sqs.amazonaws.com").unwrap()));
    }

    #[test]
    fn no_client_fills_the_memory_with_names() {
        let resolver = resolver(clock());
        for number in 0..CERTIFICATES_MAX + 10 {
            resolver.certificate(&format!("b{number}.s3.amazonaws.com")).unwrap();
        }
        assert!(resolver.made.lock().len() <= CERTIFICATES_MAX);
    }
}
