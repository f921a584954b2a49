//! No bytes may make the JSON codec panic, whatever operation they claim to be for; what it accepts, it must be able to
//! check as well.

#![no_main]

use api::sqs::SERVICE;
use libfuzzer_sys::fuzz_target;
use wire::{json, validate};

fuzz_target!(|body: &[u8]| {
    for operation in SERVICE.operations {
        if let Ok(node) = json::parse(operation.input, body) {
            _ = validate::check(SERVICE.violations, operation.input, &node);
        }
    }
});
