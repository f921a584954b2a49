//! Cipher suites by OpenSSL's names, which AWS's policies and access logs use.
//!
//! Invariant: what is not in the table is never negotiated.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::cipher_suite as suite;
use rustls::{CipherSuite, ProtocolVersion, SupportedCipherSuite};

use crate::access_record::TlsInfo;
use crate::config::TlsPolicy;

/// TLS 1.2's.
const TLS12: [(&str, SupportedCipherSuite); 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES256-GCM-SHA384", suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// TLS 1.3's, in the order that policies which do not know them get: the fastest first, as in AWS's own.
const TLS13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", suite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// Whether a TLS 1.2 suite, by OpenSSL's name, can be negotiated at all. A policy that names none and does not allow
/// TLS 1.3 leaves nothing.
pub fn suite_is_supported(openssl_name: &str) -> bool {
    find(openssl_name).is_some()
}

fn find(openssl_name: &str) -> Option<SupportedCipherSuite> {
    TLS12.iter().find(|(name, _)| *name == openssl_name).map(|(_, suite)| *suite)
}

/// What can be negotiated under `policy`, in order of preference; TLS 1.3 goes first.
pub(super) fn of_policy(policy: &TlsPolicy) -> Vec<SupportedCipherSuite> {
    let mut suites = Vec::with_capacity(TLS13.len() + policy.cipher_suites.len());
    if policy.tls13 {
        suites.extend(TLS13.map(|(_, suite)| suite));
    }
    if policy.tls12 {
        for suite in policy.cipher_suites.iter().filter_map(|name: &Arc<str>| find(name)) {
            if !suites.contains(&suite) {
                suites.push(suite);
            }
        }
    }
    suites
}

/// What the access log says of a handshake.
pub(super) fn info(version: Option<ProtocolVersion>, negotiated: Option<SupportedCipherSuite>) -> TlsInfo {
    let protocol = match version {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "-",
    };
    TlsInfo { cipher: negotiated.map_or("-", |suite| name(suite.suite())), protocol }
}

fn name(id: CipherSuite) -> &'static str {
    TLS13.iter().chain(&TLS12).find(|(_, suite)| suite.suite() == id).map_or("-", |(name, _)| name)
}
