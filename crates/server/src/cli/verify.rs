//! `millpond verify`: a data directory read offline, and what was found. Changes nothing.
//!
//! Invariant: exit code 0 means that every message and row could be read back whole.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use host::SystemDisk;
use store::Store;

use super::PlaceArgs;
use crate::data_dir::DataDir;

/// Reads everything and reports.
pub(super) fn run(args: PlaceArgs) -> anyhow::Result<ExitCode> {
    let (_config, path) = args.load()?;
    // Held, so that no server changes what is being read.
    let _held = DataDir::inspect(&path)?;
    println!("Reading {} …", path.display());
    let journal = verify_journal(&path)?;
    let store = verify_store(&path)?;
    if journal && store {
        println!("Nothing is wrong.");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "Keep a copy of the directory before you start Millpond on it: a start repairs what it can and reports the rest."
    );
    Ok(ExitCode::FAILURE)
}

fn verify_journal(dir: &Path) -> anyhow::Result<bool> {
    if !dir.join("journal").is_dir() {
        println!("  messages   none: no server has run here yet");
        return Ok(true);
    }
    let report =
        queue::verify(&SystemDisk::new(dir.into()), Path::new("journal")).context("cannot read the journal")?;
    println!("  messages   {} in {} journal files", report.payloads_whole, report.files);
    let found = &report.recovery;
    println!("  journal    {} records in {} commits, {} queues", found.records, found.frames, found.queues);
    if let Some(torn) = &found.torn_tail {
        println!(
            "  unfinished {} bytes at the end of {}: written in a crash, never acknowledged",
            torn.bytes, torn.file
        );
    }
    for damage in &found.damaged {
        println!("  DAMAGED    {} bytes of {} at {}", damage.bytes, damage.file, damage.offset);
    }
    if found.damaged_checkpoints > 0 {
        println!("  DAMAGED    {} checkpoints; older ones took their place", found.damaged_checkpoints);
    }
    for lost in found.lost.iter().chain(&report.payloads_damaged) {
        println!("  LOST       messages {} to {} of queue {}", lost.first, lost.last, lost.queue.0);
    }
    Ok(report.is_whole())
}

fn verify_store(dir: &Path) -> anyhow::Result<bool> {
    let path = dir.join("control.sqlite");
    if !path.is_file() {
        println!("  rows       none: no server has run here yet");
        return Ok(true);
    }
    let wrong = Store::open(&path)?.verify()?;
    match wrong.as_slice() {
        [] => println!("  rows       all whole"),
        wrong => wrong.iter().for_each(|line| println!("  DAMAGED    {line}")),
    }
    Ok(wrong.is_empty())
}
