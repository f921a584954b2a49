//! Control-plane rows with revisions, on SQLite.
