//! Parameter Store in memory, asked in its own JSON.

mod hierarchies;
mod listing;
mod parameters;
mod platform;
mod secrets;
mod versions;
