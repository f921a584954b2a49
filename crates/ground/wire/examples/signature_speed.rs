//! What a strict signature costs: `cargo run --release -p wire --example signature_speed`.
//!
//! Verifies one SQS request with a body of 1 KB, as the front door does, with the signing key cached and without; and
//! decodes a signed `aws-chunked` upload.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use sha2::{Digest, Sha256};
use wire::aws_chunked::{ChunkSigner, Decoder, Options, Streaming};
use wire::signature::{AmzDate, Claim, SignedRequest, SigningKeys, sha256_hex};
use wire::sigv4::{Signer, SigningKey, Verification, sign};

const ROUNDS: u32 = 2_000;
const BATCHES: usize = 100;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn main() {
    let date = AmzDate::parse("20260101T000000Z").expect("a date");
    let body = vec![b'x'; 1024];
    let parts = signed_request(&body, &date);
    let keys = SigningKeys::default();

    let cached = time(|| verify(&parts, &body, &keys, true));
    let uncached = time(|| verify(&parts, &body, &keys, false));
    let hash = time(|| sha256_hex(black_box(&body))[0]);
    println!("verify an SQS request of 1 KB, signing key cached:   {:>6.2} us", micros(cached));
    println!("verify an SQS request of 1 KB, signing key derived:  {:>6.2} us", micros(uncached));
    println!("  of which hashing the body:                         {:>6.2} us", micros(hash));

    let (upload, signer) = chunked_upload(&date);
    let started = Instant::now();
    let rounds = 50;
    for _ in 0..rounds {
        decode(upload.clone(), signer.clone());
    }
    let gib = f64::from(rounds) * upload.len() as f64 / f64::from(1 << 30);
    println!(
        "decode and verify a signed aws-chunked upload:       {:>6.2} GiB/s",
        gib / started.elapsed().as_secs_f64()
    );
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6 / f64::from(ROUNDS)
}

/// The best of many short batches: what the work costs, not what else the machine was doing.
fn time(mut work: impl FnMut() -> u8) -> Duration {
    let batch = || {
        let started = Instant::now();
        for _ in 0..ROUNDS {
            black_box(work());
        }
        started.elapsed()
    };
    std::iter::repeat_with(batch).take(BATCHES).min().unwrap_or_default()
}

fn signer() -> Signer<'static> {
    Signer { access_key_id: "AKIAIOSFODNN7EXAMPLE", secret_access_key: SECRET, region: "us-east-1", service: "sqs" }
}

/// As the AWS SDK for Rust sends SendMessage.
fn signed_request(body: &[u8], date: &AmzDate) -> Parts {
    let request = http::Request::post("/")
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", "AmazonSQS.SendMessage")
        .header("x-amzn-query-mode", "true")
        .header("content-length", "1024")
        .header("user-agent", "aws-sdk-rust/1.3.9 os/linux lang/rust/1.95.0")
        .header("x-amz-user-agent", "aws-sdk-rust/1.3.9 ua/2.1 api/sqs/1.119.0 os/linux lang/rust/1.95.0 m/E,b")
        .header("amz-sdk-request", "attempt=1; max=3")
        .header("amz-sdk-invocation-id", "7e5dc4c8-7d1a-4f2b-b2b5-9a2f0bb0a3c1")
        .header("host", "localhost:4566");
    let (mut parts, ()) = request.body(()).expect("a request").into_parts();
    let hash = String::from_utf8(sha256_hex(body).to_vec()).expect("hexadecimal");
    sign(&signer(), &mut parts, &hash, date).expect("a signature");
    parts
}

fn verify(parts: &Parts, body: &[u8], keys: &SigningKeys, cached: bool) -> u8 {
    let request = SignedRequest::from(parts);
    let Ok(Claim::SigV4(claim)) = Claim::of(request) else { panic!("no claim") };
    claim.check_time(1_767_225_600).expect("in time");
    let verification = Verification::new(request, &claim).expect("well formed");
    let credential = &claim.credential;
    let derive = || SigningKey::derive(SECRET, credential.day(), credential.region(), credential.service());
    let key = if cached {
        keys.get(credential.scope()).unwrap_or_else(|| {
            keys.insert(credential.scope(), derive());
            derive()
        })
    } else {
        derive()
    };
    verification.check(&key, &sha256_hex(body)).expect("the right signature");
    1
}

/// 8 MiB in chunks of 64 KiB.
fn chunked_upload(date: &AmzDate) -> (Bytes, ChunkSigner) {
    let scope = signer().scope(date);
    let signer = ChunkSigner::new(signer().key(date), date, &scope, &[7; 32]);
    let mut chain = signer.clone();
    let mut body = Vec::new();
    for size in std::iter::repeat_n(65_536, 128).chain([0]) {
        let data = vec![b'x'; size];
        let signature = chain.sign_chunk(&Sha256::digest(&data).into());
        let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
        body.extend_from_slice(&data);
        body.extend_from_slice(b"\r\n");
    }
    (Bytes::from(body), signer)
}

fn decode(mut upload: Bytes, signer: ChunkSigner) {
    let options = Options {
        streaming: Streaming::Signed,
        decoded_length: None,
        announced_trailers: vec![],
        signer: Some(signer),
    };
    let mut decoder = Decoder::new(options);
    while let Some(data) = decoder.decode(&mut upload).expect("well formed") {
        black_box(data);
    }
    decoder.finish().expect("the right signatures");
}
