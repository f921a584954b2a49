//! TCP and SSL listeners.
