//! The tools alone, without the server: built in seconds, to be linked into an image by hand. Called by no tool's name, it
//! says where links go.

use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<_> = std::env::args_os().collect();
    guest::main(&argv).unwrap_or_else(|| {
        guest::LINKS
            .iter()
            .for_each(|link| println!("{}{}", link.path, if link.replaces { "" } else { "  if missing" }));
        ExitCode::SUCCESS
    })
}
