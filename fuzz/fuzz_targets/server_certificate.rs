//! No text may make the check of an uploaded certificate panic; and what passes must be what rustls can serve.

#![no_main]

use host::Timestamp;
use iam::CheckedCertificate;
use libfuzzer_sys::fuzz_target;

/// A pair that fits: what is fuzzed goes on from here, as no chance makes a signature.
const CERTIFICATE: &str = include_str!("../fixtures/server_certificate.pem");
const KEY: &str = include_str!("../fixtures/server_certificate.key");

fuzz_target!(|parts: (&str, &str, &str, u64)| {
    let (body, chain, key, now) = parts;
    let now = Timestamp(now);
    _ = CheckedCertificate::check(body, Some(chain), key, now);
    _ = CheckedCertificate::check(CERTIFICATE, Some(body), KEY, now);
    if let Ok(checked) = CheckedCertificate::check(body, None, KEY, now) {
        assert_eq!(checked.chain_der.len(), 1);
    }
    _ = CheckedCertificate::check(CERTIFICATE, None, key, now);
});
