//! AWS's quotas, each under its name.
//!
//! Invariant: whoever is stopped by one of these is told so in AWS's words.

/// Bytes of a value of the standard tier.
pub(crate) const STANDARD_BYTES_MAX: usize = 4096;
/// Bytes of a value of the advanced tier.
pub(crate) const ADVANCED_BYTES_MAX: usize = 8192;
/// Levels of a hierarchy.
pub(crate) const LEVELS_MAX: usize = 15;
/// Characters of a name: 2048 with the ARN before it, of which AWS keeps 1037 for itself.
pub(crate) const NAME_CHARACTERS_MAX: usize = 1011;
/// Versions that are kept of a parameter.
pub(crate) const VERSIONS_MAX: usize = 100;
/// Labels of a version.
pub(crate) const LABELS_MAX: usize = 10;
/// Parameters of an account in a region. AWS's quota for the standard tier; here it holds for all.
pub(crate) const PARAMETERS_MAX: usize = 10_000;
/// Tags of a parameter.
pub(crate) const TAGS_MAX: usize = 50;
/// Steps that a pattern may take back before it is given up: patterns come from clients.
pub(crate) const BACKTRACKS_MAX: usize = 100_000;
