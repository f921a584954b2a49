//! How far instances are kept apart, and what is not enforced.
//!
//! Invariant: what is reported as enforced is; a fallback is never silent.

/// What an operator asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Privileged where this process may, else unprivileged.
    #[default]
    Auto,
    /// Namespaces, overlays, packet filters; refuses to start without the privileges.
    Privileged,
    /// Plain processes on loopback addresses.
    Unprivileged,
}

/// What is enforced on this machine, for an operator to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsolationReport {
    /// Whether instances have namespaces, an overlay and a network of their own.
    pub privileged: bool,
    /// Which limits the machine's cgroups enforce, by their controllers' names: `memory`, `pids`, `cpu`.
    pub limits: Vec<&'static str>,
    /// A sentence for each promise of AWS's that does not hold here. Empty: all hold.
    pub not_enforced: Vec<String>,
}
