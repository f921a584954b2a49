//! The walk against a naive model.
