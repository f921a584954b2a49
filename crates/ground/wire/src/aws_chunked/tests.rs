//! The examples of S3's documentation, and everything that a body can have wrong.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use proptest::prelude::*;

use super::*;
use crate::signature::sigv4::{SigningKey, Verification};
use crate::signature::{Claim, unhex};

const SCOPE: &str = "20130524/us-east-1/s3/aws4_request";
/// The documentation's upload: 64 KiB and 1 KiB of `a`.
const DECODED: usize = 65_536 + 1_024;

fn signer(seed: &str) -> ChunkSigner {
    let key = SigningKey::derive("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3");
    ChunkSigner::new(key, &AmzDate::parse("20130524T000000Z").unwrap(), SCOPE, &unhex(seed).unwrap())
}

/// "Example: PUT object", whose seed signature the documentation gives.
const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const TRAILER_SEED: &str = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";

fn published_body() -> Vec<u8> {
    let mut body = Vec::new();
    for (size, signature) in [
        (65_536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
        (1_024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
        (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
    ] {
        body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        body.extend_from_slice(b"\r\n");
    }
    body
}

fn published_trailer_body() -> Vec<u8> {
    let mut body = Vec::new();
    for (size, signature) in [
        (65_536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
        (1_024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
    ] {
        body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(
        b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n\
          x-amz-checksum-crc32c:sOO8/Q==\r\n\
          x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
    );
    body
}

const CRC32C: HeaderName = HeaderName::from_static("x-amz-checksum-crc32c");

fn signed() -> Options {
    let decoded_length = Some(DECODED as u64);
    Options { streaming: Streaming::Signed, decoded_length, announced_trailers: vec![], signer: Some(signer(SEED)) }
}

fn signed_trailer() -> Options {
    let (announced_trailers, signer) = (vec![CRC32C], Some(signer(TRAILER_SEED)));
    Options { streaming: Streaming::SignedTrailer, announced_trailers, signer, ..signed() }
}

fn unsigned() -> Options {
    Options {
        streaming: Streaming::UnsignedTrailer,
        decoded_length: None,
        announced_trailers: vec![CRC32C],
        signer: None,
    }
}

/// Feeds the body in pieces of these sizes, over and over; the payload and the trailers.
fn decoded(options: Options, body: &[u8], sizes: &[usize]) -> Result<(Vec<u8>, HeaderMap), ChunkError> {
    let mut decoder = Decoder::new(options);
    let trailers = decoder.trailers();
    let mut payload = Vec::new();
    let mut rest = Bytes::copy_from_slice(body);
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().copied().unwrap_or(usize::MAX).clamp(1, rest.len());
        let mut piece = rest.split_to(size);
        while let Some(data) = decoder.decode(&mut piece)? {
            payload.extend_from_slice(&data);
        }
        assert!(piece.is_empty());
    }
    assert!(trailers.get().is_none(), "trailers are nobody's before the verdict");
    decoder.finish()?;
    Ok((payload, trailers.get().cloned().unwrap()))
}

fn whole(options: Options, body: &[u8]) -> Result<(Vec<u8>, HeaderMap), ChunkError> {
    decoded(options, body, &[])
}

#[test]
fn the_published_seed_signature_is_that_of_the_request() {
    let request = http::Request::put("/examplebucket/chunkObject.txt")
        .header("host", "s3.amazonaws.com")
        .header("x-amz-date", "20130524T000000Z")
        .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
        .header("content-encoding", "aws-chunked")
        .header("content-length", "66824")
        .header("x-amz-decoded-content-length", "66560")
        .header("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        .header(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/{SCOPE},SignedHeaders=content-encoding;content-length;\
                 host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature={SEED}"
            ),
        );
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let Ok(Claim::SigV4(claim)) = Claim::of((&parts).into()) else { panic!("no claim") };
    let key = SigningKey::derive("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3");
    let verification = Verification::new((&parts).into(), &claim).unwrap();
    assert_eq!(verification.check(&key, b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), Ok(()));
    assert_eq!(published_body().len(), 66_824);
}

#[test]
fn the_published_upload_is_decoded_and_verified() {
    let (payload, trailers) = whole(signed(), &published_body()).unwrap();
    assert_eq!(payload, vec![b'a'; DECODED]);
    assert!(trailers.is_empty());
}

#[test]
fn the_published_upload_with_a_trailer_is_decoded_and_verified() {
    let (payload, trailers) = whole(signed_trailer(), &published_trailer_body()).unwrap();
    assert_eq!(payload.len(), DECODED);
    assert_eq!(trailers["x-amz-checksum-crc32c"], "sOO8/Q==");
}

#[test]
fn payload_is_handed_out_without_a_copy() {
    let body = Bytes::from(published_body());
    let mut input = body.clone();
    let payload = Decoder::new(signed()).decode(&mut input).unwrap().unwrap();
    assert_eq!(payload.as_ptr(), body[88..].as_ptr());
}

#[test]
fn one_flipped_bit_anywhere_is_found() {
    let good = published_trailer_body();
    for at in (0..good.len()).step_by(997).chain(good.len() - 260..good.len() - 4) {
        let mut body = good.clone();
        body[at] ^= 1;
        let verdict = whole(signed_trailer(), &body);
        assert!(verdict.is_err(), "byte {at} ({:?}) is not covered", char::from(good[at]));
    }
}

#[test]
fn without_a_key_only_the_framing_is_looked_at() {
    let mut body = published_body();
    body[30] = b'0';
    body[1_000] = b'b';
    assert_eq!(whole(signed(), &body), Err(ChunkError::SignatureMismatch { chunk: 1 }));
    let framing = Options { signer: None, ..signed() };
    assert_eq!(whole(framing.clone(), &body).unwrap().0.len(), DECODED);
    body[30] = b'x';
    assert!(matches!(whole(framing, &body), Err(ChunkError::Malformed(_))), "a signature must be well formed");
}

#[test]
fn an_unsigned_body_with_a_trailer_is_decoded() {
    for body in [
        "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n",
        "5\r\nhello\r\n0\r\nX-Amz-Checksum-Crc32c: AAAAAA== \r\n\r\n",
        "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\n\r\n\r\n\r\n",
        "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n",
        "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==",
    ] {
        let (payload, trailers) = whole(unsigned(), body.as_bytes()).unwrap();
        assert_eq!(payload, b"hello", "{body:?}");
        assert_eq!(trailers["x-amz-checksum-crc32c"], "AAAAAA==");
    }
    let without = Options { announced_trailers: vec![], ..unsigned() };
    assert_eq!(whole(without, b"0\r\n\r\n").unwrap().0, b"");
}

#[test]
fn trailers_are_those_that_were_announced() {
    let none = b"5\r\nhello\r\n0\r\n\r\n";
    let other = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:a\r\nx-amz-meta-a:b\r\n\r\n";
    assert!(matches!(whole(unsigned(), none), Err(ChunkError::Trailer(_))));
    assert!(matches!(whole(unsigned(), other), Err(ChunkError::Trailer(_))));
}

#[test]
fn a_body_that_ends_early_is_incomplete() {
    let body = published_body();
    for end in [0, 1, 50, 89, 1_000, body.len() - 90] {
        assert_eq!(whole(signed(), &body[..end]), Err(ChunkError::EndsInTheMiddle), "{end}");
    }
    // Clients were seen to leave out the last line end.
    assert!(whole(signed(), &body[..body.len() - 2]).is_ok());
}

#[test]
fn a_body_is_as_long_as_was_declared() {
    for declared in [DECODED as u64 - 1, DECODED as u64 + 1, 0] {
        let options = Options { decoded_length: Some(declared), ..signed() };
        assert!(matches!(whole(options, &published_body()), Err(ChunkError::WrongLength { .. })), "{declared}");
    }
    let huge = b"ffffffffffffffff;chunk-signature=";
    let huge = [huge.as_slice(), &[b'0'; 64], b"\r\n"].concat();
    assert!(matches!(whole(signed(), &huge), Err(ChunkError::WrongLength { .. })));
}

#[test]
fn only_the_last_chunk_may_be_small() {
    let options = || Options { announced_trailers: vec![], ..unsigned() };
    let small = b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n";
    assert_eq!(whole(options(), small), Err(ChunkError::ChunkTooSmall { chunk: 1, bytes: 5 }));
    let mut fine = b"2000\r\n".to_vec();
    fine.extend([b'x'; 8_192]);
    fine.extend_from_slice(b"\r\n5\r\nworld\r\n0\r\n\r\n");
    assert_eq!(whole(options(), &fine).unwrap().0.len(), 8_197);
}

#[test]
fn lines_and_trailers_have_a_bound() {
    let endless = [b'0'; CHUNK_HEADER_BYTES_MAX + 1];
    assert!(matches!(whole(unsigned(), &endless), Err(ChunkError::Malformed(_))));
    let mut trailers = b"0\r\n".to_vec();
    for n in 0..1_000 {
        trailers.extend_from_slice(format!("x-amz-meta-{n}:aaaaaaaa\r\n").as_bytes());
    }
    assert!(matches!(whole(unsigned(), &trailers), Err(ChunkError::Trailer(_))));
}

#[test]
fn malformed_framing_is_refused() {
    for body in [
        "\r\n",
        "x\r\n",
        "-5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "00000000000000005\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "0\r\n\r\nmore",
        "0\r\n\r\n\r\n\r\n\r\n\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nx-amz-trailer-signature:00\r\n\r\n",
    ] {
        let options = Options { announced_trailers: vec![], ..unsigned() };
        assert!(whole(options, body.as_bytes()).is_err(), "{body:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cuts_at_any_place_decode_the_same(sizes in proptest::collection::vec(1_usize..9_000, 1..12)) {
        let signed_body = published_trailer_body();
        prop_assert_eq!(decoded(signed_trailer(), &signed_body, &sizes), whole(signed_trailer(), &signed_body));
        let short = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n";
        let small: Vec<_> = sizes.iter().map(|size| size % 7 + 1).collect();
        prop_assert_eq!(decoded(unsigned(), short, &small), whole(unsigned(), short));
    }

    #[test]
    fn any_bytes_get_the_same_verdict_in_one_piece_and_in_many(
        body in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'5'), Just(b':'), any::<u8>()], 0..60),
        size in 1_usize..5,
    ) {
        for options in [signed(), signed_trailer(), unsigned()] {
            let options = Options { decoded_length: None, ..options };
            prop_assert_eq!(decoded(options.clone(), &body, &[size]).ok(), whole(options, &body).ok());
        }
    }
}
