//! No bytes may make the Query codec panic, whatever operation they claim to be for; what it accepts, it must be able to
//! check as well.

#![no_main]

use api::sqs::SERVICE;
use libfuzzer_sys::fuzz_target;
use wire::{query, validate};

fuzz_target!(|form: &[u8]| {
    _ = query::field(form, "Action");
    for operation in SERVICE.operations {
        if let Ok(node) = query::parse(operation.input, form) {
            _ = validate::check(SERVICE.violations, operation.input, &node);
        }
    }
});
