//! Whatever a client's head is, what a target gets of it is one request, framed as the balancer understood it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| balancer::fuzzing::check_request(bytes));
