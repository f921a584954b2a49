//! Blobs on a simulated disk.
