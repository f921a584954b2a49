//! Whom we believe to be a target: anybody who holds the key of the certificate they show, or one of a list of keys.
//!
//! Invariants:
//! - The handshake's signature is always verified with the key in the certificate: who merely copies a certificate
//!   does not pass.
//! - Names, dates, issuers and extensions are never looked at, so certificates of any age and version will do.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};

use super::der;

/// Verifies targets by their keys only.
#[derive(Debug)]
pub(super) struct KeyVerifier {
    /// SubjectPublicKeyInfos; `None` lets any key pass.
    pub(super) trusted_keys: Option<Arc<[Vec<u8>]>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = key_of(end_entity)?;
        match &self.trusted_keys {
            Some(trusted) if !trusted.iter().any(|trusted| trusted == key) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // PKCS#1 v1.5 has no place in TLS 1.3's handshake, and each curve has one hash.
        match signed.scheme {
            SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512 => Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into()),
            _ => self.verify(message, certificate, signed),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl KeyVerifier {
    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let (algorithm, key) = der::algorithm_and_key(key_of(certificate)?).ok_or(CertificateError::BadEncoding)?;
        let candidates = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let candidates = candidates.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?.1;
        let is_valid = candidates
            .iter()
            .filter(|candidate| candidate.public_key_alg_id().as_ref() == algorithm)
            .any(|candidate| candidate.verify_signature(key, message, signed.signature()).is_ok());
        if is_valid { Ok(HandshakeSignatureValid::assertion()) } else { Err(CertificateError::BadSignature.into()) }
    }
}

fn key_of<'a>(certificate: &'a CertificateDer<'_>) -> Result<&'a [u8], Error> {
    der::public_key_info(certificate).ok_or_else(|| CertificateError::BadEncoding.into())
}
