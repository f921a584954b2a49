//! Whatever a target's head is, what a client gets of it reads the same a second time.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| balancer::fuzzing::check_response(bytes));
