//! No request's head may make the reading of its signature panic: whatever is claimed, it is put into canonical form,
//! checked against a key that nobody has, and stripped. Nothing invented may turn out to be signed.

#![no_main]

use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use wire::signature::{Claim, EMPTY_SHA256_HEX, strip};
use wire::sigv4::{SigningKey, Verification};

/// The names that signatures live in; the input chooses among them.
const NAMES: [&str; 8] = [
    "authorization",
    "x-amz-date",
    "date",
    "host",
    "x-amz-content-sha256",
    "content-encoding",
    "x-amz-meta-a",
    "content-type",
];

// The first line is the target, each further one a header: its first byte chooses the name, the rest is the value.
fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let Ok(request) = Request::put(lines.next().unwrap_or_default()).body(()) else { return };
    let (mut parts, ()) = request.into_parts();
    for line in lines.take(20) {
        let Some((choice, value)) = line.split_first() else { continue };
        let name = HeaderName::from_static(NAMES[usize::from(*choice) % NAMES.len()]);
        if let Ok(value) = HeaderValue::from_bytes(value) {
            parts.headers.append(name, value);
        }
    }
    match Claim::of((&parts).into()) {
        Ok(Claim::SigV4(claim)) => {
            _ = claim.check_time(1_767_225_600);
            if let Ok(verification) = Verification::new((&parts).into(), &claim) {
                let key = SigningKey::derive("nobody's", "20260101", "us-east-1", "s3");
                assert!(verification.check(&key, EMPTY_SHA256_HEX.as_bytes()).is_err());
            }
        }
        Ok(Claim::SigV2(claim)) => {
            _ = claim.check_time(1_767_225_600);
            assert!(claim.verify((&parts).into(), Some("bucket"), "nobody's").is_err());
        }
        Ok(Claim::None) | Err(_) => {}
    }
    strip(&mut parts);
});
