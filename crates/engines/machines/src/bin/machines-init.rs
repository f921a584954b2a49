//! An instance's first process and nothing else: what tests, and users of the engine without the server, start.
//!
//! Invariant: it is [`machines::init`] alone, so what it measures is the engine's own.

fn main() {
    machines::init::run_if_asked();
    eprintln!("machines-init: started by the engine only");
    std::process::exit(2);
}
