//! Whatever a target's head is, what a client gets of it reads the same a second time.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    balancer::fuzzing::check_response(bytes);
    // Most inputs would not get beyond a status line.
    balancer::fuzzing::check_response(&[b"HTTP/1.1 200 OK\r\n", bytes, b"\r\n\r\n"].concat());
});
