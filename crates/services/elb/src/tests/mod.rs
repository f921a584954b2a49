//! Tests of the operations, on a store in memory, with fakes around ELB and a clock that a test holds in its hand.

mod attributes;
mod fakes;
mod health;
mod interfaces;
mod listeners;
mod load_balancers;
mod logs;
mod order;
mod placement;
mod platform;
mod policies;
mod served;
mod tags;
mod traffic;
mod wire;
