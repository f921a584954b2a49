//! Random commands, crashes and faults from a seed, against a small model of what was promised.
//!
//! `MILLPOND_SIM_SEED=n` replays one seed, `MILLPOND_SIM_SEEDS=n` tries so many.

mod common;
mod model;

use host::sim::{Seed, for_each_seed};
use model::Simulation;

/// Commands of one run.
const COMMANDS: usize = 150;

fn block_on(run: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(run);
}

#[test]
fn the_simulation_finds_no_violation() {
    for_each_seed(100, |seed| {
        block_on(async {
            let mut simulation = Simulation::new(seed);
            for _ in 0..COMMANDS {
                simulation.command().await;
            }
            simulation.finish().await;
        });
    });
}

#[test]
fn the_simulation_of_a_dying_disk_loses_nothing_in_silence() {
    for_each_seed(100, |seed| {
        block_on(async {
            let mut simulation = Simulation::new(Seed(seed.0 ^ 0xdead));
            for _ in 0..COMMANDS / 2 {
                simulation.command().await;
            }
            simulation.damage_and_finish().await;
        });
    });
}
