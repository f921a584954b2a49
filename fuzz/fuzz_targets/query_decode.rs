//! No bytes may make the Query codec panic, whatever operation they claim to be for; what it accepts, it must be able to
//! check as well.

#![no_main]

use api::{ec2, elb, iam, sqs};
use libfuzzer_sys::fuzz_target;
use wire::{query, validate};

fuzz_target!(|form: &[u8]| {
    _ = query::field(form, "Action");
    for service in [&sqs::SERVICE, &ec2::SERVICE, &elb::SERVICE, &iam::SERVICE] {
        for operation in service.operations {
            if let Ok(node) = query::parse(service.dialect, operation.input, form) {
                _ = validate::check(service.violations, operation.input, &node);
            }
        }
    }
});
