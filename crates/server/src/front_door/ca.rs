//! Millpond's own certificate authority: one a data directory, which vouches for AWS's names towards those who trust it.
//!
//! Invariants:
//! - Its key never leaves `keys/ca.pem` (0600) and this process; what is given out is the certificate.
//! - A key that was made is never replaced: whoever trusts it would have to be asked again.
//! - Every certificate has a serial number of its own.
//!
//! Knows no sockets. Keys are drawn by the cryptographic library and not from `host::Ids`: a replayed key is no secret.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use host::{Disk, Timestamp};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

const DIRECTORY: &str = "keys";
/// The key and the certificate.
const FILE: &str = "keys/ca.pem";
/// Written first and renamed when complete.
const UNFINISHED: &str = "keys/ca.pem.new";
const FILE_BYTES_MAX: u64 = 64 * 1024;
const CERTIFICATE_BEGINS: &str = "-----BEGIN CERTIFICATE-----";

/// How long the authority's own certificate holds.
const AUTHORITY_HOLDS: Duration = Duration::days(20 * 365);
/// How long the certificate of a name holds; browsers take 398 days at most.
pub(super) const NAME_HOLDS: Duration = Duration::days(365);
/// For clocks that are behind ours.
const BACKDATED: Duration = Duration::days(1);

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The file cannot be read or written.
    #[error(
        "cannot {what} {FILE} in the data directory: {source}; check that it belongs to the user who runs millpond"
    )]
    Io {
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The file is not one of ours.
    #[error(
        "{FILE} in the data directory is not a certificate authority's; restore it from a backup, or delete it, and have \
         the new one trusted instead"
    )]
    Damaged,
    /// The cryptographic library refused.
    #[error("cannot make a certificate: {0}")]
    Refused(String),
}

impl From<rcgen::Error> for CaError {
    fn from(error: rcgen::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<rustls::Error> for CaError {
    fn from(error: rustls::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// The authority.
pub struct CertificateAuthority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// All names share one key: it lives as long as the process, and making one costs more than a signature.
    leaf_key: KeyPair,
    leaf_signer: Arc<dyn SigningKey>,
}

impl CertificateAuthority {
    /// Reads the authority of a data directory, and makes it where there is none. Blocks.
    pub fn load_or_create(disk: &dyn Disk, now: Timestamp) -> Result<Self, CaError> {
        if let Some(text) = read(disk).map_err(failed("read"))? {
            return Self::from_pem(&text);
        }
        let text = make(now)?;
        write(disk, &text).map_err(failed("write"))?;
        // Another process may have been faster: what stands there is what counts.
        let written = read(disk).map_err(failed("read"))?.ok_or(CaError::Damaged)?;
        Self::from_pem(&written)
    }

    /// An authority that ends with the process.
    pub fn passing(now: Timestamp) -> Result<Self, CaError> {
        Self::from_pem(&make(now)?)
    }

    fn from_pem(text: &str) -> Result<Self, CaError> {
        let at = text.find(CERTIFICATE_BEGINS).ok_or(CaError::Damaged)?;
        let (key, certificate) = text.split_at(at);
        let key = KeyPair::from_pem(key).map_err(|_| CaError::Damaged)?;
        let params = authority_params(&key, OffsetDateTime::UNIX_EPOCH);
        let leaf_key = KeyPair::generate()?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let leaf_signer = any_ecdsa_type(&der)?;
        Ok(Self { certificate_pem: certificate.to_owned(), issuer: Issuer::new(params, key), leaf_key, leaf_signer })
    }

    /// The certificate that clients are to trust, in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A certificate for names and addresses, from now on for [`NAME_HOLDS`]. Names that cannot stand in one are an
    /// error.
    pub(super) fn certify(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        now: Timestamp,
    ) -> Result<Arc<CertifiedKey>, CaError> {
        let mut params = CertificateParams::default();
        params.not_before = date(now) - BACKDATED;
        params.not_after = date(now) + NAME_HOLDS;
        params.distinguished_name = DistinguishedName::new();
        let first = names.first().map_or("millpond", String::as_str);
        // A common name has 64 characters at most; clients look at the alternative names.
        params.distinguished_name.push(DnType::CommonName, first.get(..64).unwrap_or(first));
        for name in names {
            params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from(name.as_str())?));
        }
        params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial_number(&format!("{names:?}{addresses:?}{}", now.as_secs()), &self.leaf_key));
        let certificate = params.signed_by(&self.leaf_key, &self.issuer)?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        Ok(Arc::new(CertifiedKey::new(chain, self.leaf_signer.clone())))
    }
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> CaError {
    move |source| CaError::Io { what, source }
}

fn date(now: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A key and its certificate, as the file holds them.
fn make(now: Timestamp) -> Result<String, CaError> {
    let key = KeyPair::generate()?;
    let certificate = authority_params(&key, date(now)).self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
}

/// The same key has the same name always: certificates refer to it.
fn authority_params(key: &KeyPair, from: OffsetDateTime) -> CertificateParams {
    let mark: String = Sha256::digest(key.public_key_raw()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let mut params = CertificateParams::default();
    params.not_before = from - BACKDATED;
    params.not_after = from + AUTHORITY_HOLDS;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Millpond");
    // Several authorities may stand in one trust store; people have to tell them apart.
    params.distinguished_name.push(DnType::CommonName, format!("Millpond CA {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(serial_number("authority", key));
    params
}

/// Two certificates of one authority with one number would be refused together.
fn serial_number(what: &str, key: &KeyPair) -> SerialNumber {
    let mut digest = Sha256::new();
    digest.update(key.public_key_raw());
    digest.update(what.as_bytes());
    let mut bytes = digest.finalize()[..16].to_vec();
    // Positive, and of one length.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from(bytes)
}

fn read(disk: &dyn Disk) -> io::Result<Option<String>> {
    let file = match disk.open(Path::new(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = usize::try_from(file.len()?.min(FILE_BYTES_MAX)).unwrap_or(0);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn write(disk: &dyn Disk, text: &str) -> io::Result<()> {
    disk.create_dir_all(Path::new(DIRECTORY))?;
    // What an interrupted start left is nobody's yet.
    let _ = disk.remove(Path::new(UNFINISHED));
    let file = disk.create(Path::new(UNFINISHED))?;
    file.write_all_at(text.as_bytes(), 0)?;
    file.sync_data()?;
    disk.rename(Path::new(UNFINISHED), Path::new(FILE))?;
    disk.sync_dir(Path::new(DIRECTORY))
}

#[cfg(test)]
mod tests {
    use host::SystemDisk;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn an_authority_is_made_once_and_its_key_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SystemDisk::new(dir.path().into());
        let made = CertificateAuthority::load_or_create(&disk, at(1_800_000_000)).unwrap();
        let found = CertificateAuthority::load_or_create(&disk, at(1_900_000_000)).unwrap();
        assert_eq!(made.certificate_pem(), found.certificate_pem());
        assert!(made.certificate_pem().starts_with(CERTIFICATE_BEGINS));
        assert!(!made.certificate_pem().contains("PRIVATE"));
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_authoritys_is_refused_and_left() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SystemDisk::new(dir.path().into());
        disk.create_dir_all(Path::new(DIRECTORY)).unwrap();
        for text in ["", "x", CERTIFICATE_BEGINS] {
            let _ = disk.remove(Path::new(FILE));
            disk.create(Path::new(FILE)).unwrap().write_all_at(text.as_bytes(), 0).unwrap();
            assert!(matches!(CertificateAuthority::load_or_create(&disk, at(1)), Err(CaError::Damaged)), "{text}");
        }
    }

    #[test]
    fn no_two_certificates_have_one_number() {
        let authority = CertificateAuthority::passing(at(1_800_000_000)).unwrap();
        let number = |name: &str, now: u64| {
            let certified = authority.certify(&[name.to_owned()], &[], at(now)).unwrap();
            certified.cert[0].to_vec()
        };
        assert_ne!(number("a.example", 1_800_000_000), number("b.example", 1_800_000_000));
        assert_ne!(number("a.example", 1_800_000_000), number("a.example", 1_800_000_001));
        assert!(authority.certify(&["ü.example".to_owned()], &[], at(1_800_000_000)).is_err());
    }
}
