//! [`ServerCertificates`]: how a load balancer gets the certificates that a user keeps in IAM, keys and all. No operation
//! of AWS's gives a private key out again, so this port is written by hand.
//!
//! Invariants:
//! - What it gives out was checked when it was uploaded: the key belongs to the first certificate, and each certificate
//!   is signed by the next.
//! - A private key is never printed: [`ServerCertificate`]'s `Debug` leaves it out.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use wire::ApiError;

/// A certificate, its chain and its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerCertificate {
    /// `arn:aws:iam::123456789012:server-certificate/path/name`.
    pub arn: String,
    /// The name within its account.
    pub name: String,
    /// The server's own certificate and then those that vouch for it, each in DER.
    pub chain_der: Vec<Vec<u8>>,
    /// The private key in DER: PKCS #8, PKCS #1 or SEC 1, as it was uploaded.
    pub private_key_der: Vec<u8>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").field("arn", &self.arn).finish_non_exhaustive()
    }
}

/// Whether a certificate is in use. Whoever uses certificates answers this, so that IAM, which must not delete them,
/// need not know who that is.
#[async_trait]
pub trait CertificateUsers: Send + Sync + 'static {
    /// The ARN of somebody who uses the certificate, `arn:aws:elasticloadbalancing:…:loadbalancer/web`; `None` if nobody.
    async fn use_of(&self, arn: &str) -> Result<Option<String>, ApiError>;
}

/// The port to IAM's server certificates.
#[async_trait]
pub trait ServerCertificates: Send + Sync + 'static {
    /// The certificate with this ARN; `None` if there is none.
    async fn find(&self, arn: &str) -> Result<Option<Arc<ServerCertificate>>, ApiError>;

    /// Who is to be asked before a certificate is deleted. The last one given counts.
    fn ask_before_delete(&self, users: std::sync::Weak<dyn CertificateUsers>);

    /// A number that changes after each change of any certificate; what changed, a reader asks.
    fn changes(&self) -> watch::Receiver<u64>;
}
