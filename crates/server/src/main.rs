//! The binary `millpond`; everything stands in the library beside it, where tests reach it.

use std::process::ExitCode;

/// A request makes dozens of small allocations on one thread and frees some on another, which glibc's allocator pays for
/// with consolidation; docs/decisions.md has the measurement.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything of the server: each instance has one of these as its first process.
    machines::init::run_if_asked();
    // Inside instances this binary goes by other names, and is other programs.
    let argv: Vec<_> = std::env::args_os().collect();
    guest::main(&argv).unwrap_or_else(server::cli::main)
}
