//! Millpond's task runner: cargo x help.
fn main() {}
