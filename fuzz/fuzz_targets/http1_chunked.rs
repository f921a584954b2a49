//! Chunks decode to the same data, or to the same refusal, however the network cuts them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8])| balancer::fuzzing::check_chunks(input.0, input.1));
