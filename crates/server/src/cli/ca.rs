//! `millpond ca`: the certificate of Millpond's own authority, and how to have it trusted.
//!
//! Invariant: standard output holds the certificate and nothing else, so that it can go into a file.

use std::process::ExitCode;

use host::{Clock, SystemClock, SystemDisk};

use super::PlaceArgs;
use crate::data_dir::DataDir;
use crate::front_door::ca::CertificateAuthority;

const HOW_TO_TRUST: &str = "\
This is the certificate of the authority that signs Millpond's HTTPS. Whoever trusts it believes this Millpond to be any
name that it serves, amazonaws.com included: trust it where programs are meant to reach Millpond, and nowhere else.
  one command        millpond exec --capture -- COMMAND      (changes nothing on this machine)
  the AWS CLI, SDKs  export AWS_CA_BUNDLE=FILE               Node.js: NODE_EXTRA_CA_CERTS=FILE   curl: --cacert FILE
  Debian, Ubuntu     cp FILE /usr/local/share/ca-certificates/millpond.crt && update-ca-certificates
  Fedora, Amazon     cp FILE /etc/pki/ca-trust/source/anchors/millpond.pem && update-ca-trust
";

/// Prints the certificate, and makes the authority where there is none yet.
pub(super) fn run(place: PlaceArgs) -> anyhow::Result<ExitCode> {
    let (_config, path) = place.load()?;
    // A server may be using the directory: the authority is made once, and only read from then on.
    DataDir::check(&path)?;
    let disk = SystemDisk::new(path);
    let authority = CertificateAuthority::load_or_create(&disk, SystemClock.now())?;
    print!("{}", authority.certificate_pem());
    eprint!("{HOW_TO_TRUST}");
    Ok(ExitCode::SUCCESS)
}
