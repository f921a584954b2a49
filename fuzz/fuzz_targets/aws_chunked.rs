//! No body may make the `aws-chunked` decoder panic, and however it is cut, the same payload and verdict come out.

#![no_main]

use bytes::Bytes;
use http::HeaderName;
use libfuzzer_sys::fuzz_target;
use wire::aws_chunked::{ChunkError, ChunkSigner, Decoder, Options, Streaming};
use wire::signature::AmzDate;
use wire::sigv4::SigningKey;

/// The payload, if the verdict is good.
fn decoded(options: Options, body: &[u8], piece_bytes: usize) -> Result<Vec<u8>, ChunkError> {
    let mut decoder = Decoder::new(options);
    let mut payload = Vec::new();
    for piece in body.chunks(piece_bytes) {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(data) = decoder.decode(&mut piece)? {
            payload.extend_from_slice(&data);
        }
    }
    decoder.finish()?;
    Ok(payload)
}

// The first byte chooses the kind and the size of the pieces, the rest is the body.
fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    let streaming =
        [Streaming::Signed, Streaming::SignedTrailer, Streaming::UnsignedTrailer][usize::from(choice & 3).min(2)];
    let signer = AmzDate::parse("20260101T000000Z").filter(|_| choice & 4 != 0).map(|date| {
        let key = SigningKey::derive("nobody's", "20260101", "us-east-1", "s3");
        ChunkSigner::new(key, &date, "20260101/us-east-1/s3/aws4_request", &[0; 32])
    });
    let announced_trailers =
        if choice & 8 == 0 { vec![] } else { vec![HeaderName::from_static("x-amz-checksum-crc32c")] };
    let options = Options { streaming, decoded_length: None, announced_trailers, signer };
    let whole = decoded(options.clone(), body, usize::MAX);
    let cut = decoded(options, body, usize::from(choice >> 4) + 1);
    assert_eq!(whole.is_ok(), cut.is_ok());
    if let (Ok(whole), Ok(cut)) = (whole, cut) {
        assert_eq!(whole, cut);
        assert!(whole.len() < body.len());
    }
});
