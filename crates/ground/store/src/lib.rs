//! Control-plane rows with revisions, on SQLite: what AWS's services remember, apart from messages and object bytes.
//!
//! Invariants:
//! - When a write returns `Ok`, the change survives `kill -9` and power loss (WAL, `synchronous=FULL`: each commit is
//!   synced). When it returns an error that [`StoreError::is_definite`] denies, the outcome is unknown, as after any
//!   lost answer; everything else left no trace.
//! - A transaction is seen whole or not at all, and a [`View`] sees one moment of all tables.
//! - A revision is never used twice in the life of a store, not even for a row that was deleted and made again:
//!   [`Transaction::replace`] with a remembered revision cannot hit another row.
//! - Keys are ordered bytewise. `'\0'` is a fine separator in composite keys.
//! - A table belongs to one crate; its row type must go on reading what older versions wrote.
//!
//! Knows nothing of AWS. SQLite does its own file I/O, so a simulated disk does not see it: of all that we run on, its
//! handling of power loss is the best tested.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use store::{Scan, Store, StoreError, Table};
//!
//! #[derive(Serialize, Deserialize)]
//! struct QueueRow { visibility_timeout_s: u32 }
//! const QUEUES: Table<QueueRow> = Table::new("sqs_queues");
//!
//! # fn main() -> Result<(), StoreError> {
//! let store = Store::in_memory()?;
//! store.write(|tx| tx.insert(&QUEUES, "us-east-1\0orders", &QueueRow { visibility_timeout_s: 30 }))?;
//! store.write(|tx| {
//!     let Some(row) = tx.get(&QUEUES, "us-east-1\0orders")? else { return Ok(()) };
//!     tx.replace(&QUEUES, &row.key, row.revision, &QueueRow { visibility_timeout_s: 60 })?;
//!     Ok::<_, StoreError>(())
//! })?;
//! let rows = store.read(|view| view.scan(&QUEUES, &Scan::prefix("us-east-1\0").limit(100)))?;
//! assert_eq!(rows[0].value.visibility_timeout_s, 60);
//! # Ok(()) }
//! ```

mod commit;
mod connection;
mod error;
mod store;
mod table;
mod transaction;
mod view;

pub use error::StoreError;
pub use store::Store;
pub use table::{Revision, Row, Scan, Table};
pub use transaction::Transaction;
pub use view::View;
