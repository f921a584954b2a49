//! No file may make the queue engine's recovery panic, or keep it busy for ever.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    queue::scan_bytes(bytes);
    // The file header is a page; most inputs are shorter than that, so they are tried as frames, too.
    let mut file = vec![0; 4096];
    file.extend_from_slice(bytes);
    queue::scan_bytes(&file);
});
