//! Websites: a bucket served to browsers on its website host.

pub(crate) mod configuration;
pub(crate) mod routing;
pub(crate) mod serve;
