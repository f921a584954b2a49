//! Processes that are servers: namespaces, overlays, packet filters, metadata.
