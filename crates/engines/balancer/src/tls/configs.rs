//! [`Configs`]: rustls' configurations for what is to be served, each made once.
//!
//! Invariants:
//! - The same certificate and policy (or trusted keys) give the same `Arc`, as long as somebody uses it: session
//!   tickets, which belong to it, survive whatever else changes.
//! - Nothing is kept that nobody uses.
//! - A certificate whose key does not belong to it is never served.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use host::Clock;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer, UnixTime,
};
use rustls::server::ServerSessionMemoryCache;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion, version};

use super::verifier::KeyVerifier;
use super::{der, suites};
use crate::config::{Certificate, Tls, TlsPolicy};

/// Sessions remembered for TLS 1.2 clients without tickets, per configuration.
const SERVER_SESSIONS_MAX: usize = 4096;
/// Targets whose sessions are remembered, per configuration.
const CLIENT_SESSIONS_MAX: usize = 1024;

/// Why a certificate with its key cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is none.
    #[error("the certificate is missing")]
    Missing,
    /// It is not DER of an X.509 certificate.
    #[error("the certificate cannot be read")]
    Certificate,
    /// It is no RSA, ECDSA (P-256, P-384, P-521) or Ed25519 key that rustls can use.
    #[error("the private key cannot be used: {0}")]
    PrivateKey(String),
    /// The two do not belong together.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

/// Why a listener's TLS cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsConfigError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("the policy leaves no protocol version with a cipher suite")]
    NothingToNegotiate,
    #[error("{0}")]
    Rustls(String),
}

impl From<rustls::Error> for TlsConfigError {
    fn from(e: rustls::Error) -> Self {
        Self::Rustls(e.to_string())
    }
}

/// Makes and remembers configurations.
pub(crate) struct Configs {
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
    servers: HashMap<ServerKey, Weak<ServerConfig>>,
    clients: HashMap<TrustedKeys, Weak<ClientConfig>>,
}

/// [`crate::config::Backend::trusted_keys`].
type TrustedKeys = Option<Arc<[Vec<u8>]>>;

#[derive(PartialEq)]
struct ServerKey {
    certificate: Arc<Certificate>,
    policy: Arc<TlsPolicy>,
    speaks_http: bool,
}

// Holds because nothing in it is a float.
impl Eq for ServerKey {}

impl Hash for ServerKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The signature in it tells certificates apart; the rest is compared.
        self.certificate.chain.first().hash(state);
        self.policy.cipher_suites.hash(state);
        self.speaks_http.hash(state);
    }
}

/// Tells rustls the time, by our clock.
#[derive(Debug)]
struct Time<C>(C);

struct AnyClock(Arc<dyn Clock>);

impl std::fmt::Debug for AnyClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnyClock")
    }
}

impl TimeProvider for Time<AnyClock> {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.0.0.now().as_secs())))
    }
}

impl Configs {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            time: Arc::new(Time(AnyClock(clock))),
            servers: HashMap::new(),
            clients: HashMap::new(),
        }
    }

    /// What terminates TLS for listeners with this certificate and policy. `speaks_http` for HTTPS: clients that
    /// name protocols are told http/1.1. Within SSL listeners' TLS anything may be spoken.
    pub(crate) fn server(&mut self, tls: &Tls, speaks_http: bool) -> Result<Arc<ServerConfig>, TlsConfigError> {
        let key = ServerKey { certificate: Arc::clone(&tls.certificate), policy: Arc::clone(&tls.policy), speaks_http };
        if let Some(config) = self.servers.get(&key).and_then(Weak::upgrade) {
            return Ok(config);
        }
        let config = Arc::new(self.make_server(tls, speaks_http)?);
        self.servers.retain(|_, config| config.strong_count() > 0);
        self.servers.insert(key, Arc::downgrade(&config));
        Ok(config)
    }

    /// What speaks TLS to targets that must have one of these keys, or to any.
    pub(crate) fn client(
        &mut self,
        trusted_keys: Option<&Arc<[Vec<u8>]>>,
    ) -> Result<Arc<ClientConfig>, TlsConfigError> {
        let key = trusted_keys.cloned();
        if let Some(config) = self.clients.get(&key).and_then(Weak::upgrade) {
            return Ok(config);
        }
        let config = Arc::new(self.make_client(key.clone())?);
        self.clients.retain(|_, config| config.strong_count() > 0);
        self.clients.insert(key, Arc::downgrade(&config));
        Ok(config)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    fn make_server(&self, tls: &Tls, speaks_http: bool) -> Result<ServerConfig, TlsConfigError> {
        let certified = certified_key(&tls.certificate, &self.provider)?;
        let cipher_suites = suites::of_policy(&tls.policy);
        let versions: Vec<&'static SupportedProtocolVersion> = [&version::TLS13, &version::TLS12]
            .into_iter()
            .filter(|version| cipher_suites.iter().any(|suite| suite.version() == *version))
            .collect();
        if versions.is_empty() {
            return Err(TlsConfigError::NothingToNegotiate);
        }
        let provider = CryptoProvider { cipher_suites, ..(*self.provider).clone() };
        let mut config = ServerConfig::builder_with_details(Arc::new(provider), Arc::clone(&self.time))
            .with_protocol_versions(&versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.ignore_client_order = tls.policy.server_order;
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        // Browsers open several connections with one; each more is an encryption and a record per handshake.
        config.send_tls13_tickets = 1;
        config.session_storage = ServerSessionMemoryCache::new(SERVER_SESSIONS_MAX);
        config.max_early_data_size = 0;
        if speaks_http {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        Ok(config)
    }

    fn make_client(&self, trusted_keys: Option<Arc<[Vec<u8>]>>) -> Result<ClientConfig, TlsConfigError> {
        let verifier = KeyVerifier { trusted_keys, algorithms: self.provider.signature_verification_algorithms };
        let mut config = ClientConfig::builder_with_details(Arc::clone(&self.provider), Arc::clone(&self.time))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.enable_sni = false;
        config.resumption = Resumption::in_memory_sessions(CLIENT_SESSIONS_MAX);
        Ok(config)
    }
}

/// Whether a certificate with its key could be served.
pub fn check_certificate(certificate: &Certificate) -> Result<(), CertificateError> {
    certified_key(certificate, &aws_lc_rs::default_provider()).map(|_| ())
}

fn certified_key(certificate: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
    let first = certificate.chain.first().ok_or(CertificateError::Missing)?;
    let info = der::public_key_info(first).ok_or(CertificateError::Certificate)?;
    if certificate.chain.iter().any(|certificate| der::public_key_info(certificate).is_none()) {
        return Err(CertificateError::Certificate);
    }
    let key = signing_key(&certificate.private_key.0, provider)?;
    // A key that cannot say its public half cannot be compared; rustls' own always can.
    if key.public_key().is_none_or(|public| public.as_ref() != info) {
        return Err(CertificateError::Mismatch);
    }
    let chain = certificate.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    Ok(CertifiedKey::new(chain, key))
}

/// Loads the key in whichever of its three encodings it is.
fn signing_key(der: &[u8], provider: &CryptoProvider) -> Result<Arc<dyn rustls::sign::SigningKey>, CertificateError> {
    let encodings: [fn(Vec<u8>) -> PrivateKeyDer<'static>; 3] = [
        |der| PrivatePkcs8KeyDer::from(der).into(),
        |der| PrivatePkcs1KeyDer::from(der).into(),
        |der| PrivateSec1KeyDer::from(der).into(),
    ];
    let mut reason = String::new();
    for encoding in encodings {
        match provider.key_provider.load_private_key(encoding(der.to_vec())) {
            Ok(key) => return Ok(key),
            Err(e) if reason.is_empty() => reason = e.to_string(),
            Err(_) => {}
        }
    }
    Err(CertificateError::PrivateKey(reason))
}
