//! Whatever a client's head is, what a target gets of it is one request, framed as the balancer understood it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    balancer::fuzzing::check_request(bytes);
    // Most inputs would not get beyond a request line, or lack a host.
    balancer::fuzzing::check_request(&[b"POST /x HTTP/1.1\r\nHost: a\r\n", bytes, b"\r\n\r\n"].concat());
});
