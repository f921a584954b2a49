//! [`CheckedCertificate`]: what a user uploads, read and found fit for TLS.
//!
//! Invariants:
//! - What passes loads into rustls: the key is of a kind that it signs with, and belongs to the certificate.
//! - Each certificate of the chain has signed the one before it.
//! - Pure: bytes and a time in; no input makes it panic.

use host::Timestamp;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How many certificates a chain may have. Real ones have two or three; each costs a signature's verification.
const CHAIN_MAX: usize = 10;

/// A certificate that fits its key and its chain.
#[derive(Clone, PartialEq, Eq)]
pub struct CheckedCertificate {
    /// The certificate and its chain, in DER.
    pub chain_der: Vec<Vec<u8>>,
    /// The key, in DER.
    pub private_key_der: Vec<u8>,
    /// When the certificate ends.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for CheckedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckedCertificate").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Why an upload is not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The body is no certificate in PEM.
    #[error("the body holds no certificate in PEM format")]
    Certificate,
    /// The body has more than one.
    #[error("the body holds more than one certificate")]
    SeveralCertificates,
    /// The certificate's time has not come.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// The certificate's time is over.
    #[error("the certificate has expired")]
    Expired,
    /// The chain holds something that is no certificate, or nothing.
    #[error("the chain holds something that is not a certificate in PEM format")]
    Chain,
    /// The chain has more than [`CHAIN_MAX`] certificates.
    #[error("the chain has more than {CHAIN_MAX} certificates")]
    ChainTooLong,
    /// A certificate is not signed by the next one.
    #[error("the certificate at index {index} of the chain is not signed by the next one")]
    ChainOrder {
        /// Which one, counted from 0 in the chain; -1 for the certificate itself, as AWS counts.
        index: i64,
    },
    /// A signature of an algorithm that we can't verify.
    #[error("the signature at index {index} of the chain is of an algorithm that is not supported")]
    ChainAlgorithm {
        /// As above.
        index: i64,
    },
    /// No private key in PEM.
    #[error("no private key in PEM format")]
    Key,
    /// The private key is locked with a passphrase.
    #[error("the private key is encrypted")]
    EncryptedKey,
    /// A private key that TLS can't use here.
    #[error("the private key is of a kind or size that is not supported")]
    KeyKind,
    /// The private key is another certificate's.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
}

impl CheckedCertificate {
    /// Reads and checks an upload.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(body: &str, chain: Option<&str>, private_key: &str, now: Timestamp) -> Result<Self, Unfit> {
        let mut bodies = certificates(body, 2).ok_or(Unfit::Certificate)?;
        let (Some(end_entity), 0) = (bodies.pop(), bodies.len()) else {
            return Err(if body.contains("-----BEGIN") { Unfit::SeveralCertificates } else { Unfit::Certificate });
        };
        let parsed = parsed(&end_entity).ok_or(Unfit::Certificate)?;
        let (begins, ends) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now_s < begins {
            return Err(Unfit::NotYetValid);
        }
        if now_s > ends {
            return Err(Unfit::Expired);
        }
        let expires_at = Timestamp::from_secs(u64::try_from(ends).unwrap_or_default());
        let mut chain_der = vec![end_entity];
        chain_der.extend(chain.map_or(Ok(Vec::new()), chain_of)?);
        signed_in_order(&chain_der)?;
        let private_key_der = key(private_key)?;
        fits(&chain_der, &private_key_der)?;
        Ok(Self { chain_der, private_key_der, expires_at })
    }

    /// The certificates of a stored upload, which was checked when it came.
    pub(super) fn chain_der(body: &str, chain: Option<&str>) -> Option<Vec<Vec<u8>>> {
        let mut chain_der = certificates(body, 1)?;
        chain_der.extend(certificates(chain.unwrap_or_default(), CHAIN_MAX)?);
        Some(chain_der)
    }
}

/// The certificates in a text, at most `max`; `None` if a section can't be read.
fn certificates(pem: &str, max: usize) -> Option<Vec<Vec<u8>>> {
    let sections = CertificateDer::pem_slice_iter(pem.as_bytes()).take(max);
    sections.map(|section| section.ok().map(|der| der.to_vec())).collect()
}

fn chain_of(pem: &str) -> Result<Vec<Vec<u8>>, Unfit> {
    let chain = certificates(pem, CHAIN_MAX + 1).ok_or(Unfit::Chain)?;
    match chain.len() {
        0 => Err(Unfit::Chain),
        count if count > CHAIN_MAX => Err(Unfit::ChainTooLong),
        _ => Ok(chain),
    }
}

/// A certificate that is the whole of its bytes.
fn parsed(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, certificate)| certificate)
}

fn signed_in_order(chain_der: &[Vec<u8>]) -> Result<(), Unfit> {
    let chain: Vec<_> = chain_der.iter().map(|der| parsed(der)).collect::<Option<_>>().ok_or(Unfit::Chain)?;
    for (pair, index) in chain.windows(2).zip(-1..) {
        let [subject, issuer] = pair else { continue };
        if subject.issuer().as_raw() != issuer.subject().as_raw() {
            return Err(Unfit::ChainOrder { index });
        }
        match subject.verify_signature(Some(issuer.public_key())) {
            Ok(()) => {}
            Err(x509_parser::error::X509Error::SignatureUnsupportedAlgorithm) => {
                return Err(Unfit::ChainAlgorithm { index });
            }
            Err(_) => return Err(Unfit::ChainOrder { index }),
        }
    }
    Ok(())
}

fn key(pem: &str) -> Result<Vec<u8>, Unfit> {
    // A PKCS #8 key with a passphrase has a label of its own, an older one says so in a header.
    if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(Unfit::EncryptedKey);
    }
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes()) {
        let (kind, der) = section.map_err(|_| Unfit::Key)?;
        if let SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey = kind {
            return Ok(der);
        }
    }
    Err(Unfit::Key)
}

fn fits(chain_der: &[Vec<u8>], key_der: &[u8]) -> Result<(), Unfit> {
    // The kind is read from the bytes, as everybody does who takes them out of the store.
    let key = PrivateKeyDer::try_from(key_der).map_err(|_| Unfit::Key)?;
    let signer = any_supported_type(&key).map_err(|_| Unfit::KeyKind)?;
    let chain = chain_der.iter().take(1).map(|der| CertificateDer::from(der.clone())).collect();
    match CertifiedKey::new(chain, signer).keys_match() {
        Ok(()) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Unfit::KeyMismatch),
        // rustls reads version 3 of certificates only, and could not serve another.
        Err(_) => Err(Unfit::Certificate),
    }
}

#[cfg(test)]
mod tests;
