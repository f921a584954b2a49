//! Auto Scaling: groups of instances that keep their size.
