//! The console: what an instance's processes print, kept on the host in a file with a bound.
//!
//! Invariants:
//! - The file never grows beyond [`BYTES_MAX`]; when it would, its older part goes.
//! - It is written through a descriptor that was opened before the root changed: the instance knows no path to it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Bytes of the file; at least the newest half of them is kept. AWS gives out the newest 64 KiB.
const BYTES_MAX: u64 = 256 << 10;

pub(super) struct Console {
    file: File,
    length: u64,
}

impl Console {
    pub(super) fn new(file: File) -> std::io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// Appends; a full disk loses output and nothing else.
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        if bytes.len() as u64 > BYTES_MAX / 2 {
            bytes = &bytes[bytes.len() - (BYTES_MAX / 2) as usize..];
        }
        if self.length + bytes.len() as u64 > BYTES_MAX {
            self.forget_older_half();
        }
        if self.file.write_all_at(bytes, self.length).is_ok() {
            self.length += bytes.len() as u64;
        }
    }

    pub(super) fn say(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    fn forget_older_half(&mut self) {
        let mut newer = vec![0; (BYTES_MAX / 2).min(self.length) as usize];
        let from = self.length - newer.len() as u64;
        let kept = self.file.read_exact_at(&mut newer, from).is_ok();
        let _ = self.file.set_len(0);
        self.length = 0;
        if kept && self.file.write_all_at(&newer, 0).is_ok() {
            self.length = newer.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_keeps_the_newest_output_within_its_bound() {
        let mut console = Console::new(tempfile::tempfile().unwrap()).unwrap();
        for line in 0..100_000 {
            console.say(&format!("line {line}"));
            assert!(console.length <= BYTES_MAX);
        }
        let mut all = vec![0; console.length as usize];
        console.file.read_exact_at(&mut all, 0).unwrap();
        assert!(all.len() as u64 >= BYTES_MAX / 2 && all.ends_with(b"line 99998\nline 99999\n"));
        assert_eq!(console.file.metadata().unwrap().len(), console.length);
    }
}
