//! The service as a whole, over an EC2 and an ELB that tests hold in their hand.
//!
//! Invariants: time stands unless a test moves it; each test owns its platform.

mod activities;
mod crashes;
mod fakes;
mod groups;
mod hooks;
mod instances;
mod launch_configurations;
mod load_balancers;
mod platform;
mod policies;
mod processes;
mod reconciler;
mod refresh;
mod scheduled_actions;
mod tags;
mod termination;
