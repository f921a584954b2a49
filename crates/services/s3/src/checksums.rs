//! Digests of what is uploaded: the MD5 that is the ETag, and the checksum that the client chose.
//!
//! Invariants:
//! - Bytes are hashed as they stream, once; nothing is read back to be hashed.
//! - A digest that the client gave is compared before anything is committed.
//!
//! Knows nothing of disks or rows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::{S3Error, dto};
use serde::{Deserialize, Serialize};

use crate::errors;

/// A checksum algorithm of `x-amz-checksum-algorithm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// AWS's name, `CRC64NVME`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header or trailer that carries its value.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self, S3Error> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            errors::invalid_request(
                "Checksum algorithm provided is unsupported. Please try again with any of the valid types: \
                 [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
            )
        })
    }

    /// Length of the digest in bytes.
    fn digest_bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Whether the checksum of a whole follows from those of its parts.
    pub(crate) fn combines(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
    }
}

/// A checksum kept with an object or part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredChecksum {
    pub(crate) algorithm: Algorithm,
    /// Base64; of a composite checksum with `-N` after it.
    pub(crate) value: String,
    /// Whether it is the checksum of the parts' checksums.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) composite: bool,
}

impl StoredChecksum {
    /// AWS's `x-amz-checksum-type`.
    pub(crate) fn kind(&self) -> dto::ChecksumType {
        dto::ChecksumType::from_static(if self.composite {
            dto::ChecksumType::COMPOSITE
        } else {
            dto::ChecksumType::FULL_OBJECT
        })
    }
}

/// The same checksum in the shape that `s3s` spreads over its outputs.
pub(crate) fn spread(stored: Option<&StoredChecksum>) -> dto::Checksum {
    let mut out = dto::Checksum::default();
    let Some(stored) = stored else { return out };
    let value = Some(stored.value.clone());
    match stored.algorithm {
        Algorithm::Crc32 => out.checksum_crc32 = value,
        Algorithm::Crc32c => out.checksum_crc32c = value,
        Algorithm::Crc64Nvme => out.checksum_crc64nvme = value,
        Algorithm::Sha1 => out.checksum_sha1 = value,
        Algorithm::Sha256 => out.checksum_sha256 = value,
    }
    out.checksum_type = Some(stored.kind());
    out
}

/// What the client says the bytes hash to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// `Content-MD5`.
    pub(crate) md5: Option<[u8; 16]>,
    /// The checksum to compute.
    pub(crate) algorithm: Option<Algorithm>,
    /// Its value, when it came in a header; one that comes in a trailer is compared later.
    pub(crate) value: Option<String>,
}

impl Expected {
    /// Reads `Content-MD5`, `x-amz-checksum-*`, `x-amz-sdk-checksum-algorithm` and `x-amz-trailer`.
    pub(crate) fn from_headers(headers: &http::HeaderMap) -> Result<Self, S3Error> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let md5 = text("content-md5").map(parse_md5).transpose()?;
        let mut given = Algorithm::ALL.into_iter().filter_map(|a| Some((a, text(a.header())?)));
        let first = given.next();
        if given.next().is_some() {
            return Err(errors::invalid_request(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            ));
        }
        if let Some((algorithm, value)) = first {
            return Ok(Self { md5, algorithm: Some(algorithm), value: Some(checked(algorithm, value)?) });
        }
        let trailing = text("x-amz-trailer").and_then(|names| {
            let mut names = names.split(',').map(str::trim);
            names.find_map(|name| Algorithm::ALL.into_iter().find(|a| a.header().eq_ignore_ascii_case(name)))
        });
        let named = text("x-amz-sdk-checksum-algorithm").map(Algorithm::parse).transpose()?;
        Ok(Self { md5, algorithm: trailing.or(named), value: None })
    }

    /// Compares; `trailer` looks a trailing header up once the body has ended.
    pub(crate) fn compare(&self, digests: &Digests, trailer: impl Fn(&str) -> Option<String>) -> Result<(), S3Error> {
        if self.md5.is_some_and(|md5| md5 != digests.md5) {
            return Err(errors::bad_digest());
        }
        let Some(computed) = &digests.checksum else { return Ok(()) };
        let expected = self.value.clone().or_else(|| trailer(computed.algorithm.header()));
        match expected {
            Some(expected) if expected != computed.value => Err(errors::bad_checksum(computed.algorithm.name())),
            _ => Ok(()),
        }
    }
}

fn parse_md5(text: &str) -> Result<[u8; 16], S3Error> {
    BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(errors::invalid_digest)
}

fn checked(algorithm: Algorithm, value: &str) -> Result<String, S3Error> {
    match BASE64.decode(value) {
        Ok(bytes) if bytes.len() == algorithm.digest_bytes() => Ok(value.to_owned()),
        _ => Err(errors::invalid_request(format!("Value for {} header is invalid.", algorithm.header()))),
    }
}

/// What some bytes hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) md5: [u8; 16],
    pub(crate) checksum: Option<StoredChecksum>,
}

impl Digests {
    /// The ETag of a single-part object, without quotes.
    pub(crate) fn etag(&self) -> String {
        hex(&self.md5)
    }
}

/// Computes [`Digests`] as bytes come by.
pub(crate) struct Hasher {
    md5: Md5,
    checksum: Option<(Algorithm, Running)>,
}

enum Running {
    Crc32(Crc32),
    Crc32c(Crc32c),
    Crc64Nvme(Crc64Nvme),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Running {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Crc32 => Self::Crc32(Crc32::new()),
            Algorithm::Crc32c => Self::Crc32c(Crc32c::new()),
            Algorithm::Crc64Nvme => Self::Crc64Nvme(Crc64Nvme::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(running) => running.update(bytes),
            Self::Crc32c(running) => running.update(bytes),
            Self::Crc64Nvme(running) => running.update(bytes),
            Self::Sha1(running) => running.update(bytes),
            Self::Sha256(running) => running.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32(running) => running.finalize().to_vec(),
            Self::Crc32c(running) => running.finalize().to_vec(),
            Self::Crc64Nvme(running) => running.finalize().to_vec(),
            Self::Sha1(running) => running.finalize().to_vec(),
            Self::Sha256(running) => running.finalize().to_vec(),
        }
    }
}

impl Hasher {
    pub(crate) fn new(algorithm: Option<Algorithm>) -> Self {
        Self { md5: Md5::new(), checksum: algorithm.map(|algorithm| (algorithm, Running::new(algorithm))) }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        if let Some((_, running)) = &mut self.checksum {
            running.update(bytes);
        }
    }

    pub(crate) fn finish(self) -> Digests {
        let checksum = self.checksum.map(|(algorithm, running)| StoredChecksum {
            algorithm,
            value: BASE64.encode(running.finish()),
            composite: false,
        });
        Digests { md5: self.md5.finalize(), checksum }
    }
}

/// The ETag of a multipart object: the MD5 of its parts' MD5s, and how many there are. `None` when an ETag is no MD5.
pub(crate) fn multipart_etag<'a>(etags: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut md5 = Md5::new();
    let mut count = 0_usize;
    for etag in etags {
        md5.update(&unhex(etag)?);
        count += 1;
    }
    Some(format!("{}-{count}", hex(&md5.finalize())))
}

/// The checksum of a multipart object: of its parts' checksums, or, `full_object`, of all its bytes.
/// `None` when a part lacks its checksum or `full_object` is asked of an algorithm that does not combine.
pub(crate) fn multipart_checksum<'a>(
    algorithm: Algorithm,
    full_object: bool,
    parts: impl Iterator<Item = (Option<&'a StoredChecksum>, u64)>,
) -> Option<StoredChecksum> {
    let mut composite = Running::new(algorithm);
    let mut whole: Option<u64> = None;
    let mut count = 0_usize;
    for (checksum, size) in parts {
        let checksum = checksum.filter(|checksum| checksum.algorithm == algorithm)?;
        let digest = BASE64.decode(&checksum.value).ok()?;
        if full_object {
            let part = number(&digest)?;
            whole = Some(match whole {
                None => part,
                Some(before) => crc_fast::checksum_combine(crc(algorithm)?, before, part, size),
            });
        }
        composite.update(&digest);
        count += 1;
    }
    if !full_object {
        let value = format!("{}-{count}", BASE64.encode(composite.finish()));
        return Some(StoredChecksum { algorithm, value, composite: true });
    }
    let bytes = whole?.to_be_bytes();
    let value = BASE64.encode(&bytes[bytes.len() - algorithm.digest_bytes().min(bytes.len())..]);
    Some(StoredChecksum { algorithm, value, composite: false })
}

fn crc(algorithm: Algorithm) -> Option<crc_fast::CrcAlgorithm> {
    match algorithm {
        Algorithm::Crc32 => Some(crc_fast::CrcAlgorithm::Crc32IsoHdlc),
        Algorithm::Crc32c => Some(crc_fast::CrcAlgorithm::Crc32Iscsi),
        Algorithm::Crc64Nvme => Some(crc_fast::CrcAlgorithm::Crc64Nvme),
        Algorithm::Sha1 | Algorithm::Sha256 => None,
    }
}

fn number(big_endian: &[u8]) -> Option<u64> {
    (big_endian.len() <= 8).then(|| big_endian.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
}

/// The bytes as lower-case hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(bytes: &[u8], algorithm: Option<Algorithm>) -> Digests {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> http::HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_etag_is_the_md5_in_hex() {
        assert_eq!(digests(b"hello", None).etag(), "5d41402abc4b2a76b9719d911017c592");
    }

    #[test]
    fn the_checksums_are_the_published_ones() {
        let value = |algorithm| digests(b"123456789", Some(algorithm)).checksum.unwrap().value;
        assert_eq!(value(Algorithm::Crc32), "y/Q5Jg==");
        assert_eq!(value(Algorithm::Crc32c), "4waSgw==");
        assert_eq!(value(Algorithm::Crc64Nvme), "rosUhgp5mIg=");
        assert_eq!(value(Algorithm::Sha1), "98O8HYCOBHMq32eZZczDTKeuNEE=");
        assert_eq!(
            digests(b"", Some(Algorithm::Sha256)).checksum.unwrap().value,
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
    }

    #[test]
    fn a_wrong_content_md5_is_a_bad_digest_and_a_malformed_one_is_invalid() {
        let wrong = Expected::from_headers(&headers(&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")])).unwrap();
        let error = wrong.compare(&digests(b"hello", None), |_| None).unwrap_err();
        assert_eq!(error.code().as_str(), "BadDigest");
        let error = Expected::from_headers(&headers(&[("content-md5", "short")])).unwrap_err();
        assert_eq!(error.code().as_str(), "InvalidDigest");
    }

    #[test]
    fn a_checksum_may_come_in_a_trailer() {
        let expected = Expected::from_headers(&headers(&[("x-amz-trailer", "x-amz-checksum-crc32")])).unwrap();
        assert_eq!(expected.algorithm, Some(Algorithm::Crc32));
        let digests = digests(b"123456789", expected.algorithm);
        assert!(expected.compare(&digests, |_| Some("y/Q5Jg==".to_owned())).is_ok());
        assert!(expected.compare(&digests, |_| Some("AAAAAA==".to_owned())).is_err());
    }

    #[test]
    fn two_checksum_headers_are_refused() {
        let two = headers(&[("x-amz-checksum-crc32", "y/Q5Jg=="), ("x-amz-checksum-crc32c", "4waSgw==")]);
        assert_eq!(Expected::from_headers(&two).unwrap_err().code().as_str(), "InvalidRequest");
    }

    #[test]
    fn a_full_object_checksum_of_parts_is_that_of_the_whole() {
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let parts =
                [&b"12345"[..], b"6789", b""].map(|part| (digests(part, Some(algorithm)).checksum, part.len() as u64));
            let whole = multipart_checksum(algorithm, true, parts.iter().map(|(c, size)| (c.as_ref(), *size))).unwrap();
            assert_eq!(whole.value, digests(b"123456789", Some(algorithm)).checksum.unwrap().value, "{algorithm:?}");
        }
    }

    #[test]
    fn a_composite_checksum_counts_its_parts() {
        let parts = [digests(b"a", Some(Algorithm::Sha256)).checksum, digests(b"b", Some(Algorithm::Sha256)).checksum];
        let all = multipart_checksum(Algorithm::Sha256, false, parts.iter().map(|c| (c.as_ref(), 1))).unwrap();
        assert!(all.value.ends_with("-2") && all.composite);
    }

    #[test]
    fn a_multipart_etag_is_the_md5_of_the_parts_md5s() {
        let a = digests(b"a", None).etag();
        // printf 0cc175b9c0f1b6a831c399e269772661 | xxd -r -p | md5sum
        assert_eq!(multipart_etag([a.as_str()].into_iter()).unwrap(), "b6ff9a06b7e20bcb2858c5b8ff744aea-1");
        assert_eq!(multipart_etag(["not hex"].into_iter()), None);
    }
}
