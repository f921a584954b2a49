//! Whatever a client says, its access record is one line of fifteen fields.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|fields: [&[u8]; 4]| balancer::fuzzing::check_record(fields));
