//! What keys look like: OpenSSH's lines and private keys, RSA's PEM, and fingerprints.
//!
//! Invariants:
//! - A fingerprint is what AWS shows for the same key: SHA-1 of the private key for RSA made here, MD5 of the public
//!   key for RSA that was imported, SHA-256 of the public key for ED25519.
//! - What is no whole key is refused: nothing is read past a length that the text states.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host::Ids;
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// The longest line that is read: an RSA key of 16,384 bits with a comment.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// RSA keys that AWS imports have at least 1,024 bits.
const MODULUS_BYTES_MIN: usize = 128;

/// A key pair that was just made.
pub(crate) struct NewKey {
    pub(crate) key_type: &'static str,
    pub(crate) private_pem: String,
    /// `ssh-rsa AAAA…`, without a comment.
    pub(crate) public_key: String,
    pub(crate) fingerprint: String,
}

/// A public key that was read.
pub(crate) struct PublicKey {
    pub(crate) key_type: &'static str,
    /// The line, as it will stand in authorized_keys.
    pub(crate) public_key: String,
    pub(crate) fingerprint: String,
}

/// Makes a pair. RSA takes its time, and its randomness from its library.
pub(crate) fn generate(key_type: &str, ids: &dyn Ids) -> Option<NewKey> {
    match key_type {
        "ed25519" => ed25519(ids),
        _ => rsa(),
    }
}

fn rsa() -> Option<NewKey> {
    let pair = KeyPair::generate(KeySize::Rsa2048).ok()?;
    let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'static>>::as_der(&pair).ok()?;
    // PKCS #8 wraps what the PEM form that AWS answers with shows bare.
    let (_, wrapped, _) = der(pkcs8.as_ref())?;
    let (_, _version, rest) = der(wrapped)?;
    let (_, _algorithm, rest) = der(rest)?;
    let (_, pkcs1, _) = der(rest)?;
    let public = pair.public_key();
    let (modulus, exponent) = (public.modulus(), public.exponent());
    let blob = rsa_blob(modulus.big_endian_without_leading_zero(), exponent.big_endian_without_leading_zero());
    Some(NewKey {
        key_type: "rsa",
        private_pem: pem("RSA PRIVATE KEY", pkcs1),
        public_key: format!("ssh-rsa {}", STANDARD.encode(&blob)),
        fingerprint: colons(&Sha1::digest(pkcs8.as_ref())),
    })
}

fn ed25519(ids: &dyn Ids) -> Option<NewKey> {
    let mut seed = [0; 32];
    ids.fill(&mut seed);
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
    let public = pair.public_key().as_ref();
    let mut blob = Vec::new();
    put(&mut blob, b"ssh-ed25519");
    put(&mut blob, public);
    let mut secret = ids.u64().to_be_bytes()[..4].repeat(2);
    put(&mut secret, b"ssh-ed25519");
    put(&mut secret, public);
    put(&mut secret, &[&seed, public].concat());
    put(&mut secret, b"");
    let padding = (8 - secret.len() % 8) % 8;
    secret.extend((1..=8_u8).take(padding));
    let mut file = b"openssh-key-v1\0".to_vec();
    for part in [b"none".as_slice(), b"none", b""] {
        put(&mut file, part);
    }
    file.extend(1_u32.to_be_bytes());
    put(&mut file, &blob);
    put(&mut file, &secret);
    Some(NewKey {
        key_type: "ed25519",
        private_pem: pem("OPENSSH PRIVATE KEY", &file),
        public_key: format!("ssh-ed25519 {}", STANDARD.encode(&blob)),
        fingerprint: STANDARD.encode(Sha256::digest(&blob)),
    })
}

/// Reads a public key in OpenSSH's form.
pub(crate) fn read_public(material: &[u8]) -> Option<PublicKey> {
    let line = std::str::from_utf8(material).ok()?.trim();
    if line.len() > LINE_BYTES_MAX || line.chars().any(char::is_control) {
        return None;
    }
    let mut words = line.split_ascii_whitespace();
    let (kind, encoded) = (words.next()?, words.next()?);
    let blob = STANDARD.decode(encoded).ok()?;
    let (name, rest) = take(&blob)?;
    if name != kind.as_bytes() {
        return None;
    }
    let (key_type, fingerprint) = match kind {
        "ssh-ed25519" => {
            let (key, rest) = take(rest)?;
            if key.len() != 32 || !rest.is_empty() {
                return None;
            }
            ("ed25519", STANDARD.encode(Sha256::digest(&blob)))
        }
        "ssh-rsa" => {
            let (exponent, rest) = take(rest)?;
            let (modulus, rest) = take(rest)?;
            if modulus.len() < MODULUS_BYTES_MIN || exponent.is_empty() || !rest.is_empty() {
                return None;
            }
            ("rsa", colons(&Md5::digest(subject_public_key_info(modulus, exponent))))
        }
        _ => return None,
    };
    Some(PublicKey { key_type, public_key: line.to_owned(), fingerprint })
}

fn rsa_blob(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, b"ssh-rsa");
    put(&mut blob, &positive(exponent));
    put(&mut blob, &positive(modulus));
    blob
}

/// A number whose first bit doesn't make it negative.
fn positive(number: &[u8]) -> Vec<u8> {
    let lead = usize::from(number.first().is_some_and(|first| *first >= 0x80));
    [&[0; 1][..lead], number].concat()
}

/// RSA's public key as X.509 wraps it.
fn subject_public_key_info(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    const RSA_ENCRYPTION: [u8; 13] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let numbers = [wrap(0x02, modulus), wrap(0x02, exponent)].concat();
    let key = [&[0][..], &wrap(0x30, &numbers)].concat();
    wrap(0x30, &[wrap(0x30, &RSA_ENCRYPTION), wrap(0x03, &key)].concat())
}

/// A DER element.
fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut wrapped = vec![tag];
    match (content.len(), u8::try_from(significant.len())) {
        (short @ 0..128, _) => wrapped.extend(u8::try_from(short)),
        (_, count) => {
            wrapped.extend(count.map(|count| 0x80 | count));
            wrapped.extend(significant);
        }
    }
    wrapped.extend(content);
    wrapped
}

/// The first DER element: its tag, its content, and what follows.
fn der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..128 => (usize::from(*short), rest),
        long => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// Appends a string as SSH writes it.
fn put(out: &mut Vec<u8>, string: &[u8]) {
    out.extend(u32::try_from(string.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(string);
}

/// The first of SSH's strings, and what follows.
fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in encoded.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn colons(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by `ssh-keygen -t rsa -b 2048` and `ssh-keygen -t ed25519`; what openssl says of them stands beside.
    const RSA_LINE: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC4YO5/Cfzbx7pBRqEvLIsAAampY96fkcUN3sEjc5IJbxcp5LWZMYC9idZdEaNzlFJAaN+7maAWM/CzCvs5Rk/+fWXkz95GzaR19tqo66KMq9rmcvZ+sx4PGnIOFLB516rFNq99O3sq9GzicGljJz3xE2DjkAVOBTaKOSImcS2jLkyUYUQo40q1kdgEv9qZro/3ZlGz81yjnJVpdmGoMZuuaW0YqH2IqUJhcRnfdmXTUZJ3I+hj+egYcJvVlKYJxsji9A3Fe1S1vXV3umg9de12X3aXoE2jrkXSmcXeVq+7mLaSkc5wcgG0HN+k0stMdUgPHrZ2p7o+W22fKZbiwrnX shop";
    const RSA_MD5: &str = "30:d1:f8:92:d6:23:3f:3e:f8:75:63:51:c8:86:69:41";
    const ED_LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIb8mScBzx4WCNnkI5QYkAXdHJVImSh7+ku++gsehmwH shop";
    const ED_SHA256: &str = "NLnC6ZcA3BHuVNvhae1QUWtJrK5m0CkhaPLV5GW1zLk";

    #[test]
    fn imported_keys_have_the_fingerprints_that_aws_documents() {
        let rsa = read_public(RSA_LINE.as_bytes()).unwrap();
        assert_eq!((rsa.key_type, rsa.fingerprint.as_str()), ("rsa", RSA_MD5));
        let ed = read_public(format!("{ED_LINE}\n").as_bytes()).unwrap();
        assert_eq!((ed.key_type, ed.fingerprint.trim_end_matches('=')), ("ed25519", ED_SHA256));
        assert_eq!(ed.public_key, ED_LINE);
    }

    #[test]
    fn what_is_no_whole_key_is_refused() {
        let cut = &RSA_LINE[..RSA_LINE.len() / 2];
        let other = ED_LINE.replace("ssh-ed25519 ", "ssh-rsa ");
        for bad in ["", "ssh-rsa", "ssh-rsa !!!", cut, &other, "ssh-dss AAAAB3NzaC1kc3M=", "-----BEGIN PUBLIC KEY-----"]
        {
            assert!(read_public(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_new_keys_public_line_is_readable_and_its_private_form_is_its_kinds() {
        let ids = host::sim::SimIds::new(host::sim::Seed(3));
        let rsa = generate("rsa", &ids).unwrap();
        assert_eq!(read_public(rsa.public_key.as_bytes()).unwrap().key_type, "rsa");
        assert!(rsa.private_pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\nMII"), "{}", &rsa.private_pem[..60]);
        assert_eq!(rsa.fingerprint.len(), 59);
        let ed = generate("ed25519", &ids).unwrap();
        assert_eq!(read_public(ed.public_key.as_bytes()).unwrap().fingerprint, ed.fingerprint);
        assert!(ed.private_pem.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE"));
    }
}
